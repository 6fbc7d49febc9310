"""Change orders: the upsert of what SCM showed, in batches, with one query to learn what is known; and what happened to them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, delete, exists, text, update
from sqlmodel import Session, col, select

from models.errors import ConflictError
from models.marker import marked_by
from models.orders import IMPORTED, Certificate, CertificateOrder, OrderEvent, Revocation, Run, Submission
from models.records import OrderRecord, ReportedOrder
from models.status import OPEN, UNSETTLED_HERE, OrderStatus, order_status
from tasks.adapters.store import bulk
from tasks.adapters.store.orders.reading import by_ids, by_ssl_ids
from tasks.adapters.store.rows import EVENT, NEW, differing, event, happened, new_row

UPSERT_LOCK = 0x75707372
"""PostgreSQL advisory lock, per account. SQLite's writers are one after the other anyway."""


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
    bulk.insert(session, OrderEvent.__tablename__, EVENT, [tuple(one[column] for column in EVENT) for one in events])


def one_after_the_other(session: Session, live_name: str) -> None:
    """Two orders for one live name at once: the second sees what the first wrote. SQLite's writers wait for each other anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": live_name})


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


def upsert(
    session: Session, account: str, records: Sequence[OrderRecord], *, now: datetime, run: Run | None, include_deleted: bool = False
) -> Upserted:
    """Write a batch of what SCM showed.

    A field that a record lacks stays as it is. A status we do not know keeps the row's old one (RULES S4). What a person deleted
    here stays deleted unless `include_deleted`. A new row with the marker of a submission that is not settled is left to be
    settled, so that an order in doubt does not get a second row (RULES E3).
    """
    _alone(session, account)
    records = list({record.ssl_id: record for record in records}.values())
    known = bulk.known(session, account, [record.ssl_id for record in records])
    return _written(session, account, records, known, now=now, run=run, include_deleted=include_deleted)


def upsert_reported(
    session: Session, account: str, rows: Sequence[ReportedOrder], *, now: datetime, run: Run | None, include_deleted: bool = False,
    wants: Callable[[OrderRecord], bool] | None = None,
) -> tuple[Upserted, list[OrderRecord]]:
    """The same with rows of a report, and the orders that were read for it: a row that is here already just as it is says nothing new.

    Which rows are wanted, and which are deleted here, tells only the order: with either question all are read.
    """
    _alone(session, account)
    latest = {row.ssl_id: row for row in rows}
    known = bulk.known(session, account, list(latest))
    new = [
        row for row in latest.values()
        if wants is not None or include_deleted or row.ssl_id not in known or known[row.ssl_id][1] != row.digest
    ]
    records = [record for row in new if (record := row.read()) is not None and (wants is None or wants(record))]
    return _written(session, account, records, known, now=now, run=run, include_deleted=include_deleted), records


def _alone(session: Session, account: str) -> None:
    """Two imports at once would both insert what is new: the second waits. SQLite's writers do anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock, hashtext(:account))"), {"lock": UPSERT_LOCK, "account": account})


def _written(
    session: Session, account: str, records: Sequence[OrderRecord], known: bulk.Known, *, now: datetime, run: Run | None,
    include_deleted: bool,
) -> Upserted:
    held = [known[record.ssl_id][0] for record in records if record.ssl_id in known]
    rows = by_ids(session, held) if held else {}
    unsettled = _unsettled(session, account, [record for record in records if record.ssl_id not in known])
    inserts: list[tuple[Any, ...]] = []
    found_as: dict[str, list[str]] = defaultdict(list)
    events: list[dict[str, Any]] = []
    unreadable: list[str] = []
    changed = 0
    for record in records:
        status = order_status(record.status_word)
        if status is None:
            unreadable.append(f"order {record.ssl_id} has the status {record.status_word[:60]!r}, which this Certflow does not know")
        if record.ssl_id in known:
            row = rows[known[record.ssl_id][0]]
            if row.deleted_at is not None and not include_deleted:
                continue
            change = update_from(row, record, status, now=now, run=run)
            changed += change is not None
            events += [change] if change else []
        elif status is not None and marked_by(record.comments) not in unsettled:
            inserts.append(new_row(account, record, status, now=now))
            found_as[record.status_word].append(inserts[-1][0])
    bulk.insert(session, "certificate_order", NEW, inserts)
    record_events(session, events)
    for word, ids in found_as.items():
        imported = happened("imported", f"found at SCM as {word}", now=now, run=run)
        bulk.insert_alike(session, OrderEvent.__tablename__, imported, "order_id", ids)
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
    if facts or record.digest is not None:
        row.report_digest = record.digest if status is not None else None    # a status that we do not know is told each time
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


def _unsettled(session: Session, account: str, records: Sequence[OrderRecord]) -> set[UUID | None]:
    marks = {mark for record in records if (mark := marked_by(record.comments))}
    if not marks:
        return set()
    found = session.exec(select(Submission.id).where(
        Submission.account == account, col(Submission.id).in_(marks), col(Submission.status).in_([status.value for status in UNSETTLED_HERE])
    ))
    return {*found}
