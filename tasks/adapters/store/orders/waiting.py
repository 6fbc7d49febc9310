"""Orders that wait for something or somebody."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func
from sqlmodel import Session, col, select

from models.orders import IMPORTED, CertificateOrder, OrderEvent, Submission
from models.status import OPEN_AT_SCM, REFUSED_AT_SCM, UNSETTLED_HERE, WAITS_FOR_APPROVAL, OrderStatus


def needing_attention(
    session: Session, account: str, *, where: Sequence[ColumnElement[bool]] = (), most: int = 500
) -> list[tuple[CertificateOrder, Submission | None]]:
    """Orders with something unsettled, that wait for approval or whose certificate waits, oldest first; with their newest submission.

    Only those that `where` fits, which says something of CertificateOrder.
    """
    query = select(CertificateOrder).where(CertificateOrder.account == account, col(CertificateOrder.deleted_at).is_(None), *where)
    kinds = (    # asked one by one: each has its index, their union has none
        query.where(col(CertificateOrder.status).in_([*UNSETTLED_HERE, *WAITS_FOR_APPROVAL])),
        query.join(Submission, col(Submission.order_id) == col(CertificateOrder.id)).where(col(Submission.status).in_([*UNSETTLED_HERE])),
        query.where(col(CertificateOrder.waiting_because).is_not(None), col(CertificateOrder.status) == OrderStatus.ISSUED),
    )
    found = {row.id: row for kind in kinds for row in session.exec(kind.order_by(_since()).limit(most))}
    rows = sorted(found.values(), key=lambda row: row.requested_at or row.created_at)[:most]
    newest = {one.order_id: one for one in session.exec(
        select(Submission).where(col(Submission.order_id).in_(list(found))).order_by(col(Submission.created_at))
    )}
    return [(row, newest.get(row.id)) for row in rows]


def stuck(
    session: Session, account: str, *, before: datetime, where: Sequence[ColumnElement[bool]] = (), most: int = 500
) -> list[CertificateOrder]:
    """Orders that SCM took before this moment and has not decided, oldest first; not those that wait for approval."""
    return list(session.exec(
        select(CertificateOrder).where(*is_stuck(account, before=before), *where).order_by(_since()).limit(most)
    ))


def is_stuck(account: str, *, before: datetime) -> list[ColumnElement[bool]]:
    """What `stuck` asks."""
    return [
        col(CertificateOrder.account) == account, col(CertificateOrder.deleted_at).is_(None),
        col(CertificateOrder.status).in_(OPEN_AT_SCM - WAITS_FOR_APPROVAL),
        _since() < before,
    ]


def _since() -> ColumnElement[datetime]:
    """Since when an order exists; of one that was imported SCM says it."""
    return func.coalesce(col(CertificateOrder.requested_at), col(CertificateOrder.created_at))


def refused_and_not_told(session: Session, account: str, kinds: Iterable[str]) -> list[CertificateOrder]:
    """Orders of ours that SCM or the CA refused, of which no event of these kinds tells, at most 500."""
    told = exists().where(col(OrderEvent.order_id) == col(CertificateOrder.id), col(OrderEvent.kind).in_(list(kinds)))
    return list(session.exec(
        select(CertificateOrder).where(
            CertificateOrder.account == account, CertificateOrder.origin != IMPORTED, col(CertificateOrder.status).in_(REFUSED_AT_SCM),
            col(CertificateOrder.deleted_at).is_(None), ~told,
        ).limit(500)
    ))


def last_events(session: Session, ids: Iterable[UUID], kind: str) -> dict[UUID, str]:
    """What the newest event of a kind says, by order."""
    found = session.exec(
        select(OrderEvent.order_id, OrderEvent.detail).where(col(OrderEvent.order_id).in_(list(ids)), OrderEvent.kind == kind)
        .order_by(col(OrderEvent.id))
    )
    return {order_id: detail for order_id, detail in found}
