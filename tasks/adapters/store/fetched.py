"""What orders say of their certificates: read and written for many orders at once, without rows as objects."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Table, bindparam, inspect, select, update
from sqlmodel import Session

from models.orders import CertificateOrder

_ORDERS: Table = inspect(CertificateOrder).local_table    # type: ignore[assignment]  # each class has a table of its own
_COLUMNS = _ORDERS.c


class Facts(NamedTuple):
    """The columns that fetching writes."""

    waiting_because: str | None
    serial_number: str | None
    issued_at: datetime | None
    expires_at: datetime | None


def facts(session: Session, order_ids: Iterable[UUID]) -> dict[UUID, Facts]:
    """As the orders are now; those that are no more are missing."""
    found = session.execute(select(
        _COLUMNS.id, _COLUMNS.waiting_because, _COLUMNS.serial_number, _COLUMNS.issued_at, _COLUMNS.expires_at,
    ).where(_COLUMNS.id.in_(list(order_ids))))
    return {id_: Facts(*others) for id_, *others in found}


def write(session: Session, before: Mapping[UUID, Facts], after: Mapping[UUID, Facts]) -> None:
    """Bring orders to what was fetched. Where that overwrites what SCM's report said, its digest is worth nothing (see `orders.digests`)."""
    changed = {id_: facts for id_, facts in after.items() if facts != before[id_]}
    overwritten = {id_ for id_, facts in changed.items() if _overwrites(before[id_], facts)}
    _update(session, [{"order": id_, **facts._asdict()} for id_, facts in changed.items() if id_ not in overwritten])
    _update(session, [{"order": id_, "report_digest": None, **changed[id_]._asdict()} for id_ in overwritten])


def _overwrites(before: Facts, after: Facts) -> bool:
    return any(old not in (None, new) for old, new in zip(before[1:], after[1:], strict=True))    # the first is our own word


def mark_waiting(session: Session, because: Mapping[UUID, str]) -> None:
    """Say why certificates are not here, by order."""
    _update(session, [{"order": id_, "waiting_because": why} for id_, why in because.items()])


def _update(session: Session, changes: Sequence[Mapping[str, object]]) -> None:
    if changes:
        columns = changes[0].keys() - {"order"}
        session.execute(
            update(_ORDERS).where(_COLUMNS.id == bindparam("order")).values({name: bindparam(name) for name in sorted(columns)}), list(changes),
        )
