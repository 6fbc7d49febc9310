"""What is not renewed, and what a batch does with it: a reason for each, and the others go on."""

from datetime import timedelta

import pytest
from sqlmodel import select

from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from models.errors import BatchError
from models.reference import Domain
from tasks import services


@pytest.mark.parametrize(("status", "says"), [
    ("Revoked", "revoked"), ("Expired", "expired"), ("Applied", "not issued yet"), ("Declined", "declined"),
])
def test_what_is_not_issued_is_not_renewed(synced, order, status, says) -> None:
    """RULES R1"""
    order("state.example.com")
    synced.deliver("state.example.com")
    synced.sandbox.change_order(synced.order("state.example.com").ssl_id, status=status)
    poll_orders.fn(["state.example.com"])
    with pytest.raises(BatchError) as found:
        renew_or_reissue.fn("renew", ["state.example.com"])
    refused = found.value
    assert says in str(refused)
    assert [one.ssl_id for one in refused.summary.failed] == [synced.order("state.example.com").ssl_id]


def test_what_changed_at_scm_since_is_seen_just_before_sending(aged) -> None:
    """RULES R1"""
    world = aged("changed.example.com")
    world.sandbox.change_order(world.order("changed.example.com").ssl_id, auto_renew="Scheduled")
    answer = renew_or_reissue.fn("renew")
    assert "autoRenewDetails" in answer.skipped[0].reason
    world.sandbox.change_order(world.order("changed.example.com").ssl_id, auto_renew="Not scheduled", renewed=True)
    assert "renewed already" in renew_or_reissue.fn("renew").skipped[0].reason
    with pytest.raises(BatchError, match="renewed already"):
        renew_or_reissue.fn("renew", ["changed.example.com"])
    world.sandbox.change_order(world.order("changed.example.com").ssl_id, renewed=False, status="Revoked")
    assert "Revoked" in renew_or_reissue.fn("renew").skipped[0].reason
    assert len(world.at_scm("changed.example.com")) == 1


def test_what_live_does_not_serve_is_not_renewed_by_itself(aged) -> None:
    """RULES R1"""
    world = aged("unserved.example.com")
    world.vault.secrets.kv.v2.delete_metadata_and_all_versions("certflow/live/unserved.example.com")
    assert "does not serve it" in renew_or_reissue.fn("renew").skipped[0].reason
    assert renew_or_reissue.fn("renew", ["unserved.example.com"]).orders


def test_a_domain_that_is_no_longer_validated_fails_the_renewal_before_anything_is_sent(aged) -> None:
    """RULES C1, C2, R7"""
    world = aged("dcv.example.com")
    for number in (6001, 6002):
        world.sandbox.control("PUT", f"reference/domains/{number}", {"validation": "Expired"})
    world.sandbox.forget_calls()
    with services.open_services() as svc, svc.store.transaction() as session:
        for row in session.exec(select(Domain)):
            row.checked_at -= timedelta(days=2)
    with pytest.raises(BatchError, match="validation"):
        renew_or_reissue.fn("renew")
    assert "POST renew_by_id" not in world.sandbox.calls()
    assert world.successors("dcv.example.com") == []


def test_by_itself_no_more_than_max_orders_are_renewed_and_the_rest_is_said(aged) -> None:
    """RULES R6"""
    world = aged("a.example.com", "b.example.com", "c.example.com")
    assert len(renew_or_reissue.fn("renew", max_orders=2).orders) == 2
    assert len(renew_or_reissue.fn("renew", max_orders=2).orders) == 1
    assert sum(len(world.at_scm(f"{letter}.example.com")) for letter in "abc") == 6


def test_one_that_fails_stops_no_other(aged) -> None:
    """DESIGN 4"""
    world = aged("one.example.com", "two.example.com", "three.example.com")
    world.sandbox.fault("status", route="renew_by_id", count=1, status=400, body='{"code": -107, "description": "DCV is missing"}')
    with pytest.raises(BatchError) as found:
        renew_or_reissue.fn("renew")
    refused = found.value
    assert (len(refused.summary.orders), len(refused.summary.failed)) == (2, 1)
    assert "-107" in refused.summary.failed[0].reason
