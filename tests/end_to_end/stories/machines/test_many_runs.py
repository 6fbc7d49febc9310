"""Several runs send one account's orders together, in processes of their own: each order once, whoever dies."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from flows.poll_orders import poll_orders
from models.errors import LoginError
from models.orders import OrderEvent, Submission
from models.parameters import OrderParameters
from tasks import ordering, sending
from tasks.adapters.scm import ScmClient

FORK = multiprocessing.get_context("fork")
SLICE = 3


@pytest.fixture
def planned(on_either: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Any]]:
    """So many orders that are planned, in small slices; runs that help end soon."""
    monkeypatch.setattr(sending, "TOGETHER", SLICE)
    monkeypatch.setattr(sending, "LOOK_AGAIN", 0.1)
    monkeypatch.setattr(sending, "QUIET_SECONDS", 0.5)

    def act(number: int) -> list[Any]:
        assert on_either.rows(Submission) == []
        return [
            ordering.plan(OrderParameters(
                common_name=f"many{one}.example.com", organization="Example University", certificate_profile="OV Multi-Domain", key_algorithm="EC",
                request_id=f"many-{one}",
            )).submission_id for one in range(number)
        ]
    return act


def test_two_runs_send_many_orders_together_and_each_once(on_either: Any, planned: Any, at_once: Any) -> None:
    """RULES E1: two runs that send, one that plans no more, and the poll of a quarter of an hour"""
    ids = planned(15)
    on_either.sandbox.settings(latency=0.05)
    helped, whole, polled = at_once(lambda: sending.help_sending("default"), lambda: sending.send_all(ids), poll_orders.fn)
    assert (whole.taken, whole.failed, helped.failed) == (15, (), ())
    assert polled.failed == 0
    assert on_either.sandbox.calls()["POST enroll"] == 15
    assert helped.taken > 0
    assert helped.taken + polled.sent < 15
    assert {len(on_either.sandbox.orders(f"many{one}.example.com")) for one in range(15)} == {1}
    assert {row.taken_until for row in on_either.rows(Submission)} == {None}
    assert sum(row.kind == "submitting" for row in on_either.rows(OrderEvent)) == 15    # nobody was in another's way


def test_what_a_dead_run_had_taken_is_sent_by_another_and_nothing_twice(
    on_either: Any, planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RULES E1, E3, E4: it dies with an order under way; a poll comes in between"""
    ids = planned(9)
    monkeypatch.setattr(sending, "TAKEN_FOR", timedelta(seconds=2))
    monkeypatch.setenv("CERTFLOW_SCM_CONCURRENCY", "1")
    on_either.restart()

    def dies() -> None:
        enroll, sent = ScmClient.enroll, []

        def at_the_second(self: Any, *given: Any) -> Any:
            answer = enroll(self, *given)
            sent.append(answer)
            if len(sent) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        ScmClient.enroll = at_the_second    # type: ignore[method-assign]
        sending.send_all(ids)

    process = FORK.Process(target=dies)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    at_scm = len(on_either.sandbox.orders())
    poll_orders.fn([str(row.order_id) for row in on_either.rows(Submission) if row.id in ids[:SLICE]])
    assert len(on_either.sandbox.orders()) == at_scm    # what is taken is left alone, what is in doubt is found
    answer = sending.send_all(ids)
    assert (answer.taken, answer.failed) == (9, ())
    on_either.deliver(*(f"many{one}.example.com" for one in range(9)))
    assert {len(on_either.sandbox.orders(f"many{one}.example.com")) for one in range(9)} == {1}


def test_a_refused_login_ends_all_runs_and_nothing_stays_taken(on_either: Any, planned: Any, at_once: Any) -> None:
    """RULES S1"""
    ids = planned(12)
    on_either.sandbox.settings(latency=0.05)
    on_either.sandbox.fault("status", route="enroll", status=401, skip=2)
    answers = at_once(lambda: sending.send_all(ids), lambda: sending.help_sending("default"))
    assert [type(one) for one in answers] == [LoginError, LoginError]
    before = on_either.calls()
    for act in (lambda: sending.send_all(ids), lambda: sending.help_sending("default")):
        with pytest.raises(LoginError, match="stopped"):
            act()
    assert on_either.calls() == before
    assert [row for row in on_either.rows(Submission) if row.taken_until and row.status == "planned"] == []


def test_a_few_orders_are_taken_by_nobody(on_either: Any, planned: Any) -> None:
    """RULES E1, E4: when their run dies, the next poll sends them at once"""
    ids = planned(SLICE)
    on_either.sandbox.fault("status", route="enroll", status=429)
    sending.send_all(ids)
    assert {(row.status, row.taken_until) for row in on_either.rows(Submission)} == {("planned", None)}
