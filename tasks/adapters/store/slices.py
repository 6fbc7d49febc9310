"""Slices of planned submissions: which run means to send which (`taken_until`). It spares work; who sends is decided by the claim alone."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, update
from sqlmodel import Session, col, select

from models.orders import Submission
from models.status import SubmissionStatus

BATCH = 1000

_PLANNED = col(Submission.status) == SubmissionStatus.PLANNED


def _nobodys(now: datetime) -> ColumnElement[bool]:
    return or_(col(Submission.taken_until).is_(None), col(Submission.taken_until) < now)


def free(session: Session, account: str, *, now: datetime, below_attempts: int, order_ids: Iterable[UUID] | None = None) -> list[UUID]:
    """The account's planned submissions that no run has taken, oldest first; of these orders only, if given."""
    query = select(Submission.id).where(
        Submission.account == account, _PLANNED, col(Submission.attempts) < below_attempts, _nobodys(now),
    )
    if order_ids is not None:
        query = query.where(col(Submission.order_id).in_(list(order_ids)))
    return list(session.exec(query.order_by(col(Submission.created_at))))


def take(session: Session, ids: Collection[UUID], *, now: datetime, until: datetime) -> list[UUID]:
    """Those of `ids` that are planned and that nobody has taken; they are the caller's now, until then. By compare-and-set."""
    taken = session.execute(
        update(Submission).where(_free_of(session, ids, now)).values(taken_until=until).returning(col(Submission.id)),
        execution_options={"synchronize_session": False},
    )
    got = set(taken.scalars())
    return [id_ for id_ in ids if id_ in got]


def _free_of(session: Session, ids: Collection[UUID], now: datetime) -> ColumnElement[bool]:
    free_now = and_(col(Submission.id).in_(list(ids)), _PLANNED, _nobodys(now))
    if session.get_bind().dialect.name == "sqlite":    # it knows one writer at a time
        return free_now
    # Rows that another run is taking right now are left to it: two that wait for each other's rows would be a deadlock.
    return col(Submission.id).in_(select(Submission.id).where(free_now).with_for_update(skip_locked=True))


def give_back(session: Session, ids: Collection[UUID], *, until: datetime) -> None:
    """What the caller took until then and what is planned still is free again."""
    session.execute(
        update(Submission).where(col(Submission.id).in_(list(ids)), _PLANNED, col(Submission.taken_until) == until).values(taken_until=None),
        execution_options={"synchronize_session": False},
    )


def under_way(session: Session, ids: Collection[UUID], *, claimed_since: datetime) -> list[UUID]:
    """Those of `ids` that wait to be sent, or that a run is sending at this moment as far as anybody knows."""
    going_on = and_(
        col(Submission.status) == SubmissionStatus.SUBMITTING, col(Submission.error).is_(None), col(Submission.claimed_at) > claimed_since,
    )
    given, found = list(ids), set[UUID]()
    for first in range(0, len(given), BATCH):
        found.update(session.exec(select(Submission.id).where(col(Submission.id).in_(given[first:first + BATCH]), or_(_PLANNED, going_on))))
    return [id_ for id_ in given if id_ in found]


def outcomes(session: Session, ids: Collection[UUID]) -> dict[UUID, tuple[SubmissionStatus, str | None]]:
    """How submissions stand, with the last thing that was said about each."""
    given, found = list(ids), dict[UUID, tuple[SubmissionStatus, str | None]]()
    for first in range(0, len(given), BATCH):
        for id_, status, error in session.exec(
            select(Submission.id, Submission.status, Submission.error).where(col(Submission.id).in_(given[first:first + BATCH]))
        ):
            found[id_] = SubmissionStatus(status), error
    return found
