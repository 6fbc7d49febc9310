"""revoke: what is meant, what stands against it, what SCM makes of it, and which keys leave the repository."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.revoke import revoke
from models.errors import BatchError, CertflowError, InputError, LoginError
from models.orders import Certificate, CertificateOrder, CompromisedKey, OrderEvent, Revocation
from tasks import events, services
from tasks.adapters.store import certificates, revocations

TEXT = {"reason_code": "superseded", "reason": "moved to another server"}


def status_at_scm(world, ssl_id):
    return next(one["status"] for one in world.sandbox.orders() if one["ssl_id"] == ssl_id)


def living(world, number=1):
    """Issued orders that an import found, with a certificate here."""
    import_orders.fn()
    held = {one.order_id for one in world.rows(Certificate)}
    rows = [row for row in world.rows(CertificateOrder) if row.status == "issued" and row.id in held]
    names = [row.common_name for row in rows]
    return [row for row in rows if names.count(row.common_name) == 1][:number]


def row_of(world, order_id):
    return next(row for row in world.rows(CertificateOrder) if row.id == order_id)


def twin_key(world, *rows):
    """Give the certificates of these orders the key of the first."""
    first, *others = [next(one for one in world.rows(Certificate) if one.order_id == row.id) for row in rows]
    for other in others:
        with world.changed(Certificate, other.id) as certificate:
            certificate.public_key_sha256 = first.public_key_sha256
    return first.public_key_sha256


def versions(world, name):
    """The versions of a live entry: what each holds, None for destroyed ones."""
    found = world.vault.secrets.kv.v2.read_secret_metadata(f"certflow/live/{name}")["data"]["versions"]
    return {
        int(number): None if facts["destroyed"] else world.vault.secrets.kv.v2.read_secret_version(
            f"certflow/live/{name}", version=int(number), raise_on_deleted_version=True)["data"]["data"]
        for number, facts in found.items()
    }


@pytest.mark.parametrize("way", ["ssl_id", "uuid", "name", "serial", "serial with colons"])
def test_a_certificate_is_revoked_however_it_is_named(on_either, way) -> None:
    """DESIGN 4, RULES V1, N6: a serial number by its own call only"""
    [row] = living(on_either)
    pairs = row.serial_number.zfill(len(row.serial_number) + len(row.serial_number) % 2).upper()
    text = {
        "ssl_id": row.ssl_id, "uuid": str(row.id), "name": row.common_name, "serial": row.serial_number.upper(),
        "serial with colons": ":".join(pairs[at:at + 2] for at in range(0, len(pairs), 2)),
    }[way]
    on_either.sandbox.forget_calls()
    summary = revoke.fn(orders=[text], requested_by="web team", **TEXT)
    assert [(one.order_id, one.ssl_id) for one in summary.done] == [(row.id, row.ssl_id)]
    assert "superseded (4)" in summary.done[0].reason
    assert (summary.failed, summary.calls) == ((), 2)
    assert status_at_scm(on_either, row.ssl_id) == "Revoked"
    assert row_of(on_either, row.id).status == "revoked"
    assert set(on_either.sandbox.calls()) == {"POST revoke_serial" if "serial" in way else "POST revoke", "GET details"}
    [event] = [one for one in on_either.rows(OrderEvent) if one.order_id == row.id and one.kind == "revoked"]
    assert event.requested_by == "web team"
    assert "moved to another server" in event.detail
    [planned] = on_either.rows(Revocation)
    assert planned.status == "done"


@pytest.mark.parametrize("code", ["superseded", "4", 4, "unspecified", 0, "cessationOfOperation", "affiliationChanged"])
def test_scm_gets_the_number_of_the_reason(world, code) -> None:
    """RULES V1"""
    [row] = living(world)
    revoke.fn(orders=[row.ssl_id], reason_code=code, reason="x")
    told = next(one["reason_code"] for one in world.sandbox.orders() if one["ssl_id"] == row.ssl_id)
    assert told == {"superseded": 4, "4": 4, 4: 4, "unspecified": 0, 0: 0, "cessationOfOperation": 5, "affiliationChanged": 3}[code]


def test_already_revoked_is_done(world) -> None:
    """RULES V1: by us, by somebody else since, and by somebody else before the last import"""
    ours, theirs = living(world, 2)
    revoke.fn(orders=[ours.ssl_id], **TEXT)
    world.sandbox.change_order(theirs.ssl_id, status="Revoked")
    summary = revoke.fn(orders=[ours.ssl_id, theirs.ssl_id], **TEXT)
    assert [one.reason for one in summary.done] == ["revoked already, reason superseded (4)"] * 2
    assert row_of(world, theirs.id).status == "revoked"
    again = revoke.fn(orders=[theirs.serial_number], **TEXT)
    assert "revoked already" in again.done[0].reason


def test_an_answer_that_is_lost_is_decided_by_the_details(world) -> None:
    """RULES V1"""
    [row] = living(world)
    world.sandbox.lose_next_answer("revoke")
    assert len(revoke.fn(orders=[row.ssl_id], **TEXT).done) == 1
    assert world.sandbox.calls()["POST revoke"] == 1


def test_nothing_is_sent_when_one_text_means_nothing_or_several(world) -> None:
    """RULES N6: also predecessor and successor that both live"""
    one, two, three = living(world, 3)
    with world.changed(CertificateOrder, two.id) as row:
        row.common_name, row.predecessor_id = one.common_name, one.id
    with world.changed(CertificateOrder, three.id) as row:
        row.serial_number = one.serial_number
    world.sandbox.forget_calls()
    texts = [two.ssl_id, one.common_name, one.serial_number, "00:11:22:33", "f" * 32, uuid4(), "nobody.example.com", "9999999999"]
    with pytest.raises(InputError) as caught:
        revoke.fn(orders=[str(text) for text in texts], **TEXT)
    assert len(caught.value.problems) == 7
    assert f"{one.ssl_id} (" in caught.value.problems[0]
    assert f"{two.ssl_id} (" in caught.value.problems[0]
    assert "no certificate of account default has the serial number '00:11:22:33'" in str(caught.value)
    assert world.calls() == 0
    assert world.rows(Revocation) == []


@pytest.mark.parametrize(("wrong", "said"), [
    ({"orders": []}, "orders must not be empty"), ({"reason": ""}, "reason must not be empty"), ({"reason": "x" * 513}, "at most 512"),
    ({"reason_code": "2"}, "reason_code"), ({"reason_code": True}, "reason_code"),
])
def test_what_no_revocation_needs_is_refused(world, wrong, said) -> None:
    """RULES V1"""
    with pytest.raises(InputError, match=said):
        revoke.fn(**{"orders": ["41001"], **TEXT, **wrong})
    assert world.calls() == 0


def test_who_asked_is_demanded_where_that_is_set(world, monkeypatch) -> None:
    """DESIGN 4: CERTFLOW_REQUIRE_REQUESTED_BY"""
    [row] = living(world)
    monkeypatch.setenv("CERTFLOW_REQUIRE_REQUESTED_BY", "true")
    world.restart()
    with pytest.raises(InputError, match="requested_by is required"):
        revoke.fn(orders=[row.ssl_id], **TEXT)
    assert revoke.fn(orders=[row.ssl_id], requested_by="web team", **TEXT).done


def test_what_has_no_certificate_says_what_to_do_instead(synced, order) -> None:
    """RULES V1: whatever else is in the list is revoked"""
    [good] = living(synced)
    waiting = order("wait.example.com", certificate_profile="OV Multi-Domain (approval)")
    synced.sandbox.lose_next_answer("enroll")
    order("doubt.example.com")
    with pytest.raises(BatchError) as caught:
        revoke.fn(orders=[waiting.ssl_id, "doubt.example.com", good.ssl_id], **TEXT)
    summary = caught.value.summary
    assert [one.ssl_id for one in summary.done] == [good.ssl_id]
    assert "cancel-orders declines" in summary.failed[0].reason
    assert "in doubt" in summary.failed[1].reason
    with pytest.raises(InputError, match="cancel-orders declines") as refused:
        revoke.fn(orders=[waiting.ssl_id], **TEXT)
    assert refused.value.summary.failed[0].ssl_id == waiting.ssl_id


def test_our_old_word_of_an_order_does_not_decide(synced, order) -> None:
    """RULES V1: issued meanwhile"""
    waiting = order("wait.example.com", certificate_profile="OV Multi-Domain (approval)")
    synced.sandbox.change_order(waiting.ssl_id, status="Issued")
    assert revoke.fn(orders=["wait.example.com"], **TEXT).done
    assert status_at_scm(synced, waiting.ssl_id) == "Revoked"


def test_a_served_certificate_needs_its_live_name(synced, order) -> None:
    """RULES V2"""
    order("www.example.com")
    order("*.shop.example.com")
    synced.deliver("www.example.com", "*.shop.example.com")
    with pytest.raises(InputError, match=r"live/www\.example\.com serves it"):
        revoke.fn(orders=["www.example.com"], **TEXT)
    with pytest.raises(BatchError, match=r"give _wildcard\.shop\.example\.com in confirm"):
        revoke.fn(orders=["www.example.com", "*.shop.example.com"], confirm=["live/www.example.com"], **TEXT)
    assert synced.order("www.example.com").status == "revoked"
    assert synced.order("*.shop.example.com").status == "issued"
    [done] = revoke.fn(orders=["*.shop.example.com"], confirm=["_wildcard.shop.example.com"], **TEXT).done
    assert "live/_wildcard.shop.example.com still serves it" in done.reason
    assert synced.entry("live/_wildcard.shop.example.com")["status"] == "issued"


def succeed(world, order, name):
    """An order with a delivered successor, as a renewal leaves it; the older order."""
    order(name)
    world.deliver(name)
    old = world.order(name)
    with world.changed(CertificateOrder, old.id) as row:
        row.status = "replaced"    # so that the live name is free for a moment
    order(name)
    with world.changed(CertificateOrder, old.id) as row:
        row.status = "issued"
    new = next(row for row in world.rows(CertificateOrder) if row.common_name == name and row.id != old.id)
    with world.changed(CertificateOrder, new.id) as row:
        row.predecessor_id = old.id
    world.poll_until(lambda: any(one.delivered_at for one in world.rows(Certificate) if one.order_id == new.id))
    return old, new


def test_a_predecessor_whose_successor_is_live_needs_no_confirmation_and_takes_its_own_key_only(synced, order) -> None:
    """RULES V2, D5: the current version stays as it is"""
    old, new = succeed(synced, order, "www.example.com")
    before = versions(synced, "www.example.com")
    assert revoke.fn(orders=[old.ssl_id], delete_from_repository=True, **TEXT).done
    assert versions(synced, "www.example.com") == {1: None, 2: before[2]}
    assert before[2]["order"] == str(new.id)
    removed = {one.order_id: one.removed_at for one in synced.rows(Certificate)}
    assert removed[old.id]
    assert removed[new.id] is None


def test_a_successor_with_the_same_key_keeps_its_current_version(synced, order) -> None:
    """RULES D5"""
    old, _ = succeed(synced, order, "www.example.com")
    ours = next(one for one in synced.rows(Certificate) if one.order_id == old.id)
    path = "certflow/live/www.example.com"
    data = versions(synced, "www.example.com")
    synced.vault.secrets.kv.v2.create_or_update_secret(path, secret={**data[2], "private_key": data[1]["private_key"]})
    revoke.fn(orders=[old.ssl_id], delete_from_repository=True, **TEXT)
    after = versions(synced, "www.example.com")
    assert after[1] is None
    assert after[2]["sha256"] != ours.sha256
    assert after[3]["private_key"] == data[1]["private_key"]


def test_removal_closes_the_live_entry_and_destroys_the_versions_with_the_key(on_either, order) -> None:
    """RULES D5, K3: the password of the keystore stays for the next certificate"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    first = on_either.entry("live/www.example.com")
    answer = revoke.fn(orders=["www.example.com"], delete_from_repository=True, confirm=["www.example.com"], **TEXT)
    assert "destroyed in live/www.example.com: version 1" in answer.done[0].reason
    assert versions(on_either, "www.example.com") == {
        1: None, 2: {**first, "private_key": "", "keystore": "", "keystore_type": "", "status": "revoked"},
    }
    assert on_either.certificate("www.example.com").removed_at
    assert poll_orders.fn().calls == 0
    order("www.example.com")
    on_either.poll_until(lambda: on_either.entry("live/www.example.com")["status"] == "issued")
    assert on_either.entry("live/www.example.com")["keystore_password"] == first["keystore_password"]


