"""Which orders need somebody, and what has to be done about each: for all pages that say so, and as an event, once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from models.orders import CertificateOrder, Submission
from models.status import OPEN_AT_SCM, UNSETTLED_HERE, WAITS_FOR_APPROVAL, OrderStatus
from tasks import events
from tasks.adapters.store import Session, certificates, orders
from tasks.adapters.store.rows import event
from tasks.cancelling import CANCELLED
from tasks.retry import step
from tasks.runs import log, this_run
from tasks.services import open_services
from tasks.submissions import MOST_ATTEMPTS

HELD = "a certificate was held back: accept it (`python -m deployments settle ORDER --accept`) or have it revoked."
NEVER = "a certificate must not be delivered, and nobody can accept it: have it revoked, then order anew."
GIVEN_UP = "sent three times without trace: decide with `python -m deployments settle ORDER --send-again` or `--withdraw`."
IN_DOUBT = "poll-orders looks for it at SCM by itself; who knows better says `python -m deployments settle ORDER`."
DECIDE = "no program can decide it: look into SCM, then run the command that the reason names."
REFUSED = "SCM or the CA refused it: mend the cause, then order or renew anew."
OTHER = "see the reason; poll-orders tries again."
NOT_SENT = "the next poll-orders sends it."
APPROVAL = "an administrator approves or declines it in SCM."
STUCK = "SCM has not decided it for more than a day: look at it there, or ask the CA."
TO_DO = (HELD, NEVER, DECIDE, GIVEN_UP, IN_DOUBT, OTHER, NOT_SENT, APPROVAL, STUCK)
"""What somebody has to do, most urgent first."""

PERSONS = frozenset({HELD, NEVER, DECIDE, GIVEN_UP, REFUSED})
"""What does not come right by itself: other programs are told."""

STUCK_AFTER = timedelta(days=1)
TOLD = "needs attention"


class Need(NamedTuple):
    """An order that needs somebody: what is to be done (one of `TO_DO`), and order, name, state and why as a page shows them."""

    to_do: str
    row: tuple[object, ...]
    order: CertificateOrder

    @property
    def why(self) -> str:
        """State and reason, in words."""
        return ": ".join(str(part) for part in self.row[2:] if part)


def needs(session: Session, account: str, *, now: datetime, where: Sequence[Any] = ()) -> list[Need]:
    """Orders of the account that need somebody, at most 500 of each kind; only those that `where` of the store fits."""
    held = certificates.held(session, account, where=where)
    known = {order.id for order, _ in held}
    found = [
        Need(NEVER if one.never_deliver else HELD, (number(order), order.common_name, "certificate held", one.held_because or ""), order)
        for order, one in held
    ]
    waiting: dict[UUID, Need] = {}
    for order in orders.stuck(session, account, before=now - STUCK_AFTER, where=where):
        waiting[order.id] = _need(order, None)
    for order, newest in orders.needing_attention(session, account, where=where):
        waiting[order.id] = _need(order, newest)
    return found + [need for id_, need in waiting.items() if id_ not in known]


@step
def tell(account: str) -> int:
    """Write into the history of each order that a person must decide, once for each reason, and tell other programs; how many were told."""
    with open_services() as svc:
        now = svc.clock()
        with svc.store.transaction() as session:
            found = [one for one in needs(session, account, now=now) if one.to_do in PERSONS]
            refused = orders.refused_and_not_told(session, account, (TOLD, CANCELLED))    # who cancels knows it
            found += [Need(REFUSED, (number(row), row.common_name, row.status, ""), row) for row in refused]
            told = orders.last_events(session, [one.order.id for one in found], TOLD)
            new = [one for one in found if told.get(one.order.id) != one.why[:2000]]
            orders.record_events(session, [event(one.order.id, TOLD, one.why, now=now, run=this_run()) for one in new])
        for one in new:
            log().warning("order %s (%s) needs attention: %s; %s", one.row[0], one.row[1], one.why, one.to_do)
            events.emit(events.NEEDS_ATTENTION, one.order, reason=one.why, to_do=one.to_do)
    return len(new)


def number(order: CertificateOrder) -> int | UUID:
    """By what people name an order: SCM's id, ours until there is one."""
    return order.ssl_id or order.id


def _need(order: CertificateOrder, newest: Submission | None) -> Need:
    """What somebody has to do about an order, and its row. What is unsettled may be a reissue: the order itself is issued then."""
    shown, name, said = number(order), order.common_name, newest.error if newest and newest.error else ""
    status = newest.status if newest and newest.status in UNSETTLED_HERE else order.status
    if status == OrderStatus.SUBMITTING:
        since = f"since {newest.claimed_at:%Y-%m-%d %H:%M} UTC" if newest and newest.claimed_at else ""
        return Need(DECIDE if "deployments settle" in said else IN_DOUBT, (shown, name, f"in doubt {since}", said), order)
    if status == OrderStatus.PLANNED:
        given_up = newest is not None and newest.attempts >= MOST_ATTEMPTS
        since = f"planned since {(newest or order).created_at:%Y-%m-%d}"
        return Need(GIVEN_UP if given_up else NOT_SENT, (shown, name, since, said), order)
    if status in WAITS_FOR_APPROVAL:
        since = f"waits for approval since {order.requested_at:%Y-%m-%d}" if order.requested_at else "waits for approval"
        return Need(APPROVAL, (shown, name, since, ""), order)
    if status in OPEN_AT_SCM:
        return Need(STUCK, (shown, name, f"{status} since {order.requested_at or order.created_at:%Y-%m-%d}", ""), order)
    return Need(OTHER, (shown, name, status, order.waiting_because or ""), order)
