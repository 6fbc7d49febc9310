"""The repository: the licence limit, what is fetched, what waits, what is held."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.orders import NewCertificate
from models.status import OrderStatus
from tasks.adapters.store import Store, certificates
from tasks.adapters.store.certificates import Kept

Make = Callable[..., UUID]
Leaf = Callable[..., NewCertificate]
AtOnce = Callable[..., list[Any]]
DAY = timedelta(days=1)


def add(store: Store, new: NewCertificate, *, now: datetime, limit: int | None = None) -> bool:
    with store.transaction() as session:
        return certificates.add(session, [new], limit=limit, now=now) != [Kept.NO_ROOM]


def used(store: Store, now: datetime) -> int:
    with store.reading() as session:
        return certificates.licences_used(session, now=now)


def test_certificates_count_over_all_accounts(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D4"""
    for number, account in enumerate(("default", "other", "third"), 1):
        assert add(store, certificate(order(account=account), number), now=now)
    assert used(store, now) == 3
    assert add(store, certificate(order(account="fourth"), 4), now=now, limit=3) is False
    assert add(store, certificate(order(account="fourth"), 4), now=now, limit=4) is True


@pytest.mark.parametrize(("facts", "status"), [
    ({"removed_at": True}, OrderStatus.ISSUED), ({"not_after": True}, OrderStatus.ISSUED), ({}, OrderStatus.REVOKED),
])
def test_removed_expired_and_revoked_ones_leave_their_place(
    store: Store, order: Make, certificate: Leaf, now: datetime, facts: dict[str, Any], status: OrderStatus,
) -> None:
    """RULES D4"""
    assert add(store, certificate(order(status=status), 1, **dict.fromkeys(facts, now)), now=now, limit=1)
    assert used(store, now) == 0
    assert add(store, certificate(order(), 2), now=now, limit=1)
    assert add(store, certificate(order(), 3), now=now, limit=1) is False


@pytest.mark.parametrize("start", [timedelta(hours=1), timedelta()])
def test_a_reissue_takes_the_place_of_what_it_replaces(store: Store, order: Make, certificate: Leaf, now: datetime, start: timedelta) -> None:
    """RULES D4: CAs round the start to the day, so both may start at the same moment."""
    id_ = order()
    old = certificate(id_, 1)
    assert add(store, old, now=now, limit=1)
    assert add(store, certificate(id_, 2, not_before=old.not_before + start, fetched_at=now + timedelta(hours=2)), now=now, limit=1)
    assert used(store, now) == 1
    with store.reading() as session:
        assert [one.serial_number for one in certificates.of_order(session, id_)] == ["2", "1"]