def test_removal_can_be_asked_for_later(synced, order) -> None:
    """RULES D5, V1: revoked before, without removal"""
    order("www.example.com")
    synced.deliver("www.example.com")
    revoke.fn(orders=["www.example.com"], confirm=["www.example.com"], **TEXT)
    assert synced.certificate("www.example.com").removed_at is None
    synced.sandbox.forget_calls()
    revoke.fn(orders=["www.example.com"], delete_from_repository=True, confirm=["www.example.com"], **TEXT)
    assert synced.sandbox.calls() == {"GET details": 1}
    assert synced.certificate("www.example.com").removed_at
    assert versions(synced, "www.example.com")[1] is None


def test_a_version_that_somebody_deleted_is_destroyed_too(synced, order) -> None:
    """RULES D5: an operator could bring it back, key and all"""
    old, _ = succeed(synced, order, "www.example.com")
    synced.vault.secrets.kv.v2.delete_secret_versions("certflow/live/www.example.com", versions=[1])
    revoke.fn(orders=[old.ssl_id], delete_from_repository=True, **TEXT)
    assert synced.vault.secrets.kv.v2.read_secret_metadata("certflow/live/www.example.com")["data"]["versions"]["1"]["destroyed"]


def test_a_delivery_that_was_slow_does_not_bring_a_revoked_certificate_back(synced, order) -> None:
    """RULES D5: its order was read before the revocation"""
    from tasks import delivery

    order("www.example.com")
    synced.deliver("www.example.com")
    revoke.fn(orders=["www.example.com"], delete_from_repository=True, confirm=["www.example.com"], **TEXT)
    with services.open_services() as svc:
        assert delivery.deliver(svc, synced.certificate("www.example.com").id) is False
    assert synced.entry("live/www.example.com")["private_key"] == ""


