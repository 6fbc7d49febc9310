"""What a look at SCM ends with: adopted, surely absent, or still in doubt with a sentence."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from models.orders import CertificateOrder, Submission
from models.records import OrderRecord
from models.status import order_status
from tasks.adapters.store import orders, submissions
from tasks.runs import log, this_run
from tasks.services import Services

DAY = timedelta(days=1)

ADOPTED = "adopted"
ABSENT = "absent"
IN_DOUBT = "in doubt"
MEANWHILE = "settled meanwhile"


@dataclass(frozen=True)
class Look:
    """What SCM reported, from when on it was asked, and why not all of it could be read, if so."""

    began: datetime
    reported: dict[int, OrderRecord]
    unread: str


@dataclass(frozen=True)
class Outcome:
    """One of the words above, and a sentence for what stays in doubt."""

    kind: str
    text: str = ""


def since_claim(row: OrderRecord, doubtful: Submission) -> bool:
    """Requested not earlier than a day before the claim, as far as SCM says when (contract 3: dates are uncertain by a day)."""
    assert doubtful.claimed_at is not None  # noqa: S101 - a claim has its moment
    return row.requested_at is None or row.requested_at >= doubtful.claimed_at - DAY


def adopt(svc: Services, doubtful: Submission, row: OrderRecord, *, how: str, by: str = "") -> Outcome:
    """SCM took it, as this order. Raises: ConflictError when another run was faster."""
    with svc.store.transaction() as session:
        orders.give_way(session, doubtful.account, row.ssl_id, to=doubtful.order_id)
        submissions.submitted(
            session, doubtful.id, ssl_id=row.ssl_id, renew_id=None, now=svc.clock(), run=this_run(), how=f"{how}: {row.ssl_id}", by=by,
        )
        order = orders.order(session, doubtful.order_id)
        event = orders.update_from(order, row, order_status(row.status_word), now=svc.clock(), run=this_run())
        if event:
            orders.record_event(session, order.id, event["kind"], event["detail"], now=svc.clock(), run=this_run())
    log().info("order %s is %s at SCM (%s)", doubtful.order_id, row.ssl_id, how)
    return Outcome(ADOPTED)


def doubt(svc: Services, doubtful: Submission, why: str) -> Outcome:
    """Nobody knows yet, or no program can decide; `why` says what a person may do."""
    with svc.store.transaction() as session:
        submissions.still_in_doubt(session, doubtful.id, why=why)
    return Outcome(IN_DOUBT, f"order {doubtful.order_id} stays in doubt: {why}")


def absent(svc: Services, order: CertificateOrder, doubtful: Submission, looked_at: datetime) -> Outcome:
    """Absent twice, with the grace time between, is surely absent (RULES E4). Raises: ConflictError when another run was faster."""
    looks = [*doubtful.absent_at[:1], looked_at.isoformat()]
    waited = (looked_at - datetime.fromisoformat(looks[0])).total_seconds()
    with svc.store.transaction() as session:
        if len(looks) == 2 and waited >= svc.settings.grace_seconds:
            submissions.back_to_planned(
                session, doubtful.id, attempt=doubtful.attempts, counted=True, now=svc.clock(), run=this_run(),
                why=f"surely not at SCM: absent on {looks[0][:16]} and {looks[1][:16]} UTC",
            )
            return Outcome(ABSENT)
        submissions.seen_absent(session, doubtful.id, looks, attempt=doubtful.attempts)
    left = max(0, round(svc.settings.grace_seconds - waited))
    return Outcome(IN_DOUBT, f"order {order.id} ({order.common_name}) is not at SCM so far; it counts as lost after another look in {left} s or more")
