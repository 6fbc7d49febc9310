"""cancel_orders: what is planned is never sent, what waits for approval is declined, the rest says what to do instead."""

import pytest

from flows.cancel_orders import cancel_orders
from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from models.errors import BatchError, CertflowError, ConflictError, InputError, LoginError
from models.orders import REISSUE, CertificateOrder, OrderEvent, Submission
from models.status import SubmissionStatus
from tasks import attention, cancelling, events, services
from tasks.adapters.store import submissions

WAITING = "OV Multi-Domain (approval)"
TURNED_AWAY = {"kind": "status", "route": "enroll", "status": 403, "body": {"code": -3, "description": "no"}, "count": 1}


def planned(world, order, name):
    """An order that SCM turned away at the door."""
    world.sandbox.fault(**TURNED_AWAY)
    with pytest.raises(CertflowError):
        order(name)
    assert world.order(name).status == "planned"


def details_say(world, ssl_id):
    return next(one["status"] for one in world.sandbox.orders() if one["ssl_id"] == ssl_id)


def test_a_planned_order_is_never_sent(on_either, order) -> None:
    """RULES E1, E7: no call to SCM; its live name is free again"""
    planned(on_either, order, "www.example.com")
    on_either.sandbox.forget_calls()
    summary = cancel_orders.fn(orders=["www.example.com"], message="ordered by mistake")
    assert [one.order_id for one in summary.done] == [on_either.order("www.example.com").id]
    assert "withdrawn" in summary.done[0].reason
    assert on_either.calls() == 0
    assert on_either.order("www.example.com").status == "withdrawn"
    assert "ordered by mistake" in on_either.submission("www.example.com").error
    poll_orders.fn()
    assert on_either.sandbox.orders("www.example.com") == []
    assert "nothing to do" in cancel_orders.fn(orders=["www.example.com"], message="again").done[0].reason
    assert order("www.example.com").ssl_id


def test_an_order_that_waits_for_approval_is_declined(on_either, order) -> None:
    """Contract 5.10: a second call does no harm"""
    waiting = order("www.example.com", certificate_profile=WAITING)
    for said in ("declined at SCM", "nothing to do"):
        summary = cancel_orders.fn(orders=["www.example.com"], message="ordered by mistake")
        assert said in summary.done[0].reason
    assert details_say(on_either, waiting.ssl_id) == "Declined"
    assert on_either.order("www.example.com").status == "declined"
    assert "cancelled" in on_either.events("www.example.com")
    assert on_either.events("www.example.com").count("cancelled") == 1


def test_who_was_refused_is_told_once_and_who_cancels_is_not(on_either, order, monkeypatch) -> None:
    """RULES C5: an order that an administrator declines needs somebody; one that was cancelled here has had somebody"""
    told = []
    monkeypatch.setattr(events, "emit", lambda event, order, **facts: told.append((event, order.common_name, facts["to_do"])))
    order("cancelled.example.com", certificate_profile=WAITING)
    cancel_orders.fn(orders=["cancelled.example.com"], message="ordered by mistake")
    refused = order("refused.example.com", certificate_profile=WAITING)
    on_either.sandbox.change_order(refused.ssl_id, status="Declined")
    for _ in range(3):
        poll_orders.fn()
    assert told == [("certflow.order.needs-attention", "refused.example.com", attention.REFUSED)]
    assert on_either.events("refused.example.com").count("needs attention") == 1
    assert "needs attention" not in on_either.events("cancelled.example.com")


def test_a_lost_answer_is_decided_by_the_details(synced, order) -> None:
    """Contract 5.19"""
    order("www.example.com", certificate_profile=WAITING)
    synced.sandbox.lose_next_answer("decline")
    assert cancel_orders.fn(orders=["www.example.com"], message="x").done
    assert synced.order("www.example.com").status == "declined"