def test_with_key_compromise_every_certificate_with_that_key_goes_within_20_hours(on_either, monkeypatch) -> None:
    """RULES V3, K5: those that are named now, the others by serial number when they are due, by the next poll"""
    named, other, unlike = living(on_either, 3)
    key = twin_key(on_either, named, other)
    summary = revoke.fn(orders=[named.ssl_id], reason_code="keyCompromise", reason="found on a disk", requested_by="security")
    assert [one.ssl_id for one in summary.done] == [named.ssl_id]
    assert [one.ssl_id for one in summary.planned] == [other.ssl_id]
    [known] = on_either.rows(CompromisedKey)
    assert (known.public_key_sha256, known.reported_by, known.reason) == (key, "security", "found on a disk")
    plan = next(one for one in on_either.rows(Revocation) if one.order_id == other.id)
    assert (plan.serial_number, plan.reason_code, plan.status, plan.remove) == (other.serial_number, 1, "planned", False)
    assert timedelta(hours=19) < plan.due_at - datetime.now(UTC) <= timedelta(hours=20)
    assert poll_orders.fn(orders=[str(other.ssl_id)]).revoked == 0
    revoke.fn(orders=[named.ssl_id], reason_code=1, reason="again")
    assert len([one for one in on_either.rows(Revocation) if one.order_id == other.id]) == 1
    with services.open_services() as svc:
        monkeypatch.setattr(svc, "clock", lambda: datetime.now(UTC) + timedelta(hours=20, minutes=1))
        assert poll_orders.fn().revoked == 1
    assert status_at_scm(on_either, other.ssl_id) == "Revoked"
    assert status_at_scm(on_either, unlike.ssl_id) == "Issued"
    assert poll_orders.fn().revoked == 0


