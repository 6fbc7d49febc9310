"""Queries of renewals and reissues: what may be due, who follows whom, what is under way (RULES R, E5, E6, V3)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, case, exists, literal, text, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from models.columns import UtcDateTime
from models.orders import ENROLL, ORDERED, REISSUE, Certificate, CertificateOrder, Submission
from models.policy import renewal_from
from models.status import LIVING, OrderStatus, SubmissionStatus

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
        ~exists().where(col(Certificate.order_id) == col(Submission.order_id), col(Certificate.submission_id) == col(Submission.id)),
    )


def served(session: Session, new: Certificate) -> None:
    """`live/` serves this certificate now: its order says until when and from when on it is renewed, and no other order of the live name does."""
    its_name = select(CertificateOrder.live_name).where(CertificateOrder.id == new.order_id).scalar_subquery()
    its, day = col(CertificateOrder.id) == new.order_id, renewal_from(new.order_id, new.not_before, new.not_after)
    session.execute(
        update(CertificateOrder).where(its | ((col(CertificateOrder.live_name) == its_name) & col(CertificateOrder.served_until).is_not(None)))
        .values(served_until=case((its, _moment(new.not_after))), renewal_from=case((its, _moment(day))))
        .execution_options(synchronize_session="fetch")
    )


def served_no_more(session: Session, certificate_id: UUID) -> None:
    """The certificate leaves the repository; when `live/` served it, its order is served no more."""
    newer = aliased(Certificate)
    follows = exists().where(
        col(newer.order_id) == col(Certificate.order_id), col(newer.delivered_at) > col(Certificate.delivered_at), col(newer.removed_at).is_(None),
    )
    session.execute(update(CertificateOrder).where(
        col(CertificateOrder.id).in_(
            select(Certificate.order_id).where(Certificate.id == certificate_id, col(Certificate.delivered_at).is_not(None), ~follows)
        ),
    ).values(served_until=None, renewal_from=None).execution_options(synchronize_session="fetch"))


class Served(NamedTuple):
    """An order that `live/` serves: from when on it is renewed, and until when it is served."""

    order_id: UUID
    renewal_from: datetime
    served_until: datetime


Day: TypeAlias = Literal["renewal_from", "served_until"]


def served_orders(
    session: Session, account: str, day: Day, *, until: datetime, after: datetime | None = None, most: int | None = None
) -> list[Served]:
    """Orders of ours that `live/` serves and that nobody renews yet, of which this day is not later than `until`, in the order of that day.

    With `after` only those of which it is later than that.
    """
    successor, moment = aliased(CertificateOrder), col(getattr(CertificateOrder, day))
    followed = exists().where(col(successor.predecessor_id) == col(CertificateOrder.id), col(successor.status).in_(LIVING))
    query: Any = select(CertificateOrder.id, CertificateOrder.renewal_from, CertificateOrder.served_until).where(
        CertificateOrder.account == account, moment <= until, *([moment > after] if after else []), CertificateOrder.origin == ORDERED,
        CertificateOrder.status == OrderStatus.ISSUED, col(CertificateOrder.live_name).is_not(None), col(CertificateOrder.deleted_at).is_(None),
        ~followed,
    )
    return [Served(*row) for row in session.exec(query.order_by(moment).limit(most))]


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


def _moment(value: datetime) -> ColumnElement[datetime]:
    return literal(value, UtcDateTime())
