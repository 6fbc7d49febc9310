"""The control API: it tells the truth, changes the account, and is never counted."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests


def control(sandbox: Any, port: str, path: str, **more: Any) -> requests.Response:
    base = sandbox.line[port].removesuffix("/api").removesuffix("/private")
    return requests.get(f"{base}/_control/{path}", timeout=10, verify=sandbox.line["tls"]["ca"], **more)


def test_it_is_below_each_port_without_login(sandbox: Any) -> None:
    """One state behind all ports"""
    found = [control(sandbox, port, "orders").json() for port in ("scm", "scm_admin", "scm_tls")]
    assert found[0] == found[1] == found[2] == sandbox.orders()


def test_calls_are_counted_by_route_and_itself_is_not(sandbox: Any, scm: Any, admin_host: Any) -> None:
    """DESIGN 5: few calls"""
    sandbox.control("DELETE", "calls")
    for ssl_id in (41001, 41002, 1999999999):
        scm.call("GET", f"/ssl/v1/{ssl_id}")
    admin_host.call("GET", "/ssl/v2/41001")
    scm.call("GET", "/nowhere")
    sandbox.orders()
    assert sandbox.control("GET", "calls") == [
        {"method": "GET", "route": "details", "path": "/ssl/v1/{ssl_id}", "count": 3},
        {"method": "GET", "route": "details", "path": "/ssl/v2/{ssl_id}", "count": 1},
        {"method": "GET", "route": "unknown", "path": "/{rest}", "count": 1},
    ]


def test_it_tells_everything_about_an_order(sandbox: Any, scm: Any) -> None:
    """The truth to compare with"""
    ssl_id = scm.enroll("true.example.com", subjAltNames="api.example.com", comments="certflow:x", externalRequester="a@example.com")
    scm.issued(ssl_id)
    leaf = scm.leaf(ssl_id)
    [truth] = sandbox.orders("true.example.com")
    expected = {
        "ssl_id": ssl_id, "status": "Issued", "org_id": 3100, "profile_id": 5201, "term": 90, "sans": ["api.example.com"],
        "comments": "certflow:x", "external_requester": "a@example.com", "serial": f"{leaf.serial_number:x}", "requested_via": "REST API",
    }
    assert {name: truth[name] for name in expected} == expected
    assert "BEGIN CERTIFICATE" in truth["certificate"]
    assert sandbox.orders("nobody.example.com") == []
    assert control(sandbox, "scm", f"orders?ssl_id={ssl_id}").json() == [truth]


@pytest.mark.parametrize(("status", "date"), [
    ("Issued", "issued"), ("Declined", "declined"), ("Revoked", "revoked"), ("Approved", "approved"), ("Rejected", None), ("Invalid", None),
    ("Expired", None),
])
def test_an_order_is_moved_to_any_status(sandbox: Any, scm: Any, status: str, date: str | None) -> None:
    """Contract 6"""
    sandbox.settings(issue_delay=60)
    ssl_id = scm.enroll()
    sandbox.change_order(ssl_id, status=status, comments="changed")
    details = scm.get(f"/ssl/v1/{ssl_id}")
    assert (details["status"], details["comments"]) == (status, "changed")
    assert date is None or details[date]
    assert bool(details.get("serialNumber")) == (status == "Issued")


def test_what_does_not_exist_cannot_be_changed(sandbox: Any) -> None:
    """A misspelt name must not make a test pass"""
    base = sandbox.line["scm"].removesuffix("/api") + "/_control"
    for path, body in (
        ("settings", {"speed": 1}), ("account", {"colour": "red"}), ("orders/41001", {"colour": "red"}), ("orders/1", {"status": "Issued"}),
        ("orders/41001", {"status": "Lost"}), ("orders/41001", {"id": 5}), ("reference/planets/1", {}),
        ("reference/profiles/5201", {"colour": 1}),
    ):
        assert requests.put(f"{base}/{path}", json=body, timeout=60).status_code == 400, path


def test_reference_data_can_be_changed_added_and_removed(sandbox: Any, scm: Any) -> None:
    """RULES C2: what was read before may be wrong now"""
    sandbox.control("PUT", "reference/domains/6001", {"validation": "Expired", "expires_on": "2026-01-01"})
    details = scm.get("/domain/v1/6001")
    assert (details["validationStatus"], details["dcvExpiration"]) == ("EXPIRED", "2026-01-01")
    sandbox.control("PUT", "reference/domains/7001", {"name": "added.example", "delegations": [{"org_id": 3100}]})
    scm.enroll("www.added.example")
    sandbox.control("PUT", "reference/organizations/3100", {"api_enabled": False})
    assert scm.get("/organization/v1/3100")["sslCertsApiEnabled"] is False
    sandbox.control("PUT", "reference/profiles/5201", {"terms": [30]})
    assert scm.get("/ssl/v1/types", organizationId=3100)[0]["terms"] == [30]
    sandbox.control("DELETE", "reference/domains/6009")
    assert scm.refusal("GET", "/domain/v1/6009") == (404, -727)


def test_without_validation_its_fields_are_absent_and_nothing_waits_for_it(sandbox: Any, scm: Any) -> None:
    """Contract 5.2; RULES C3"""
    sandbox.settings(validation=False)
    assert not {"validationStatus", "validationMethod", "dcvValidation", "dcvExpiration"} & set(scm.get("/domain/v1/6001"))
    scm.enroll("www.expired.example")


def test_time_can_be_moved_on(sandbox: Any, scm: Any) -> None:
    """Contract 6.2: Issued -> Expired by time"""
    ssl_id = scm.enroll()
    scm.issued(ssl_id)
    sandbox.settings(clock_offset=91 * 86400)
    assert scm.get(f"/ssl/v1/{ssl_id}")["status"] == "Expired"
    assert scm.leaf(ssl_id)
    assert scm.refusal("POST", f"/ssl/v1/revoke/{ssl_id}", {"reasonCode": 4, "reason": "x"}) == (400, -102)


def test_many_orders_at_once_are_all_kept_apart(sandbox: Any, scm: Any, body: Callable[..., Any], login: dict[str, str]) -> None:
    """Concurrency: each call is a new order"""
    wishes = [body(f"many{place}.example.com") for place in range(40)]

    def enroll(wish: dict[str, Any]) -> int:
        return int(requests.post(f"{scm.base}/ssl/v1/enroll", json=wish, headers=login, timeout=120).json()["sslId"])

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(enroll, wishes))
    assert len(set(numbers)) == 40
    for place, ssl_id in enumerate(numbers):
        assert [one["ssl_id"] for one in sandbox.orders(f"many{place}.example.com")] == [ssl_id]
    serials = {scm.issued(ssl_id)["serialNumber"] for ssl_id in numbers}
    assert len(serials) == 40
