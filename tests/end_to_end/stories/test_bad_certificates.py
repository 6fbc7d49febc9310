"""What a CA may get wrong: never delivered, held for a person, or delivered and said (RULES D3)."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.poll_orders import poll_orders
from models.errors import CertflowError, InputError
from models.orders import Certificate, CertificateOrder
from tasks import settling


def fetched(world, name):
    world.poll_until(lambda: world.certificate_or_none(name) is not None)
    return world.certificate(name)


def polled(times=3):
    for _ in range(times):
        try:
            poll_orders.fn()
        except CertflowError as error:
            said = str(error)
    return said


def lives(world, name):
    return world.vault.secrets.kv.v2.list_secrets("certflow/live")["data"]["keys"] if world.certificate(name).delivered_at else []


@pytest.mark.parametrize("fault", ["wrong_key", "bad_signature"])
def test_a_certificate_that_must_not_be_used_is_stored_and_asked_for_again(synced, order, fault) -> None:
    """RULES D3: never delivered, not even by a person's word; its serial is known, to revoke it; the right one is delivered"""
    synced.sandbox.fault(fault, route="enroll", count=1)
    order("bad.example.com")
    bad = fetched(synced, "bad.example.com")
    assert bad.never_deliver
    assert bad.held_because
    assert f"{bad.held_because}" in polled()
    assert lives(synced, "bad.example.com") == []
    with pytest.raises(InputError, match="never be delivered"):
        settling.decide("bad.example.com", accept=True)
    synced.sandbox.change_order(synced.order("bad.example.com").ssl_id, defects=[])
    synced.poll_until(lambda: any(row.delivered_at for row in synced.rows(Certificate)))
    assert synced.entry("live/bad.example.com")["sha256"] != bad.sha256


def test_a_certificate_that_is_not_valid_yet_is_delivered_when_it_is(synced, order) -> None:
    """RULES D3: looked at again by each poll"""
    synced.sandbox.fault("not_yet_valid", route="enroll", count=1)
    order("soon.example.com")
    new = fetched(synced, "soon.example.com")
    assert new.not_before > datetime.now(UTC)
    poll_orders.fn()
    assert synced.certificate("soon.example.com").delivered_at is None
    assert "not valid before" in synced.order("soon.example.com").waiting_because
    with synced.changed(Certificate, new.id) as row:
        row.not_before = datetime.now(UTC) - timedelta(hours=1)
    synced.deliver("soon.example.com")
    assert synced.order("soon.example.com").waiting_because is None


@pytest.mark.parametrize(("fault", "said"), [("extra_san", "not asked for"), ("short_term", "ordered were"), ("odd_chain", "")])
def test_a_certificate_that_differs_harmlessly_is_delivered_and_that_is_said(synced, order, fault, said) -> None:
    """RULES D3, D1"""
    synced.sandbox.fault(fault, route="enroll", count=1)
    order("flagged.example.com")
    synced.deliver("flagged.example.com")
    assert said in "; ".join(synced.certificate("flagged.example.com").flags)
    entry = synced.entry("live/flagged.example.com")
    assert entry["fullchain"].startswith(entry["certificate"])
    assert entry["chain"].count("BEGIN CERTIFICATE") == 1


def test_a_held_certificate_waits_for_a_person_and_is_told_by_every_poll(synced, order) -> None:
    """RULES D3, E7"""
    synced.sandbox.fault("missing_san", route="enroll", count=1)
    order("held.example.com", subject_alternative_names=["missing.example.com"])
    assert "lacks missing.example.com" in fetched(synced, "held.example.com").held_because
    for _ in range(2):
        poll_orders.fn()
    assert synced.certificate("held.example.com").delivered_at is None
    assert "lacks" in synced.order("held.example.com").waiting_because
    assert "delivered" in settling.decide("held.example.com", accept=True)
    with pytest.raises(InputError):
        settling.decide("held.example.com", accept=True)


def test_a_garbled_certificate_is_asked_for_again(synced, order) -> None:
    """RULES D3, contract 9.4: HTML, nothing, half of it, the pending code"""
    order("garbled.example.com")
    for fault in ({"kind": "html"}, {"kind": "empty"}, {"kind": "truncate"}, {"kind": "not_ready", "code": -183}, {"kind": "not_ready", "code": 0}):
        synced.sandbox.fault(**fault, route="collect", count=1)
    synced.deliver("garbled.example.com")


def test_a_certificate_revoked_before_it_was_fetched_ends_the_order(synced, order) -> None:
    """RULES S4, contract 4: state conflict, so the details decide"""
    order("revoked.example.com")
    ssl_id = synced.order("revoked.example.com").ssl_id
    synced.sandbox.fault("not_ready", route="collect", code=0)
    synced.poll_until(lambda: synced.order("revoked.example.com").status == "issued")
    synced.sandbox.clear()
    synced.sandbox.change_order(ssl_id, status="Revoked")
    poll_orders.fn()
    assert synced.order("revoked.example.com").status == "revoked"
    assert poll_orders.fn().calls == 0


def test_a_certificate_revoked_before_it_was_delivered_is_not_delivered(synced, order) -> None:
    """RULES D3: Vault was away when it was fetched"""
    order("undelivered.example.com", keystore_password_path=synced.password("store#word", "a good password"))
    synced.forget_password("store")
    synced.poll_until(lambda: synced.certificate_or_none("undelivered.example.com") is not None)
    synced.sandbox.change_order(synced.order("undelivered.example.com").ssl_id, status="Revoked")
    synced.password("store#word", "a good password")
    poll_orders.fn()
    assert synced.certificate("undelivered.example.com").delivered_at is None
    assert synced.order("undelivered.example.com").status == "revoked"
    assert [row.status for row in synced.rows(CertificateOrder)] == ["revoked"]
