"""Send a submission to SCM, once (RULES E1, E2). What a killed or unlucky send leaves behind is settled in `tasks.settling`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from models.errors import AmbiguousError, CertflowError, ConflictError, LoginError, RejectedError, TransientError
from models.orders import IMPORTED, REISSUE, RENEW, CertificateOrder, Submission
from models.records import Enrolled
from models.status import SubmissionStatus
from tasks import asking, events, keys
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import Session, orders, submissions
from tasks.batches import each
from tasks.retry import step
from tasks.runs import log, this_run
from tasks.services import Services, open_services

MOST_ATTEMPTS = 3
"""The first send and at most two more by poll_orders; then a person decides (RULES E4)."""

TURNED_AWAY = frozenset({401, 403})
"""HTTP statuses after which an order is planned again, besides 429; a permission code with status 400 refuses it (RULES E2)."""

NO_RENEWAL = -180
"""SCM's code for a profile that allows none (contract 4)."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What was sent: how many SCM took, and for each that failed its submission and a sentence."""

    taken: int = 0
    failed: tuple[tuple[UUID, str], ...] = ()

    def with_more(self, other: "Sent") -> "Sent":
        """Both together."""
        return Sent(taken=self.taken + other.taken, failed=self.failed + other.failed)


class LeftOver(NamedTuple):
    """SCM's numbers that belong to nothing that waits for them, in words, and the order that they were asked for."""

    said: str
    order: CertificateOrder


@step
def send(submission_id: UUID) -> str:
    """Send a planned submission once, and remember SCM's numbers for it; the submission's status afterwards.

    One that is no longer planned is left alone. Raises: LoginError or RightsError when SCM did not let us (it is planned again then),
    RejectedError with SCM's words when SCM refused it for good.
    """
    with open_services() as svc:
        return _send(svc, submission_id)


@step
def send_some(submission_ids: Sequence[UUID]) -> Sent:
    """Send several, as many at once as SCM may be asked. One that fails stops no other; a refused login stops all (RULES S1)."""
    sent = Sent()
    with open_services() as svc:
        with svc.store.reading() as session:
            planned = submissions.by_ids(session, submission_ids)
            its = orders.by_ids(session, [one.order_id for one in planned.values()])
        for account in sorted({one.account for one in planned.values()}):
            sent = sent.with_more(_sent_for(svc, account, {
                id_: (its[one.order_id], one) for id_, one in planned.items() if one.account == account
            }))
    return sent


def _sent_for(svc: Services, account: str, planned: Mapping[UUID, tuple[CertificateOrder, Submission]]) -> Sent:
    """With one login for all of them."""
    try:
        with svc.scm(account) as scm:
            statuses, failed = each(lambda id_: _sent(svc, scm, *planned[id_]), planned, at_once=svc.settings.scm_concurrency)
    except LoginError:
        raise
    except CertflowError as error:    # the account cannot be asked at all
        return Sent(failed=tuple((id_, str(error)) for id_ in planned))
    return Sent(
        taken=sum(status == SubmissionStatus.SUBMITTED for status in statuses.values()),
        failed=tuple((id_, str(error)) for id_, error in failed.items()),
    )


def send_slice(submission_ids: Sequence[UUID]) -> Sent:
    """Make the keys of planned submissions, as many as one task handles, then send them (RULES E1)."""
    without_key = dict(keys.create_all(submission_ids))
    sent = send_some([id_ for id_ in submission_ids if id_ not in without_key])
    return Sent(taken=sent.taken, failed=(*without_key.items(), *sent.failed))


def _send(svc: Services, submission_id: UUID) -> str:
    with svc.store.reading() as session:
        planned = submissions.submission(session, submission_id)
        order = orders.order(session, planned.order_id)
    with svc.scm(order.account) as scm:
        return _sent(svc, scm, order, planned)


