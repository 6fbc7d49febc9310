"""Ask SCM how open orders stand: by details when they are few, else by a few reports (RULES S3, S4)."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from models.errors import CertflowError, InputError, LoginError, NotFoundError, RejectedError, SetupError
from models.orders import ORDERED, CertificateOrder
from models.policy import newest_living
from models.records import OrderRecord, ReportedOrder, ReportWindow
from models.status import OPEN, OrderStatus, SubmissionStatus
from models.summaries import PollSummary
from models.windows import Pace, around, is_one_day
from tasks import certificates, delivery, marking, rebuilding, reports, revoking, sending, settling
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import Session, orders, renewals, revocations, submissions
from tasks.adapters.store import certificates as repository
from tasks.adapters.store.orders import AtScm
from tasks.retry import step
from tasks.runs import POLL_EVERY, counted, log, next_look, this_run
from tasks.services import Services, open_services
from tasks.submissions import MOST_ATTEMPTS, Sent

R = TypeVar("R")

FEW = 5
"""Up to so many orders are asked for one by one: details say more than a report and cost less than a day's rows."""

MOST_MISSING_DETAILS = 50
"""Orders that the reports did not return and that one poll asks for; the next poll goes on with others."""

BATCH = 1000
FIRST_PAUSE = 15.0
LONGEST_PAUSE = 600.0


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a poll learnt of open orders."""

    checked: int = 0
    changed: int = 0
    failed: tuple[str, ...] = ()


@step
def meant(account: str, texts: Sequence[str]) -> tuple[UUID, ...]:
    """The orders that are named: by sslId, UUID, or a name, which means the newest living order of its line (RULES N6).

    Raises: NotFoundError or InputError that names every text that fits no order or several.
    """
    found: list[UUID] = []
    wrong: list[str] = []
    with open_services() as svc, svc.store.reading() as session:
        for text in texts:
            rows = orders.named(session, account, text)
            chosen = rows if len(rows) < 2 else newest_living(rows)
            if len(chosen) == 1:
                found.append(chosen[0].id)
            elif chosen:
                candidates = ", ".join(f"{row.ssl_id or row.id} ({row.status})" for row in chosen[:20])
                wrong.append(f"{text!r} means several orders, name one: {candidates}")
            else:
                wrong.append(f"there is no order {text!r} in account {account}: import-orders finds orders that SCM holds")
    if wrong:
        raise InputError.of(wrong)
    return tuple(dict.fromkeys(found))


@step
def anything_open(account: str) -> bool:
    """Whether a poll has anything to do: something unsettled, open, not fetched, not delivered, or to be revoked."""
    with open_services() as svc, svc.store.reading() as session:
        return bool(
            submissions.unsettled(session, account, SubmissionStatus.SUBMITTING)
            or [one for one in submissions.unsettled(session, account, SubmissionStatus.PLANNED) if one.attempts < MOST_ATTEMPTS]
            or orders.open_orders(session, account, most=1)
            or renewals.being_reissued(session, account)
            or renewals.to_mark_renewed(session, account)
            or repository.not_fetched(session, account, most=1)
            or repository.not_delivered(session, account)
            or revocations.due(session, account, now=svc.clock())
            or revocations.compromised_unplanned(session, account, now=svc.clock())
        )


@step
def look(account: str, order_ids: Sequence[UUID] | None = None) -> Looked:
    """Bring open orders, or the named ones whatever their status, to what SCM says. A single order that fails stops no other.

    An order of ours that is issued and not delivered yet counts as open: it may be revoked meanwhile.
    """
    with open_services() as svc:
        with svc.store.reading() as session:
            rows = _undecided(session, account) if order_ids is None else _at_scm(orders.order(session, id_) for id_ in order_ids)
        if not rows:
            return Looked()
        with svc.scm(account) as scm:
            return _look(svc, scm, account, rows)


def _at_scm(rows: Iterable[CertificateOrder]) -> list[AtScm]:
    return [AtScm(row.ssl_id, row.requested_at) for row in rows if row.ssl_id is not None]


def _undecided(session: Session, account: str) -> list[AtScm]:
    waiting = [row.id for row in repository.not_fetched(session, account, origin=ORDERED)]
    waiting += [one.order_id for one in repository.not_delivered(session, account)]
    others = _at_scm([*renewals.being_reissued(session, account), *orders.by_ids(session, waiting).values()])
    return list({one.ssl_id: one for one in [*others, *orders.open_orders(session, account)]}.values())


def _look(svc: Services, scm: ScmClient, account: str, rows: Sequence[AtScm]) -> Looked:
    wanted = {row.ssl_id for row in rows}
    failed: list[str] = []
    changed = 0
    most: int | None = None
    if len(rows) > FEW:
        changed, reported = _by_report(svc, scm, account, rows, wanted, failed)
        most = MOST_MISSING_DETAILS if reported else None
    missing = _in_turn(sorted(wanted), most, svc.clock())
    ask = partial(scm.details, patient=len(missing) <= FEW)
    with ThreadPoolExecutor(svc.settings.scm_concurrency) as pool:
        records = [one for one in pool.map(lambda ssl_id: _details(ask, ssl_id, failed), missing) if one is not None]
    changed += _store(svc, account, records, failed)
    return Looked(checked=len(rows), changed=changed, failed=tuple(failed))


def _in_turn(ids: list[int], most: int | None, now: datetime) -> list[int]:
    """At most so many of them, others at each poll."""
    if most is None or len(ids) <= most:
        return ids
    first = int(now.timestamp() // POLL_EVERY.total_seconds()) * most % len(ids)
    return [*ids[first:], *ids[:first]][:most]


def _by_report(
    svc: Services, scm: ScmClient, account: str, rows: Sequence[AtScm], wanted: set[int], failed: list[str]
) -> tuple[int, bool]:
    """How many a few reports changed of the open orders, and whether SCM gives a report; those found leave `wanted`."""
    changed = 0

    def read(window: ReportWindow) -> int:
        nonlocal changed
        held = 0
        batch: list[ReportedOrder] = []
        for row in scm.reported(window, unreadable=log().warning, patient=is_one_day(window)):
            held += 1
            if row.ssl_id in wanted:
                batch.append(row)
        for first in range(0, len(batch), BATCH):
            with svc.store.transaction() as session:
                done, _ = orders.upsert_reported(session, account, batch[first:first + BATCH], now=svc.clock(), run=this_run())
            changed += done.changed
            failed.extend(done.unreadable)
        wanted.difference_update(row.ssl_id for row in batch)
        return held

    for window in around(row.requested_at.date() for row in rows if row.requested_at):
        try:
            reports.walk(window, read, pace=Pace.first(0))
        except (LoginError, SetupError):
            raise
        except CertflowError as error:
            log().warning("the report of %s to %s could not be read, its orders are asked for one by one: %s", window.first, window.last, error)
            if isinstance(error, RejectedError):
                return changed, False
    return changed, True


def _details(ask: Callable[[int], OrderRecord], ssl_id: int, failed: list[str]) -> OrderRecord | None:
    try:
        return ask(ssl_id)
    except LoginError:
        raise
    except NotFoundError as error:
        failed.append(f"order {ssl_id}: SCM does not know it any more ({error})")
    except CertflowError as error:
        failed.append(f"order {ssl_id}: {error}")
    return None


def _store(svc: Services, account: str, records: Iterable[OrderRecord], failed: list[str]) -> int:
    changed = 0
    found = list(records)
    for first in range(0, len(found), BATCH):
        with svc.store.transaction() as session:
            done = orders.upsert(session, account, found[first:first + BATCH], now=svc.clock(), run=this_run())
        changed += done.changed
        failed += done.unreadable
    return changed


def now() -> datetime:
    """The moment by which a run tells what it has changed."""
    with open_services() as svc:
        return svc.clock()


def bring_forward(account: str, order_ids: Sequence[UUID] | None = None) -> PollSummary:
    """Settle, send, look, fetch, deliver, revoke: one pass over what is open. A part that fails stops no other; a refused login stops all.

    Raises: LoginError; SetupError, since without Vault or database nothing can be done.
    """
    problems: list[str] = []
    settled = _part(lambda: settling.settle(account, order_ids), settling.Settled(), problems)
    sent = _part(lambda: sending.send_planned(account, order_ids), Sent(), problems)
    looked = _part(lambda: look(account, order_ids), Looked(), problems)
    fetched = _part(lambda: certificates.fetch_all(account, order_ids), certificates.Fetched(), problems)
    attached = _part(lambda: rebuilding.attach_late(account), rebuilding.Attached(), problems)
    delivered = _part(lambda: delivery.deliver_all(account, order_ids), delivery.Delivered(), problems)
    problems += _part(lambda: marking.mark_renewed(account), (), problems)
    revoked = _part(lambda: revoking.revoke_due(account, order_ids), revoking.Revoked(), problems)    # last: a successor may be live now
    problems += [*(f"submission {id_}: {why}" for id_, why in sent.failed), *looked.failed, *attached.unsolved(fetched.failed)]
    problems += delivered.failed
    problems += [f"revocation of order {one.ssl_id}: {one.reason}" for one in revoked.failed]
    return PollSummary(
        orders_checked=looked.checked, orders_changed=looked.changed, certificates_fetched=fetched.fetched,
        certificates_waiting=fetched.waiting + delivered.waiting, settled=settled.adopted, in_doubt=len(settled.in_doubt),
        failed=len(problems), sent=sent.taken, delivered=delivered.delivered, revoked=len(revoked.done),
        problems=tuple([*problems, *settled.in_doubt][:50]),
    )


def _part(act: Callable[[], R], nothing: R, problems: list[str]) -> R:
    try:
        return act()
    except (LoginError, SetupError):
        raise
    except CertflowError as error:
        problems.append(str(error))
        return nothing


def what_comes() -> str:
    """What happens next to open orders."""
    return next_look(now())


def sentence(summary: PollSummary) -> str:
    """What a poll did, and what happens next."""
    parts = [
        f"{counted(summary.orders_checked, 'order')} checked", f"{summary.orders_changed:,} changed",
        f"{summary.settled} settled" * bool(summary.settled),
        f"{summary.sent} sent" * bool(summary.sent), f"{summary.in_doubt} in doubt" * bool(summary.in_doubt),
        f"{counted(summary.certificates_fetched, 'certificate')} fetched", f"{summary.delivered:,} delivered",
        f"{summary.certificates_waiting:,} wait" * bool(summary.certificates_waiting), f"{summary.revoked:,} revoked" * bool(summary.revoked),
    ]
    return ", ".join(part for part in parts if part) + "; " + what_comes()


def look_soon(account: str, order_ids: Sequence[UUID]) -> None:
    """See how SCM took a few orders that were just sent; of many the next poll learns it by one call."""
    if 0 < len(order_ids) <= FEW:
        _quietly(lambda: look(account, order_ids))


def wait_for(order_id: UUID, *, minutes: int, sleep: Callable[[float], None] = time.sleep) -> None:
    """See how SCM took an order, and bring it forward until it is delivered or decided, at most so many minutes.

    Pauses grow from 15 s to 10 minutes (contract 7.3). That SCM cannot be asked now is left to the next poll.
    """
    with open_services() as svc:
        ends = svc.clock() + timedelta(minutes=minutes)
        order = _order(svc, order_id)
        if order.ssl_id is not None:
            _quietly(lambda: look(order.account, [order_id]))
        pause = FIRST_PAUSE
        while svc.clock() < ends and not _finished(svc, order_id):
            sleep(min(pause, max(0.0, (ends - svc.clock()).total_seconds())))
            _quietly(lambda: bring_forward(order.account, [order_id]))
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _quietly(act: Callable[[], object]) -> None:
    try:
        act()
    except CertflowError as error:
        log().warning("SCM could not be asked now, poll-orders will: %s", error)


def _order(svc: Services, order_id: UUID) -> CertificateOrder:
    with svc.store.reading() as session:
        return orders.order(session, order_id)


def _finished(svc: Services, order_id: UUID) -> bool:
    """Delivered, decided against, or waiting for a person: more waiting here changes nothing."""
    with svc.store.reading() as session:
        order = orders.order(session, order_id)
        newest = next(iter(repository.of_order(session, order_id)), None)
    if order.status == OrderStatus.ISSUED:
        return newest is not None and (newest.delivered_at is not None or newest.held_because is not None)
    return order.status not in OPEN
