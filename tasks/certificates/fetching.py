"""Fetch issued certificates into the repository, compare each with its order, mind the licence limit (RULES D3, D4, K6)."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias
from uuid import UUID

from models.errors import BadCertificateError, CertflowError, ConflictError, LoginError, NotReadyError, RejectedError, SetupError
from models.orders import REISSUE, CertificateOrder
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import certificates, orders, renewals, submissions
from tasks.adapters.store.certificates import Kept
from tasks.adapters.store.rows import event
from tasks.certificates.comparing import Asking, Checked, compared_with_order, take_over, unusable
from tasks.retry import step
from tasks.runs import Progress, log, this_run
from tasks.services import Services, open_services

BATCH = 1000
STORED_TOGETHER = 25
COLLECTED_AHEAD = 50
"""Certificates. A process that is killed asks again for at most those that it had not stored."""

Answered: TypeAlias = tuple[CertificateOrder, bytes | CertflowError]


@dataclass(kw_only=True)
class Fetched:
    """What a fetch brought: certificates stored, orders that wait, a sentence for each that failed."""

    fetched: int = 0
    waiting: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Fetched") -> None:
        self.fetched += other.fetched
        self.waiting += other.waiting
        self.failed += other.failed


def fetch_all(account: str, order_ids: Sequence[UUID] | None = None) -> Fetched:
    """Fetch the certificates of all issued orders that lack them, batch by batch; nothing is fetched twice."""
    total = Fetched()
    after = 0
    with open_services() as svc, svc.store.reading() as session:
        lacking = certificates.count_not_fetched(session, account, order_ids=order_ids)
    with Progress(f"certificates of {account}", lacking) as progress:
        while True:
            batch, after = fetch(account, after, order_ids)
            total.add(batch)
            if not after:
                return total
            said = f"{total.fetched:,} fetched, {total.waiting:,} wait, {len(total.failed)} failed so far"
            log().info("certificates: %s", said)
            progress.at(total.fetched + total.waiting + len(total.failed), said)


@step
def fetch(account: str, after: int = 0, order_ids: Sequence[UUID] | None = None) -> tuple[Fetched, int]:
    """Fetch one batch of issued orders above the sslId `after`; the last sslId of the batch, 0 when nothing is left.

    While the licence limit leaves no room, orders wait without a call. One certificate that fails stops no other.
    """
    with open_services() as svc:
        with svc.store.reading() as session:
            rows = certificates.not_fetched(session, account, after=after, most=BATCH, order_ids=order_ids)
        if not rows:
            return Fetched(), 0
        result = Fetched()
        allowed, waiting = _within(svc, rows)
        _mark_waiting(svc, {row.id: _no_room(svc) for row in waiting})
        result.waiting += len(waiting)
        if allowed:
            with svc.scm(account) as scm, ThreadPoolExecutor(svc.settings.scm_concurrency) as pool:
                answers = _ahead(pool, lambda row: (row, _collected(scm, row)), allowed)
                while some := list(islice(answers, STORED_TOGETHER)):
                    _take(svc, some, result)
        last = rows[-1].ssl_id
        return result, last if last is not None and len(rows) == BATCH else 0


def _within(svc: Services, rows: Sequence[CertificateOrder]) -> tuple[list[CertificateOrder], list[CertificateOrder]]:
    """Who may be fetched: successors and reissues always, since they take a place that is counted (RULES D4); others while there is room."""
    limit, now = svc.settings.certificate_limit, svc.clock()
    if limit is None:
        return list(rows), []
    with svc.store.reading() as session:
        placed = certificates.taking_a_place(session, rows, now=now)
        others = [row for row in rows if row.id not in placed]
        room = certificates.room(session, len(others), limit=limit, now=now)
    waiting = {row.id for row in others[room:]}
    return [row for row in rows if row.id not in waiting], others[room:]


def _no_room(svc: Services) -> str:
    return f"waits for a licence: the limit of {svc.settings.certificate_limit} certificates is reached"


def _ahead(pool: ThreadPoolExecutor, act: Callable[[CertificateOrder], Answered], rows: Iterable[CertificateOrder]) -> Iterator[Answered]:
    """The answers in the order of the rows. The pool goes on while one is stored, but not so far that a kill loses much."""
    under_way: deque[Future[Answered]] = deque()
    for row in rows:
        under_way.append(pool.submit(act, row))
        if len(under_way) > COLLECTED_AHEAD:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _collected(scm: ScmClient, row: CertificateOrder) -> bytes | CertflowError:
    assert row.ssl_id is not None  # noqa: S101 - the query says so
    try:
        return scm.collect(row.ssl_id)
    except CertflowError as error:
        return error


def _take(svc: Services, answered: Sequence[Answered], result: Fetched) -> None:
    """Store what can be stored, and say of each other answer why not. Raises: LoginError, after that."""
    with svc.store.reading() as session:    # after SCM's answers: a reissue writes its submission before it asks SCM
        sent = submissions.of_orders(session, [row.id for row, _ in answered])
        follow = [row for row, _ in answered if row.predecessor_id or any(one.kind == REISSUE for one in sent.get(row.id, []))]
        before = renewals.newest_certificates(session, [*(row.id for row in follow), *(row.predecessor_id for row in follow if row.predecessor_id)])
    usable: list[Checked] = []
    waiting: dict[UUID, str] = {}
    for row, answer in answered:
        if isinstance(answer, NotReadyError):
            waiting[row.id] = f"SCM has issued it but does not hand it out yet ({answer})"
            result.waiting += 1
        elif isinstance(answer, bytes):
            asking = Asking(row, sent.get(row.id, []), before.get(row.id) or (before.get(row.predecessor_id) if row.predecessor_id else None))
            try:
                usable.append(compared_with_order(asking, answer, now=svc.clock()))
            except BadCertificateError as error:
                try:
                    usable.append(unusable(asking, answer, error, now=svc.clock()))
                except BadCertificateError:
                    waiting[row.id] = f"not usable: {error}"
                    result.failed.append(f"order {row.ssl_id} ({row.common_name}): {error}")
        elif not isinstance(answer, LoginError):
            result.failed.append(f"order {row.ssl_id} ({row.common_name}): {answer}")
    _mark_waiting(svc, waiting)
    _store(svc, usable, result)
    for _, answer in answered:
        if isinstance(answer, LoginError):
            raise answer


def _store(svc: Services, checked: Sequence[Checked], result: Fetched) -> None:
    """All in one transaction; when the database does not take them together, each by itself."""
    try:
        kept = _stored_together(svc, checked)
    except SetupError:
        raise
    except (ConflictError, RejectedError) as error:
        for one in checked if len(checked) > 1 else ():
            _store(svc, [one], result)
        if len(checked) == 1:
            result.failed.append(f"order {checked[0].order.ssl_id} ({checked[0].order.common_name}): {error}")
        return
    for one, what in zip(checked, kept, strict=True):
        result.fetched += what is Kept.ADDED
        result.waiting += what is Kept.NO_ROOM or one.old
        if what is Kept.NO_ROOM or one.old:
            continue
        for finding in one.found:
            log().warning("order %s (%s): %s", one.order.ssl_id, one.order.common_name, finding.text)
        if one.new.never_deliver:
            result.failed.append(f"order {one.order.ssl_id} ({one.order.common_name}) is not delivered: {one.new.held_because}")


def _stored_together(svc: Services, checked: Sequence[Checked]) -> list[Kept]:
    """Certificates, their orders and what happened, in one transaction with the count of licences (RULES D4)."""
    now, run = svc.clock(), this_run()
    events: list[dict[str, Any]] = []
    with svc.store.transaction() as session:
        kept = certificates.add(session, [one.new for one in checked], limit=svc.settings.certificate_limit, now=now)
        rows = orders.by_ids(session, [one.order.id for one in checked])
        for one, what in zip(checked, kept, strict=True):
            if (row := rows.get(one.order.id)) is None:
                raise ConflictError("an import has given the order its old id back: the next import or poll fetches it")
            new = one.new
            if what is Kept.NO_ROOM:
                row.waiting_because = _no_room(svc)
                continue
            if one.old:
                row.waiting_because = f"SCM took the reissue and still hands out the certificate before it (serial number {new.serial_number})"
                continue
            row.waiting_because, row.serial_number = new.held_because, new.serial_number
            row.issued_at, row.expires_at = row.issued_at or new.not_before, row.expires_at or new.not_after
            take_over(row, one)
            if what is Kept.ADDED:
                said = "; ".join((f"serial {new.serial_number}", *(finding.text for finding in one.found)))
                events.append(event(row.id, "fetched", said, now=now, run=run))
        orders.record_events(session, events)
    return kept


def _mark_waiting(svc: Services, because: Mapping[UUID, str]) -> None:
    if not because:
        return
    with svc.store.transaction() as session:
        for id_, row in orders.by_ids(session, because).items():
            row.waiting_because = because[id_]