def _sent(svc: Services, scm: ScmClient, order: CertificateOrder, planned: Submission) -> str:
    if planned.status != SubmissionStatus.PLANNED:
        return planned.status
    before = asking.look_before(svc, scm, order, planned)
    try:
        with svc.store.transaction() as session:
            claimed = submissions.claim(
                session, planned.id, now=svc.clock(), run=this_run(), known_ssl_ids=before.ssl_ids, known_serial_number=before.serial_number,
                known_replaced_at=before.replaced_at,
            )
    except ConflictError:
        return _status(svc, planned.id)    # another run was faster
    try:
        answer = asking.ask(scm, order, claimed, before)    # the only line that cannot be taken back
    except AmbiguousError as error:
        with svc.store.transaction() as session:
            submissions.still_in_doubt(session, claimed.id, why=str(error))
            orders.record_event(session, order.id, "in doubt", str(error), now=svc.clock(), run=this_run())
        return SubmissionStatus.SUBMITTING
    except TransientError as error:    # surely not taken (RULES E2, S1)
        _plan_again(svc, claimed, error)
        return SubmissionStatus.PLANNED
    except RejectedError as error:
        if error.status in TURNED_AWAY or (isinstance(error, LoginError) and error.code is None):    # not SCM's code: it was not sent
            _plan_again(svc, claimed, error)
            raise
        if error.code == NO_RENEWAL and _order_anew(svc, order, claimed, error):
            return _send(svc, claimed.id)
        with svc.store.transaction() as session:
            submissions.refused(session, claimed.id, attempt=claimed.attempts, why=str(error), now=svc.clock(), run=this_run())
        raise
    _remember(svc, claimed.id, answer)
    return SubmissionStatus.SUBMITTED


def _plan_again(svc: Services, claimed: Submission, error: CertflowError) -> None:
    with svc.store.transaction() as session:
        submissions.back_to_planned(
            session, claimed.id, attempt=claimed.attempts, why=str(error), counted=False, now=svc.clock(), run=this_run(),
        )


def _order_anew(svc: Services, order: CertificateOrder, claimed: Submission, error: RejectedError) -> bool:
    """Whether a new order takes the place of a renewal that the profile does not allow; only for orders named by hand (RULES R4)."""
    if claimed.kind != RENEW or claimed.wish.get("by_itself"):
        return False
    term_days = asking.longest_term(svc, order)
    if term_days is None or order.organization_id is None or order.certificate_profile_id is None:
        return False
    with svc.store.transaction() as session:
        submissions.order_anew(
            session, claimed.id, attempt=claimed.attempts, term_days=term_days, why=str(error), now=svc.clock(), run=this_run())
    return True


def _remember(svc: Services, submission_id: UUID, answer: Enrolled) -> None:
    """Write down SCM's numbers. While the database is away, or an import writes the same order, this tries again: the numbers exist
    only here and at SCM. Raises: AmbiguousError when they belong to no order that still waits for them."""
    log().info("SCM took submission %s as %s", submission_id, answer.ssl_id)
    left_over: LeftOver | None = None
    for attempt in Retrying(
        retry=retry_if_exception_type((TransientError, ConflictError)), stop=stop_after_delay(120), wait=wait_exponential(max=10),
        reraise=False, retry_error_callback=_left_to_settling,
    ):
        with attempt, svc.store.transaction() as session:
            left_over = _write_down(session, submission_id, answer, now=svc.clock())
    if left_over:
        events.emit(events.NEEDS_ATTENTION, left_over.order, reason=left_over.said, to_do=f"look at {answer.ssl_id} in SCM.")
        raise AmbiguousError(left_over.said)


def _write_down(session: Session, submission_id: UUID, answer: Enrolled, *, now: datetime) -> LeftOver | None:
    """SCM's numbers into our books; what is left over when a person or a poll settled the submission otherwise before they came."""
    sent = submissions.submission(session, submission_id)
    order = orders.order(session, sent.order_id)
    holder = orders.by_ssl_ids(session, sent.account, [answer.ssl_id]).get(answer.ssl_id)
    if order.ssl_id == answer.ssl_id and sent.kind != REISSUE:
        order.renew_id = answer.renew_id or order.renew_id
        return None
    if sent.status == SubmissionStatus.SUBMITTING and (holder is None or holder.origin == IMPORTED or holder.id == order.id):
        if holder is not None:
            orders.give_way(session, sent.account, answer.ssl_id, to=order.id)
        submissions.submitted(session, sent.id, ssl_id=answer.ssl_id, renew_id=answer.renew_id, now=now, run=this_run())
        return None
    if sent.kind == REISSUE and sent.status in {SubmissionStatus.SUBMITTED, SubmissionStatus.DONE}:
        return None    # a poll has seen that SCM took it
    said = f"SCM took order {order.id} ({order.common_name}) as {answer.ssl_id}, but here it is {order.status}" + (
        f" as {order.ssl_id}" if order.ssl_id else "") + f": decline or revoke {answer.ssl_id} in SCM if it is not wanted"
    orders.record_event(session, order.id, "needs attention", said, now=now, run=this_run())
    return LeftOver(said, order)


def _left_to_settling(_state: object) -> None:
    raise AmbiguousError("SCM took the order, but the database could not write it down; poll-orders finds it again")


def _status(svc: Services, submission_id: UUID) -> str:
    with svc.store.reading() as session:
        return submissions.submission(session, submission_id).status
