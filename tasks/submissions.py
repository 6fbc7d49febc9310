"""Send a submission to SCM, once (RULES E1, E2). What a killed or unlucky send leaves behind is settled in `tasks.settling`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from models.errors import AmbiguousError, CertflowError, ConflictError, LoginError, RejectedError, TransientError
from models.marker import with_marker
from models.names import names_to_send
from models.orders import IMPORTED, CertificateOrder, Submission
from models.records import Enrolled, EnrollRequest
from models.status import SubmissionStatus
from tasks import keys
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import Session, orders, submissions
from tasks.retry import step
from tasks.runs import log, this_run
from tasks.services import Services, open_services

MOST_ATTEMPTS = 3
"""The first send and at most two more by poll_orders; then a person decides (RULES E4)."""


TURNED_AWAY = frozenset({401, 403})
"""HTTP statuses after which an order is planned again, besides 429; a permission code with status 400 refuses it (RULES E2)."""


@step
def send(submission_id: UUID) -> str:
    """Send a planned submission once, and remember SCM's numbers for it; the submission's status afterwards.

    One that is no longer planned is left alone. Raises: LoginError or RightsError when SCM did not let us (it is planned again then),
    RejectedError with SCM's words when SCM refused it for good.
    """
    with open_services() as svc:
        with svc.store.reading() as session:
            planned = submissions.submission(session, submission_id)
            order = orders.order(session, planned.order_id)
        if planned.status != SubmissionStatus.PLANNED:
            return planned.status
        with svc.scm(order.account) as scm:
            return _send(svc, scm, order, submission_id)


def _send(svc: Services, scm: ScmClient, order: CertificateOrder, submission_id: UUID) -> str:
    try:
        with svc.store.transaction() as session:
            claimed = submissions.claim(session, submission_id, now=svc.clock(), run=this_run())
    except ConflictError:
        return _status(svc, submission_id)    # another run was faster
    try:
        answer = scm.enroll(request_for(order, claimed))    # the only line that cannot be taken back
    except AmbiguousError as error:
        with svc.store.transaction() as session:
            submissions.still_in_doubt(session, submission_id, why=str(error))
            orders.record_event(session, order.id, "in doubt", str(error), now=svc.clock(), run=this_run())
        return SubmissionStatus.SUBMITTING
    except TransientError as error:    # surely not taken (RULES E2, S1)
        _plan_again(svc, claimed, error)
        return SubmissionStatus.PLANNED
    except RejectedError as error:
        if error.status in TURNED_AWAY or (isinstance(error, LoginError) and error.code is None):    # not SCM's code: it was not sent
            _plan_again(svc, claimed, error)
            raise
        with svc.store.transaction() as session:
            submissions.refused(session, submission_id, attempt=claimed.attempts, why=str(error), now=svc.clock(), run=this_run())
        raise
    _remember(svc, submission_id, answer)
    return SubmissionStatus.SUBMITTED


def _plan_again(svc: Services, claimed: Submission, error: CertflowError) -> None:
    with svc.store.transaction() as session:
        submissions.back_to_planned(
            session, claimed.id, attempt=claimed.attempts, why=str(error), counted=False, now=svc.clock(), run=this_run(),
        )


def request_for(order: CertificateOrder, submission: Submission) -> EnrollRequest:
    """An order as it goes over the wire: all names besides the common name (RULES N3), our marker at the end of the comments (E3)."""
    assert submission.csr  # noqa: S101 - the key comes before the claim
    assert order.organization_id is not None  # noqa: S101 - the checks demand them
    assert order.certificate_profile_id is not None  # noqa: S101
    assert order.term_days is not None  # noqa: S101
    return EnrollRequest(
        organization_id=order.organization_id, profile_id=order.certificate_profile_id, term_days=order.term_days, csr=submission.csr,
        names=names_to_send(order.common_name, tuple(order.subject_alternative_names), single_name_profile=False),
        comments=with_marker(order.comments or "", submission.id), external_requester_emails=tuple(order.external_requester_emails),
        custom_fields=tuple(order.custom_fields.items()),
    )


def _remember(svc: Services, submission_id: UUID, answer: Enrolled) -> None:
    """Write down SCM's numbers. While the database is away, or an import writes the same order, this tries again: the numbers exist
    only here and at SCM. Raises: AmbiguousError when they belong to no order that still waits for them."""
    log().info("SCM took submission %s as %s", submission_id, answer.ssl_id)
    left_over = ""
    for attempt in Retrying(
        retry=retry_if_exception_type((TransientError, ConflictError)), stop=stop_after_delay(120), wait=wait_exponential(max=10),
        reraise=False, retry_error_callback=_left_to_settling,
    ):
        with attempt, svc.store.transaction() as session:
            left_over = _write_down(session, submission_id, answer, now=svc.clock())
    if left_over:
        raise AmbiguousError(left_over)


def _write_down(session: Session, submission_id: UUID, answer: Enrolled, *, now: datetime) -> str:
    """SCM's numbers into our books; a sentence when a person or a poll settled the submission otherwise before they came."""
    sent = submissions.submission(session, submission_id)
    order = orders.order(session, sent.order_id)
    holder = orders.by_ssl_ids(session, sent.account, [answer.ssl_id]).get(answer.ssl_id)
    if order.ssl_id == answer.ssl_id:
        order.renew_id = answer.renew_id or order.renew_id
        return ""
    if sent.status == SubmissionStatus.SUBMITTING and (holder is None or holder.origin == IMPORTED):
        orders.give_way(session, sent.account, answer.ssl_id, to=order.id)
        submissions.submitted(session, sent.id, ssl_id=answer.ssl_id, renew_id=answer.renew_id, now=now, run=this_run())
        return ""
    left_over = f"SCM took order {order.id} ({order.common_name}) as {answer.ssl_id}, but here it is {order.status}" + (
        f" as {order.ssl_id}" if order.ssl_id else "") + f": decline or revoke {answer.ssl_id} in SCM if it is not wanted"
    orders.record_event(session, order.id, "needs attention", left_over, now=now, run=this_run())
    return left_over


def _left_to_settling(_state: object) -> None:
    raise AmbiguousError("SCM took the order, but the database could not write it down; poll-orders finds it again by its marker")


def _status(svc: Services, submission_id: UUID) -> str:
    with svc.store.reading() as session:
        return submissions.submission(session, submission_id).status


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a poll sent: how many SCM took, and a sentence for each that failed."""

    taken: int = 0
    failed: tuple[str, ...] = ()


def send_planned(account: str, order_ids: Sequence[UUID] | None = None) -> Sent:
    """Make the keys of what is planned and send it, one after the other (RULES E1, E4); a refused login ends it (S1).

    What was sent three times without trace is left to a person.
    """
    taken = 0
    failed: list[str] = []
    for submission_id in _planned(account, order_ids):
        try:
            keys.create(submission_id)
            taken += send(submission_id) == SubmissionStatus.SUBMITTED
        except LoginError:
            raise
        except CertflowError as error:
            failed.append(f"submission {submission_id}: {error}")
    return Sent(taken=taken, failed=tuple(failed))


def _planned(account: str, order_ids: Sequence[UUID] | None) -> list[UUID]:
    with open_services() as svc, svc.store.reading() as session:
        waiting = submissions.unsettled(session, account, SubmissionStatus.PLANNED, order_ids)
        return [one.id for one in waiting if one.attempts < MOST_ATTEMPTS]
