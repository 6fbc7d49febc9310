"""Queries of orders, and the upsert of what SCM showed: in batches, with one query to learn what is known."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, delete, exists, func, insert, text, update
from sqlmodel import Session, col, select

from models.choosing import as_id
from models.errors import ConflictError, InputError, NotFoundError
from models.marker import marked_by
from models.names import normalise
from models.orders import IMPORTED, Certificate, CertificateOrder, OrderEvent, Revocation, Run, Submission
from models.records import OrderRecord
from models.status import OPEN, OPEN_AT_SCM, UNSETTLED_HERE, OrderStatus, order_status
from tasks.adapters.store.rows import differing, event, new_row

UPSERT_LOCK = 0x75707372
"""PostgreSQL advisory lock, per account. SQLite's writers are one after the other anyway."""

ALL_AT_ONCE = MappingProxyType({"render_nulls": True})
"""Without it, rows that lack different values are inserted by a statement each."""


@dataclass(frozen=True, kw_only=True)
class Upserted:
    """What a batch did. `unreadable` names rows that keep their old status or could not be taken, one sentence each."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    unreadable: tuple[str, ...] = ()


def record_event(
    session: Session, order_id: UUID, kind: str, detail: str = "", *, now: datetime, run: Run | None, by: str = ""
) -> None:
    """Write down that something happened to an order."""
    record_events(session, [event(order_id, kind, detail, now=now, run=run, by=by)])


def record_events(session: Session, events: Sequence[dict[str, Any]]) -> None:
    """Write down what happened to many orders; see `rows.event`."""
    if events:
        session.execute(insert(OrderEvent), events, execution_options=ALL_AT_ONCE)


def one_after_the_other(session: Session, live_name: str) -> None:
    """Two orders for one live name at once: the second sees what the first wrote. SQLite's writers wait for each other anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": live_name})


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


def open_orders(session: Session, account: str, *, most: int | None = None) -> list[CertificateOrder]:
    """Orders that SCM knows and has not decided, oldest request first."""
    return list(session.exec(
        select(CertificateOrder).where(
            CertificateOrder.account == account, col(CertificateOrder.status).in_(OPEN_AT_SCM), col(CertificateOrder.ssl_id).is_not(None),
            col(CertificateOrder.deleted_at).is_(None),
        ).order_by(col(CertificateOrder.requested_at)).limit(most)
    ))


def open_ids(session: Session, account: str) -> tuple[list[int], datetime | None]:
    """SCM's ids of the orders of `open_orders`, and when the first of them was requested; without the rows, which may be many."""
    found = session.exec(
        select(CertificateOrder.ssl_id, CertificateOrder.requested_at).where(
            CertificateOrder.account == account, col(CertificateOrder.status).in_(OPEN_AT_SCM), col(CertificateOrder.ssl_id).is_not(None),
            col(CertificateOrder.deleted_at).is_(None),
        ).order_by(col(CertificateOrder.requested_at))
    ).all()
    return [id_ for id_, _ in found if id_ is not None], next((at for _, at in found if at), None)


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


def delete_here(session: Session, id_: UUID, *, now: datetime, run: Run | None) -> None:
    """Mark an order as deleted here; the row stays, so that no import brings it back. Raises: ConflictError when it is under way again."""
    unsettled = exists().where(col(Submission.order_id) == id_, col(Submission.status).in_([status.value for status in UNSETTLED_HERE]))
    moved = session.execute(update(CertificateOrder).where(
        col(CertificateOrder.id) == id_, col(CertificateOrder.deleted_at).is_(None), col(CertificateOrder.status).not_in(OPEN), ~unsettled,
    ).values(deleted_at=now))
    assert isinstance(moved, CursorResult)  # noqa: S101 - an UPDATE always answers with a cursor
    if moved.rowcount != 1:
        raise ConflictError(f"order {id_} changed meanwhile: another run was faster, look at it and delete it again")
    record_event(session, id_, "deleted", "here only; SCM keeps it", now=now, run=run)


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


