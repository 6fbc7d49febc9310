"""What is due: what `live/` serves, from when on it is renewed and until when it lasts, on both databases."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from models.orders import Certificate, CertificateOrder
from models.policy import renewal_from
from models.status import OrderStatus
from tasks.adapters.store import Store, certificates, migrate, orders, renewals
from tasks.adapters.store.schema import MIGRATIONS

Make = Callable[..., UUID]
FAR = timedelta(days=1000)


@pytest.fixture
def delivered(store: Store, order: Make, certificate: Callable[..., Certificate], now: datetime) -> Callable[..., tuple[UUID, UUID]]:
    """A delivered certificate, of a new order unless one is given: order and certificate. `live` names the entry."""
    def make(
        number: int, order_id: UUID | None = None, *, live: str = "www", after: int = 0, facts: Any = None, **of_certificate: Any,
    ) -> tuple[UUID, UUID]:
        id_ = order_id or order(ssl_id=number, live_name=live, **(facts or {}))
        with store.transaction() as session:
            one = certificate(id_, number, **of_certificate)
            certificates.add(session, [one], limit=None, now=now)
            certificates.delivered(session, one.id, version=number, now=now + timedelta(minutes=after))
        return id_, one.id
    return make


@pytest.fixture
def row(store: Store) -> Callable[[UUID], CertificateOrder]:
    def read(id_: UUID) -> CertificateOrder:
        with store.reading() as session:
            return orders.order(session, id_)
    return read


def served(store: Store, now: datetime) -> list[UUID]:
    with store.reading() as session:
        return [one.order_id for one in renewals.served_orders(session, "default", "served_until", until=now + FAR)]


def test_an_order_says_until_when_it_is_served_and_from_when_on_it_is_renewed(delivered: Any, row: Any, now: datetime) -> None:
    """RULES R2: from the certificate's own dates, with the jitter of the order; a reissue counts anew"""
    one, _ = delivered(1)
    assert (row(one).served_until, row(one).renewal_from) == (end := now + timedelta(days=89), renewal_from(one, now - timedelta(days=1), end))
    delivered(2, one, after=1, not_before=now, not_after=now + timedelta(days=6))
    assert (row(one).served_until, row(one).renewal_from) == (end := now + timedelta(days=6), renewal_from(one, now, end))


def test_one_live_name_serves_one_order(store: Store, delivered: Any, row: Any, now: datetime) -> None:
    """RULES D2, R1: what a successor has replaced is not due, whatever becomes of that"""
    old, _ = delivered(1)
    other, _ = delivered(2, live="other")
    new, _ = delivered(3, facts={"predecessor_id": old})
    assert [row(id_).served_until is None for id_ in (old, other, new)] == [True, False, False]
    assert row(old).renewal_from is None
    assert sorted(served(store, now), key=str) == sorted([other, new], key=str)


def test_what_is_taken_out_of_the_repository_is_served_no_more(store: Store, delivered: Any, row: Any, now: datetime) -> None:
    """RULES D5: but the certificate that a reissue replaced is not what is served"""
    one, first = delivered(1)
    _, second = delivered(2, one, after=1)
    with store.transaction() as session:
        certificates.remove(session, first, now=now)
    assert row(one).served_until is not None
    with store.transaction() as session:
        certificates.remove(session, second, now=now)
    assert (row(one).served_until, row(one).renewal_from) == (None, None)


@pytest.mark.parametrize(("facts", "successor", "due"), [
    ({}, None, True), ({"status": OrderStatus.REVOKED}, None, False), ({"account": "other"}, None, False), ({"deleted_at": True}, None, False),
    ({}, OrderStatus.APPLIED, False), ({}, OrderStatus.PLANNED, False), ({}, OrderStatus.ISSUED, False), ({}, OrderStatus.DECLINED, True),
])
def test_what_is_due_is_issued_and_nobody_renews_it(
    store: Store, delivered: Any, order: Make, now: datetime, facts: dict[str, Any], successor: str | None, due: bool,
) -> None:
    """RULES R1, E5"""
    one, _ = delivered(1, facts={**facts, **({"deleted_at": now} if "deleted_at" in facts else {})})
    if successor:
        order(ssl_id=2, predecessor_id=one, status=successor, live_name="www")
    assert served(store, now) == ([one] if due else [])


def test_days_bound_what_is_due_and_the_first_comes_first(store: Store, delivered: Any, now: datetime) -> None:
    """RULES R2, R6"""
    ids = [
        delivered(number, live=f"host{number}", not_before=now, not_after=now + timedelta(days=days))[0] for number, days in ((1, 9), (2, 3), (3, 6))
    ]
    with store.reading() as session:
        def found(day: renewals.Day, **bounds: Any) -> list[UUID]:
            return [one.order_id for one in renewals.served_orders(session, "default", day, **bounds)]

        assert found("served_until", until=now + timedelta(days=6)) == [ids[1], ids[2]]
        assert found("served_until", after=now + timedelta(days=3), until=now + FAR, most=1) == [ids[2]]
        assert found("renewal_from", until=now + timedelta(days=2)) == [ids[1]]


def test_the_migration_finds_what_is_served(store: Store, database_url: str, delivered: Any, row: Any, order: Make, now: datetime) -> None:
    """What was delivered before there were these columns is renewed all the same (RULES R1, R2)."""
    old, _ = delivered(1)
    new, _ = delivered(2, after=1, facts={"predecessor_id": old})
    reissued, _ = delivered(3, live="reissued")
    delivered(4, reissued, after=1, not_after=now + timedelta(days=5))
    gone, certificate_id = delivered(5, live="gone")
    with store.transaction() as session:
        certificates.remove(session, certificate_id, now=now)
    ids = [old, new, reissued, gone, order(ssl_id=9)]
    before = [(row(id_).served_until, row(id_).renewal_from) for id_ in ids]
    assert [until is None for until, _ in before] == [True, False, False, True, True]
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0005-1")
        connection.commit()
    migrate(database_url)
    assert [(row(id_).served_until, row(id_).renewal_from) for id_ in ids] == before
    with store.reading() as session:
        assert session.execute(text("SELECT count(*) FROM certificate_order WHERE served_until IS NOT NULL")).scalar_one() == 2
