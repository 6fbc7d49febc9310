"""Revocations that are planned, which certificates share a key, and orders that are deleted here."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.errors import ConflictError
from models.orders import NewCertificate, Revocation
from models.status import OrderStatus, SubmissionStatus
from tasks.adapters.store import Store, certificates, orders, revocations, submissions

Make = Callable[..., UUID]
Leaf = Callable[..., NewCertificate]
AtOnce = Callable[..., list[Any]]
DAY = timedelta(days=1)


def plan(store: Store, order_id: UUID, now: datetime, **facts: Any) -> UUID:
    new = Revocation(**{"account": "default", "order_id": order_id, "reason_code": 4, "reason": "renewed", "created_at": now, **facts})
    with store.transaction() as session:
        return revocations.plan(session, new).id


def row(store: Store, id_: UUID) -> Revocation:
    with store.reading() as session:
        return revocations.by_ids(session, [id_])[0]


def due(store: Store, now: datetime) -> set[UUID]:
    with store.reading() as session:
        return {one.id for one in revocations.due(session, "default", now=now)}


def stored(store: Store, *leaves: NewCertificate, now: datetime) -> None:
    with store.transaction() as session:
        certificates.add(session, leaves, limit=None, now=now)


def test_a_revocation_is_due_at_its_moment_or_so_many_days_after_its_successor_is_live(
    store: Store, order: Make, certificate: Leaf, now: datetime,
) -> None:
    """RULES R5, V3: whatever comes first"""
    old, new = order(), order()
    at_once, later = plan(store, order(), now, due_at=now), plan(store, order(), now, due_at=now + DAY)
    after = plan(store, old, now, successor_id=new, after_days=3)
    plan(store, order(account="other"), now, account="other", due_at=now)
    leaf = certificate(new)
    stored(store, leaf, now=now)
    assert due(store, now + 9 * DAY) == {at_once, later}
    with store.transaction() as session:
        certificates.delivered(session, leaf.id, version=1, now=now)
    assert due(store, now + 2 * DAY) == {at_once, later}
    assert due(store, now + 3 * DAY) == {at_once, later, after}


def test_of_two_plans_for_one_certificate_the_earlier_counts_with_its_reason(store: Store, order: Make, now: datetime) -> None:
    """RULES R5: revoked by hand before the planned day"""
    id_ = order()
    first = plan(store, id_, now, due_at=now + DAY, remove=True)
    assert plan(store, id_, now, due_at=now, reason_code=5, reason="shop closed", requested_by="web team") == first
    assert plan(store, id_, now, due_at=now + 9 * DAY, reason="later") == first
    merged = row(store, first)
    assert (merged.due_at, merged.reason_code, merged.reason, merged.requested_by, merged.remove) == (now, 5, "shop closed", "web team", True)
    assert plan(store, id_, now, due_at=now, serial_number="ab") != first


def test_a_key_compromise_is_told_in_any_case(store: Store, order: Make, now: datetime) -> None:
    """RULES V3"""
    id_ = order()
    first = plan(store, id_, now, due_at=now)
    plan(store, id_, now, due_at=now + DAY, reason_code=1, reason="found on a disk")
    plan(store, id_, now, due_at=now - DAY, reason="renewed")
    assert (row(store, first).reason_code, row(store, first).due_at) == (1, now - DAY)


def test_a_revocation_that_is_done_is_planned_anew(store: Store, order: Make, now: datetime) -> None:
    """RULES V1: with removal this time"""
    id_ = order()
    first = plan(store, id_, now, due_at=now)
    with store.transaction() as session:
        revocations.done(session, first, now=now)
    assert plan(store, id_, now, due_at=now) != first


def test_plans_for_one_certificate_at_once_are_one(store: Store, order: Make, at_once: AtOnce, now: datetime) -> None:
    """DESIGN 8.5"""
    id_ = order()
    assert len(set(at_once(lambda _: plan(store, id_, now, due_at=now), range(4)))) == 1


def test_of_two_that_carry_out_a_revocation_one_is_told_that_the_other_was_faster(store: Store, order: Make, at_once: AtOnce, now: datetime) -> None:
    """DESIGN 8.6"""
    id_ = plan(store, order(), now, due_at=now)

    def end(refuse: bool) -> None:
        with store.transaction() as session:
            if refuse:
                revocations.refused(session, id_, why="no")
            else:
                revocations.done(session, id_, now=now)
    answers = at_once(end, [False, True])
    assert sorted(type(one).__name__ for one in answers) == ["ConflictError", "NoneType"]
    with store.transaction() as session:
        revocations.still_planned(session, id_, why="too late")
    assert row(store, id_).error != "too late"


def test_a_compromised_key_is_remembered_with_its_first_report(store: Store, now: datetime) -> None:
    """RULES K5"""
    with store.transaction() as session:
        revocations.report_compromised(session, "aa", now=now, by="security", reason="first")
        revocations.report_compromised(session, "aa", now=now + DAY, by="others", reason="second")
    with store.reading() as session:
        assert revocations.compromised(session, ["aa", "bb", None]) == {"aa"}


def test_living_certificates_with_a_key_are_found_in_all_accounts(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES V3: of deleted orders too, and each of an order with several"""
    key = {"public_key_sha256": "aa" * 32}
    here, there, gone = order(ssl_id=1), order(ssl_id=1, account="other"), order(ssl_id=2, deleted_at=now)
    revoked, half = order(ssl_id=3, status=OrderStatus.REVOKED), order(ssl_id=4)
    stored(
        store, certificate(here, 1, **key), certificate(there, 2, **key), certificate(gone, 3, **key), certificate(revoked, 4, **key),
        certificate(half, 5, **key), certificate(half, 6, **key), certificate(order(), 7, not_after=now, **key), certificate(order(), 8), now=now)
    planned = plan(store, half, now, serial_number="5")
    with store.transaction() as session:
        revocations.done(session, planned, now=now)
    with store.reading() as session:
        found = {one.serial_number for _, one in certificates.living_with_keys(session, ["aa" * 32], now=now)}
        assert found == {"1", "2", "3", "6"}
        assert certificates.living_with_keys(session, [], now=now) == []