def upsert(
    session: Session, account: str, records: Sequence[OrderRecord], *, now: datetime, run: Run | None, include_deleted: bool = False
) -> Upserted:
    """Write a batch of what SCM showed.

    A field that a record lacks stays as it is. A status we do not know keeps the row's old one (RULES S4). What a person deleted
    here stays deleted unless `include_deleted`. A new row with the marker of a submission that is not settled is left to be
    settled, so that an order in doubt does not get a second row (RULES E3).
    """
    if session.get_bind().dialect.name == "postgresql":    # two imports at once would both insert what is new
        session.execute(text("SELECT pg_advisory_xact_lock(:lock, hashtext(:account))"), {"lock": UPSERT_LOCK, "account": account})
    records = list({record.ssl_id: record for record in records}.values())
    known = by_ssl_ids(session, account, [record.ssl_id for record in records])
    unsettled = _unsettled(session, account, [record for record in records if record.ssl_id not in known])
    inserts: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    unreadable: list[str] = []
    changed = 0
    for record in records:
        status = order_status(record.status_word)
        if status is None:
            unreadable.append(f"order {record.ssl_id} has the status {record.status_word[:60]!r}, which this Certflow does not know")
        row = known.get(record.ssl_id)
        if row is not None:
            if row.deleted_at is not None and not include_deleted:
                continue
            change = update_from(row, record, status, now=now, run=run)
            changed += change is not None
            events += [change] if change else []
        elif status is not None and marked_by(record.comments) not in unsettled:
            inserts.append(new_row(account, record, status, now=now))
            events.append(event(inserts[-1]["id"], "imported", f"found at SCM as {record.status_word}", now=now, run=run))
    session.flush()
    if inserts:
        session.execute(insert(CertificateOrder), inserts, execution_options=ALL_AT_ONCE)
    record_events(session, events)
    return Upserted(seen=len(records), new=len(inserts), changed=changed, unreadable=tuple(unreadable))


def update_from(
    row: CertificateOrder, record: OrderRecord, status: OrderStatus | None, *, now: datetime, run: Run | None
) -> dict[str, Any] | None:
    """Bring a known row to what SCM says; the event to record when something changed."""
    before = row.status
    facts = differing(row, record, status)
    if row.deleted_at is not None:
        facts["deleted_at"] = None
    for name, value in facts.items():
        setattr(row, name, value)
    if not facts:
        return None
    row.changed_at = now
    detail = f"{before} -> {row.status}" if row.status != before else "changed: " + ", ".join(sorted(facts))
    return event(row.id, "status" if row.status != before else "changed", detail, now=now, run=run)


def give_way(session: Session, account: str, ssl_id: int, *, to: UUID) -> None:
    """Let an imported row with this SCM id become part of the order `to`, which was in doubt and is adopted now.

    Its certificates go: nobody compared them with what was ordered (RULES D3), and they are fetched again.
    """
    row = by_ssl_ids(session, account, [ssl_id]).get(ssl_id)
    if row is None or row.id == to:
        return
    if row.origin != IMPORTED:
        raise ConflictError(f"{ssl_id} is linked to order {row.id} already")
    session.execute(delete(Certificate).where(col(Certificate.order_id) == row.id))
    session.execute(update(OrderEvent).where(col(OrderEvent.order_id) == row.id).values(order_id=to))
    session.execute(update(CertificateOrder).where(col(CertificateOrder.predecessor_id) == row.id).values(predecessor_id=to))
    session.execute(update(Revocation).where(col(Revocation.order_id) == row.id).values(order_id=to))
    session.execute(update(Revocation).where(col(Revocation.successor_id) == row.id).values(successor_id=to))
    session.delete(row)
    session.flush()


def mark_waiting(session: Session, id_: UUID, because: str | None) -> None:
    """Say why an issued order's certificate is not here or not delivered."""
    session.execute(update(CertificateOrder).where(col(CertificateOrder.id) == id_).values(waiting_because=because))


def needing_attention(session: Session, account: str) -> Iterator[tuple[CertificateOrder, Submission | None]]:
    """Orders that are unsettled, wait for approval or whose certificate waits; with their newest submission."""
    found = session.exec(
        select(CertificateOrder).where(
            CertificateOrder.account == account, col(CertificateOrder.deleted_at).is_(None),
            col(CertificateOrder.status).in_([*UNSETTLED_HERE, OrderStatus.REQUESTED, OrderStatus.SA_APPROVED])
            | (col(CertificateOrder.waiting_because).is_not(None) & (col(CertificateOrder.status) == OrderStatus.ISSUED)),
        ).order_by(col(CertificateOrder.created_at)).limit(500)
    )
    for row in found:
        newest = session.exec(select(Submission).where(Submission.order_id == row.id).order_by(col(Submission.created_at).desc())).first()
        yield row, newest


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


def _unsettled(session: Session, account: str, records: Sequence[OrderRecord]) -> set[UUID | None]:
    marks = {mark for record in records if (mark := marked_by(record.comments))}
    if not marks:
        return set()
    found = session.exec(select(Submission.id).where(
        Submission.account == account, col(Submission.id).in_(marks), col(Submission.status).in_([status.value for status in UNSETTLED_HERE])
    ))
    return {*found}
