"""A key that others know: never used again, every living certificate with it followed by a new one and revoked (RULES K5, V3)."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from models.errors import BatchError, InputError
from models.orders import CertificateOrder, CompromisedKey, Revocation, Submission


@pytest.fixture
def shared(synced, order, own_csr):
    """Two names whose certificates have the same key, which a customer made; and one with a key of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    for name in ("one.example.com", "two.example.com"):
        order(name, csr=own_csr(name, key))
    order("other.example.com")
    synced.deliver("one.example.com", "two.example.com", "other.example.com")
    return synced, key


def at_scm(world, name):
    return [(row["status"], row["reason_code"]) for row in sorted(world.sandbox.orders(name), key=lambda row: row["ssl_id"])]


@pytest.mark.parametrize("action", ["renew", "reissue"])
def test_every_living_certificate_with_the_key_gets_a_successor_and_is_revoked_once_that_is_live(shared, action) -> None:
    """RULES V3: never replaced; successors with new keys first, revoked when they are live"""
    world, _ = shared
    answer = renew_or_reissue.fn(action, ["one.example.com"], because_of_key_compromise=True, reason="the laptop was stolen")
    assert sorted(one.action for one in answer.orders) == ["renew", "renew"]
    world.poll_until(lambda: all(row.status == "done" for row in world.rows(Revocation)) and bool(world.rows(Revocation)))
    for name in ("one.example.com", "two.example.com"):
        assert at_scm(world, name) == [("Revoked", 1), ("Issued", None)]
        assert world.entry(f"live/{name}")["order"] == str(world.successor(name).id)
        assert world.entry(f"live/{name}")["private_key"]
    assert at_scm(world, "other.example.com") == [("Issued", None)]
    assert "replace" not in str(world.sandbox.calls())
    assert len(world.rows(CompromisedKey)) == 1


def test_nothing_is_revoked_before_its_successor_is_live(shared) -> None:
    """RULES V3"""
    world, _ = shared
    world.sandbox.settings(issue_delay=3600)
    renew_or_reissue.fn("renew", ["one.example.com"], because_of_key_compromise=True)
    poll_orders.fn()
    assert [row.status for row in world.rows(Revocation)] == ["planned", "planned"]
    assert at_scm(world, "one.example.com")[0] == ("Issued", None)


def test_without_a_successor_it_is_revoked_20_hours_after_the_report(shared) -> None:
    """RULES V3: at the latest 20 hours after the report"""
    world, _ = shared
    world.sandbox.fault("status", route="renew_by_id", status=400, body='{"code": -107, "description": "DCV is missing"}')
    with pytest.raises(BatchError, match="-107"):
        renew_or_reissue.fn("renew", ["one.example.com"], because_of_key_compromise=True)
    planned = world.rows(Revocation)
    assert all(timedelta(hours=19) < row.due_at - datetime.now(UTC) <= timedelta(hours=20) for row in planned)
    poll_orders.fn()
    assert at_scm(world, "one.example.com") == [("Issued", None)]
    for row in planned:
        with world.changed(Revocation, row.id) as revocation:
            revocation.due_at -= timedelta(hours=20)
    poll_orders.fn()
    assert at_scm(world, "one.example.com") == at_scm(world, "two.example.com") == [("Revoked", 1)]


def test_the_key_is_never_used_again_by_nobody(shared, order, own_csr) -> None:
    """RULES K5"""
    world, key = shared
    renew_or_reissue.fn("renew", ["one.example.com"], because_of_key_compromise=True)
    with pytest.raises(InputError, match="compromised"):
        order("new.example.com", csr=own_csr("new.example.com", key))
    with pytest.raises(BatchError, match="compromised"):
        renew_or_reissue.fn("renew", ["other.example.com"], csr=own_csr("other.example.com", key))
    assert [row.common_name for row in world.rows(CertificateOrder) if row.common_name == "new.example.com"] == []


def test_a_planned_order_with_the_key_is_not_sent_any_more(shared, order, own_csr) -> None:
    """RULES K5"""
    world, key = shared
    world.sandbox.fault("too_many", route="enroll", seconds=1)
    order("waiting.example.com", csr=own_csr("waiting.example.com", key))
    assert world.submission("waiting.example.com").status == "planned"
    renew_or_reissue.fn("renew", ["one.example.com"], because_of_key_compromise=True)
    world.sandbox.clear()
    with pytest.raises(BatchError, match="compromised"):
        poll_orders.fn()
    assert world.submission("waiting.example.com").status == "withdrawn"
    assert world.sandbox.orders("waiting.example.com") == []


def test_after_a_reissue_the_old_certificate_is_revoked_by_its_serial_number(synced, order) -> None:
    """RULES N6, V3: the sslId means the new certificate"""
    order("moved.example.com")
    synced.deliver("moved.example.com")
    old = synced.certificate("moved.example.com")
    renew_or_reissue.fn("reissue", ["moved.example.com"])
    synced.poll_until(lambda: [row.status for row in synced.rows(Submission) if row.kind == "reissue"] == ["done"])
    renew_or_reissue.fn("renew", ["moved.example.com"], because_of_key_compromise=True)
    synced.poll_until(lambda: all(row.status == "done" for row in synced.rows(Revocation)))
    assert {row.serial_number for row in synced.rows(Revocation)} >= {old.serial_number}
    assert old.serial_number in synced.sandbox.orders("moved.example.com")[0]["revoked_serials"]


def test_a_dry_run_writes_nothing(shared) -> None:
    """RULES V3"""
    world, _ = shared
    answer = renew_or_reissue.fn("renew", ["one.example.com"], because_of_key_compromise=True, dry_run=True)
    assert len(answer.orders) == 2
    assert (world.rows(CompromisedKey), world.rows(Revocation)) == ([], [])


def test_a_second_report_plans_nothing_twice(shared) -> None:
    """RULES E6"""
    world, _ = shared
    for _ in range(2):
        renew_or_reissue.fn("renew", ["one.example.com"], because_of_key_compromise=True, request_id="incident-1")
    assert len(world.rows(Revocation)) == 2
    assert len(world.sandbox.orders("one.example.com")) == 2
