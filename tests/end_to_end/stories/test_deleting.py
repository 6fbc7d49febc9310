"""delete_orders: forgotten here, never brought back by chance, nothing said to SCM."""

from uuid import uuid4

import hvac
import pytest

from flows.delete_orders import delete_orders
from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from flows.revoke import revoke
from models.errors import BatchError, CertflowError, InputError
from models.orders import REISSUE, Certificate, CertificateOrder, OrderEvent, Revocation, Submission
from models.status import SubmissionStatus
from tasks import services
from tasks.adapters.store import certificates, orders, revocations

WAITING = "OV Multi-Domain (approval)"


def issued(world):
    """An issued order that an import found, with a name of its own."""
    import_orders.fn()
    rows = world.rows(CertificateOrder)
    names = [row.common_name for row in rows]
    return next(row for row in rows if row.status == "issued" and names.count(row.common_name) == 1)


def here(world, ssl_id):
    return next(row for row in world.rows(CertificateOrder) if row.ssl_id == ssl_id)


def known(text):
    with services.open_services() as svc, svc.store.reading() as session:
        return orders.named(session, "default", str(text))


def test_a_deleted_order_comes_back_only_when_that_is_asked(on_either) -> None:
    """DESIGN 1.9: local only; its certificate comes back with it"""
    row = issued(on_either)
    on_either.sandbox.forget_calls()
    [done] = delete_orders.fn(orders=[row.common_name]).done
    assert (done.order_id, done.ssl_id) == (row.id, row.ssl_id)
    assert on_either.calls() == 0
    assert known(row.ssl_id) == []
    on_either.sandbox.change_order(row.ssl_id, comments="changed since")
    for _ in range(2):
        import_orders.fn()
        assert here(on_either, row.ssl_id).deleted_at
    on_either.sandbox.forget_calls()
    import_orders.fn(include_deleted=True)
    assert here(on_either, row.ssl_id).deleted_at is None
    assert [one.id for one in known(row.common_name)] == [row.id]
    with services.open_services() as svc, svc.store.reading() as session:
        assert [one.serial_number for one in certificates.of_order(session, row.id)] == [row.serial_number]
    assert "GET collect" not in on_either.sandbox.calls()


def test_a_second_call_does_no_harm(on_either, at_once) -> None:
    """RULES N6: it does not go on with an older order of that name"""
    row = issued(on_either)
    answers = at_once(*[lambda: delete_orders.fn(orders=[row.common_name])] * 2)
    assert [one for one in answers if isinstance(one, CertflowError)] == []
    assert [one.kind for one in on_either.rows(OrderEvent) if one.order_id == row.id].count("deleted") == 1
    older = next(one for one in on_either.rows(CertificateOrder) if one.status == "expired")
    assert "deleted before" in delete_orders.fn(orders=[row.common_name]).done[0].reason
    assert "deleted before" in delete_orders.fn(orders=[row.ssl_id]).done[0].reason
    with on_either.changed(CertificateOrder, older.id) as changed:
        changed.common_name = row.common_name
    with on_either.changed(CertificateOrder, row.id) as changed:
        changed.deleted_at = None
    with pytest.raises(InputError, match="means several orders"):
        delete_orders.fn(orders=[row.common_name])


def test_what_is_under_way_stays(synced, order) -> None:
    """DESIGN 1.9: planned, in doubt, open at SCM"""
    row = issued(synced)
    synced.sandbox.fault("status", route="enroll", status=403, body={"code": -3, "description": "no"}, count=1)
    with pytest.raises(CertflowError):
        order("planned.example.com")
    synced.sandbox.lose_next_answer("enroll")
    order("doubt.example.com")
    order("open.example.com", certificate_profile=WAITING)
    with pytest.raises(BatchError) as caught:
        delete_orders.fn(orders=["planned.example.com", "doubt.example.com", "open.example.com", row.ssl_id])
    said = [one.reason for one in caught.value.summary.failed]
    assert ["cancel-orders withdraws it" in said[0], "in doubt" in said[1], "cancel-orders declines" in said[2]] == [True] * 3
    assert [one.ssl_id for one in caught.value.summary.done] == [row.ssl_id]
    assert [one.deleted_at for one in synced.rows(CertificateOrder) if one.origin == "ordered"] == [None] * 3


def test_an_issued_order_with_a_planned_reissue_stays(synced, order) -> None:
    """RULES E5"""
    order("www.example.com")
    synced.deliver("www.example.com")
    row = synced.order("www.example.com")
    with services.open_services() as svc, svc.store.transaction() as session:
        session.add(Submission(
            account="default", order_id=row.id, kind=REISSUE, status=SubmissionStatus.PLANNED, request_id="r", request_scope=str(row.id),
            created_at=svc.clock()))
    with pytest.raises(BatchError, match="its reissue is planned"):
        delete_orders.fn(orders=["www.example.com"], confirm=["www.example.com"])


