"""Orders that SCM decides late or otherwise: approval, refusal, a CA that hangs, words that nobody knows."""

import pytest

from flows.poll_orders import poll_orders
from models.errors import BatchError
from models.orders import CertificateOrder
from tasks import ordering

WAITING = "OV Multi-Domain (approval)"


def waits(world, order, name="wait.example.com"):
    answer = order(name, certificate_profile=WAITING)
    assert (answer.status, world.sandbox.orders(name)[0]["status"]) == ("requested", "Requested")
    return answer


def test_an_order_that_waits_for_approval_says_so_and_is_delivered_afterwards(synced, order) -> None:
    """RULES C5"""
    answer = waits(synced, order)
    said = ordering.sentence(ordering.Planned(order_id=answer.order_id, submission_id=synced.submission("wait.example.com").id))
    assert "waits for approval in SCM by an administrator" in said
    assert poll_orders.fn().failed == 0
    synced.sandbox.change_order(answer.ssl_id, status="Issued")
    synced.deliver("wait.example.com")


@pytest.mark.parametrize(("word", "status"), [("Declined", "declined"), ("Rejected", "rejected"), ("Invalid", "invalid")])
def test_a_refusal_at_scm_is_a_result_and_frees_the_live_name(synced, order, word, status) -> None:
    """DESIGN 4: not a failure of the poll; RULES D2"""
    answer = waits(synced, order)
    synced.sandbox.change_order(answer.ssl_id, status=word)
    summary = poll_orders.fn()
    assert (summary.orders_changed, summary.failed) == (1, 0)
    assert synced.order("wait.example.com").status == status
    assert poll_orders.fn().calls == 0
    assert order("wait.example.com").ssl_id != answer.ssl_id


@pytest.mark.parametrize("fault", ["stuck", "rejected"])
def test_what_the_ca_does_not_issue_stays_visible_and_harms_no_other(synced, order, fault) -> None:
    """RULES C5: it never ends by age"""
    synced.sandbox.fault(fault, route="enroll", count=1)
    order("hangs.example.com")
    order("fine.example.com")
    synced.deliver("fine.example.com")
    for _ in range(2):
        assert poll_orders.fn().failed == 0
    assert synced.order("hangs.example.com").status == {"stuck": "applied", "rejected": "rejected"}[fault]
    assert synced.certificate_or_none("hangs.example.com") is None


def test_an_order_revoked_at_once_is_not_fetched(synced, order) -> None:
    """RULES S4"""
    answer = waits(synced, order)
    synced.sandbox.change_order(answer.ssl_id, status="Issued")
    synced.sandbox.change_order(answer.ssl_id, status="Revoked")
    assert poll_orders.fn().certificates_fetched == 0
    assert synced.order("wait.example.com").status == "revoked"
    assert poll_orders.fn().calls == 0


def test_a_word_that_nobody_knows_keeps_the_order_open_and_is_named(synced, order) -> None:
    """RULES S4"""
    order("word.example.com")
    synced.sandbox.fault("unknown_status", route="details", word="Quarantined", count=1)
    with pytest.raises(BatchError, match="Quarantined"):
        poll_orders.fn()
    synced.deliver("word.example.com")


def test_one_order_that_scm_cannot_show_stops_no_other(synced, order) -> None:
    """DESIGN 4"""
    hidden = order("hidden.example.com").ssl_id
    order("shown.example.com")
    synced.sandbox.fault("status", path=rf"/ssl/v1/{hidden}$", status=404, body={"code": -124, "description": "Wrong SSL certificate id"})
    synced.deliver("shown.example.com")
    with pytest.raises(BatchError, match=f"order {hidden}"):
        poll_orders.fn()
    synced.sandbox.clear()
    synced.deliver("hidden.example.com")


def test_many_open_orders_are_asked_for_by_report(synced, order) -> None:
    """RULES S3: also those that the report does not show"""
    names = [f"many{number}.example.com" for number in range(7)]
    answers = [order(name, certificate_profile=WAITING) for name in names]
    synced.sandbox.fault("hide", route="report", ssl_id=answers[3].ssl_id)
    for answer in answers:
        synced.sandbox.change_order(answer.ssl_id, status="Issued")
    synced.sandbox.forget_calls()
    poll_orders.fn()
    assert synced.sandbox.calls()["GET details"] == 1
    assert {row.status for row in synced.rows(CertificateOrder)} == {"issued"}
    synced.deliver(*names)


def test_a_clock_at_scm_that_is_ahead_loses_nothing(synced, order) -> None:
    """RULES E3, S3: two days ahead; a certificate from tomorrow waits for it"""
    synced.sandbox.settings(clock_offset=2 * 86400)
    synced.sandbox.lose_next_answer("enroll")
    order("ahead.example.com")
    synced.poll_until(lambda: synced.order("ahead.example.com").ssl_id is not None)
    assert len(synced.sandbox.orders("ahead.example.com")) == 1
    synced.poll_until(lambda: synced.certificate_or_none("ahead.example.com") is not None)
    assert synced.certificate("ahead.example.com").delivered_at is None
    assert "not valid before" in (synced.order("ahead.example.com").waiting_because or "")
