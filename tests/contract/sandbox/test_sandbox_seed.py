"""The seeded account looks like a real one and is the same for the same seed."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

ORDERS = 2000
STATUSES = {
    "Init", "Requested", "SA Approved", "Approved", "Applied", "Issued", "Declined", "Invalid", "Rejected", "Revoked", "Expired",
    "Replaced",
}


@pytest.fixture(scope="module")
def account(sandbox_process: Callable[..., Any]) -> Any:
    return sandbox_process("--orders", str(ORDERS), "--seed", "7")


@pytest.fixture(scope="module")
def truth(account: Any) -> list[dict[str, Any]]:
    return list(account.orders())


def test_all_states_are_there_and_seventy_in_a_hundred_are_issued(truth: list[dict[str, Any]]) -> None:
    """A real account"""
    states = Counter(one["status"] for one in truth)
    assert len(truth) == ORDERS
    assert set(states) == STATUSES
    assert 0.65 < states["Issued"] / ORDERS < 0.75
    now = datetime.now(UTC)
    assert all(datetime.fromisoformat(one["expires"]) > now for one in truth if one["status"] == "Issued")
    assert all(datetime.fromisoformat(one["expires"]) < now for one in truth if one["status"] == "Expired")


def test_a_small_account_has_all_states_too(sandbox: Any) -> None:
    """A real account"""
    assert {one["status"] for one in sandbox.orders()} == STATUSES


def test_it_is_as_mixed_as_a_real_one(truth: list[dict[str, Any]]) -> None:
    """A real account: departments, profiles, ways, names, terms, absent values"""
    assert len({one["org_id"] for one in truth}) >= 7
    assert len({one["profile_id"] for one in truth}) == 8
    assert len({one["term"] for one in truth}) >= 5
    assert {"Imported", "Discovery", "ACME", "REST API"} <= {one["requested_via"] for one in truth}
    assert all(one["requested"] is None for one in truth if one["requested_via"] in {"Imported", "Discovery"})
    sizes = Counter(len(one["sans"]) for one in truth)
    assert sizes[0] > 0
    assert max(sizes) == 100
    assert {one["blank"] for one in truth} == {0, 1, 2}
    assert len({datetime.fromisoformat(one["expires"]).year for one in truth}) >= 4
    assert any(count > 1 for count in Counter(one["common_name"] for one in truth).values())
    assert {one["key_type"] for one in truth} >= {"RSA - 2048", "RSA - 3072", "RSA - 4096", "EC - P-256", "EC - P-384"}
    assert 0.02 < sum(len(one["serial"]) < 32 for one in truth if one["serial"]) / ORDERS < 0.15
    assert all("-" in one["common_name"].removeprefix("*.").split(".")[0] for one in truth)


def test_the_same_seed_makes_the_same_orders_and_another_seed_others(
    truth: list[dict[str, Any]], sandbox_process: Callable[..., Any],
) -> None:
    """DESIGN 4: --seed"""
    same, other = (sandbox_process("--orders", "300", "--seed", seed).orders() for seed in ("7", "8"))
    assert [(one["ssl_id"], one["renew_id"]) for one in same] == [(one["ssl_id"], one["renew_id"]) for one in other]
    assert {one["serial"] for one in same if one["serial"]}.isdisjoint(one["serial"] for one in other)
    again = sandbox_process("--orders", "300", "--seed", "7").orders()
    assert same == again
    assert len(truth) > len(same)


def test_a_seeded_certificate_is_made_when_it_is_collected_and_is_what_the_order_said(sandbox: Any, scm: Any) -> None:
    """Serial numbers are known before the certificate is made"""
    issued = [one for one in sandbox.orders() if one["status"] == "Issued"]
    assert not any("certificate" in one for one in issued)
    kinds = {one["key_type"]: one for one in issued}
    for one in kinds.values():
        leaf = scm.leaf(one["ssl_id"])
        assert f"{leaf.serial_number:x}" == one["serial"]
        assert leaf.not_valid_after_utc == datetime.fromisoformat(one["expires"])
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        assert set(names) == {one["common_name"], *one["sans"]}
        size = one["key_type"].split(" - ")[1]
        assert str(leaf.public_key().key_size) == size.removeprefix("P-")
    before = scm.leaf(issued[0]["ssl_id"])
    sandbox.reset()
    assert scm.leaf(issued[0]["ssl_id"]) == before
    keys = [scm.leaf(one["ssl_id"]).public_key() for one in issued[:30]]
    assert all(keys.count(key) == 1 for key in keys), "no two orders share a key"


def test_a_seeded_order_can_be_renewed_and_keeps_its_key(sandbox: Any, scm: Any) -> None:
    """Contract 5.13"""
    issued = [one for one in sandbox.orders() if one["status"] == "Issued" and one["profile_id"] in {5201, 5203, 5204}]
    assert len(issued) > 20
    for one in issued[:20]:
        answer = scm.call("POST", f"/ssl/v1/renewById/{one['ssl_id']}", {})
        assert answer.status_code == 200, (one, answer.text)
    old = issued[0]["ssl_id"]
    new = max(row["sslId"] for row in scm.get("/ssl/v1", commonName=issued[0]["common_name"]))
    scm.issued(new)
    assert scm.leaf(new).public_key() == scm.leaf(old).public_key()


def test_a_record_shows_what_it_lacks_in_one_of_three_ways(sandbox: Any, scm: Any) -> None:
    """Contract 3: absent value"""
    rows = scm.report()
    waiting = {one["blank"]: one for one in sandbox.orders()}
    assert set(waiting) == {0, 1, 2}
    shown = {blank: rows[one["ssl_id"]] for blank, one in waiting.items()}
    missing = {blank: next(name for name in ("revoked", "declined") if not row.get(name)) for blank, row in shown.items()}
    assert missing[0] not in shown[0]
    assert shown[1][missing[1]] is None
    assert shown[2][missing[2]] == ""


def test_a_reset_leads_back_to_the_start(sandbox: Any, scm: Any) -> None:
    """Tests begin alike"""
    before = sandbox.orders()
    sandbox.change_order(before[0]["ssl_id"], status="Revoked")
    sandbox.fault("status", status=500)
    sandbox.settings(latency=0.01)
    sandbox.control("PUT", "account", {"roles": [["RAO_SSL", 3200]]})
    sandbox.reset()
    assert sandbox.orders() == before
    assert sandbox.calls() == {}
    scm.enroll()
