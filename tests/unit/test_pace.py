"""When calls may leave: two processes that share their turns, on a clock of the test's own."""

import pytest

from models.errors import ThrottledError
from tasks.adapters.scm.pace import LONGEST_SHARED, Pace


class World:
    """A clock, and the one moment that all processes share."""

    def __init__(self, rate: float | None) -> None:
        self.rate, self.now, self.free_at = rate, 0.0, 0.0
        self.asked = 0

    def process(self) -> Pace:
        return Pace(self.rate, self, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def take(self, number: int) -> float:
        self.asked += 1
        first = max(self.now, self.free_at)
        if number:
            assert self.rate is not None
            self.free_at = first + number / self.rate
        return first - self.now

    def pause(self, seconds: float) -> None:
        self.free_at = max(self.free_at, self.now + seconds)


def called(world: World, *paces: Pace, calls: int) -> list[float]:
    """The moments at which calls leave, each by the process that is free first."""
    free = [0.0] * len(paces)
    left: list[float] = []
    for _ in range(calls):
        number = free.index(min(free))
        world.now = free[number]
        paces[number].wait(1e9)
        left.append(world.now)
        free[number] = world.now
    return sorted(left)


def most_in_a_second(moments: list[float]) -> int:
    return max(sum(first <= one < first + 1 - 1e-9 for one in moments) for first in moments)


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_all_processes_together_keep_the_rate_and_use_it(processes: int) -> None:
    """CERTFLOW_SCM_RATE"""
    world = World(20)
    moments = called(world, *(world.process() for _ in range(processes)), calls=400)
    assert most_in_a_second(moments) <= 20
    assert moments[-1] <= 399 / 20 + processes / 2    # what each reserved last and had no use for
    assert world.asked <= 400 / 5    # a batch, not a call


def test_a_process_with_few_calls_does_not_reserve_turns_that_others_could_use() -> None:
    """CERTFLOW_SCM_RATE"""
    world = World(20)
    idle, busy = world.process(), world.process()
    for number in range(10):    # once a second
        world.now = float(number)
        idle.wait(1e9)
        assert world.free_at <= world.now + 1 / 20 + 1e-9
    busy.wait(1e9)
    assert world.now <= 9 + 1 / 20 + 1e-9


def test_a_turn_that_came_too_late_is_not_used_beside_anothers() -> None:
    """CERTFLOW_SCM_RATE: a process that stood still"""
    world = World(10)
    slow, other = world.process(), world.process()
    moments = called(world, slow, calls=12)    # its batch holds turns by now
    world.now += 0.4
    moments += called(world, slow, other, calls=10)
    assert most_in_a_second([one for one in moments if one >= world.now - 1.5]) <= 11


@pytest.mark.parametrize("rate", [None, 4.0])
@pytest.mark.parametrize("asked", [7.0, None])
def test_a_429_holds_every_process_back(rate: float | None, asked: float | None) -> None:
    """CERTFLOW_SCM_RATE"""
    world = World(rate)
    told, other = world.process(), world.process()
    told.wait(1e9)
    other.wait(1e9)
    world.now += 10
    held = [told.slow_down(asked)]
    for _ in range(0 if asked else 3):    # in a row it grows
        world.now += held[-1]
        held.append(told.slow_down(asked))
    until = world.now + held[-1]
    other.wait(1e9)
    assert world.now >= until
    assert held[-1] == asked or (asked is None and held[0] < 0.6 < 2 <= held[-1])
    told.fine()
    world.now += 60
    assert asked or told.slow_down(None) <= 0.5


def test_threads_that_are_told_the_same_prolong_nothing() -> None:
    world = World(None)
    pace = world.process()
    first = pace.slow_down(None)
    assert pace.slow_down(None) == first
    assert pace.slow_down(86_400) == LONGEST_SHARED    # a day: one answer does not silence an account so long


def test_a_call_whose_turn_comes_too_late_is_not_sent() -> None:
    """DESIGN 8.3: a deadline ends it"""
    world = World(None)
    pace = world.process()
    pace.slow_down(60)
    with pytest.raises(ThrottledError, match="nothing was sent") as caught:
        pace.wait(ends=30)
    assert caught.value.retry_after == pytest.approx(60)


def test_without_a_rate_the_others_are_asked_once_a_second() -> None:
    """CERTFLOW_SCM_RATE, none"""
    world = World(None)
    pace = world.process()
    for _ in range(1000):
        pace.wait(1e9)
        world.now += 0.01
    assert world.asked <= 11
