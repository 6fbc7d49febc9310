"""When the next request may leave: within the rate, and not while SCM has asked for a pause. Other processes may share both."""

import random
import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Protocol

from models.errors import ThrottledError

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
LONGEST_SHARED = 300.0
"""Seconds. SCM, or a proxy before it, may ask for more: then the next 429 prolongs it. One answer must not silence an account for a day."""

AHEAD = 0.5
"""Seconds of turns that a process takes at once, at most: so long the others may go on after a 429, and so much is lost with a process."""

LOOK_AGAIN = 1.0
"""Seconds after which a process without a rate looks whether another one was told to wait."""


class Turns(Protocol):
    """What all processes that call for one account share."""

    def take(self, number: int) -> float:
        """Reserve so many turns, one spacing of the rate apart; the seconds until the first. None are reserved for 0."""

    def pause(self, seconds: float) -> None:
        """Nobody's turn comes before so many seconds have passed."""


class Alone:
    """The turns of a process that shares its account with nobody."""

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        self._spacing, self._clock = 1 / rate if rate else 0.0, clock
        self._free_at = 0.0

    def take(self, number: int) -> float:
        now = self._clock()
        first = max(now, self._free_at)
        self._free_at = first + number * self._spacing
        return first - now

    def pause(self, seconds: float) -> None:
        self._free_at = max(self._free_at, self._clock() + seconds)


class Pace:
    """Gives each request of a process its turn. Thread-safe. With `rate`, turns are taken from `turns` in batches that grow while all of one
    are used; without, `turns` is asked once a second whether somebody was told to wait."""

    def __init__(
        self, rate: float | None, turns: Turns | None, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._rate, self._turns, self._clock, self._sleep = rate, turns or Alone(rate, clock), clock, sleep
        self._most = max(1, int(rate * AHEAD)) if rate and turns else 1
        self._batch = 0
        self._mine: deque[float] = deque()
        self._last = self._asked_at = float("-inf")
        self._quiet_until = 0.0
        self._refusals = 0
        self._lock = Lock()

    def wait(self, ends: float) -> None:
        """Until it is this request's turn. Raises: ThrottledError, nothing being sent, when that is later than `ends`."""
        while True:
            with self._lock:
                at, quiet = self._turn(), self._quiet_until
            now = self._clock()
            if at > ends:
                raise ThrottledError(
                    f"no call may leave for {at - now:.0f} s, since SCM asked for a pause or CERTFLOW_SCM_RATE is used up: nothing was sent, it is "
                    "tried again later", retry_after=at - now)
            if at > now:
                self._sleep(at - now)
            if quiet == self._quiet_until:    # else SCM has asked for a pause meanwhile
                return

    def slow_down(self, retry_after: float | None) -> float:
        """SCM has too many requests: no process calls for as long as it asks; if it does not say, for longer each time in a row. The seconds."""
        with self._lock:
            now = self._clock()
            if retry_after is None and now < self._quiet_until:    # another thread was told the same
                return self._quiet_until - now
            seconds = min(pause(self._refusals) if retry_after is None else retry_after, LONGEST_SHARED)
            self._refusals += retry_after is None
            if seconds > 0:
                self._quiet_until = max(self._quiet_until, now + seconds)
                self._mine.clear()
                self._turns.pause(seconds)
            return seconds

    def fine(self) -> None:
        """SCM took a request: a pause that it asks for without saying how long begins short again."""
        self._refusals = 0

    def _turn(self) -> float:
        """The moment of the next free turn."""
        now = self._clock()
        if self._rate is None:
            if now - self._asked_at >= LOOK_AGAIN:
                self._asked_at = now
                if (left := self._turns.take(0)) > 0:
                    self._quiet_until = max(self._quiet_until, now + left)
            return max(now, self._quiet_until)
        late = now - 1 / self._rate
        unused = False
        while self._mine and self._mine[0] < late:    # used now it would stand beside another's
            self._mine.popleft()
            unused = True
        if not self._mine:
            at_once = now - self._last < 2 / self._rate
            self._batch = min(2 * self._batch, self._most) if at_once and not unused else 1
            first = self._turns.take(self._batch) + self._clock()
            self._mine.extend(first + number / self._rate for number in range(self._batch))
            self._last = self._mine[-1]
        return self._mine.popleft()


def pause(attempt: int) -> float:
    """Seconds before the next try, growing and spread by chance."""
    longest: float = min(FIRST_PAUSE * 2.0**min(attempt, 10), LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads clients over time, nothing secret
