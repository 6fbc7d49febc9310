"""Queries and steps of submissions: plan, claim, record (RULES E1 to E6). A status moves by compare-and-set only."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from models.errors import ConflictError, NotFoundError
from models.orders import ENROLL, REISSUE, Certificate, CertificateOrder, Run, Submission
from models.status import STEPS, OrderStatus, SubmissionStatus
from tasks.adapters.store.orders import record_event

UNSETTLED = (SubmissionStatus.PLANNED, SubmissionStatus.SUBMITTING)


def submission(session: Session, id_: UUID) -> Submission:
    """Raises: NotFoundError."""
    found = session.get(Submission, id_, populate_existing=True)
    if found is None:
        raise NotFoundError(f"there is no submission {id_}")
    return found


def by_ids(session: Session, ids: Iterable[UUID]) -> dict[UUID, Submission]:
    """The submissions with these ids, in their order."""
    given = list(ids)
    found = {one.id: one for one in session.exec(select(Submission).where(col(Submission.id).in_(given)))}
    return {id_: found[id_] for id_ in given if id_ in found}


def by_request(session: Session, account: str, request_id: str, scope: str = "") -> Submission | None:
    """The submission that an earlier request under the same id made (RULES E6)."""
    return session.exec(
        select(Submission).where(Submission.account == account, Submission.request_id == request_id, Submission.request_scope == scope)
    ).first()


def of_order(session: Session, order_id: UUID) -> list[Submission]:
    """An order's submissions, oldest first."""
    return list(session.exec(select(Submission).where(Submission.order_id == order_id).order_by(col(Submission.created_at))))


def of_orders(session: Session, order_ids: Iterable[UUID]) -> dict[UUID, list[Submission]]:
    """The submissions of many orders, each order's oldest first."""
    found: dict[UUID, list[Submission]] = defaultdict(list)
    for one in session.exec(select(Submission).where(col(Submission.order_id).in_(list(order_ids))).order_by(col(Submission.created_at))):
        found[one.order_id].append(one)
    return found


def sharing_keys(session: Session, order_id: UUID) -> set[UUID]:
    """Those of an order's submissions whose key another order that is not deleted uses too."""
    other, its_order = aliased(Submission), aliased(CertificateOrder)
    same = (col(other.reuse_of) == col(Submission.id)) | (col(other.public_key_sha256) == col(Submission.public_key_sha256))
    return set(session.exec(
        select(Submission.id).where(
            Submission.order_id == order_id, exists().where(
                same, col(other.order_id) != order_id, col(its_order.id) == col(other.order_id), col(its_order.deleted_at).is_(None),
            ),
        )
    ))


def unsettled(session: Session, account: str, status: SubmissionStatus, order_ids: Iterable[UUID] | None = None) -> list[Submission]:
    """Submissions of the account in `status`, oldest first; of these orders only, if given."""
    query = select(Submission).where(Submission.account == account, Submission.status == status).order_by(col(Submission.created_at))
    if order_ids is not None:
        query = query.where(col(Submission.order_id).in_(list(order_ids)))
    return list(session.exec(query))


def move(session: Session, id_: UUID, old: SubmissionStatus, new: SubmissionStatus, *, attempt: int | None = None, **facts: Any) -> Submission:
    """Move a submission along the table of allowed steps, by compare-and-set; how it stands then.

    Raises: ConflictError when it is no longer `old`, or, with `attempt`, was claimed again since; NotFoundError.
    """
    if new not in STEPS[old]:
        raise ValueError(f"no step from {old} to {new}")
    same = [] if attempt is None else [col(Submission.attempts) == attempt]
    moved = session.scalars(
        update(Submission).where(col(Submission.id) == id_, col(Submission.status) == old, *same).values(status=new, **facts).returning(Submission),
        execution_options={"synchronize_session": False, "populate_existing": True},
    ).one_or_none()
    if moved is None:
        submission(session, id_)
        raise ConflictError(f"submission {id_} is no longer {old}: another run was faster")
    return moved


