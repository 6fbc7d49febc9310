"""Revocations that are planned or done, and keys that are compromised (RULES R5, V3, K5)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, exists, func, text, update
from sqlmodel import Session, col, select

from models.errors import ConflictError
from models.orders import Certificate, CertificateOrder, CompromisedKey, Revocation
from models.parameters import KEY_COMPROMISE
from models.status import OrderStatus

PLAN_LOCK = 0x7265766F
"""PostgreSQL advisory lock, per account."""

PLANNED = "planned"
DONE = "done"
REFUSED = "refused"


def plan(session: Session, new: Revocation) -> Revocation:
    """Write down that a certificate is to be revoked; the one that is planned already for the same certificate, if there is one.

    Of two plans the earlier moment counts, with its reason; a key compromise is the reason in any case (RULES V3).
    """
    if session.get_bind().dialect.name == "postgresql":    # two at once would both plan it. SQLite's writers wait for each other anyway
        session.execute(text("SELECT pg_advisory_xact_lock(:lock, hashtext(:account))"), {"lock": PLAN_LOCK, "account": new.account})
    for known in of_order(session, new.order_id):
        if known.status == PLANNED and known.serial_number == new.serial_number:
            if new.reason_code == KEY_COMPROMISE or (known.reason_code != KEY_COMPROMISE and _earlier(new.due_at, known.due_at)):
                known.reason_code, known.reason, known.requested_by = new.reason_code, new.reason, new.requested_by
            known.due_at = min((moment for moment in (known.due_at, new.due_at) if moment), default=None)
            known.successor_id = new.successor_id or known.successor_id
            known.after_days = known.after_days if new.after_days is None else new.after_days
            known.remove = known.remove or new.remove
            session.flush()
            return known
    session.add(new)
    session.flush()
    return new


def _earlier(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one < other)


def by_ids(session: Session, ids: Iterable[UUID]) -> list[Revocation]:
    """These revocations, oldest first."""
    query = select(Revocation).where(col(Revocation.id).in_(list(ids))).order_by(col(Revocation.created_at))
    return list(session.exec(query.execution_options(populate_existing=True)))


def of_order(session: Session, order_id: UUID) -> list[Revocation]:
    """An order's revocations, oldest first."""
    return list(session.exec(select(Revocation).where(Revocation.order_id == order_id).order_by(col(Revocation.created_at))))


def planned(session: Session, account: str) -> list[Revocation]:
    """What is still to be revoked, oldest first, due or not."""
    return list(session.exec(
        select(Revocation).where(Revocation.account == account, Revocation.status == PLANNED).order_by(col(Revocation.created_at))
    ))


def due(session: Session, account: str, *, now: datetime) -> list[Revocation]:
    """What is to be revoked now: its moment has come, or its successor was delivered long enough ago."""
    waiting = planned(session, account)
    delivered = dict(session.exec(
        select(Certificate.order_id, func.min(Certificate.delivered_at))
        .where(col(Certificate.order_id).in_([one.successor_id for one in waiting if one.successor_id]), col(Certificate.delivered_at).is_not(None))
        .group_by(col(Certificate.order_id))
    ).all())
    return [one for one in waiting if _has_come(one, delivered.get(one.successor_id) if one.successor_id else None, now)]


def _has_come(one: Revocation, successor_live_since: datetime | None, now: datetime) -> bool:
    if one.due_at is not None and one.due_at <= now:
        return True
    return successor_live_since is not None and successor_live_since + timedelta(days=one.after_days or 0) <= now


def done(session: Session, id_: UUID, *, now: datetime) -> None:
    """planned -> done. Raises: ConflictError when another run was faster."""
    _move(session, id_, DONE, done_at=now, error=None)


def refused(session: Session, id_: UUID, *, why: str) -> None:
    """planned -> refused, final, with SCM's words. Raises: ConflictError when another run was faster."""
    _move(session, id_, REFUSED, error=why)


def still_planned(session: Session, id_: UUID, *, why: str) -> None:
    """Say why it is not done yet."""
    session.execute(update(Revocation).where(col(Revocation.id) == id_, col(Revocation.status) == PLANNED).values(error=why))


def _move(session: Session, id_: UUID, status: str, **facts: Any) -> None:
    moved = session.execute(update(Revocation).where(col(Revocation.id) == id_, col(Revocation.status) == PLANNED).values(status=status, **facts))
    assert isinstance(moved, CursorResult)  # noqa: S101 - an UPDATE always answers with a cursor
    if moved.rowcount != 1:
        raise ConflictError(f"revocation {id_} is no longer planned: another run was faster")


def report_compromised(session: Session, public_key_sha256: str, *, now: datetime, by: str, reason: str) -> None:
    """Remember that a key is compromised. Twice is fine: the first report counts."""
    if session.get(CompromisedKey, public_key_sha256) is None:
        session.add(CompromisedKey(public_key_sha256=public_key_sha256, reported_at=now, reported_by=by, reason=reason))
        session.flush()


def compromised_unplanned(session: Session, account: str, *, now: datetime) -> list[tuple[CertificateOrder, Certificate, CompromisedKey]]:
    """Living certificates of the account with a compromised key whose revocation nobody has written down (RULES V3)."""
    written = exists().where(
        col(Revocation.order_id) == col(Certificate.order_id),
        col(Revocation.serial_number).is_(None) | (col(Revocation.serial_number) == col(Certificate.serial_number)),
    )
    return list(session.exec(
        select(CertificateOrder, Certificate, CompromisedKey)
        .join(Certificate, col(Certificate.order_id) == col(CertificateOrder.id))
        .join(CompromisedKey, col(CompromisedKey.public_key_sha256) == col(Certificate.public_key_sha256))
        .where(CertificateOrder.account == account, col(Certificate.not_after) > now, CertificateOrder.status == OrderStatus.ISSUED, ~written)
    ).all())


def compromised(session: Session, keys: Iterable[str | None]) -> set[str]:
    """Those of the public keys (SHA-256) that were reported as compromised."""
    return set(session.exec(select(CompromisedKey.public_key_sha256).where(col(CompromisedKey.public_key_sha256).in_([key for key in keys if key]))))