def test_a_serial_number_finds_the_order_of_any_of_its_certificates(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES N6: before a reissue, and before it is fetched; not of deleted orders and other accounts"""
    reissued, unfetched = order(ssl_id=1, serial_number="2"), order(ssl_id=2, serial_number="9")
    order(ssl_id=3, serial_number="9", deleted_at=now)
    order(ssl_id=3, serial_number="9", account="other")
    stored(store, certificate(reissued, 1), certificate(reissued, 2), now=now)
    with store.reading() as session:
        for serial, expected in (("1", [reissued]), ("2", [reissued]), ("9", [unfetched]), ("3", [])):
            assert [one.id for one in orders.with_serial_number(session, "default", serial)] == expected
        assert certificates.with_serial_number(session, reissued, "1").serial_number == "1"    # type: ignore[union-attr]
        assert certificates.with_serial_number(session, unfetched, "9") is None


def test_a_successor_counts_once_it_is_issued_and_delivered(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES V2"""
    old, other = order(), order()
    new = order(predecessor_id=old)
    order(predecessor_id=other, status=OrderStatus.APPLIED)
    leaf = certificate(new)
    stored(store, leaf, now=now)
    with store.transaction() as session:
        assert certificates.with_live_successor(session, [old, other]) == set()
        certificates.delivered(session, leaf.id, version=1, now=now)
        assert certificates.with_live_successor(session, [old, other]) == {old}


def test_a_removed_certificate_keeps_its_row_and_its_first_moment(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D5"""
    leaf = certificate(order())
    stored(store, leaf, now=now)
    for moment in (now, now + DAY):
        with store.transaction() as session:
            certificates.remove(session, leaf.id, now=moment)
    with store.reading() as session:
        assert certificates.certificate(session, leaf.id).removed_at == now    # type: ignore[union-attr]


@pytest.mark.parametrize("status", [OrderStatus.PLANNED, OrderStatus.SUBMITTING, OrderStatus.SUBMITTED, OrderStatus.REQUESTED, OrderStatus.APPLIED])
def test_an_order_under_way_is_not_deleted(store: Store, order: Make, now: datetime, status: OrderStatus) -> None:
    """DESIGN 1.9"""
    id_ = order(status=status)
    with pytest.raises(ConflictError, match="another run was faster"), store.transaction() as session:
        orders.delete_here(session, id_, now=now, run=None)


def test_an_order_with_something_unsettled_is_not_deleted(store: Store, order: Make, submission: Make, now: datetime) -> None:
    """RULES E5: a reissue that a poll sends at this moment"""
    id_ = order()
    submission(order_id=id_, status=SubmissionStatus.SUBMITTING)
    with pytest.raises(ConflictError), store.transaction() as session:
        orders.delete_here(session, id_, now=now, run=None)


def test_of_two_that_delete_an_order_one_is_told_that_the_other_was_faster(store: Store, order: Make, at_once: AtOnce, now: datetime) -> None:
    """DESIGN 8.6"""
    id_ = order(ssl_id=7)

    def delete(_: int) -> None:
        with store.transaction() as session:
            orders.delete_here(session, id_, now=now, run=None)
    answers = at_once(delete, range(3))
    assert sorted(type(one).__name__ for one in answers) == ["ConflictError", "ConflictError", "NoneType"]
    with store.reading() as session:
        assert [one.kind for one in orders.history(session, id_)] == ["deleted"]
        assert [one.id for one in orders.named(session, "default", "7", deleted=True)] == [id_]
        assert orders.named(session, "default", "7") == []


def test_a_deleted_order_leaves_its_licence(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D4"""
    stored(store, certificate(order(deleted_at=now), 1), certificate(order(), 2), now=now)
    with store.reading() as session:
        assert certificates.licences_used(session, now=now) == 1


def test_a_key_is_shared_by_its_hash_or_by_name_with_orders_that_are_not_deleted(
    store: Store, order: Make, submission: Make, now: datetime,
) -> None:
    """DESIGN 4: destroy_key"""
    id_ = order()
    alone, hashed, named, left, unknown = (
        submission(order_id=id_, public_key_sha256=key) for key in ("aa", "bb", "cc", "dd", None))
    submission(order_id=id_, public_key_sha256="aa")
    submission(order_id=order(), public_key_sha256="bb")
    submission(order_id=order(), reuse_of=named)
    submission(order_id=order(deleted_at=now), public_key_sha256="dd")
    submission(order_id=order(), public_key_sha256=None)
    with store.reading() as session:
        shared = submissions.sharing_keys(session, id_)
    assert shared == {hashed, named}
    assert not {alone, left, unknown} & shared


def test_a_revocation_goes_with_an_imported_row_that_gives_way(store: Store, order: Make, imported: Make, now: datetime) -> None:
    """RULES E3, V1"""
    row_id, ours = imported(7), order(status=OrderStatus.SUBMITTING)
    planned, after = plan(store, row_id, now, due_at=now), plan(store, order(), now, successor_id=row_id, after_days=1)
    with store.transaction() as session:
        orders.give_way(session, "default", 7, to=ours)
    assert row(store, planned).order_id == ours
    assert row(store, after).successor_id == ours