@pytest.mark.parametrize(("word", "instead"), [
    ("Issued", "revoke it"), ("Approved", "wait until it is issued"), ("Applied", "wait until it is issued"), ("Revoked", "nothing left to cancel"),
    ("Expired", "nothing left to cancel"), ("Replaced", "nothing left to cancel"),
])
def test_what_can_no_longer_be_cancelled_says_what_to_do_instead(synced, order, word, instead) -> None:
    """Contract 6.3: by SCM's word, not by our old one"""
    waiting = order("www.example.com", certificate_profile=WAITING)
    synced.sandbox.settings(issue_delay=3600)
    synced.sandbox.change_order(waiting.ssl_id, status=word)
    other = order("other.example.com", certificate_profile=WAITING)
    with pytest.raises(BatchError, match=instead) as caught:
        cancel_orders.fn(orders=["www.example.com", "other.example.com"], message="x")
    assert f"SCM shows it as {word}" in caught.value.summary.failed[0].reason
    assert [one.ssl_id for one in caught.value.summary.done] == [other.ssl_id]
    assert synced.order("www.example.com").status == word.lower()


@pytest.mark.parametrize("word", ["Declined", "Rejected", "Invalid"])
def test_what_came_to_nothing_is_done(synced, order, word) -> None:
    """Contract 6.1"""
    waiting = order("www.example.com", certificate_profile=WAITING)
    synced.sandbox.change_order(waiting.ssl_id, status=word)
    assert "nothing to do" in cancel_orders.fn(orders=[waiting.ssl_id], message="x").done[0].reason
    assert "POST decline" not in synced.sandbox.calls()


def test_an_order_that_is_approved_at_this_moment_says_so(synced, order, monkeypatch) -> None:
    """Contract 5.10"""
    from tasks.adapters.scm import ScmClient

    waiting = order("www.example.com", certificate_profile=WAITING)
    real = ScmClient.decline

    def decline(self, ssl_id, *, message):
        synced.sandbox.change_order(ssl_id, status="Applied")
        real(self, ssl_id, message=message)
    monkeypatch.setattr(ScmClient, "decline", decline)
    with pytest.raises(BatchError, match="Applied meanwhile: the CA works on it"):
        cancel_orders.fn(orders=[waiting.ssl_id], message="x")


def test_an_order_in_doubt_is_settled_first(synced, order) -> None:
    """RULES E3, E7"""
    synced.sandbox.lose_next_answer("enroll")
    order("www.example.com")
    synced.sandbox.forget_calls()
    with pytest.raises(BatchError, match=r"in doubt.*settle ORDER --withdraw"):
        cancel_orders.fn(orders=["www.example.com"], message="x")
    assert synced.calls() == 0


def test_a_planned_reissue_is_withdrawn_and_its_order_stays_issued(synced, order) -> None:
    """RULES E5"""
    order("www.example.com")
    synced.deliver("www.example.com")
    row = synced.order("www.example.com")
    with services.open_services() as svc, svc.store.transaction() as session:
        session.add(Submission(
            account="default", order_id=row.id, kind=REISSUE, status=SubmissionStatus.PLANNED, request_id="r", request_scope=str(row.id),
            created_at=svc.clock()))
    summary = cancel_orders.fn(orders=["www.example.com"], message="not needed")
    assert "planned reissue is withdrawn" in summary.done[0].reason
    assert synced.order("www.example.com").status == "issued"
    with pytest.raises(BatchError, match="revoke it"):
        cancel_orders.fn(orders=["www.example.com"], message="x")


def test_a_poll_that_is_faster_wins(synced, order, monkeypatch) -> None:
    """RULES E1: one acts, the other says so"""
    planned(synced, order, "www.example.com")
    real = submissions.withdrawn

    def withdrawn(*_given, **_more):
        monkeypatch.setattr(submissions, "withdrawn", real)
        with services.open_services() as svc, svc.store.transaction() as session:
            submissions.claim(session, synced.submission("www.example.com").id, now=svc.clock(), run=None)
        raise ConflictError("submission is no longer planned")
    monkeypatch.setattr(submissions, "withdrawn", withdrawn)
    with pytest.raises(BatchError, match="a poll was faster"):
        cancel_orders.fn(orders=["www.example.com"], message="x")
    assert synced.order("www.example.com").status == "submitting"