def test_a_key_is_remembered_although_its_certificate_was_never_fetched(world) -> None:
    """RULES K5: before anything is sent"""
    import_orders.fn(fetch_certificates=False)
    row = next(row for row in world.rows(CertificateOrder) if row.status == "issued")
    world.sandbox.fault("status", route="revoke", status=500)
    with pytest.raises(BatchError):
        revoke.fn(orders=[row.ssl_id], reason_code=1, reason="found on a disk")
    assert len(world.rows(CompromisedKey)) == 1
    import_orders.fn()
    assert {one.public_key_sha256 for one in world.rows(Certificate) if one.order_id == row.id} == {world.rows(CompromisedKey)[0].public_key_sha256}


def test_a_compromised_key_orders_nothing_again(synced, order) -> None:
    """RULES K5: whatever send_anyway says"""
    order("www.example.com")
    synced.deliver("www.example.com")
    csr = synced.entry(f"keys/{synced.submission('www.example.com').id}")["csr"]
    revoke.fn(orders=["www.example.com"], reason_code=1, reason="found on a disk", confirm=["www.example.com"])
    with pytest.raises(InputError, match="reported as compromised"):
        order_certificate.fn(
            common_name="www.example.com", organization="Example University", certificate_profile="OV Multi-Domain", csr=csr, send_anyway=True)


