"""The schedules of the main job, as Prefect keeps them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_runs_are_scheduled_weekly_and_daily(installation: Any, eventually: Callable[..., Any]) -> None:
    """DESIGN 1, lines 2 and 5: Prefect makes the runs of the next time by itself."""
    def scheduled(name: str) -> list[datetime]:
        found = installation.up.call("POST", "/flow_runs/filter", {
            "flow_runs": {"deployment_id": {"any_": [installation.up.deployment(name)["id"]]}, "state": {"type": {"any_": ["SCHEDULED"]}}},
            "sort": "EXPECTED_START_TIME_ASC", "limit": 200,
        })
        return [datetime.fromisoformat(run["expected_start_time"]) for run in found if run["parameters"] == {"account": "default"}]

    weekly = eventually(lambda: scheduled("sync-reference-data"), 300, "the weekly runs are scheduled")
    assert {later - earlier for earlier, later in pairwise(weekly)} == {timedelta(days=7)}
    daily = eventually(
        lambda: [moment for moment in scheduled("poll-orders") if (moment.hour, moment.minute) == (4, 30)], 300, "the daily runs are scheduled")
    assert daily[0] - datetime.now(UTC) < timedelta(days=1)


def test_a_schedule_keeps_its_account_when_a_person_uses_its_switch(installation: Any, eventually: Callable[..., Any]) -> None:
    """DESIGN 6: the switch in Prefect's UI sends no parameters, and Prefect forgets them then; another account's poll would poll `default`."""
    path = f"/deployments/{installation.up.deployment('poll-orders')['id']}/schedules"

    def parameters() -> dict[str, Any]:
        return next(one["parameters"] for one in installation.up.call("GET", path) if one["slug"] == "certflow-cloud-daily")

    [schedule] = [one for one in installation.up.call("GET", path) if one["slug"] == "certflow-cloud-daily"]
    for active in (False, True):
        installation.up.call("PATCH", f"{path}/{schedule['id']}", {"active": active})
        eventually(lambda: parameters() == {"account": "cloud"}, 300, "the schedule has its account again")
    [again] = [one for one in installation.up.call("GET", path) if one["slug"] == "certflow-cloud-daily"]
    assert (again["active"], again["schedule"]) == (True, schedule["schedule"])
