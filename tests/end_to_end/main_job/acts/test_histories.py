"""The history of an order tells every act: what, when, by which run, how that was started, for whom, and what SCM said to it."""

from datetime import datetime
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SEEN = {"status", "changed"}
"""What SCM was seen to have done meanwhile: how often depends on when somebody looked."""

PLACED = ["planned", "submitting", "submitted"]
ISSUED = [*PLACED, "fetched", "delivered"]

EVENTS = """
    SELECT order_event.* FROM order_event JOIN certificate_order ON certificate_order.id = order_id
    WHERE common_name = ? AND (predecessor_id IS NOT NULL) = ? ORDER BY order_event.at, order_event.id"""


def history(installation: Any, name: str, *, successor: bool = False) -> list[dict[str, Any]]:
    """The history of the first order of a name, or of the one that renews it; without what was only seen."""
    found = installation.rows(EVENTS, f"{name}.example.com", successor)
    for event in found:
        assert datetime.fromisoformat(event["at"])
        assert event["flow_run_id"], event
        assert event["started_by"] in {"API or UI", "schedule"}, event
    return [event for event in found if event["kind"] not in SEEN]


def by(events: list[dict[str, Any]], kind: str) -> tuple[str, str, str]:
    """Run, how it was started, and for whom, of the last event of a kind."""
    event = [one for one in events if one["kind"] == kind][-1]
    return event["flow_run_id"], event["started_by"], event["requested_by"]


@pytest.mark.parametrize(("name", "successor", "kinds"), [
    ("by-hand", False, [*ISSUED, "renewal planned"]),
    ("by-hand", True, ISSUED),
    ("due", False, [*ISSUED, "renewal planned"]),
    ("due", True, ISSUED),
    ("names", False, [*ISSUED, *ISSUED]),
    ("gone", False, [*ISSUED, "revocation planned", "revoked"]),
    ("waits", False, [*PLACED, "cancelled"]),
    ("old", False, [*ISSUED, "deleted", "keys destroyed"]),
    ("device", False, ISSUED),
])
def test_each_act_is_in_the_history_in_its_order(installation: Any, acts: Any, name: str, successor: bool, kinds: list[str]) -> None:
    """Issue: every act is an order_event, with its run and how that was started"""
    assert acts
    assert [event["kind"] for event in history(installation, name, successor=successor)] == kinds


@pytest.mark.parametrize(("name", "successor", "kind", "run", "how", "whom"), [
    ("by-hand", False, "planned", "order by-hand", "API or UI", "owner of by-hand"),
    ("by-hand", False, "submitted", "order by-hand", "API or UI", ""),
    ("by-hand", False, "renewal planned", "renew", "API or UI", "who renews"),
    ("by-hand", True, "planned", "renew", "API or UI", "who renews"),
    ("due", False, "renewal planned", "by itself", "schedule", ""),
    ("due", True, "planned", "by itself", "schedule", ""),
    ("due", True, "submitted", "by itself", "schedule", ""),
    ("names", False, "planned", "reissue", "API or UI", "who adds"),
    ("names", False, "submitting", "reissue", "API or UI", ""),
    ("gone", False, "revocation planned", "revoke", "API or UI", "who revokes"),
    ("gone", False, "revoked", "revoke", "API or UI", "who revokes"),
    ("waits", False, "cancelled", "cancel", "API or UI", ""),
    ("old", False, "deleted", "delete", "API or UI", ""),
    ("old", False, "keys destroyed", "delete", "API or UI", ""),
])
def test_an_act_names_its_run_how_that_was_started_and_for_whom(
    installation: Any, acts: Any, name: str, successor: bool, kind: str, run: str, how: str, whom: str,
) -> None:
    """Issue: where a flow takes no `requested_by`, the run and how it was started tell it"""
    assert by(history(installation, name, successor=successor), kind) == (acts[run]["id"], how, whom)


@pytest.mark.parametrize(("name", "kind", "says"), [
    ("gone", "submitted", "SCM took it as {ssl_id}"),
    ("gone", "revocation planned", "cessationOfOperation (5): switched off"),
    ("gone", "revoked", "revoked, reason cessationOfOperation (5)"),
    ("gone", "revoked", "live/gone.example.com destroyed"),
    ("waits", "cancelled", "declined at SCM: ordered by mistake"),
    ("names", "delivered", "live/names.example.com, version 2"),
    ("names", "fetched", "serial {serial_number}"),
])
def test_an_act_says_what_scm_said_to_it(installation: Any, acts: Any, name: str, kind: str, says: str) -> None:
    """Issue: SCM's answer, and what came of it"""
    assert acts
    [row] = installation.rows("SELECT * FROM certificate_order WHERE common_name = ?", f"{name}.example.com")
    said = [event["detail"] for event in history(installation, name) if event["kind"] == kind]
    assert says.format(**row) in said[-1]
