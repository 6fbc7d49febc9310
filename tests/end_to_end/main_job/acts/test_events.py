"""Events for other programs: each reaches Prefect and, by the automation that the README gives, a program of the user's."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

EVENTS = "certflow.certificate.delivered", "certflow.certificate.renewed", "certflow.certificate.revoked", "certflow.order.needs-attention"
ALL = {"order_id", "ssl_id", "account", "common_name", "live_name", "status"}
FIELDS = {
    "certflow.certificate.delivered": ALL | {"serial_number", "not_after", "live_version"},
    "certflow.certificate.renewed": ALL | {"serial_number", "not_after", "live_version", "predecessor_id"},
    "certflow.certificate.revoked": ALL | {"serial_number", "reason_code", "removed"},
    "certflow.order.needs-attention": ALL | {"reason", "to_do"},
}


@pytest.fixture(scope="module")
def needs_somebody(installation: Any, acts: Any) -> str:
    """The name of an order whose certificate is held, since a name is missing; a poll has found it."""
    assert acts
    name = "held.example.com"
    installation.sandbox.fault("missing_san", route="enroll", count=1)
    wish = installation.wish(name, subject_alternative_names=["lacks.held.example.com"])
    assert installation.run("order-certificate", **wish)["state"]["type"] == "COMPLETED"
    installation.sandbox.clear()
    held = "SELECT held_because FROM certificate JOIN certificate_order ON certificate_order.id = order_id WHERE common_name = ?"
    installation.poll_until(lambda: installation.rows(held, name), "the certificate is held")
    return name


def test_a_program_is_called_for_each_event_by_the_script_of_the_readme(
    installation: Any, needs_somebody: str, told: list[dict[str, Any]], eventually: Callable[..., Any],
) -> None:
    """Issue: webhooks. DESIGN 1, lines 5 to 8: what was done is told once, with the fields that the README names."""
    def calls(event: str, name: str) -> list[dict[str, Any]]:
        return [one["body"] for one in list(told) if one["body"]["event"] == event and one["body"]["payload"]["common_name"] == name]

    due = installation.rows("SELECT id, predecessor_id FROM certificate_order WHERE common_name = 'due.example.com' AND predecessor_id IS NOT NULL")
    assert len(due) == 1
    names = dict(zip(EVENTS, ("names.example.com", "due.example.com", "gone.example.com", needs_somebody), strict=True))
    for event, name in names.items():
        eventually(lambda event=event, name=name: calls(event, name), 120, f"{event} of {name} is told")
        for body in calls(event, name):
            assert set(body["payload"]) == FIELDS[event]
            assert body["resource"]["prefect.resource.id"] == f"certflow.order.{body['payload']['order_id']}"
            assert [one["prefect.resource.role"] for one in body["related"]].count("flow-run") == 1
    assert [len(calls(event, name)) for event, name in names.items()] == [2, 1, 1, 1]    # names.example.com was reissued
    assert calls(EVENTS[1], "due.example.com")[0]["payload"]["live_version"] == 2
    assert calls(EVENTS[2], "gone.example.com")[0]["payload"]["removed"] is True
    assert "accept it" in calls(EVENTS[3], needs_somebody)[0]["payload"]["to_do"]
    assert {one["headers"]["Content-Type"] for one in told} == {"application/json"}


def test_the_events_of_a_run_with_a_hundred_deliveries_all_arrive(
    installation: Any, acts: Any, eventually: Callable[..., Any],
) -> None:
    """Issue: emitting is asynchronous, and each delivery of a renewal emits two events; a run's process must not end before all of them are
    at Prefect, and each is there once. (That many webhooks at once are Prefect's matter: they keep its
    server busy for a minute, and some it gives up.)"""
    assert acts
    for automation in installation.up.call("POST", "/automations/filter", {}):
        if any(action["type"] == "call-webhook" for action in automation["actions"]):
            installation.up.call("DELETE", f"/automations/{automation['id']}")
    strangers = installation.rows("""
        SELECT ssl_id FROM certificate_order one WHERE origin = 'imported' AND status = 'issued' AND certificate_profile_id = 5201
        AND account = 'default' AND id IN (SELECT order_id FROM certificate)
        AND (SELECT count(*) FROM certificate_order other WHERE other.common_name = one.common_name) = 1 LIMIT 160""")
    renewed = installation.run("renew-or-reissue", action="renew", orders=[str(one["ssl_id"]) for one in strangers])
    ssl_ids = {one["ssl_id"] for one in renewed["summary"]["orders"] if one["ssl_id"]}
    assert len(ssl_ids) >= 100, renewed["state"]["message"]    # some of the seeded ones may not be renewed: SCM renews them by itself

    def all_live() -> bool:
        live = installation.rows("SELECT ssl_id FROM certificate_order one JOIN certificate ON order_id = one.id WHERE delivered_at IS NOT NULL")
        return ssl_ids <= {one["ssl_id"] for one in live}

    def emitted(event: str) -> Counter[int]:
        return Counter(one["payload"]["ssl_id"] for one in installation.events(event) if one["payload"]["ssl_id"] in ssl_ids)

    installation.poll_until(all_live, "all are delivered")
    for event in EVENTS[:2]:
        eventually(lambda event=event: set(emitted(event)) == ssl_ids, 120, f"{event} of all is at Prefect")
        assert set(emitted(event).values()) == {1}
