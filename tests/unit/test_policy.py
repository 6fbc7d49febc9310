"""Which order a name means, and why a certificate must not take its live name."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from models.orders import ORDERED, Certificate, CertificateOrder
from models.policy import newest_living, why_not_live
from models.status import LIVING, OrderStatus

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)


def order(status: OrderStatus = OrderStatus.ISSUED, **facts: Any) -> CertificateOrder:
    return CertificateOrder(account="default", status=status, common_name="www.example.com", origin=ORDERED, created_at=NOW, changed_at=NOW, **facts)


def line(*statuses: OrderStatus) -> list[CertificateOrder]:
    """Predecessors and successors, oldest first."""
    rows: list[CertificateOrder] = []
    for status in statuses:
        rows.append(order(status, predecessor_id=rows[-1].id if rows else None))
    return rows


@pytest.mark.parametrize(("statuses", "meant"), [
    (["issued"], 0), (["issued", "issued"], 1), (["issued", "applied"], 1), (["expired", "issued", "planned"], 2), (["issued", "rejected"], 0),
    (["issued", "declined", "issued"], 2), (["revoked", "expired"], 1), (["issued", "withdrawn"], 0),
])
def test_a_name_means_the_newest_living_order_of_its_line(statuses: list[str], meant: int) -> None:
    """RULES N6"""
    rows = line(*(OrderStatus(status) for status in statuses))
    assert newest_living(rows[::-1]) == [rows[meant]]


def test_lines_that_live_at_once_stay_several() -> None:
    """RULES N6: an ambiguous name is refused with the candidates."""
    one, other = line(OrderStatus.ISSUED, OrderStatus.ISSUED), line(OrderStatus.APPLIED)
    assert {row.id for row in newest_living([*other, *one[::-1]])} == {one[1].id, other[0].id}


def test_two_successors_of_one_order_are_one_line() -> None:
    """RULES N6"""
    old = order(OrderStatus.EXPIRED)
    older, newer = order(predecessor_id=old.id), order(predecessor_id=old.id)
    assert newest_living([newer, older, old]) == [newer]


def test_no_orders_mean_nothing_and_a_ring_ends() -> None:
    """Hand-made data must not hang a run."""
    assert newest_living([]) == []
    one, other = order(), order()
    one.predecessor_id, other.predecessor_id = other.id, one.id
    assert len(newest_living([one, other])) == 1
    itself = order()
    itself.predecessor_id = itself.id
    assert newest_living([itself]) == [itself]


def certificate(of: CertificateOrder, **facts: Any) -> Certificate:
    return Certificate(**{
        "order_id": of.id, "serial_number": "1", "sha256": "aa", "public_key_sha256": "bb", "names": [], "issuer": "CN=Example",
        "key_algorithm": "EC", "key_size": "P-256", "not_before": NOW, "not_after": NOW + timedelta(days=90),
        "pem": "", "chain_pem": "", "fetched_at": NOW, **facts,
    })


def why(of: CertificateOrder, leaf: Certificate, *, holder: CertificateOrder | None = None, predecessors: tuple[UUID, ...] = ()) -> str | None:
    return why_not_live(of, leaf, holder=holder, predecessors=predecessors, now=NOW)


def test_a_free_live_name_is_taken() -> None:
    """RULES D2"""
    mine = order(live_name="www")
    assert why(mine, certificate(mine)) is None
    assert why(mine, certificate(mine), holder=mine) is None


@pytest.mark.parametrize(("facts", "reason"), [
    ({"held_because": "The certificate lacks a.example.com."}, "The certificate lacks a.example.com."),
    ({"not_before": NOW + timedelta(seconds=1)}, "not valid before 2026-04-01 12:00 UTC"),
    ({"not_after": NOW}, "ended on 2026-04-01"),
])
def test_a_certificate_that_must_not_serve_says_why(facts: dict[str, Any], reason: str) -> None:
    """RULES D3"""
    mine = order(live_name="www")
    assert why(mine, certificate(mine, **facts), holder=mine) == reason


def test_a_predecessor_makes_room_and_a_stranger_does_not() -> None:
    """RULES D2"""
    before, mine = order(live_name="www"), order(live_name="www")
    stranger = order(live_name="www", ssl_id=7)
    assert why(mine, certificate(mine), holder=before, predecessors=(uuid4(), before.id)) is None
    refused = why(mine, certificate(mine), holder=stranger, predecessors=(before.id,))
    assert refused == "live name www is served for order 7 of account default, which is no predecessor"


@pytest.mark.parametrize("status", sorted(set(OrderStatus) - LIVING))
def test_who_no_longer_lives_holds_no_name(status: OrderStatus) -> None:
    """RULES D2"""
    mine = order(live_name="www")
    assert why(mine, certificate(mine), holder=order(status, live_name="www")) is None
