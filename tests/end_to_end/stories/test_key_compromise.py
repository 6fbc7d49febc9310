"""A compromised key: what goes at once, what goes later, what it never does again; and what people see of it."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.revoke import revoke
from models.errors import BatchError, InputError
from models.orders import Certificate, CertificateOrder, CompromisedKey, Revocation
from tasks import pages, services


def test_with_key_compromise_every_certificate_with_that_key_goes_within_20_hours(on_either, monkeypatch) -> None:
    """RULES V3, K5: those that are named now, the others by serial number when they are due, by the next poll"""
    named, other, unlike = on_either.living(3)
    key = on_either.twin_key(named, other)
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
    truth = {one["ssl_id"]: one["status"] for one in on_either.sandbox.orders()}
    assert (truth[other.ssl_id], truth[unlike.ssl_id]) == ("Revoked", "Issued")
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
    synced.twin_key(synced.order("www.example.com"), synced.order("api.example.com"))
    synced.sandbox.forget_calls()
    summary = revoke.fn(orders=["www.example.com"], reason_code=1, reason="x", confirm=["www.example.com"], dry_run=True)
    [would] = summary.done
    assert "live/www.example.com serves it" in would.reason
    assert "served as live/api.example.com" in would.reason
    [refused] = revoke.fn(orders=["www.example.com"], reason_code=1, reason="x", dry_run=True).failed
    assert "in confirm" in refused.reason
    assert "served as live/api.example.com" in refused.reason
    assert synced.calls() == 0
    assert synced.rows(Revocation) == synced.rows(CompromisedKey) == []


def test_pages_say_what_is_to_be_revoked_and_what_was_taken_out(synced, order) -> None:
    """DESIGN 4: artifacts that a person can read"""
    order("www.example.com", requested_by="shop")
    order("api.example.com")
    synced.deliver("www.example.com", "api.example.com")
    synced.twin_key(synced.order("www.example.com"), synced.order("api.example.com"))
    revoke.fn(
        orders=["www.example.com"], reason_code=1, reason="found on a disk", delete_from_repository=True, confirm=["www.example.com"],
        requested_by="security",
    )
    gone = pages.order_page(synced.order("www.example.com").id).replace("\\", "")
    assert "| Requested by | shop |" in gone
    assert "found on a disk | security |" in gone
    assert "taken out of the repository on" in gone
    assert synced.certificate("www.example.com").serial_number in gone
    later = pages.order_page(synced.order("api.example.com").id).replace("\\", "")
    assert "| To be revoked | serial number " in later
    assert "keyCompromise (1)" in later
    assert "## To be revoked (1)" in pages.orders_page("default")


def test_a_certificate_with_that_key_that_comes_later_goes_too(on_either) -> None:
    """RULES V3: fetched by an import after the report; planned once"""
    first, second = on_either.living(2)
    revoke.fn(orders=[first.ssl_id], reason_code=1, reason="found on a disk", requested_by="security")
    on_either.twin_key(first, second)
    for _ in range(2):
        poll_orders.fn()
    [plan] = [one for one in on_either.rows(Revocation) if one.order_id == second.id]
    assert (plan.serial_number, plan.reason_code, plan.status, plan.requested_by) == (second.serial_number, 1, "planned", "security")
    assert timedelta(hours=19) < plan.due_at - datetime.now(UTC) <= timedelta(hours=20)
    with on_either.changed(Revocation, plan.id) as row:
        row.due_at = row.created_at
    assert poll_orders.fn().revoked == 1
    assert poll_orders.fn(orders=[str(second.ssl_id)]).revoked == 0
