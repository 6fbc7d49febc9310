"""Queries of renewals and reissues: what may be due, who follows whom, what is under way (RULES R, E5, E6, V3)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from models.orders import ENROLL, ORDERED, REISSUE, Certificate, CertificateOrder, Submission
from models.status import LIVING, OrderStatus, SubmissionStatus

READ_TOGETHER = 1000
UNDER_WAY = (SubmissionStatus.PLANNED, SubmissionStatus.SUBMITTING, SubmissionStatus.SUBMITTED)


def one_after_the_other(session: Session, order_id: UUID) -> None:
    """Two renewals of one order at once: the second sees what the first wrote. SQLite's writers wait for each other anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:order))"), {"order": f"successor of {order_id}"})


def successors(session: Session, order_ids: Iterable[UUID]) -> dict[UUID, list[CertificateOrder]]:
    """The orders that renew these, oldest first, whatever became of them; by the order that they renew."""
    found: dict[UUID, list[CertificateOrder]] = defaultdict(list)
    for row in session.exec(
        select(CertificateOrder).where(col(CertificateOrder.predecessor_id).in_(list(order_ids))).order_by(col(CertificateOrder.created_at))
    ):
        if row.predecessor_id is not None:
            found[row.predecessor_id].append(row)
    return found


def reissue_under_way(session: Session, order_id: UUID) -> Submission | None:
    """The reissue of an order that is planned, in doubt, or taken by SCM and not delivered yet."""
    return session.exec(
        select(Submission).where(Submission.order_id == order_id, Submission.kind == REISSUE, col(Submission.status).in_(UNDER_WAY))
        .order_by(col(Submission.created_at).desc())
    ).first()


def being_reissued(session: Session, account: str) -> list[CertificateOrder]:
    """Orders for which SCM took a reissue that is not delivered yet: SCM may show them as issued all the time."""
    return list(session.exec(select(CertificateOrder).where(
        CertificateOrder.account == account, col(CertificateOrder.deleted_at).is_(None),
        col(CertificateOrder.id).in_(select(Submission.order_id).where(
            Submission.account == account, Submission.kind == REISSUE, Submission.status == SubmissionStatus.SUBMITTED,
        )),
    )))


def reissue_taken() -> ColumnElement[bool]:
    """For a query of orders: SCM took a reissue of it whose certificate we have not got."""
    return exists().where(
        col(Submission.order_id) == col(CertificateOrder.id), col(Submission.kind) == REISSUE,
        col(Submission.status) == SubmissionStatus.SUBMITTED,
        ~exists().where(col(Certificate.submission_id) == col(Submission.id)),
    )


def delivered_and_not_followed(session: Session, account: str) -> Iterator[tuple[UUID, datetime, datetime]]:
    """Order, beginning and end of each delivered certificate of ours that no later certificate and no successor follows. Streamed."""
    newer, successor = aliased(Certificate), aliased(CertificateOrder)
    later = exists().where(
        col(newer.order_id) == col(Certificate.order_id), col(newer.delivered_at) > col(Certificate.delivered_at), col(newer.removed_at).is_(None),
    )
    followed = exists().where(col(successor.predecessor_id) == col(CertificateOrder.id), col(successor.status).in_(LIVING))
    query = select(CertificateOrder.id, Certificate.not_before, Certificate.not_after).join(
        Certificate, col(Certificate.order_id) == col(CertificateOrder.id)
    ).where(
        CertificateOrder.account == account, CertificateOrder.origin == ORDERED, CertificateOrder.status == OrderStatus.ISSUED,
        col(CertificateOrder.live_name).is_not(None), col(CertificateOrder.deleted_at).is_(None), col(Certificate.delivered_at).is_not(None),
        col(Certificate.removed_at).is_(None), ~later, ~followed,
    )
    yield from session.exec(query.execution_options(yield_per=READ_TOGETHER))


def newest_certificates(session: Session, order_ids: Sequence[UUID]) -> dict[UUID, Certificate]:
    """The newest certificate of each order that may be delivered; not those that are removed or held."""
    found: dict[UUID, Certificate] = {}
    for row in session.exec(
        select(Certificate).where(
            col(Certificate.order_id).in_(order_ids), col(Certificate.removed_at).is_(None), col(Certificate.held_because).is_(None),
            col(Certificate.never_deliver).is_(False),
        ).order_by(col(Certificate.not_before), col(Certificate.fetched_at))
    ):
        found[row.order_id] = row
    return found


def followed_by(session: Session, new: Certificate) -> Certificate | None:
    """The certificate that a new one follows: the order's own before a reissue, else its predecessor's."""
    own = session.exec(
        select(Certificate).where(
            Certificate.order_id == new.order_id, Certificate.id != new.id, col(Certificate.delivered_at).is_not(None),
        ).order_by(col(Certificate.delivered_at).desc())
    ).first()
    order = session.get(CertificateOrder, new.order_id)
    if own is not None or order is None or order.predecessor_id is None:
        return own
    return newest_certificates(session, [order.predecessor_id]).get(order.predecessor_id)


def to_mark_renewed(session: Session, account: str) -> list[tuple[Submission, CertificateOrder, CertificateOrder]]:
    """New orders that took the place of a renewal and are delivered, with their order and the one that they renew, where SCM was not
    told yet (RULES R4)."""
    before = aliased(CertificateOrder)
    query: Any = select(Submission, CertificateOrder, before).join(
        CertificateOrder, col(Submission.order_id) == col(CertificateOrder.id)
    ).join(before, col(CertificateOrder.predecessor_id) == col(before.id)).where(
        Submission.account == account, Submission.kind == ENROLL, Submission.status == SubmissionStatus.DONE,
        col(Submission.marked_renewed_at).is_(None), col(before.ssl_id).is_not(None),
    )
    return [(sent, order, old) for sent, order, old in session.exec(query).all()]
