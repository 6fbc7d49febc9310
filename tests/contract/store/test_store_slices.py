"""Slices of planned submissions: each is taken by one run, and is free again when that one gives it back or its time is over."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.status import SubmissionStatus as Status
from tasks.adapters.store import Store, slices, turns
from tasks.adapters.store.submissions import submission as read

Make = Callable[..., UUID]
MINUTE = timedelta(minutes=1)


def take(store: Store, ids: list[UUID], now: datetime) -> list[UUID]:
    with store.transaction() as session:
        return slices.take(session, ids, now=now, until=now + MINUTE)


def free(store: Store, now: datetime) -> list[UUID]:
    with store.reading() as session:
        return slices.free(session, "default", now=now, below_attempts=3)


def test_runs_that_take_at_once_get_disjoint_slices(store: Store, submission: Make, at_once: Any, now: datetime) -> None:
    """RULES E1: the first spares work, the claim of each submission decides"""
    ids = [submission() for _ in range(12)]
    wanted = [ids, ids[::-1], ids[6:] + ids[:6], ids]
    taken = at_once(lambda some: take(store, some, now), wanted)
    assert sorted(id_ for some in taken for id_ in some) <= sorted(ids)
    got = [id_ for some in taken for id_ in some]
    assert len(got) == len(set(got))
    again = take(store, ids, now)    # what was locked for a moment only
    assert sorted([*got, *again]) == sorted(ids)
    assert free(store, now) == []


def test_a_slice_is_free_again_after_its_time_or_when_it_is_given_back(store: Store, submission: Make, now: datetime) -> None:
    """RULES E4: a run that dies loses nothing"""
    mine, others, sent = submission(), submission(), submission(status=Status.SUBMITTING)
    assert take(store, [mine, sent], now) == [mine]
    assert take(store, [mine, others], now + MINUTE / 2) == [others]
    with store.transaction() as session:
        slices.give_back(session, [mine, others], until=now + MINUTE)
    assert free(store, now) == [mine]
    assert take(store, [mine, others], now + 2 * MINUTE) == [mine, others]


def test_what_others_are_sending_is_waited_for_and_what_is_in_doubt_is_not(store: Store, submission: Make, now: datetime) -> None:
    planned, sending = submission(), submission(status=Status.SUBMITTING, claimed_at=now)
    doubtful = submission(status=Status.SUBMITTING, claimed_at=now, error="HTTP 500")
    long_ago = submission(status=Status.SUBMITTING, claimed_at=now - MINUTE)
    refused = submission(status=Status.REFUSED, error="no")
    ids = [planned, sending, doubtful, long_ago, refused]
    with store.reading() as session:
        assert slices.under_way(session, ids, claimed_since=now - MINUTE) == [planned, sending]
        assert slices.outcomes(session, ids)[refused] == (Status.REFUSED, "no")
        assert read(session, planned).taken_until is None


@pytest.mark.parametrize("runs", [4])
def test_turns_are_reserved_once_each_and_for_each_account_alone(store: Store, at_once: Any, runs: int, now: datetime) -> None:
    """CERTFLOW_SCM_RATE"""
    second = timedelta(seconds=1)

    def reserve(account: str) -> datetime:
        with store.transaction() as session:
            return turns.take(session, account, 2 * second, now=now)

    assert sorted(at_once(reserve, ["default"] * runs)) == [now + 2 * second * number for number in range(runs)]
    assert reserve("second") == now
    with store.transaction() as session:
        turns.pause(session, "second", until=now + second)    # shorter than what is reserved already
        turns.pause(session, "default", until=now + 60 * second)
    assert (reserve("second"), reserve("default")) == (now + 2 * second, now + 60 * second)