def test_a_dry_run_tells_what_would_go_and_what_else_the_key_serves(synced, order) -> None:
    """RULES V2, V3: nothing is sent or written"""
    order("www.example.com")
    order("api.example.com")
    synced.deliver("www.example.com", "api.example.com")
    twin_key(synced, synced.order("www.example.com"), synced.order("api.example.com"))
    synced.sandbox.forget_calls()
    summary = revoke.fn(orders=["www.example.com"], reason_code=1, reason="x", confirm=["www.example.com"], dry_run=True)
    [would] = summary.done
    assert "live/www.example.com serves it" in would.reason
    assert "served as live/api.example.com" in would.reason
    assert "confirm" in revoke.fn(orders=["www.example.com"], reason_code=1, reason="x", dry_run=True).failed[0].reason
    assert synced.calls() == 0
    assert synced.rows(Revocation) == synced.rows(CompromisedKey) == []


def test_a_refusal_for_good_says_scms_words_and_stops_no_other(world) -> None:
    """RULES V1: the row is closed, and no poll tries again"""
    bad, good = living(world, 2)
    world.sandbox.fault("status", path=rf"/revoke/{bad.ssl_id}$", status=400, body={"code": -3, "description": "You are not authorized"})
    with pytest.raises(BatchError, match="You are not authorized") as caught:
        revoke.fn(orders=[bad.ssl_id, good.ssl_id], **TEXT)
    assert [one.ssl_id for one in caught.value.summary.done] == [good.ssl_id]
    assert [one.ssl_id for one in caught.value.summary.failed] == [bad.ssl_id]
    assert sorted(one.status for one in world.rows(Revocation)) == ["done", "refused"]
    assert "revocation refused" in [one.kind for one in world.rows(OrderEvent) if one.order_id == bad.id]
    world.sandbox.forget_calls()
    poll_orders.fn(orders=[str(good.ssl_id)])
    assert "POST revoke" not in world.sandbox.calls()


@pytest.mark.parametrize("trouble", [{"kind": "status", "status": 503}, {"kind": "too_many"}, {"kind": "drop"}, {"kind": "status", "status": 403}])
def test_what_could_not_be_sent_stays_planned_and_the_next_poll_does_it(world, trouble) -> None:
    """RULES V1"""
    [row] = living(world)
    world.sandbox.fault(**trouble, route="revoke")
    with pytest.raises(BatchError, match="poll-orders tries again"):
        revoke.fn(orders=[row.ssl_id], **TEXT)
    assert [one.status for one in world.rows(Revocation)] == ["planned"]
    world.sandbox.clear()
    assert poll_orders.fn(orders=[str(row.ssl_id)]).revoked == 1
    assert status_at_scm(world, row.ssl_id) == "Revoked"


def test_a_refused_login_ends_the_run_and_later_polls_do_the_rest(world) -> None:
    """RULES S1: one call with the wrong password, and every order is named"""
    from flows.check_account import check_account

    rows = living(world, 5)
    world.sandbox.forget_calls()
    world.sandbox.fault("status", route="revoke", status=401, body={"code": -16, "description": "Unknown user"})
    with pytest.raises(LoginError) as caught:
        revoke.fn(orders=[row.ssl_id for row in rows], **TEXT)
    assert sorted(one.ssl_id for one in caught.value.summary.failed) == sorted(row.ssl_id for row in rows)
    assert world.calls() == world.sandbox.calls()["POST revoke"]
    assert {one.status for one in world.rows(Revocation)} == {"planned"}
    world.sandbox.clear()
    with pytest.raises(LoginError):
        poll_orders.fn()
    check_account.fn()
    assert poll_orders.fn(orders=[str(row.ssl_id) for row in rows]).revoked == 5


def test_two_revocations_of_the_same_order_at_once_do_it_once(on_either, at_once) -> None:
    """DESIGN 8.5: both say that it is done"""
    rows = living(on_either, 3)
    texts = [str(row.ssl_id) for row in rows]
    answers = at_once(*[lambda: revoke.fn(orders=texts, **TEXT)] * 3)
    assert [one for one in answers if isinstance(one, Exception)] == []
    assert all(len(one.done) == 3 for one in answers)
    for row in rows:
        assert [one.kind for one in on_either.rows(OrderEvent) if one.order_id == row.id].count("status") == 1
        assert not [one for one in on_either.rows(Revocation) if one.order_id == row.id and one.status != "done"]


