"""Which lost key, predecessor and line belong to an order."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from models.marker import with_marker, without_marker
from models.orders import ENROLL, IMPORTED, ORDERED, REISSUE, RENEW, CertificateOrder
from models.rebuilding import LostKey, alike, enrolled_as, kind_of, ours_by_marker, owner, predecessor_of, took_over
from models.status import OPEN_AT_SCM, OrderStatus

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
KEY, OTHER = UUID("0b9d1c2e-7a51-4c0e-9d0a-5d2f0d1e7c11"), UUID("5f64a1a4-1d84-4f47-8d53-2f1f3f5a9a44")


def order(ssl_id: int, mark: UUID | None = None, **facts: Any) -> CertificateOrder:
    return CertificateOrder(**{
        "account": "default", "ssl_id": ssl_id, "status": OrderStatus.ISSUED, "common_name": "www.example.com", "origin": IMPORTED,
        "comments": with_marker("", mark) if mark else None, "requested_at": NOW, "serial_number": f"{ssl_id:x}", "created_at": NOW,
        "changed_at": NOW, **facts,
    })


def lost(id_: UUID = KEY, common_name: str = "www.example.com") -> LostKey:
    return LostKey(id=id_, csr="", public_key_sha256="", common_name=common_name, names=(), algorithm="EC", size="P-256")


def test_the_oldest_order_with_a_marker_was_sent_under_it() -> None:
    """RULES K6: SCM may copy the comments to a renewal."""
    first = {KEY: 5}
    assert enrolled_as(order(5, KEY), first) == KEY
    assert enrolled_as(order(6, KEY), first) is None
    assert enrolled_as(order(5), first) is None


@pytest.mark.parametrize(("key", "orders", "first", "wanted"), [
    (KEY, [(7, None), (5, KEY)], {KEY: 5}, 5),
    (OTHER, [(5, KEY), (7, KEY)], {KEY: 5}, 7),
    (OTHER, [(5, KEY)], {KEY: 5}, 5),
    (KEY, [(9, None), (8, None)], {}, 8),
    (KEY, [], {}, None),
])
def test_a_key_belongs_to_the_order_it_was_made_for(
    key: UUID, orders: list[tuple[int, UUID | None]], first: dict[UUID, int], wanted: int | None
) -> None:
    """RULES K6: its own marker, then none of another key, then age"""
    found = owner(key, [order(ssl_id, mark) for ssl_id, mark in orders], first)
    assert (found.ssl_id if found else None) == wanted


@pytest.mark.parametrize(("mark", "first", "sent_before", "kind"), [
    (KEY, {KEY: 5}, False, ENROLL),
    (OTHER, {OTHER: 5}, False, REISSUE),
    (OTHER, {OTHER: 4}, False, RENEW),
    (None, {}, False, RENEW),
    (None, {}, True, REISSUE),
])
def test_what_a_key_was_made_for(mark: UUID | None, first: dict[UUID, int], sent_before: bool, kind: str) -> None:
    """RULES K6: the marker of the first order stays at a reissue"""
    assert kind_of(KEY, order(5, mark), first, sent_before=sent_before) == kind


def test_a_marker_alone_counts_only_while_scm_has_not_decided() -> None:
    """RULES K6"""
    first = {KEY: 5}
    by_status = {status for status in OrderStatus if ours_by_marker(lost(), order(5, KEY, status=status), first)}
    assert by_status == OPEN_AT_SCM
    assert ours_by_marker(lost(), order(5, KEY, origin=ORDERED), first), "another key of it has proved it"
    open_order = order(5, KEY, status=OrderStatus.APPLIED)
    assert not ours_by_marker(lost(OTHER), open_order, first)
    assert not ours_by_marker(lost(), open_order, {KEY: 4}), "an older order has the marker"
    assert not ours_by_marker(lost(common_name="api.example.com"), open_order, first)
    assert not ours_by_marker(lost(), order(5, KEY, status=OrderStatus.APPLIED, deleted_at=NOW), first)


@pytest.mark.parametrize(("ended", "renewal", "certain"), [
    (None, False, True), (timedelta(days=1), False, True), (timedelta(days=-1), False, False), (timedelta(days=-1), True, True),
])
def test_who_takes_a_live_name_while_another_lives_is_its_successor(ended: timedelta | None, renewal: bool, certain: bool) -> None:
    """RULES D2, K6: what comes after its end may be an order of its own"""
    earlier = order(5, expires_at=None if ended is None else NOW + ended)
    assert took_over(order(6), earlier, renewal=renewal) is certain
    assert not took_over(order(4), earlier, renewal=renewal)


def test_a_revoked_order_is_nobodys_predecessor_for_its_live_name_alone() -> None:
    """RULES D2, K6"""
    assert not took_over(order(6), order(5, expires_at=NOW + timedelta(days=50), revoked_at=NOW - timedelta(days=1)), renewal=False)


def test_the_predecessor_is_the_newest_of_ours_that_was_issued() -> None:
    """RULES K6: neither a refused attempt, nor a stranger's order, nor one without a certificate"""
    line = [
        order(5, origin=ORDERED), order(6, origin=ORDERED, status=OrderStatus.EXPIRED), order(7, origin=ORDERED, status=OrderStatus.REJECTED),
        order(8), order(9, origin=ORDERED, serial_number=None), order(11, origin=ORDERED),
    ]
    found = predecessor_of(order(10), line)
    assert found is not None
    assert found.ssl_id == 6
    assert predecessor_of(order(5), line) is None


def test_without_a_marker_only_one_line_of_the_same_facts_is_certain() -> None:
    """RULES K6, E5"""
    ours = {"origin": ORDERED, "id": uuid4(), "organization_id": 1, "certificate_profile_id": 2, "live_name": "www"}
    new = order(9, organization_id=1, certificate_profile_id=2)
    one = order(5, **ours)
    assert alike(new, [one]) == [one]
    for other in ({"organization_id": 3}, {"certificate_profile_id": 3}, {"subject_alternative_names": ["api.example.com"]}, {"live_name": None},
                  {"status": OrderStatus.REVOKED}):
        assert alike(new, [order(5, **{**ours, **other})]) == []
    assert alike(new, [one, order(6, **{**ours, "id": uuid4(), "live_name": "shop"})]) == []


@pytest.mark.parametrize("comments", ["", "web shop", "two\nlines"])
def test_without_its_marker_the_users_own_comments_are_left(comments: str) -> None:
    """RULES E3, K6"""
    assert without_marker(with_marker(comments, KEY)) == comments
    assert without_marker(comments) == comments
    assert without_marker(None) is None