def keep_keys(session: Session, keys: Mapping[UUID, tuple[str, str]]) -> None:
    """Remember the CSRs and the SHA-256 of the public keys that lie in Vault. Only while planned: afterwards they are what was sent."""
    if keys:
        session.connection().execute(
            update(Submission).where(col(Submission.id) == bindparam("submission"), col(Submission.status) == SubmissionStatus.PLANNED)
            .values(csr=bindparam("its_csr"), public_key_sha256=bindparam("its_key")),
            [{"submission": id_, "its_csr": csr, "its_key": sha256} for id_, (csr, sha256) in keys.items()],
        )


def claim(
    session: Session, id_: UUID, *, now: datetime, run: Run | None, by: str = "", known_ssl_ids: Iterable[int] = (),
    known_serial_number: str | None = None, known_replaced_at: datetime | None = None,
) -> Submission:
    """planned -> submitting: from here on only this caller may send it (RULES E1). Raises: ConflictError.

    What SCM showed before goes with it: by that a lost renewal or reissue is found again (RULES E5).
    """
    claimed = move(
        session, id_, SubmissionStatus.PLANNED, SubmissionStatus.SUBMITTING, claimed_at=now, taken_until=None,
        attempts=col(Submission.attempts) + 1, absent_at=[], known_ssl_ids=list(known_ssl_ids), known_serial_number=known_serial_number,
        known_replaced_at=known_replaced_at, error=None,
    )
    _order_follows(session, claimed, OrderStatus.SUBMITTING, now=now)
    record_event(session, claimed.order_id, "submitting", f"attempt {claimed.attempts}", now=now, run=run, by=by)
    return claimed


def submitted(
    session: Session, id_: UUID, *, ssl_id: int, renew_id: str | None, now: datetime, run: Run | None, how: str = "", by: str = ""
) -> None:
    """submitting -> submitted, with SCM's numbers (RULES E1). Raises: ConflictError.

    It is done at once when its certificate is delivered already: another run may have fetched it while this one was in doubt.
    """
    sent = move(session, id_, SubmissionStatus.SUBMITTING, SubmissionStatus.SUBMITTED, submitted_at=now, error=None)
    order = session.get(CertificateOrder, sent.order_id)
    assert order is not None  # noqa: S101 - the foreign key says so
    order.ssl_id, order.renew_id, order.changed_at = ssl_id, renew_id or order.renew_id, now
    if order.status in {OrderStatus.PLANNED, OrderStatus.SUBMITTING}:
        order.status = OrderStatus.SUBMITTED
    order.requested_at = order.requested_at or now
    session.flush()
    record_event(session, order.id, "submitted", how or f"SCM took it as {ssl_id}", now=now, run=run, by=by)
    if session.exec(select(Certificate.id).where(
        Certificate.order_id == order.id, Certificate.submission_id == id_, col(Certificate.delivered_at).is_not(None),
    )).first():
        finish(session, id_)


def back_to_planned(session: Session, id_: UUID, *, attempt: int, why: str, counted: bool, now: datetime, run: Run | None) -> None:
    """submitting -> planned: SCM surely did not take this attempt (RULES E2, E4). Raises: ConflictError, also when another one is under way.

    An attempt that SCM turned away at the door is not `counted`: it is repeated as often as it takes.
    """
    sent = move(
        session, id_, SubmissionStatus.SUBMITTING, SubmissionStatus.PLANNED, attempt=attempt, error=why, absent_at=[],
        attempts=attempt - (not counted),
    )
    _order_follows(session, sent, OrderStatus.PLANNED, now=now)
    record_event(session, sent.order_id, "planned again", why, now=now, run=run)


def refused(session: Session, id_: UUID, *, attempt: int, why: str, now: datetime, run: Run | None) -> None:
    """submitting -> refused, final, with SCM's words (RULES E2). Raises: ConflictError, also when another attempt is under way."""
    sent = move(session, id_, SubmissionStatus.SUBMITTING, SubmissionStatus.REFUSED, attempt=attempt, error=why)
    _order_follows(session, sent, OrderStatus.REFUSED, now=now)
    record_event(session, sent.order_id, "refused", why, now=now, run=run)


