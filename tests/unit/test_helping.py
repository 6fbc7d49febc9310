"""How many runs are called to help, and that nobody needs them."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from models.parameters import RenewParameters
from tasks import helping
from tasks.batches import TOGETHER

MANY = 10 * TOGETHER


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Prefect is asked for, inside of a flow run, where three runs may work together."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(helping, "FlowRunContext", SimpleNamespace(get=lambda: SimpleNamespace(flow_run=SimpleNamespace(tags=["certflow"]))))
    monkeypatch.setattr(helping, "settings", lambda: SimpleNamespace(runs=3))
    monkeypatch.setattr(helping, "run_deployment", lambda name, **given: asked.append({"name": name, **given}))
    return asked


@pytest.mark.parametrize(("orders", "more", "helpers"), [
    (MANY, {"orders": ["7"]}, 2),
    (TOGETHER, {"orders": ["7"]}, 0),                 # one slice
    (TOGETHER + 1, {"orders": ["7"]}, 1),             # no more helpers than slices
    (MANY, {}, 0),                                    # by itself: 50 and no more
    (MANY, {"max_orders": MANY}, 2),
    (MANY, {"max_orders": MANY, "dry_run": True}, 0),
])
def test_as_many_runs_help_as_there_are_slices_and_the_settings_allow(called: Any, orders: int, more: dict[str, Any], helpers: int) -> None:
    """RULES R6; CERTFLOW_RUNS counts the run that calls them"""
    helping.call_helpers(RenewParameters(action="renew", account="second", **more), orders)
    expected = ("poll-orders/poll-orders", {"account": "second"}, [helping.TAG])
    assert [(one["name"], one["parameters"], one["tags"]) for one in called] == [expected] * helpers


def test_without_prefect_a_run_does_it_alone(called: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """DESIGN 8.2"""

    def away(*_: Any, **__: Any) -> None:
        raise httpx.ConnectError("no")

    monkeypatch.setattr(helping, "run_deployment", away)
    helping.call_helpers(RenewParameters(action="renew", orders=["7"]), MANY)
    assert called == []
    assert "this run does it alone" in caplog.text
    assert not helping.asked()
