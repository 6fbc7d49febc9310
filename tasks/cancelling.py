"""Cancel orders that are not issued: withdraw what is planned here, decline what waits for approval at SCM (contract 5.10, 6.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from models.errors import CertflowError, ConflictError, LoginError, SetupError
from models.orders import REISSUE, CertificateOrder
from models.records import OrderRecord
from models.status import DECLINABLE, REFUSED_AT_SCM, OrderStatus, SubmissionStatus, order_status
from models.summaries import OrderResult
from tasks import asking
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import orders, submissions
from tasks.batches import TOGETHER, stop_in, together
from tasks.meaning import Meant
from tasks.retry import step
from tasks.runs import log, this_run
from tasks.services import Services, open_services

NEVER_WILL_BE = REFUSED_AT_SCM | {OrderStatus.REFUSED, OrderStatus.WITHDRAWN}
CANCELLED = "cancelled"
IN_DOUBT = "whether SCM took it is not known: poll-orders finds out, or `python -m deployments settle ORDER --withdraw` gives it up"
FASTER = "a poll was faster and sends it at this moment: cancel it again in a minute"


@dataclass(kw_only=True)
class Cancelled:
    """What became of orders that were to be cancelled; `stopped` is what ended it before all were tried."""

    done: list[OrderResult] = field(default_factory=list)
    failed: list[OrderResult] = field(default_factory=list)
    stopped: LoginError | SetupError | None = None

    def add(self, other: "Cancelled") -> None:
        self.done += other.done
        self.failed += other.failed
        self.stopped = self.stopped or other.stopped


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether an order is cancelled now, in words; `record` is what SCM's details say, `declined` whether it was done in this run."""

    done: bool
    said: str
    record: OrderRecord | None = None
    declined: bool = False


def cancel(account: str, meant: Sequence[Meant], message: str) -> Cancelled:
    """Cancel orders, batch by batch. One that cannot be cancelled stops no other; a refused login stops all calls (RULES S1)."""
    total = Cancelled()
    for first in range(0, len(meant), TOGETHER):
        total.add(cancel_batch(account, [one.order_id for one in meant[first:first + TOGETHER]], message))
    return total


@step
def cancel_batch(account: str, order_ids: Sequence[UUID], message: str) -> Cancelled:
    """Cancel some orders. A second call does no harm."""
    result = Cancelled()
    with open_services() as svc:
        at_scm = []
        for id_ in order_ids:
            order, verdict = _here(svc, id_, message)
            if verdict is None:
                at_scm.append(order)
            else:
                (result.done if verdict.done else result.failed).append(_result(order, verdict.said))
        verdicts: list[Verdict | CertflowError] = []
        try:
            if at_scm:
                with svc.scm(account) as scm:
                    verdicts = together(lambda order: _at_scm(scm, order, message), at_scm, at_once=svc.settings.scm_concurrency)
                    if stop := stop_in(verdicts):
                        raise stop
        except (LoginError, SetupError) as error:
            result.stopped = error
            verdicts = verdicts or [error] * len(at_scm)
        for order, answer in zip(at_scm, verdicts, strict=True):
            _remember(svc, order, answer, message, result)
    return result


def _here(svc: Services, id_: UUID, message: str) -> tuple[CertificateOrder, Verdict | None]:
    """What our own books decide: what is planned is withdrawn, what is in doubt is refused; None where SCM must be asked."""
    with svc.store.reading() as session:
        order = orders.order(session, id_)
        waiting = [one for one in submissions.of_order(session, id_) if one.status in submissions.UNSETTLED]
    if not waiting:
        if order.ssl_id is not None:
            return order, None
        return order, Verdict(done=order.status in NEVER_WILL_BE, said=f"nothing to do: it is {order.status}")
    newest = waiting[-1]
    if newest.status == SubmissionStatus.SUBMITTING:
        return order, Verdict(done=False, said=f"it is in doubt; {IN_DOUBT}")
    try:
        with svc.store.transaction() as session:
            submissions.withdrawn(session, newest.id, SubmissionStatus.PLANNED, why=f"cancelled: {message}", now=svc.clock(), run=this_run())
    except ConflictError:
        return order, _who_was_faster(svc, newest.id)
    log().info("order %s (%s) is withdrawn; nothing was sent", order.id, order.common_name)
    if newest.kind == REISSUE:
        return order, Verdict(done=True, said=f"its planned reissue is withdrawn and was never sent; the order stays {order.status}")
    return order, Verdict(done=True, said="withdrawn; it was planned and is never sent")


def _who_was_faster(svc: Services, submission_id: UUID) -> Verdict:
    with svc.store.reading() as session:
        status = submissions.submission(session, submission_id).status
    if status == SubmissionStatus.WITHDRAWN:
        return Verdict(done=True, said="another run was faster and withdrew it")
    return Verdict(done=False, said=FASTER)


def _at_scm(scm: ScmClient, order: CertificateOrder, message: str) -> Verdict:
    """Read the details, decline what waits, read them again: they decide (in a thread: nothing is written into our database)."""
    assert order.ssl_id is not None  # noqa: S101 - see _here
    record = scm.details(order.ssl_id)
    if order_status(record.status_word) not in DECLINABLE:
        return _judged(record)
    refused: CertflowError | None = None
    try:
        scm.decline(order.ssl_id, message=message)
    except (LoginError, SetupError):
        raise
    except CertflowError as error:
        refused = error
    record = scm.details(order.ssl_id)
    status = order_status(record.status_word)
    if status == OrderStatus.DECLINED:
        return Verdict(done=True, said="declined at SCM", record=record, declined=True)
    if status in DECLINABLE:
        said = str(refused) if refused else f"SCM took it and still shows {record.status_word}"
        return Verdict(done=False, said=f"{said}; it still waits for approval: decline it in SCM, or cancel it again", record=record)
    return _judged(record, meanwhile=True)


def _judged(record: OrderRecord, *, meanwhile: bool = False) -> Verdict:
    """What can no longer be cancelled, with what to do instead."""
    status, word = order_status(record.status_word), record.status_word + (" meanwhile" if meanwhile else "")
    if status in NEVER_WILL_BE:
        return Verdict(done=True, said=f"nothing to do: SCM shows it as {word}", record=record)
    instead = {
        OrderStatus.APPROVED: "the CA works on it and nobody can stop it: wait until it is issued, then revoke it",
        OrderStatus.APPLIED: "the CA works on it and nobody can stop it: wait until it is issued, then revoke it",
        OrderStatus.ISSUED: "it cannot be cancelled any more: revoke it",
    }
    ended = "there is nothing left to cancel" if status is not None else "this Certflow does not know that word: look into SCM"
    return Verdict(done=False, said=f"SCM shows it as {word}: {instead.get(status, ended) if status else ended}", record=record)


def _remember(svc: Services, order: CertificateOrder, verdict: Verdict | CertflowError, message: str, result: Cancelled) -> None:
    if isinstance(verdict, CertflowError):
        result.failed.append(_result(order, f"{verdict}; it is as it was"))
        return
    with svc.store.transaction() as session:
        if verdict.record is not None:
            asking.keep(session, svc, order.account, verdict.record)
        if verdict.declined:
            orders.record_event(session, order.id, CANCELLED, f"{verdict.said}: {message}", now=svc.clock(), run=this_run())
    log().info("order %s (%s): %s", order.ssl_id, order.common_name, verdict.said)
    (result.done if verdict.done else result.failed).append(_result(order, verdict.said))


def _result(order: CertificateOrder, reason: str) -> OrderResult:
    return OrderResult(order_id=order.id, ssl_id=order.ssl_id, reason=reason)