def test_the_certificate_before_a_reissue_goes_by_its_serial_number(synced, order) -> None:
    """RULES N6: the sslId means the new one, which lives on"""
    order("www.example.com")
    synced.deliver("www.example.com")
    row, old = synced.order("www.example.com"), synced.certificate("www.example.com")
    new = f"{int(old.serial_number, 16) + 1:x}"
    synced.sandbox.change_order(row.ssl_id, old_serials=[int(old.serial_number[-12:], 16)])
    with services.open_services() as svc, svc.store.transaction() as session:
        session.get(CertificateOrder, row.id).serial_number = new
        copy = {name: value for name, value in old.model_dump().items() if name != "id"}
        session.add(Certificate(**{**copy, "serial_number": new, "sha256": "ab" * 32, "not_before": old.not_before + timedelta(seconds=1)}))
    synced.sandbox.fault("field", route="details", field="serialNumber", value=new)
    synced.sandbox.fault("status", route="revoke_serial", status=204, processed=False)
    [done] = revoke.fn(orders=[old.serial_number], confirm=["www.example.com"], delete_from_repository=True, **TEXT).done
    assert done.reason.startswith(f"serial number {old.serial_number}: revoked")
    assert synced.order("www.example.com").status == "issued"
    with services.open_services() as svc, svc.store.reading() as session:
        assert [one.serial_number for one in certificates.of_order(session, row.id)] == [new]


@pytest.mark.parametrize("again", ["Revoked", "Expired"])
def test_what_ended_by_itself_before_it_was_due_is_done(world, again) -> None:
    """RULES R5"""
    [row] = living(world)
    now = datetime.now(UTC)
    with services.open_services() as svc, svc.store.transaction() as session:
        revocations.plan(session, Revocation(
            account="default", order_id=row.id, reason_code=4, reason="renewed", due_at=now, created_at=now - timedelta(days=30)))
    world.sandbox.change_order(row.ssl_id, status=again)
    assert poll_orders.fn(orders=[str(row.ssl_id)]).revoked == 1
    assert row_of(world, row.id).status == again.lower()


def test_programs_are_told_of_a_revocation_once(world, monkeypatch) -> None:
    """DESIGN 4: events"""
    told = []
    monkeypatch.setattr(events, "emit", lambda event, order, **facts: told.append((event, order.ssl_id, order.status, facts["reason_code"])))
    [row] = living(world)
    for _ in range(2):
        revoke.fn(orders=[row.ssl_id], **TEXT)
    assert told == [("certflow.certificate.revoked", row.ssl_id, "revoked", 4)]


def test_a_vault_that_is_away_after_scm_revoked_leaves_the_rest_to_the_next_poll(synced, order, monkeypatch) -> None:
    """RULES D5"""
    from models.errors import TransientError
    from tasks.adapters.vault import Vault

    order("www.example.com")
    synced.deliver("www.example.com")

    def away(*_given):
        raise TransientError("Vault is sealed")
    with monkeypatch.context() as patch:
        patch.setattr(Vault, "destroy_versions", away)
        with pytest.raises(BatchError, match="revoked at SCM, but its key is not taken out"):
            revoke.fn(orders=["www.example.com"], delete_from_repository=True, confirm=["www.example.com"], **TEXT)
    assert synced.order("www.example.com").status == "revoked"
    assert poll_orders.fn().revoked == 1
    assert versions(synced, "www.example.com")[1] is None
    assert synced.certificate("www.example.com").removed_at


def test_a_thousand_revocations_are_a_few_tasks_and_two_calls_each(world, monkeypatch) -> None:
    """DESIGN 5, 6: by batches of a hundred, some at once"""
    from tasks import revoking

    rows = living(world, 60)
    monkeypatch.setattr(revoking, "BATCH", 25)
    batches = []
    real = revoking.carry_out_batch
    monkeypatch.setattr(revoking, "carry_out_batch", lambda account, ids: (batches.append(len(ids)), real(account, ids))[1])
    summary = revoke.fn(orders=[row.ssl_id for row in rows], **TEXT)
    assert (len(summary.done), batches, summary.calls) == (60, [25, 25, 10], 120)


def test_an_unknown_word_of_scm_keeps_the_revocation_planned(world) -> None:
    """RULES S4"""
    [row] = living(world)
    world.sandbox.fault("unknown_status", route="details", word="Quarantined", count=1)
    with pytest.raises(CertflowError, match="Quarantined"):
        revoke.fn(orders=[row.ssl_id], **TEXT)
    assert poll_orders.fn(orders=[str(row.ssl_id)]).revoked == 1