def test_a_cancellation_and_a_poll_at_once_agree(on_either, order, at_once) -> None:
    """RULES E1: sent, or withdrawn, never both"""
    for number in range(4):
        name = f"race{number}.example.com"
        planned(on_either, order, name)
        cancelled, polled = at_once(lambda name=name: cancel_orders.fn(orders=[name], message="x"), poll_orders.fn)
        assert not isinstance(polled, CertflowError)
        at_scm = on_either.sandbox.orders(name)
        if isinstance(cancelled, BatchError):
            assert len(at_scm) == 1
            assert on_either.order(name).status != "withdrawn"
        else:
            assert at_scm == []
            assert on_either.order(name).status == "withdrawn"


def test_two_cancellations_at_once_do_no_harm(on_either, order, at_once) -> None:
    """Contract 5.10: both say that it is declined"""
    order("www.example.com", certificate_profile=WAITING)
    planned(on_either, order, "api.example.com")
    answers = at_once(*[lambda: cancel_orders.fn(orders=["www.example.com", "api.example.com"], message="x")] * 3)
    assert [one for one in answers if isinstance(one, Exception)] == []
    assert all(len(one.done) == 2 for one in answers)


def test_nothing_is_done_when_one_text_means_nothing_or_several(synced, order) -> None:
    """RULES N6: a serial number means no order"""
    order("www.example.com", certificate_profile=WAITING, live_name="one")
    order("www.example.com", certificate_profile=WAITING, live_name="two")
    order("fine.example.com", certificate_profile=WAITING)
    with pytest.raises(InputError, match="means several orders") as caught:
        cancel_orders.fn(orders=["fine.example.com", "www.example.com", "nobody.example.com"], message="x")
    assert len(caught.value.problems) == 2
    assert synced.order("fine.example.com").status == "requested"
    for wrong in ({"orders": []}, {"message": ""}, {"message": "x" * 513}):
        with pytest.raises(InputError):
            cancel_orders.fn(**{"orders": ["fine.example.com"], "message": "x", **wrong})


def test_a_refused_login_ends_the_run_but_not_what_needs_no_call(synced, order) -> None:
    """RULES S1"""
    waiting = order("www.example.com", certificate_profile=WAITING)
    planned(synced, order, "api.example.com")
    synced.sandbox.fault("status", route="details", status=401, body={"code": -16, "description": "Unknown user"})
    with pytest.raises(LoginError) as caught:
        cancel_orders.fn(orders=[waiting.ssl_id, "api.example.com"], message="x")
    assert [one.ssl_id for one in caught.value.summary.failed] == [waiting.ssl_id]
    assert synced.order("api.example.com").status == "withdrawn"


def test_many_are_cancelled_in_batches(synced, monkeypatch) -> None:
    """DESIGN 5, 6: one that SCM refuses stops no other"""
    import_orders.fn(fetch_certificates=False)
    waiting = [row for row in synced.rows(CertificateOrder) if row.status == "requested"]
    assert len(waiting) > 3
    monkeypatch.setattr(cancelling, "TOGETHER", 2)
    bad = waiting[1].ssl_id
    synced.sandbox.fault("status", path=rf"/decline/{bad}$", status=400, body={"code": -3, "description": "You are not authorized"})
    with pytest.raises(BatchError, match="You are not authorized") as caught:
        cancel_orders.fn(orders=[row.ssl_id for row in waiting], message="x")
    assert [one.ssl_id for one in caught.value.summary.failed] == [bad]
    assert len(caught.value.summary.done) == len(waiting) - 1
    assert len([one for one in synced.rows(OrderEvent) if one.kind == "cancelled"]) == len(waiting) - 1
