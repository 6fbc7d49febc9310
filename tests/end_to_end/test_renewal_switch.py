"""While certificates end and the renewal schedule is off, check_account and the inventory say so (RULES R6). On a real Prefect server."""

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.slow

GIVEN = {"account": "default", "action": "renew"}
DAILY = {"cron": "40 5 * * *", "timezone": "UTC"}


@pytest.fixture(scope="module")
def schedules(up: Any) -> Iterator[str]:
    """Where the schedules of renew-or-reissue are: one that renews for `default`, switched off; as it was before afterwards."""
    if up.run("import-orders")["state"]["type"] != "COMPLETED":
        pytest.fail("the orders of the sandbox could not be read")
    flow = up.call("POST", "/flows/", {"name": "renew-or-reissue"})["id"]
    known = up.call("POST", "/deployments/filter", {"deployments": {"name": {"any_": ["renew-or-reissue"]}}})
    deployment = known[0] if known else up.call("POST", "/deployments/", {"name": "renew-or-reissue", "flow_id": flow})
    path = f"/deployments/{deployment['id']}/schedules"
    before = up.call("GET", path)
    for one in before:
        up.call("PATCH", f"{path}/{one['id']}", {"active": False, "parameters": GIVEN})    # Prefect forgets parameters that are not repeated
    if not before:
        up.call("POST", path, [{"schedule": DAILY, "active": False, "parameters": GIVEN}])
    yield path
    if known:
        for one in before:
            up.call("PATCH", f"{path}/{one['id']}", {"active": one["active"], "parameters": GIVEN})
    else:
        up.call("DELETE", f"/deployments/{deployment['id']}")


def codes(run: dict[str, Any]) -> list[str]:
    return [one["code"] for one in run["summary"]["findings"]]


def test_the_switch_of_the_schedule_is_told(up: Any, schedules: str) -> None:
    """RULES R6"""
    off, inventory = up.run("check-account"), up.run("report-inventory")
    assert "renewal-switched-off" in codes(off)
    assert off["summary"]["findings"][0]["severity"] in {"error", "warning"}
    assert off["summary"]["healthy"] is True
    assert inventory["summary"]["renewal_schedule"] == "off"
    page = up.call("GET", "/artifacts/inventory-default/latest")["data"]
    assert "the schedule that renews is switched off" in page.partition("## ")[0]
    one, = up.call("GET", schedules)
    up.call("PATCH", f"{schedules}/{one['id']}", {"active": True, "parameters": GIVEN})
    assert "renewal-switched-off" not in codes(up.run("check-account"))
    assert up.run("report-inventory")["summary"]["renewal_schedule"] == "on"
