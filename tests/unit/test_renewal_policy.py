"""When to renew, and why not: a table named by sentences (RULES R1, R2)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from models.orders import ENROLL, ORDERED, Certificate, CertificateOrder, Submission
from models.policy import (
    REISSUE_BY_HAND,
    RENEW_BY_HAND,
    RENEW_BY_ITSELF,
    RenewalFacts,
    due,
    jitter_of,
    key_like,
    renewal_day,
    why_not,
    why_not_at_scm,
)
from models.records import OrderRecord
from models.status import OrderStatus, SubmissionStatus

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def order(**facts: Any) -> CertificateOrder:
    return CertificateOrder(**{
        "account": "default", "status": OrderStatus.ISSUED, "common_name": "www.example.com", "origin": ORDERED, "ssl_id": 41, "created_at": NOW,
        "changed_at": NOW, "live_name": "www.example.com", "requested_via": "REST API", **facts,
    })


def certificate(days: int, left: float) -> Certificate:
    end = NOW + timedelta(days=left)
    return Certificate(
        order_id=uuid4(), submission_id=uuid4(), serial_number="7", sha256="aa", public_key_sha256="bb", names=["www.example.com"],
        issuer="CN=Example CA", key_algorithm="EC", key_size="P-256", not_before=end - timedelta(days=days), not_after=end, pem="", chain_pem="",
        fetched_at=NOW,
    )


def facts(**more: Any) -> RenewalFacts:
    """A renewal that nothing stands against: of 199 days 10 are left, the key is ours, live/ serves it."""
    sent = Submission(account="default", order_id=uuid4(), kind=ENROLL, status=SubmissionStatus.DONE, request_id="r", created_at=NOW)
    return RenewalFacts(**{"order": order(), "certificate": certificate(199, 10), "submission": sent, "served_sha256": "aa", **more})


def own_csr() -> Submission:
    return Submission(account="default", order_id=uuid4(), kind=ENROLL, status=SubmissionStatus.DONE, request_id="r", own_csr=True, created_at=NOW)


def record(**facts: Any) -> OrderRecord:
    return OrderRecord(**{"ssl_id": 41, "common_name": "www.example.com", "status_word": "Issued", "serial_number": "7", "renewed": False, **facts})


@pytest.mark.parametrize(("lifetime", "left"), [(398, 133), (199, 66), (99, 33), (46, 15), (6, 3)])
def test_it_is_due_when_a_third_is_left_and_half_of_a_short_life(lifetime: int, left: int) -> None:
    """RULES R2: from the certificate's own dates"""
    assert due(certificate(lifetime, left + 0.01), NOW) is None
    assert due(certificate(lifetime, left), NOW) is not None


@pytest.mark.parametrize("lifetime", [398, 199, 99, 46, 6])
def test_the_jitter_moves_it_later_by_at_most_a_tenth_of_what_is_left(lifetime: int) -> None:
    """RULES R2"""
    one = certificate(lifetime, 0)
    without = renewal_day(one.not_before, one.not_after)
    latest = renewal_day(one.not_before, one.not_after, jitter=1.0)
    assert timedelta(0) < latest - without <= (one.not_after - without) * 0.1001


def test_the_jitter_of_an_order_is_always_the_same_and_spreads_orders() -> None:
    """RULES R2"""
    ids = [uuid4() for _ in range(500)]
    assert [jitter_of(id_) for id_ in ids] == [jitter_of(id_) for id_ in ids]
    assert 0 <= min(jitter_of(id_) for id_ in ids) < 0.1 < 0.9 < max(jitter_of(id_) for id_ in ids) <= 1


def test_nothing_stands_against_an_ordinary_renewal() -> None:
    """RULES R1"""
    assert why_not(facts(), NOW, reasons=RENEW_BY_ITSELF) is None


@pytest.mark.parametrize(("case", "more", "says"), [
    ("it is revoked", {"order": order(status=OrderStatus.REVOKED)}, "order a new certificate"),
    ("it has ended", {"order": order(status=OrderStatus.EXPIRED)}, "order a new certificate"),
    ("it is not issued yet", {"order": order(status=OrderStatus.APPLIED)}, "not issued yet"),
    ("a successor is open", {"successors": [order(status=OrderStatus.APPLIED, ssl_id=42)]}, "being renewed already, as order 42"),
    ("a successor is in doubt", {"successors": [order(status=OrderStatus.SUBMITTING, ssl_id=None)]}, "being renewed already"),
    ("a successor is issued", {"successors": [order(ssl_id=42)]}, "order 42 is its successor"),
    ("a successor was declined", {"successors": [order(status=OrderStatus.DECLINED, ssl_id=42)]}, "was declined at SCM"),
    ("a reissue is under way", {"reissue": own_csr()}, "being reissued"),
    ("the key is not ours", {"submission": None}, "key is not in our Vault"),
    ("the customer has the key", {"submission": own_csr()}, "with a new csr"),
    *((f"it came by {via}", {"order": order(requested_via=via)}, f"requested by {via}")
      for via in ("ACME", "SCEP", "EST", "MS Agent", "MS_AGENT", "Discovery", "Imported")),
    ("it is young", {"certificate": certificate(199, 120)}, "not due before"),
    ("there is no certificate", {"certificate": None}, "not in the repository"),
    ("live/ serves another one", {"served_sha256": "cc"}, "does not serve it"),
    ("live/ serves nothing", {"served_sha256": None}, "does not serve it"),
])
def test_it_is_not_renewed_by_itself_and_the_reason_is_said(case: str, more: dict[str, Any], says: str) -> None:
    """RULES R1, E5, E6, K2"""
    said = why_not(facts(**more), NOW, reasons=RENEW_BY_ITSELF)
    assert said is not None, case
    assert says in said


