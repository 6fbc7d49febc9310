"""revoke with delete_from_repository: which keys leave `live/`, and which stay."""

from datetime import timedelta

import pytest

from flows.poll_orders import poll_orders
from flows.revoke import revoke
from models.errors import BatchError, TransientError
from models.orders import Certificate, CertificateOrder
from tasks import delivery, services
from tasks.adapters.store import certificates

TEXT = {"reason_code": "superseded", "reason": "moved to another server"}


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
    before = synced.versions("www.example.com")
    assert revoke.fn(orders=[old.ssl_id], delete_from_repository=True, **TEXT).done
    assert synced.versions("www.example.com") == {1: None, 2: before[2]}
    assert before[2]["order"] == str(new.id)
    removed = {one.order_id: one.removed_at for one in synced.rows(Certificate)}
    assert removed[old.id]
    assert removed[new.id] is None


def test_a_successor_with_the_same_key_keeps_its_current_version(synced, order) -> None:
    """RULES D5"""
    old, _ = succeed(synced, order, "www.example.com")
    ours = next(one for one in synced.rows(Certificate) if one.order_id == old.id)
    path = "certflow/live/www.example.com"
    data = synced.versions("www.example.com")
    synced.vault.secrets.kv.v2.create_or_update_secret(path, secret={**data[2], "private_key": data[1]["private_key"]})
    revoke.fn(orders=[old.ssl_id], delete_from_repository=True, **TEXT)
    after = synced.versions("www.example.com")
    assert after[1] is None
    assert after[2]["sha256"] != ours.sha256
    assert after[3]["private_key"] == data[1]["private_key"]


def test_removal_closes_the_live_entry_and_destroys_the_versions_with_the_key(on_either, order) -> None:
    """RULES D5, K3: the password of the keystore stays for the next certificate"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    first = on_either.entry("live/www.example.com")
    answer = revoke.fn(orders=["www.example.com"], delete_from_repository=True, confirm=["www.example.com"], **TEXT)
    assert "version 1 of live/www.example.com destroyed" in answer.done[0].reason
    assert on_either.versions("www.example.com") == {
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
    assert synced.versions("www.example.com")[1] is None


def test_a_version_that_somebody_deleted_is_destroyed_too(synced, order) -> None:
    """RULES D5: an operator could bring it back, key and all"""
    old, _ = succeed(synced, order, "www.example.com")
    synced.vault.secrets.kv.v2.delete_secret_versions("certflow/live/www.example.com", versions=[1])
    revoke.fn(orders=[old.ssl_id], delete_from_repository=True, **TEXT)
    assert synced.vault.secrets.kv.v2.read_secret_metadata("certflow/live/www.example.com")["data"]["versions"]["1"]["destroyed"]


def test_a_delivery_that_was_slow_does_not_bring_a_revoked_certificate_back(synced, order) -> None:
    """RULES D5: its order was read before the revocation"""
    order("www.example.com")
    synced.deliver("www.example.com")
    revoke.fn(orders=["www.example.com"], delete_from_repository=True, confirm=["www.example.com"], **TEXT)
    with services.open_services() as svc:
        assert delivery.deliver(svc, synced.certificate("www.example.com").id) is False
    assert synced.entry("live/www.example.com")["private_key"] == ""


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


def test_a_vault_that_is_away_after_scm_revoked_leaves_the_rest_to_the_next_poll(synced, order, monkeypatch) -> None:
    """RULES D5"""
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
    assert synced.versions("www.example.com")[1] is None
    assert synced.certificate("www.example.com").removed_at
