"""What a renewal or a reissue did, for programs and for people."""

from collections.abc import Sequence
from uuid import UUID

from models.orders import CertificateOrder
from models.parameters import REISSUE, RenewParameters
from models.summaries import OrderResult, RenewedOrder, RenewSummary
from tasks.adapters.store import orders
from tasks.pages import plain, table
from tasks.renewing.choosing import Chosen
from tasks.renewing.planning import Plan
from tasks.renewing.writing import Written
from tasks.retry import step
from tasks.runs import counted, next_look
from tasks.services import open_services
from tasks.submissions import Sent

DRY = "would be sent"
"""Status of an order in the summary of a dry run."""


@step
def summary(plan: Plan, sent: Sent, chosen: Chosen) -> RenewSummary:
    """How each order stands now. What failed is not listed as renewed."""
    failed_to_send = dict(sent.failed)
    done = [one for one in plan.written if one.submission_id not in failed_to_send]
    unsent = [one for one in plan.written if one.submission_id in failed_to_send]
    with open_services() as svc, svc.store.reading() as session:
        rows = orders.by_ids(session, [one.order_id for one in plan.written if one.order_id])
        later = orders.by_ids(session, [id_ for id_, _ in chosen.later])
    ahead = [
        OrderResult(order_id=id_, ssl_id=later[id_].ssl_id, reason=f"it is not due before {day}") for id_, day in chosen.later if id_ in later
    ] if any(one.order_id is None for one in plan.written) or not plan.written else []
    return RenewSummary(
        orders=tuple(_renewed(one, rows) for one in done), skipped=(*plan.skipped, *ahead),
        failed=(*plan.failed, *(
            OrderResult(order_id=one.predecessor.id, ssl_id=one.predecessor.ssl_id, reason=failed_to_send[one.submission_id])
            for one in unsent if one.submission_id is not None
        )),
    )


def _renewed(one: Written, rows: dict[UUID, CertificateOrder]) -> RenewedOrder:
    row = rows.get(one.order_id) if one.order_id else None
    if row is None:
        return RenewedOrder(
            action=one.action, order_id=one.predecessor.id, ssl_id=one.predecessor.ssl_id if one.action == REISSUE else None,
            predecessor_ssl_id=None if one.action == REISSUE else one.predecessor.ssl_id, status=DRY,
        )
    return RenewedOrder(
        action=one.action, order_id=row.id, ssl_id=row.ssl_id, status=row.status,
        predecessor_ssl_id=None if one.action == REISSUE else one.predecessor.ssl_id,
    )


def sentence(wish: RenewParameters, plan: Plan, summed: RenewSummary) -> str:
    """What was done, in one line, and what comes next."""
    what = "reissue" if wish.does == REISSUE else "renewal"
    old = sum(not one.new for one in plan.written if one.order_id is not None)
    with open_services() as svc:
        comes = next_look(svc.clock())
    parts = [
        f"dry run: {counted(len(summed.orders), what)} would be sent, nothing was" if wish.dry_run
        else f"{counted(len(summed.orders) - old, what)} sent",
        f"{old} under way already" * bool(old), f"{len(plan.skipped)} skipped" * bool(plan.skipped),
        f"{len(summed.failed)} failed" * bool(summed.failed),
        f"{plan.more:,} more are due: raise max_orders ({wish.max_orders}), or let the next run do them" * bool(plan.more),
    ]
    return ", ".join(part for part in parts if part) + ("" if wish.dry_run else f"; {comes}")


def page(wish: RenewParameters, plan: Plan, summed: RenewSummary) -> str:
    """What, when, why or why not, for each order; what needs somebody comes first."""
    names = {one.predecessor.id: one.predecessor for one in plan.written} | {one.order_id: one.predecessor for one in plan.written if one.order_id}
    what = "Reissue" if wish.does == REISSUE else "Renewal"
    return "\n".join((
        f"# {what} of certificates of account {plain(wish.account)}" + (": what would be done" if wish.dry_run else "") + "\n",
        *_reasons("Failed", summed.failed),
        f"## {'Would be sent' if wish.dry_run else 'Sent or under way'} ({len(summed.orders):,})\n",
        table(("Name", "Ends", "Order", "New order" if wish.does != REISSUE else "Order id", "State"), [
            (names[one.order_id].common_name, f"{names[one.order_id].expires_at:%Y-%m-%d}" if names[one.order_id].expires_at else "",
             one.predecessor_ssl_id or one.ssl_id, (one.ssl_id or one.order_id) if one.status != DRY else "", one.status)
            for one in summed.orders if one.order_id in names
        ]) if summed.orders else "None.\n",
        *([f"{plan.more:,} more are due than max_orders ({wish.max_orders}) allows in one run.\n"] if plan.more else []),
        *_reasons("Left as they are", summed.skipped),
    ))


def _reasons(head: str, results: Sequence[OrderResult]) -> list[str]:
    if not results:
        return []
    return [f"## {head} ({len(results):,})\n", table(("Order", "Why"), [(one.ssl_id or one.order_id, one.reason) for one in results])]