def test_a_refused_or_lost_successor_does_not_stand_in_the_way() -> None:
    """RULES E6: a refused order answers with its refusal, a new request asks anew"""
    came_to_nothing = [order(status=OrderStatus.REFUSED), order(status=OrderStatus.WITHDRAWN)]
    assert why_not(facts(successors=came_to_nothing), NOW, reasons=RENEW_BY_ITSELF) is None


def test_within_so_many_days_replaces_what_is_due() -> None:
    """DESIGN 4: expiring_within_days"""
    young = certificate(199, 120)
    assert why_not(facts(certificate=young, expiring_within=121), NOW, reasons=RENEW_BY_ITSELF) is None
    assert why_not(facts(certificate=young, expiring_within=119), NOW, reasons=RENEW_BY_ITSELF) is not None


@pytest.mark.parametrize("more", [{"submission": None}, {"certificate": certificate(199, 150)}, {"served_sha256": None}, {"certificate": None}])
def test_whoever_names_an_order_may_renew_it_early_and_whoever_made_its_key(more: dict[str, Any]) -> None:
    """RULES R1, R4"""
    assert why_not(facts(**more), NOW, reasons=RENEW_BY_HAND) is None


def test_what_was_renewed_is_neither_renewed_nor_reissued_again() -> None:
    """RULES E5"""
    renewed, open_one = facts(successors=[order(ssl_id=42)]), facts(successors=[order(ssl_id=42, status=OrderStatus.APPLIED)])
    assert why_not(renewed, NOW, reasons=RENEW_BY_HAND)
    assert why_not(renewed, NOW, reasons=REISSUE_BY_HAND)
    assert why_not(open_one, NOW, reasons=REISSUE_BY_HAND)


@pytest.mark.parametrize(("case", "shown", "says"), [
    ("all is well", {}, None),
    ("a serial number that SCM does not show", {"serial_number": None}, None),
    ("SCM's own renewal was switched off", {"auto_renew": "Not scheduled"}, None),
    ("revoked meanwhile", {"status_word": "Revoked"}, "Revoked"),
    ("an unknown word", {"status_word": "Frobnicated"}, "Frobnicated"),
    ("replaced by somebody", {"serial_number": "8"}, "run import-orders"),
    ("renewed by somebody", {"renewed": True}, "renewed already"),
    ("SCM renews it by itself", {"auto_renew": "Scheduled"}, "autoRenewDetails"),
    ("SCM has begun to", {"auto_renew": "STARTED"}, "autoRenewDetails"),
])
def test_what_scm_shows_just_before_sending_decides(case: str, shown: dict[str, Any], says: str | None) -> None:
    """RULES R1"""
    said = why_not_at_scm(record(**shown), known_serial_number="7")
    assert (said is None) == (says is None), case
    assert (says or "") in (said or "")


def test_a_renewal_of_ours_that_came_to_nothing_explains_why_scm_calls_it_renewed() -> None:
    """RULES R1"""
    declined, waiting = order(status=OrderStatus.DECLINED, ssl_id=42), order(status=OrderStatus.APPLIED, ssl_id=43)
    assert why_not_at_scm(record(renewed=True), known_serial_number="7", own_successors=[declined]) is None
    assert why_not_at_scm(record(renewed=True), known_serial_number="7", own_successors=[waiting]) is not None
    assert why_not_at_scm(record(renewed=True), known_serial_number="7", reissue=True) is None


@pytest.mark.parametrize(("before", "after"), [
    (("RSA", "2048"), ("RSA", "2048")), (("RSA", "4096"), ("RSA", "4096")), (("RSA", "1024"), ("RSA", "2048")), (("RSA", "8192"), ("RSA", "4096")),
    (("EC", "256"), ("EC", "P-256")), (("ECDSA", "secp384r1"), ("EC", "P-384")), (("EC", "P-521"), ("EC", "P-384")),
    ((None, None), ("RSA", "2048")), (("DSA", "1024"), ("RSA", "2048")),
])
def test_a_successor_gets_a_key_like_the_one_before_or_the_nearest_that_we_make(before: Any, after: Any) -> None:
    """RULES K1"""
    assert key_like(*before) == after
