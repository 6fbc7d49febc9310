"""Rate and pauses of an account hold for all processes that call SCM for it; SCM's own log shows it."""

import time
from typing import Any

import pytest

from tasks.services import open_services

RATE = 5.0
pytestmark = pytest.mark.postgres


@pytest.fixture
def limited(on_postgres: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each process may make five calls in a second, together with the others."""
    monkeypatch.setenv("CERTFLOW_SCM_RATE", str(RATE))
    on_postgres.restart()
    on_postgres.sandbox.forget_calls()
    return on_postgres


def ask(times: int) -> None:
    with open_services() as svc, svc.scm("default") as scm:
        for _ in range(times):
            scm.organizations()


def arrivals(world: Any, route: str | None = None) -> list[float]:
    return [at for at, name in world.sandbox.control("GET", "arrivals") if route in {None, name}]


def test_no_second_holds_more_calls_of_two_processes_than_the_rate(limited: Any, at_once: Any) -> None:
    """CERTFLOW_SCM_RATE"""
    at_once(lambda: ask(7), lambda: ask(7))
    moments = arrivals(limited)
    assert len(moments) == 14
    assert max(sum(first <= one < first + 1 for one in moments) for first in moments) <= RATE + 1
    assert moments[-1] - moments[0] <= 14 / RATE + 2


@pytest.mark.parametrize(("rate", "trouble"), [
    ("", {"kind": "too_many", "seconds": 3, "count": 1}),
    ("5", {"kind": "status", "status": 429, "count": 4}),
])
def test_a_429_holds_both_processes_back(on_postgres: Any, at_once: Any, monkeypatch: pytest.MonkeyPatch, rate: str, trouble: Any) -> None:
    """CERTFLOW_SCM_RATE: with Retry-After, and without, when SCM says it four times in a row"""
    monkeypatch.setenv("CERTFLOW_SCM_RATE", rate)
    on_postgres.restart()
    on_postgres.sandbox.forget_calls()
    on_postgres.sandbox.fault(route="domains", **trouble)

    def told() -> None:
        with open_services() as svc, svc.scm("default") as scm:
            scm.domains()

    def others() -> None:
        ends = time.monotonic() + 6
        with open_services() as svc, svc.scm("default") as scm:
            while time.monotonic() < ends:
                scm.organizations()
                time.sleep(0.05)

    at_once(told, others)
    refused = arrivals(on_postgres, "domains")[trouble["count"] - 1]
    meanwhile = [one - refused for one in arrivals(on_postgres) if refused < one]
    assert [after for after in meanwhile if 1.2 < after < 1.9] == []
    assert max(meanwhile) > 2
