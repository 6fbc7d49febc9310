"""Each fault is a real one on the wire, strikes when and where it was ordered, and leaves the others alone."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

NO_ANSWER = requests.exceptions.ConnectionError
TORN = (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)


def test_a_lost_answer_was_processed_and_a_dropped_request_was_not(sandbox: Any, scm: Any, body: Callable[..., Any]) -> None:
    """RULES E2, E3"""
    for kind, orders in (("lost", 1), ("drop", 0)):
        name = f"{kind}.example.com"
        sandbox.fault(kind, route="enroll", count=1)
        with pytest.raises(NO_ANSWER):
            scm.call("POST", "/ssl/v1/enroll", body(name))
        assert len(sandbox.orders(name)) == orders
        assert scm.call("GET", "/ssl/v1/types").status_code == 200
    assert sandbox.calls()["POST enroll"] == 2
    assert scm.enroll()


def test_an_answer_can_be_held_back_until_the_client_gives_up(sandbox: Any, scm: Any, body: Callable[..., Any]) -> None:
    """RULES E2: no answer"""
    sandbox.fault("lost", route="enroll", count=1, seconds=30)
    with pytest.raises(requests.exceptions.ReadTimeout):
        scm.http.post(f"{scm.base}/ssl/v1/enroll", json=body("slow.example.com"), timeout=0.5)
    assert len(sandbox.orders("slow.example.com")) == 1


@pytest.mark.parametrize("route", ["enroll", "report"])
def test_a_torn_body_is_shorter_than_its_length(sandbox: Any, scm: Any, body: Callable[..., Any], route: str) -> None:
    """Real on the wire"""
    sandbox.fault("truncate", route=route, count=1)
    path, wish = ("/ssl/v1/enroll", body("torn.example.com")) if route == "enroll" else ("/report/v1/ssl-certificates", {})
    answer = scm.http.post(scm.base + path, json=wish, timeout=10, stream=True)
    length = int(answer.headers["Content-Length"])
    assert answer.status_code == 200
    with pytest.raises(TORN):
        assert len(answer.content) < length
    if route == "enroll":
        assert len(sandbox.orders("torn.example.com")) == 1
    else:
        assert len(scm.report()) == len(sandbox.orders())


def test_a_status_comes_with_any_body_and_headers(sandbox: Any, scm: Any, body: Callable[..., Any]) -> None:
    """RULES E2"""
    sandbox.fault("status", route="enroll", status=403, body={"code": -3, "description": "no"}, headers={"X-Seen": "yes"}, count=1)
    answer = scm.call("POST", "/ssl/v1/enroll", body("refused.example.com"))
    assert (answer.status_code, answer.json()["code"], answer.headers["X-Seen"]) == (403, -3, "yes")
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert sandbox.orders("refused.example.com") == []
    sandbox.fault("status", route="enroll", status=502, body="<html>", content_type="text/html", processed=True, count=1)
    answer = scm.call("POST", "/ssl/v1/enroll", body("taken.example.com"))
    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (502, "<html>", "text/html")
    assert len(sandbox.orders("taken.example.com")) == 1
    sandbox.fault("status", route="enroll", status=302, headers={"Location": f"{scm.base}/ssl/v1"}, count=1)
    assert scm.call("POST", "/ssl/v1/enroll", body()).status_code == 302


def test_too_many_requests_say_when_to_come_again(sandbox: Any, scm: Any) -> None:
    """Contract 3: rate limits"""
    sandbox.fault("too_many", seconds=2, count=1)
    answer = scm.call("GET", "/ssl/v1/types")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert scm.call("GET", "/ssl/v1/types").status_code == 200


def test_pages_of_proxies_empty_bodies_and_wrong_types(sandbox: Any, scm: Any) -> None:
    """Contract 3, 9 quirk 4"""
    for kind, more, expected in (
        ("html", {"status": 200}, (200, "text/html;charset=UTF-8")), ("html", {}, (502, "text/html;charset=UTF-8")),
        ("empty", {}, (200, "application/json;charset=UTF-8")), ("wrong_type", {"content_type": "text/plain"}, (200, "text/plain")),
    ):
        sandbox.fault(kind, route="types", count=1, **more)
        answer = scm.call("GET", "/ssl/v1/types")
        assert (answer.status_code, answer.headers["Content-Type"]) == expected
        assert bool(answer.content) == (kind != "empty")


def test_not_ready_comes_with_the_code_that_was_ordered(sandbox: Any, scm: Any) -> None:
    """Contract 4"""
    ssl_id = scm.enroll()
    scm.issued(ssl_id)
    for code in (0, -183, -1400):
        sandbox.fault("not_ready", route="collect", code=code, count=1)
        assert scm.refusal("GET", f"/ssl/v1/collect/{ssl_id}") == (400, code)
    scm.leaf(ssl_id)


def test_delay_and_latency_hold_up_one_call_and_not_the_others(sandbox: Any, scm: Any) -> None:
    """DESIGN 4: --latency"""
    sandbox.fault("delay", route="types", seconds=0.5, count=1)
    began = time.monotonic()
    assert scm.call("GET", "/ssl/v1/types").status_code == 200
    assert time.monotonic() - began >= 0.5
    sandbox.settings(latency=2)
    began = time.monotonic()
    assert scm.call("GET", "/ssl/v1/types").status_code == 200
    assert time.monotonic() - began >= 2
    began = time.monotonic()
    sandbox.control("GET", "settings")
    assert time.monotonic() - began < 2


def test_a_slow_body_is_whole_in_the_end(sandbox: Any, scm: Any) -> None:
    """Real on the wire"""
    sandbox.fault("slow", route="types", seconds=0.5, count=1)
    began = time.monotonic()
    slow = scm.get("/ssl/v1/types")
    assert time.monotonic() - began >= 0.4
    assert slow == scm.get("/ssl/v1/types")


def test_a_fault_strikes_where_it_was_ordered(sandbox: Any, scm: Any) -> None:
    """Route, path, method, skip, count and probability"""
    one, other = (row["ssl_id"] for row in sandbox.orders()[:2])
    sandbox.fault("status", path=rf"/ssl/v1/{one}$", status=500)
    assert [scm.call("GET", f"/ssl/v1/{ssl_id}").status_code for ssl_id in (one, other, one)] == [500, 200, 500]
    sandbox.clear()
    sandbox.fault("status", route="list", method="HEAD", status=500)
    assert scm.call("GET", "/ssl/v1").status_code == 200
    sandbox.clear()
    sandbox.fault("status", route="types", status=500, skip=2, count=1)
    assert [scm.call("GET", "/ssl/v1/types").status_code for _ in range(4)] == [200, 200, 500, 200]
    sandbox.clear()
    sandbox.fault("status", route="types", status=500, probability=0.5)
    assert 10 < sum(scm.call("GET", "/ssl/v1/types").status_code == 500 for _ in range(60)) < 50
    assert sandbox.control("GET", "faults")[0]["struck"] > 10


def test_an_order_can_be_stuck_or_rejected(sandbox: Any, scm: Any) -> None:
    """Contract 6.2"""
    sandbox.settings(issue_delay=0)
    sandbox.fault("stuck", route="enroll", count=1)
    stuck = scm.enroll("stuck.example.com")
    sandbox.fault("rejected", route="enroll", count=1)
    rejected = scm.enroll("rejected.example.com")
    good = scm.enroll("good.example.com")
    assert [scm.get(f"/ssl/v1/{ssl_id}")["status"] for ssl_id in (stuck, rejected, good)] == ["Applied", "Rejected", "Issued"]
    assert scm.refusal("GET", f"/ssl/v1/collect/{rejected}?format=x509") == (400, -183)


def issued_with(sandbox: Any, scm: Any, kind: str, key: Any, csr: Callable[..., str]) -> list[x509.Certificate]:
    sandbox.fault(kind, route="enroll", count=1)
    ssl_id = scm.enroll(csr=csr("www.example.com", key), subjAltNames="api.example.com")
    scm.issued(ssl_id)
    return x509.load_pem_x509_certificates(scm.call("GET", f"/ssl/v1/collect/{ssl_id}?format=x509R").content)


def test_a_certificate_can_be_wrong_in_each_way(sandbox: Any, scm: Any, csr: Callable[..., str]) -> None:
    """RULES D3"""
    key = ec.generate_private_key(ec.SECP256R1())

    def names(leaf: x509.Certificate) -> set[str]:
        return set(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName))

    wrong = {kind: issued_with(sandbox, scm, kind, key, csr) for kind in (
        "wrong_key", "missing_san", "extra_san", "not_yet_valid", "short_term", "other_usage", "bad_signature", "odd_chain")}
    for kind, chain in wrong.items():
        leaf = chain[1] if kind == "odd_chain" else chain[0]
        assert (leaf.public_key() == key.public_key()) == (kind != "wrong_key")
        assert names(leaf) == {"www.example.com", "api.example.com"} - ({"api.example.com"} if kind == "missing_san" else set()) | (
            {"www.www.example.com"} if kind == "extra_san" else set())
        assert (leaf.not_valid_before_utc > datetime.now(UTC)) == (kind == "not_yet_valid")
        days = (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days
        assert (days < 85) == (kind == "short_term")
        usages = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        assert (ExtendedKeyUsageOID.CLIENT_AUTH in usages) == (kind == "other_usage")
        issuer = next(one for one in chain if one.subject == leaf.issuer)
        if kind == "bad_signature":
            with pytest.raises(InvalidSignature):
                leaf.verify_directly_issued_by(issuer)
        else:
            leaf.verify_directly_issued_by(issuer)
    assert len(wrong["odd_chain"]) == 4


def test_a_certificate_can_be_spoilt_when_it_is_collected_and_stays_so(sandbox: Any, scm: Any, csr: Callable[..., str]) -> None:
    """RULES D3"""
    key = ec.generate_private_key(ec.SECP256R1())
    ssl_id = scm.enroll(csr=csr("www.example.com", key))
    serial = scm.issued(ssl_id)["serialNumber"]
    sandbox.fault("wrong_key", route="collect", ssl_id=ssl_id + 1, count=1)
    assert scm.leaf(ssl_id).public_key() == key.public_key()
    sandbox.fault("wrong_key", route="collect", ssl_id=ssl_id, count=1)
    spoilt = scm.leaf(ssl_id)
    assert spoilt.public_key() != key.public_key()
    assert spoilt == scm.leaf(ssl_id)
    assert int(serial.replace(":", ""), 16) == spoilt.serial_number


def test_scm_can_lose_comments_hide_orders_and_speak_unknown_words(sandbox: Any, scm: Any) -> None:
    """RULES E3, S4"""
    sandbox.fault("lose_comments", route="enroll", count=1)
    lost = scm.enroll("lost.example.com", comments="certflow:marker")
    kept = scm.enroll("kept.example.com", comments="certflow:marker")
    assert "comments" not in scm.get(f"/ssl/v1/{lost}")
    assert scm.get(f"/ssl/v1/{kept}")["comments"] == "certflow:marker"
    sandbox.fault("hide", route="report", common_name="kept.example.com", count=1)
    assert kept not in scm.report()
    assert kept in scm.report()
    sandbox.fault("hide", route="details", ssl_id=kept, count=1)
    assert scm.refusal("GET", f"/ssl/v1/{kept}") == (404, -124)
    sandbox.fault("hide", route="list", ssl_id=kept, count=1)
    assert scm.get("/ssl/v1", commonName="kept.example.com") == []
    sandbox.fault("unknown_status", route="report", ssl_id=kept, word="Paused", count=1)
    assert {row["status"] for row in scm.report().values()} > {"Paused"}
    sandbox.fault("field", route="details", ssl_id=kept, field="commonName", value=17, count=1)
    sandbox.fault("field", route="details", ssl_id=kept, field="orgId", count=1)
    strange = scm.get(f"/ssl/v1/{kept}")
    assert strange["commonName"] == 17
    assert "orgId" not in strange
    assert scm.get(f"/ssl/v1/{kept}")["commonName"] == "kept.example.com"


@pytest.mark.parametrize("wrong", [
    {"kind": "gremlin"}, {"kind": "lost", "route": "nowhere"}, {"kind": "lost", "colour": "red"}, {"kind": "lost", "path": "("},
    {"kind": "lost", "count": "one"}, [], "lost",
])
def test_a_fault_that_does_not_exist_is_refused(sandbox: Any, wrong: Any) -> None:
    """A misspelt fault must not make a test pass"""
    answer = requests.post(f"{sandbox.line['scm'].removesuffix('/api')}/_control/faults", json=wrong, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert sandbox.control("GET", "faults") == []


def test_faults_reach_all_three_ports_and_the_token(sandbox: Any, admin_host: Any, new_token: Callable[..., Any]) -> None:
    """One state behind all ports"""
    sandbox.fault("status", route="token", status=503, count=1)
    assert new_token().status_code == 503
    assert new_token().status_code == 200
    sandbox.fault("drop", route="types", count=1)
    with pytest.raises(NO_ANSWER):
        admin_host.call("GET", "/ssl/v2/types")
    assert sandbox.calls() == {"POST token": 3, "GET types": 1}