def test_a_served_certificate_needs_its_live_name_and_stays_in_vault(synced, order) -> None:
    """RULES R1: its renewal ends"""
    order("www.example.com")
    synced.deliver("www.example.com")
    before = synced.entry("live/www.example.com")
    with pytest.raises(BatchError, match=r"live/www\.example\.com serves it, and it would not be renewed any more"):
        delete_orders.fn(orders=["www.example.com"])
    [done] = delete_orders.fn(orders=["www.example.com"], confirm=["live/www.example.com"]).done
    assert "keeps it with its key, and nobody renews it any more" in done.reason
    assert synced.entry("live/www.example.com") == before
    assert synced.keys() == [str(synced.submission("www.example.com").id)]


def test_a_live_name_of_a_deleted_order_is_free(synced, order) -> None:
    """RULES D2"""
    order("www.example.com")
    synced.deliver("www.example.com")
    delete_orders.fn(orders=["www.example.com"], confirm=["www.example.com"])
    new = order("www.example.com")
    synced.poll_until(lambda: synced.entry("live/www.example.com")["order"] == str(new.order_id))


def test_keys_are_destroyed_on_wish_with_all_versions(on_either, order) -> None:
    """DESIGN 4: the live entry keeps its own; asked for later too"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    delete_orders.fn(orders=["www.example.com"], confirm=["www.example.com"])
    kept = on_either.submission("www.example.com").id
    assert on_either.keys() == [str(kept)]
    for said in ("keys: 1 destroyed in Vault", "keys: 1 destroyed in Vault"):
        assert said in delete_orders.fn(orders=["www.example.com"], destroy_key=True).done[0].reason
    assert on_either.keys_or_none() == []
    with pytest.raises(hvac.exceptions.InvalidPath):
        on_either.vault.secrets.kv.v2.read_secret_metadata(f"certflow/keys/{kept}")
    assert on_either.entry("live/www.example.com")["private_key"]
    assert "keys destroyed" in on_either.events("www.example.com")


@pytest.mark.parametrize("shared", ["reuse_of", "public_key_sha256"])
def test_a_key_that_another_order_uses_stays(synced, order, shared) -> None:
    """RULES K1: until that one is deleted too"""
    order("one.example.com")
    order("two.example.com")
    synced.deliver("one.example.com", "two.example.com")
    first, second = synced.submission("one.example.com"), synced.submission("two.example.com")
    with synced.changed(Submission, second.id) as row:
        setattr(row, shared, first.id if shared == "reuse_of" else first.public_key_sha256)
    confirm = ["one.example.com", "two.example.com"]
    [done] = delete_orders.fn(orders=["one.example.com"], destroy_key=True, confirm=confirm).done
    assert "1 kept, since another order uses the same key" in done.reason
    assert str(first.id) in synced.keys_or_none()
    delete_orders.fn(orders=["two.example.com"], confirm=confirm)
    delete_orders.fn(orders=["one.example.com"], destroy_key=True)
    assert synced.keys() == [str(second.id)]


def test_the_planned_revocation_of_a_deleted_order_is_carried_out(synced) -> None:
    """RULES R5, V3: once"""
    row = issued(synced)
    with services.open_services() as svc, svc.store.transaction() as session:
        revocations.plan(session, Revocation(account="default", order_id=row.id, reason_code=4, reason="renewed", created_at=svc.clock()))
    [done] = delete_orders.fn(orders=[row.ssl_id]).done
    assert "its planned revocation is carried out all the same" in done.reason
    with synced.changed(Revocation, synced.rows(Revocation)[0].id) as planned:
        planned.due_at = planned.created_at
    assert poll_orders.fn().revoked == 1
    assert next(one["status"] for one in synced.sandbox.orders() if one["ssl_id"] == row.ssl_id) == "Revoked"
    assert here(synced, row.ssl_id).deleted_at
    assert synced.rows(Revocation)[0].status == "done"


def test_a_deleted_orders_certificate_still_counts_as_using_a_compromised_key(synced) -> None:
    """RULES V3: SCM keeps it"""
    row = issued(synced)
    other = next(one for one in synced.rows(CertificateOrder) if one.status == "issued" and one.id != row.id and known(one.ssl_id))
    pair = {one.order_id: one for one in synced.rows(Certificate) if one.order_id in {row.id, other.id}}
    with synced.changed(Certificate, pair[other.id].id) as certificate:
        certificate.public_key_sha256 = pair[row.id].public_key_sha256
    delete_orders.fn(orders=[other.ssl_id])
    assert [one.ssl_id for one in revoke.fn(orders=[row.ssl_id], reason_code=1, reason="found on a disk").planned] == [other.ssl_id]


def test_a_deleted_order_takes_no_licence(synced, monkeypatch) -> None:
    """RULES D4"""
    import_orders.fn(fetch_certificates=False)
    monkeypatch.setenv("CERTFLOW_CERTIFICATE_LIMIT", "1")
    synced.restart()
    assert import_orders.fn().certificates_fetched == 1
    [stored] = synced.rows(Certificate)
    delete_orders.fn(orders=[str(stored.order_id)])
    assert import_orders.fn().certificates_fetched == 1


def test_nothing_is_done_when_one_text_means_nothing(synced) -> None:
    """RULES N6"""
    row = issued(synced)
    with pytest.raises(InputError, match="there is no order"):
        delete_orders.fn(orders=[row.ssl_id, str(uuid4()), "nobody.example.com"])
    with pytest.raises(InputError, match="must not be empty"):
        delete_orders.fn(orders=[])
    assert here(synced, row.ssl_id).deleted_at is None
