"""Which orders there are: by id, by name, by what they hold."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func
from sqlmodel import Session, col, select

from models.choosing import as_id
from models.errors import InputError, NotFoundError
from models.names import normalise
from models.orders import IMPORTED, Certificate, CertificateOrder, OrderEvent
from models.status import OPEN_AT_SCM, OrderStatus


class AtScm(NamedTuple):
    """What it takes to ask SCM for an order; many of them cost a hundredth of so many rows."""

    ssl_id: int
    requested_at: datetime | None


def order(session: Session, id_: UUID) -> CertificateOrder:
    """Raises: NotFoundError."""
    found = session.get(CertificateOrder, id_, populate_existing=True)
    if found is None:
        raise NotFoundError(f"there is no order {id_}")
    return found


def by_ids(session: Session, ids: Iterable[UUID]) -> dict[UUID, CertificateOrder]:
    """The orders with these ids, as far as there are any."""
    found = session.exec(select(CertificateOrder).where(col(CertificateOrder.id).in_(list(ids))).execution_options(populate_existing=True))
    return {row.id: row for row in found}


def by_ssl_ids(session: Session, account: str, ssl_ids: Iterable[int]) -> dict[int, CertificateOrder]:
    """The account's orders with these SCM ids."""
    found = session.exec(select(CertificateOrder).where(CertificateOrder.account == account, col(CertificateOrder.ssl_id).in_(list(ssl_ids))))
    return {row.ssl_id: row for row in found if row.ssl_id is not None}


def history(session: Session, id_: UUID) -> list[OrderEvent]:
    """What happened to an order, oldest first."""
    return list(session.exec(select(OrderEvent).where(OrderEvent.order_id == id_).order_by(col(OrderEvent.at), col(OrderEvent.id))))


def open_orders(session: Session, account: str, *, most: int | None = None) -> list[AtScm]:
    """Orders that SCM knows and has not decided, oldest request first."""
    query: Any = select(CertificateOrder.ssl_id, CertificateOrder.requested_at).where(
        CertificateOrder.account == account, col(CertificateOrder.status).in_(OPEN_AT_SCM), col(CertificateOrder.ssl_id).is_not(None),
        col(CertificateOrder.deleted_at).is_(None),
    )
    return [AtScm(*row) for row in session.exec(query.order_by(col(CertificateOrder.requested_at)).limit(most))]


def named(session: Session, account: str, name: str, *, deleted: bool = False) -> list[CertificateOrder]:
    """The account's orders that a text means: an sslId, an order's UUID or a common name; newest first. Deleted ones only if asked for."""
    gone = col(CertificateOrder.deleted_at)
    query = select(CertificateOrder).where(CertificateOrder.account == account, gone.is_not(None) if deleted else gone.is_(None))
    if (ssl_id := as_id(name)) is not None:
        query = query.where(CertificateOrder.ssl_id == ssl_id)
    else:
        try:
            query = query.where(CertificateOrder.id == UUID(name))
        except ValueError:
            query = query.where(col(CertificateOrder.common_name).in_(_spellings(name)))
    return list(session.exec(query.order_by(col(CertificateOrder.created_at).desc(), col(CertificateOrder.ssl_id).desc())))


def with_serial_number(session: Session, account: str, serial_number: str) -> list[CertificateOrder]:
    """The account's orders of which one certificate has this serial number, deleted ones left out (RULES N6)."""
    stored = select(Certificate.order_id).where(Certificate.serial_number == serial_number)
    return list(session.exec(
        select(CertificateOrder).where(
            CertificateOrder.account == account, col(CertificateOrder.deleted_at).is_(None),
            (col(CertificateOrder.serial_number) == serial_number) | col(CertificateOrder.id).in_(stored),
        ).order_by(col(CertificateOrder.created_at).desc())
    ))


def holder_of(session: Session, live_name: str) -> list[CertificateOrder]:
    """Orders of any account that hold or held a live name, newest first (RULES D2)."""
    return list(session.exec(
        select(CertificateOrder).where(CertificateOrder.live_name == live_name, col(CertificateOrder.deleted_at).is_(None))
        .order_by(col(CertificateOrder.created_at).desc())
    ))


def count(session: Session, account: str) -> int:
    """How many orders of the account SCM showed us, deleted ones included."""
    return session.exec(
        select(func.count()).select_from(CertificateOrder).where(CertificateOrder.account == account, col(CertificateOrder.ssl_id).is_not(None))
    ).one()


def counts_by_status(session: Session, account: str) -> dict[str, int]:
    """How many orders stand in each status."""
    return dict(session.exec(
        select(CertificateOrder.status, func.count()).where(CertificateOrder.account == account, col(CertificateOrder.deleted_at).is_(None))
        .group_by(CertificateOrder.status)
    ).all())


def known_ssl_ids(session: Session, account: str, ssl_ids: Sequence[int]) -> set[int]:
    """Those of `ssl_ids` that we have a row for, deleted or not."""
    known: set[int] = set()
    for first in range(0, len(ssl_ids), 500):
        known.update(
            id_ for id_ in session.exec(select(CertificateOrder.ssl_id).where(
                CertificateOrder.account == account, col(CertificateOrder.ssl_id).in_(ssl_ids[first:first + 500])
            )) if id_ is not None
        )
    return known


def ssl_ids_named(session: Session, account: str, common_name: str) -> set[int]:
    """SCM's ids of the account's orders for a common name, deleted or not."""
    found = session.exec(select(CertificateOrder.ssl_id).where(
        CertificateOrder.account == account, col(CertificateOrder.common_name).in_(_spellings(common_name)),
    ))
    return {id_ for id_ in found if id_ is not None}


def changed_since(session: Session, account: str, since: datetime, *, most: int) -> list[UUID]:
    """Orders placed here to which something happened since then, the latest first."""
    return list(session.exec(
        select(CertificateOrder.id).join(OrderEvent, col(OrderEvent.order_id) == col(CertificateOrder.id)).where(
            CertificateOrder.account == account, CertificateOrder.origin != IMPORTED, col(OrderEvent.at) >= since,
        ).group_by(col(CertificateOrder.id)).order_by(func.max(OrderEvent.at).desc()).limit(most)
    ))


def ending_first(session: Session, account: str, *, now: datetime, most: int = 50) -> list[CertificateOrder]:
    """Issued orders whose end comes first."""
    return list(session.exec(
        select(CertificateOrder).where(
            CertificateOrder.account == account, CertificateOrder.status == OrderStatus.ISSUED, col(CertificateOrder.deleted_at).is_(None),
            col(CertificateOrder.expires_at) > now,
        ).order_by(col(CertificateOrder.expires_at)).limit(most)
    ))


def _spellings(name: str) -> set[str]:
    """As it was typed, which is how an imported row may hold it, and as we write names (RULES N1)."""
    try:
        return {name, name.lower(), normalise(name)}
    except InputError:
        return {name, name.lower()}