def test_a_renewal_takes_its_predecessors_place_once(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D4, R5: superseded is computed; a second successor finds the place taken."""
    old = order()
    assert add(store, certificate(old, 1), now=now, limit=1)
    assert add(store, certificate(order(predecessor_id=old), 2), now=now, limit=1)
    assert used(store, now) == 1
    assert add(store, certificate(order(predecessor_id=old), 3), now=now, limit=1) is False


def test_a_predecessor_that_does_not_count_has_no_place_to_give(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D4: else a revoked predecessor's successor would exceed the limit."""
    revoked = order(status=OrderStatus.REVOKED)
    add(store, certificate(revoked, 1), now=now)
    assert add(store, certificate(order(), 2), now=now, limit=1)
    assert add(store, certificate(order(predecessor_id=revoked), 3), now=now, limit=1) is False
    assert used(store, now) == 1


def test_the_same_certificate_twice_is_here_already(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D4: a step may run twice, full or not."""
    id_ = order()
    assert [add(store, certificate(id_, 1), now=now, limit=1) for _ in range(2)] == [True, True]
    assert used(store, now) == 1


@pytest.mark.parametrize("limit", [1, None])
def test_the_same_certificate_by_several_at_once_is_kept_once(
    store: Store, order: Make, certificate: Leaf, now: datetime, at_once: AtOnce, limit: int | None,
) -> None:
    """DESIGN 8.5"""
    id_ = order()
    assert at_once(lambda _: add(store, certificate(id_, 1), now=now, limit=limit), range(4)) == [True] * 4
    assert used(store, now) == 1


def test_the_limit_holds_when_many_add_at_once(store: Store, order: Make, certificate: Leaf, now: datetime, at_once: AtOnce) -> None:
    """RULES D4: counting and adding are one transaction, over all accounts."""
    ids = [order(account=f"account-{number % 3}") for number in range(12)]
    answers = at_once(lambda number: add(store, certificate(ids[number], number + 1), now=now, limit=5), range(12))
    assert sorted(answers) == [False] * 7 + [True] * 5
    assert used(store, now) == 5


def test_of_many_at_once_as_many_are_kept_as_there_is_room_for(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D4: what was superseded gives its place back, what takes a place needs none, what is here already counts once."""
    old, here = order(), order()
    first = certificate(old, 1)
    add(store, first, now=now)
    add(store, certificate(old, 2, not_before=first.not_before + timedelta(hours=1)), now=now)
    add(store, certificate(here, 3), now=now)
    new = [
        certificate(order(), 4), certificate(here, 3), certificate(order(predecessor_id=old), 5), certificate(order(), 6), certificate(order(), 7),
    ]
    with store.transaction() as session:
        assert certificates.room(session, 9, limit=4, now=now) == 2
        kept = certificates.add(session, new, limit=4, now=now)
    assert kept == [Kept.ADDED, Kept.KNOWN, Kept.ADDED, Kept.ADDED, Kept.NO_ROOM]
    assert used(store, now) == 4


def test_a_limit_of_nothing_lets_nothing_in(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D4"""
    assert add(store, certificate(order(), 1), now=now, limit=0) is False


def missing(store: Store, **narrow: Any) -> list[int | None]:
    with store.reading() as session:
        return [one.ssl_id for one in certificates.not_fetched(session, "default", **narrow)]


def test_issued_orders_without_their_newest_certificate_are_to_be_fetched(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """DESIGN 1.5, RULES D3"""
    ids = {ssl_id: order(ssl_id=ssl_id, serial_number=serial) for ssl_id, serial in ((1, None), (2, "2"), (3, "ff"), (4, "4"), (5, None), (6, "6"))}
    order(ssl_id=7, status=OrderStatus.APPLIED)
    order(ssl_id=8, deleted_at=now)
    order(ssl_id=9, account="other")
    for ssl_id in (2, 3, 5):
        add(store, certificate(ids[ssl_id], ssl_id), now=now)
    add(store, certificate(ids[4], 4, never_deliver=True, held_because="wrong key"), now=now)
    add(store, certificate(ids[6], 6, removed_at=now), now=now)
    # 1 has none, 3 has an older one, 4 has one that is never delivered: SCM is asked again. 6 was removed by a person.
    assert missing(store) == [1, 3, 4]
    assert missing(store, after=1, most=1) == [3]
    assert missing(store, order_ids=[ids[4], ids[5]]) == [4]
    assert missing(store, order_ids=[]) == []


def undelivered(store: Store, **narrow: Any) -> list[str]:
    with store.reading() as session:
        return sorted(one.serial_number for one in certificates.not_delivered(session, "default", **narrow))


def test_fetched_certificates_with_a_live_name_are_to_be_delivered(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D1, D2"""
    ours = order(live_name="www.example.com")
    for number, (id_, facts) in enumerate([
        (ours, {}), (order(), {}), (order(live_name="a.example.com", status=OrderStatus.REVOKED), {}),
        (order(live_name="b.example.com", deleted_at=now), {}),
        (order(live_name="c.example.com", account="other"), {}), (order(live_name="d.example.com"), {"delivered_at": now}),
        (order(live_name="e.example.com"), {"held_because": "a name is missing"}), (order(live_name="f.example.com"), {"removed_at": now}),
        (order(live_name="g.example.com"), {"never_deliver": True}),
    ], 1):
        add(store, certificate(id_, number, **facts), now=now)
    assert undelivered(store) == ["1"]
    assert undelivered(store, order_ids=[ours]) == ["1"]
    assert undelivered(store, order_ids=[]) == []


@pytest.mark.parametrize(("facts", "expected"), [({}, ["2"]), ({"removed_at": True}, ["1"]), ({"held_because": "a name is missing"}, ["1"])])
@pytest.mark.parametrize("start", [DAY, timedelta()])
def test_of_two_the_newer_is_delivered_unless_it_is_removed_or_held(
    store: Store, order: Make, certificate: Leaf, now: datetime, facts: dict[str, Any], expected: list[str], start: timedelta,
) -> None:
    """RULES D3: hold, the old one stays live."""
    id_ = order(live_name="www.example.com")
    old = certificate(id_, 1)
    begins = old.not_before + start
    add(store, old, now=now)
    more = {name: now if value is True else value for name, value in facts.items()}
    add(store, certificate(id_, 2, not_before=begins, fetched_at=now + DAY, **more), now=now)
    assert undelivered(store) == expected


def test_a_delivered_one_is_remembered_with_its_version(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D1"""
    new = certificate(order(live_name="www.example.com"), 1)
    id_ = new.id
    add(store, new, now=now)
    with store.transaction() as session:
        certificates.delivered(session, id_, version=3, now=now)
    with store.reading() as session:
        found = certificates.certificate(session, id_)
    assert found is not None
    assert (found.live_version, found.delivered_at) == (3, now)
    assert undelivered(store) == []


def held(store: Store) -> list[str]:
    with store.reading() as session:
        return sorted(one.serial_number for _, one in certificates.held(session, "default"))


def test_held_ones_are_listed_until_a_newer_one_came_or_a_person_accepts(store: Store, order: Make, certificate: Leaf, now: datetime) -> None:
    """RULES D3, E7"""
    accepted, followed, waits = (order(live_name=f"{name}.example.com") for name in "abc")
    first = certificate(accepted, 1, held_because="a name is missing")
    id_ = first.id
    add(store, first, now=now)
    add(store, certificate(followed, 2, held_because="a name is missing"), now=now)
    add(store, certificate(followed, 3, not_before=now), now=now)
    add(store, certificate(waits, 4, held_because="wrong key", never_deliver=True), now=now)
    add(store, certificate(order(deleted_at=now), 5, held_because="a name is missing"), now=now)
    add(store, certificate(order(status=OrderStatus.REVOKED), 6, held_because="a name is missing"), now=now)
    add(store, certificate(order(), 7, held_because="a name is missing", removed_at=now), now=now)
    assert held(store) == ["1", "4"]
    with store.reading() as session:
        newest = certificates.held_of(session, accepted)
        assert newest is not None
        assert newest.id == id_
        assert certificates.held_of(session, followed) is None
    with store.transaction() as session:
        certificates.accept(session, id_)
    assert held(store) == ["4"]
    assert undelivered(store) == ["1", "3"]