def withdrawn(session: Session, id_: UUID, old: SubmissionStatus, *, why: str, now: datetime, run: Run | None, by: str = "") -> None:
    """planned or submitting -> withdrawn, by a person. Raises: ConflictError."""
    sent = move(session, id_, old, SubmissionStatus.WITHDRAWN, error=why)
    _order_follows(session, sent, OrderStatus.WITHDRAWN, now=now)
    record_event(session, sent.order_id, "withdrawn", why, now=now, run=run, by=by)


def order_anew(session: Session, id_: UUID, *, attempt: int, term_days: int, why: str, now: datetime, run: Run | None) -> None:
    """submitting -> planned as a new order, since the profile allows no renewal (RULES R4). Raises: ConflictError."""
    sent = move(
        session, id_, SubmissionStatus.SUBMITTING, SubmissionStatus.PLANNED, attempt=attempt, error=why, absent_at=[], attempts=attempt - 1,
        kind=ENROLL,
    )
    session.execute(update(CertificateOrder).where(col(CertificateOrder.id) == sent.order_id).values(term_days=term_days))
    _order_follows(session, sent, OrderStatus.PLANNED, now=now)
    record_event(session, sent.order_id, "ordered anew", f"{why}; a new order takes the renewal's place", now=now, run=run)


def still_in_doubt(session: Session, id_: UUID, *, why: str) -> None:
    """Say why a claimed submission is not settled. Nothing happens when it was settled meanwhile."""
    session.execute(update(Submission).where(col(Submission.id) == id_, col(Submission.status) == SubmissionStatus.SUBMITTING).values(error=why))


def seen_absent(session: Session, id_: UUID, moments: list[str], *, attempt: int) -> None:
    """Remember when SCM was seen not to hold this attempt (RULES E4). Nothing happens when another one is under way."""
    session.execute(update(Submission).where(
        col(Submission.id) == id_, col(Submission.status) == SubmissionStatus.SUBMITTING, col(Submission.attempts) == attempt,
    ).values(absent_at=moments))


def start_over(session: Session, id_: UUID) -> None:
    """A person wants it sent again: the attempts so far do not count (RULES E7)."""
    session.execute(update(Submission).where(col(Submission.id) == id_, col(Submission.status) == SubmissionStatus.PLANNED).values(attempts=0))


def finish(session: Session, id_: UUID) -> None:
    """submitted -> done, when its certificate is delivered; done already is fine.

    So are earlier submissions of the same order: SCM hands out no certificate from before a reissue any more (contract 6.4).
    """
    delivered = submission(session, id_)
    session.execute(update(Submission).where(
        col(Submission.order_id) == delivered.order_id, col(Submission.created_at) <= delivered.created_at,
        col(Submission.status) == SubmissionStatus.SUBMITTED,
    ).values(status=SubmissionStatus.DONE))


def marked_renewed(session: Session, id_: UUID, *, now: datetime) -> None:
    """Remember that SCM was told which order this new one renews (RULES R4)."""
    session.execute(update(Submission).where(col(Submission.id) == id_).values(marked_renewed_at=now))


def linked_ssl_ids(session: Session, account: str, ssl_ids: Iterable[int]) -> set[int]:
    """Those of `ssl_ids` that belong to an order which we placed: they are explained (RULES E3, E4)."""
    return set(session.exec(
        select(CertificateOrder.ssl_id).join(Submission, col(Submission.order_id) == col(CertificateOrder.id))
        .where(CertificateOrder.account == account, col(CertificateOrder.ssl_id).in_(list(ssl_ids)), Submission.status != SubmissionStatus.WITHDRAWN)
    )) - {None}    # type: ignore[return-value]


def statuses(session: Session, ids: Iterable[UUID]) -> dict[UUID, SubmissionStatus]:
    """The statuses of those submissions that exist."""
    found = session.exec(select(Submission.id, Submission.status).where(col(Submission.id).in_(list(ids))))
    return {id_: SubmissionStatus(status) for id_, status in found}


def _order_follows(session: Session, sent: Submission, status: OrderStatus, *, now: datetime) -> None:
    """Until SCM's word is known an order says what its submission says; a reissue leaves it to SCM."""
    if sent.kind == REISSUE:
        return
    session.execute(
        update(CertificateOrder).where(col(CertificateOrder.id) == sent.order_id, col(CertificateOrder.ssl_id).is_(None))
        .values(status=status, changed_at=now)
    )
