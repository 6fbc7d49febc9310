"""Whose turn it is to call SCM: the rate of an account, and the pauses that SCM asks for, for all runs on all machines.

One moment in the account's row says it all: the next call may leave then. A batch of turns, or a pause, moves it on.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from models.errors import TransientError
from tasks.adapters.store import Store, turns


class SharedTurns:
    """The turns of one account. Clocks of machines that differ by a second let calls of that second meet: let them keep time by NTP."""

    def __init__(self, store: Store, account: str, *, rate: float | None, clock: Callable[[], datetime]) -> None:
        self._store, self._account, self._clock = store, account, clock
        self._spacing = timedelta(seconds=1 / rate if rate else 0)

    def take(self, number: int) -> float:
        """Reserve so many turns, one spacing apart; the seconds until the first. Only a look for 0. Raises: TransientError."""
        if not number:
            with self._store.reading() as session:
                free_at = turns.free_at(session, self._account)
        else:
            with self._store.transaction() as session:
                free_at = turns.take(session, self._account, number * self._spacing, now=self._clock())
        return max(0.0, (free_at - self._clock()).total_seconds()) if free_at else 0.0

    def pause(self, seconds: float) -> None:
        """Nobody's turn comes before so many seconds have passed; while the database is away only this process keeps to it."""
        with suppress(TransientError), self._store.transaction() as session:
            turns.pause(session, self._account, until=self._clock() + timedelta(seconds=seconds))
