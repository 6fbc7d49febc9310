"""Submissions: who may send, once; every step of the table and no other; what a person or a settling records."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest

from models.errors import ConflictError, NotFoundError
from models.orders import Certificate, Run, Submission
from models.status import STEPS, OrderStatus, SubmissionStatus
from tasks.adapters.store import Store, orders, submissions

Status = SubmissionStatus
AtOnce = Callable[..., list[Any]]
Make = Callable[..., UUID]


def sent(store: Store, id_: UUID) -> Submission:
    with store.reading() as session:
        return submissions.submission(session, id_)


def order_status(store: Store, id_: UUID) -> str:
    with store.reading() as session:
        return orders.order(session, id_).status


def kinds(store: Store, order_id: UUID) -> list[str]:
    with store.reading() as session:
        return [event.kind for event in orders.history(session, order_id)]


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, allowed in STEPS.items() for new in sorted(allowed)])
def test_every_allowed_step_moves(store: Store, submission: Make, old: Status, new: Status) -> None:
    """DESIGN 8.6"""
    id_ = submission(status=old)
    with store.transaction() as session:
        submissions.move(session, id_, old, new, error="why")
    assert (sent(store, id_).status, sent(store, id_).error) == (new, "why")


def test_every_other_step_is_a_mistake_of_the_program(store: Store, submission: Make) -> None:
    """DESIGN 8.6: refused before the database is asked."""
    ids = {status: submission(status=status) for status in Status}
    for old, new in product(Status, Status):
        if new not in STEPS[old]:
            with pytest.raises(ValueError, match=f"no step from {old} to {new}"), store.transaction() as session:
                submissions.move(session, ids[old], old, new)
    assert {status: sent(store, id_).status for status, id_ in ids.items()} == {status: status.value for status in Status}


def test_a_step_from_where_it_no_longer_stands_is_a_conflict(store: Store, submission: Make) -> None:
    """DESIGN 8.6: compare-and-set."""
    id_ = submission(status=Status.SUBMITTING)
    with pytest.raises(ConflictError, match="is no longer planned: another run was faster"), store.transaction() as session:
        submissions.move(session, id_, Status.PLANNED, Status.WITHDRAWN)
    assert sent(store, id_).status == Status.SUBMITTING


def test_of_many_that_claim_at_once_exactly_one_wins(store: Store, submission: Make, at_once: AtOnce, now: datetime) -> None:
    """RULES E1"""
    ids = [submission() for _ in range(3)]

    def claim(id_: UUID) -> str:
        with store.transaction() as session:
            return submissions.claim(session, id_, now=now, run=None).status

    answers = at_once(claim, ids * 4)
    for place in range(3):
        mine = answers[place::3]
        assert sorted(type(answer).__name__ for answer in mine) == ["ConflictError"] * 3 + ["str"]
    assert [sent(store, id_).attempts for id_ in ids] == [1, 1, 1]
    assert all(kinds(store, sent(store, id_).order_id) == ["submitting"] for id_ in ids)


def test_a_claim_remembers_when_and_what_was_there_before(store: Store, submission: Make, now: datetime) -> None:
    """RULES E3, E5"""
    id_ = submission(absent_at=["2026-01-01T00:00:00+00:00"], error="earlier")
    with store.transaction() as session:
        claimed = submissions.claim(session, id_, now=now, run=Run("run-1", "Python"), by="alice", known_ssl_ids=[2**40, 7])
    assert (claimed.status, claimed.claimed_at, claimed.attempts) == (Status.SUBMITTING, now, 1)
    assert (claimed.known_ssl_ids, claimed.absent_at, claimed.error) == ([2**40, 7], [], None)
    assert order_status(store, claimed.order_id) == OrderStatus.SUBMITTING
    with store.reading() as session:
        [event] = orders.history(session, claimed.order_id)
    assert (event.kind, event.flow_run_id, event.requested_by, event.at) == ("submitting", "run-1", "alice", now)


def test_a_claim_of_nothing_is_not_found(store: Store, now: datetime) -> None:
    """DESIGN 8.2"""
    with pytest.raises(NotFoundError), store.transaction() as session:
        submissions.claim(session, uuid4(), now=now, run=None)


def test_what_scm_took_is_written_down_at_once(store: Store, submission: Make, now: datetime) -> None:
    """RULES E1"""
    id_ = submission(status=Status.SUBMITTING)
    with store.transaction() as session:
        submissions.submitted(session, id_, ssl_id=2**40, renew_id="renew-1", now=now, run=None)
    with store.reading() as session:
        order = orders.order(session, submissions.submission(session, id_).order_id)
    assert (order.ssl_id, order.renew_id, order.status, order.requested_at) == (2**40, "renew-1", OrderStatus.SUBMITTED, now)
    assert sent(store, id_).submitted_at == now


def test_scms_word_is_not_taken_back_by_a_late_note(store: Store, submission: Make, order: Make, now: datetime) -> None:
    """RULES S4: an import was faster than the sender."""
    order_id = order(status=OrderStatus.ISSUED, requested_at=now - timedelta(minutes=1))
    id_ = submission(status=Status.SUBMITTING, order_id=order_id)
    with store.transaction() as session:
        submissions.submitted(session, id_, ssl_id=7, renew_id=None, now=now, run=None)
    with store.reading() as session:
        found = orders.order(session, order_id)
    assert (found.status, found.requested_at) == (OrderStatus.ISSUED, now - timedelta(minutes=1))


def test_an_id_that_another_order_has_is_a_conflict(store: Store, submission: Make, order: Make, now: datetime) -> None:
    """RULES E3: one id, one order."""
    order(ssl_id=7)
    id_ = submission(status=Status.SUBMITTING)
    with pytest.raises(ConflictError), store.transaction() as session:
        submissions.submitted(session, id_, ssl_id=7, renew_id=None, now=now, run=None)
    assert sent(store, id_).status == Status.SUBMITTING


@pytest.mark.parametrize(("counted", "attempts"), [(True, 1), (False, 0)])
def test_what_was_not_taken_is_planned_again(store: Store, submission: Make, now: datetime, counted: bool, attempts: int) -> None:
    """RULES E2, E4: an attempt that was turned away at the door does not count."""
    id_ = submission()
    with store.transaction() as session:
        submissions.claim(session, id_, now=now, run=None)
        submissions.back_to_planned(session, id_, attempt=1, why="429", counted=counted, now=now, run=None)
    found = sent(store, id_)
    assert (found.status, found.attempts, found.error) == (Status.PLANNED, attempts, "429")
    assert order_status(store, found.order_id) == OrderStatus.PLANNED


def test_what_was_delivered_before_it_was_settled_is_done(store: Store, submission: Make, order: Make, certificate: Make, now: datetime) -> None:
    """RULES E5: another poll may have fetched and delivered a reissue whose answer was lost"""
    order_id = order(ssl_id=7, status=OrderStatus.ISSUED)
    first, reissue = submission(order_id=order_id, status=Status.DONE), submission(order_id=order_id, kind="reissue", status=Status.SUBMITTING)
    with store.transaction() as session:
        session.add(Certificate(**vars(certificate(order_id, 1, submission_id=first, delivered_at=now))))
        session.add(Certificate(**vars(certificate(order_id, 2, submission_id=reissue, delivered_at=now))))
    with store.transaction() as session:
        submissions.submitted(session, reissue, ssl_id=7, renew_id=None, now=now, run=None, how="SCM replaced it since: 7")
    assert sent(store, reissue).status == Status.DONE


def test_a_refusal_is_final_and_keeps_scms_words(store: Store, submission: Make, now: datetime) -> None:
    """RULES E2"""
    id_ = submission(status=Status.SUBMITTING)
    with store.transaction() as session:
        submissions.refused(session, id_, attempt=0, why="SCM says -36: wrong term", now=now, run=None)
    found = sent(store, id_)
    assert (found.status, found.error, order_status(store, found.order_id)) == (Status.REFUSED, "SCM says -36: wrong term", OrderStatus.REFUSED)
    with pytest.raises(ConflictError), store.transaction() as session:
        submissions.claim(session, id_, now=now, run=None)


def test_what_is_known_of_one_attempt_says_nothing_of_the_next(store: Store, submission: Make, now: datetime) -> None:
    """RULES E4: a slow poll must not plan again what another poll has sent meanwhile."""
    id_ = submission()
    with store.transaction() as session:
        submissions.claim(session, id_, now=now, run=None)
        submissions.back_to_planned(session, id_, attempt=1, why="surely absent", counted=True, now=now, run=None)
        submissions.claim(session, id_, now=now, run=None)
        submissions.seen_absent(session, id_, [now.isoformat()], attempt=1)
    with pytest.raises(ConflictError), store.transaction() as session:
        submissions.back_to_planned(session, id_, attempt=1, why="surely absent", counted=True, now=now, run=None)
    with pytest.raises(ConflictError), store.transaction() as session:
        submissions.refused(session, id_, attempt=1, why="-36", now=now, run=None)
    assert (sent(store, id_).status, sent(store, id_).attempts, sent(store, id_).absent_at) == (Status.SUBMITTING, 2, [])


@pytest.mark.parametrize("status", [Status.PLANNED, Status.SUBMITTING])
def test_a_person_may_withdraw(store: Store, submission: Make, now: datetime, status: Status) -> None:
    """RULES E7"""
    id_ = submission(status=status)
    with store.transaction() as session:
        submissions.withdrawn(session, id_, status, why="withdrawn by hand", now=now, run=None, by="settle")
    assert order_status(store, sent(store, id_).order_id) == OrderStatus.WITHDRAWN


def test_a_reissue_leaves_the_order_to_scm(store: Store, submission: Make, order: Make, now: datetime) -> None:
    """DESIGN 4: status of an order."""
    order_id = order(ssl_id=7, status=OrderStatus.ISSUED)
    id_ = submission(order_id=order_id, kind="reissue")
    with store.transaction() as session:
        submissions.claim(session, id_, now=now, run=None)
        submissions.refused(session, id_, attempt=1, why="-1148", now=now, run=None)
    assert order_status(store, order_id) == OrderStatus.ISSUED


def test_a_key_is_kept_only_while_nothing_was_sent(store: Store, submission: Make) -> None:
    """RULES E1: afterwards it is what was sent."""
    ids = [submission(), submission(status=Status.SUBMITTING, csr="sent", public_key_sha256="aa")]
    with store.transaction() as session:
        submissions.keep_keys(session, dict.fromkeys(ids, ("new", "bb")))
    assert [(sent(store, id_).csr, sent(store, id_).public_key_sha256) for id_ in ids] == [("new", "bb"), ("sent", "aa")]


def test_what_settling_notes_does_not_touch_what_was_settled_meanwhile(store: Store, submission: Make) -> None:
    """RULES E3, E4"""
    open_, done = submission(status=Status.SUBMITTING), submission(status=Status.SUBMITTED)
    with store.transaction() as session:
        for id_ in (open_, done):
            submissions.still_in_doubt(session, id_, why="no answer")
            submissions.seen_absent(session, id_, ["2026-04-01T00:00:00+00:00"], attempt=0)
            submissions.start_over(session, id_)
    assert (sent(store, open_).error, sent(store, open_).absent_at) == ("no answer", ["2026-04-01T00:00:00+00:00"])
    assert (sent(store, done).error, sent(store, done).absent_at) == (None, [])


def test_a_delivered_submission_is_done_and_stays_so(store: Store, submission: Make) -> None:
    """DESIGN 4: status of a submission."""
    ids = [submission(status=status) for status in (Status.SUBMITTED, Status.DONE, Status.WITHDRAWN)]
    with store.transaction() as session:
        for id_ in ids:
            submissions.finish(session, id_)
    with store.reading() as session:
        found = submissions.statuses(session, [*ids, uuid4()])
    assert found == dict(zip(ids, (Status.DONE, Status.DONE, Status.WITHDRAWN), strict=True))


def test_a_request_id_is_unique_per_account_and_scope(store: Store, submission: Make, at_once: AtOnce) -> None:
    """RULES E6"""
    first = submission(request_id="one")
    submission(request_id="one", account="other")
    submission(request_id="one", request_scope="order 7")
    with pytest.raises(ConflictError):
        submission(request_id="one")
    answers = at_once(lambda _: submission(request_id="two"), range(4))
    assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError"] * 3 + ["UUID"]
    with store.reading() as session:
        found = submissions.by_request(session, "default", "one")
        assert found is not None
        assert found.id == first
        assert submissions.by_request(session, "default", "three") is None


def test_unsettled_ones_come_oldest_first_and_for_the_named_orders_only(store: Store, submission: Make, now: datetime) -> None:
    """RULES E4"""
    new, old = submission(created_at=now), submission(created_at=now - timedelta(days=1))
    submission(account="other")
    submission(status=Status.SUBMITTING)
    with store.reading() as session:
        assert [one.id for one in submissions.unsettled(session, "default", Status.PLANNED)] == [old, new]
        chosen = submissions.unsettled(session, "default", Status.PLANNED, [submissions.submission(session, new).order_id])
        assert [one.id for one in chosen] == [new]
        assert submissions.unsettled(session, "default", Status.PLANNED, []) == []


def test_an_id_is_linked_when_an_order_of_ours_has_it(store: Store, submission: Make, order: Make, imported: Make) -> None:
    """RULES E3, E4: withdrawn submissions and imported rows explain nothing."""
    submission(order_id=order(ssl_id=1))
    submission(order_id=order(ssl_id=2), status=Status.WITHDRAWN)
    imported(3)
    submission(order_id=order(ssl_id=4, account="other"), account="other")
    submission()    # has no id yet
    with store.reading() as session:
        assert submissions.linked_ssl_ids(session, "default", [1, 2, 3, 4, 5]) == {1}
