"""Fetch issued certificates into the repository, compare each with its order, mind the licence limit (RULES D3, D4, K6)."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeAlias
from uuid import UUID

from models.errors import BadCertificateError, CertflowError, ConflictError, LoginError, NotReadyError, RejectedError, SetupError
from models.orders import REISSUE, CertificateOrder
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import Session, certificates, fetched, orders, renewals, submissions
from tasks.adapters.store.certificates import Kept
from tasks.adapters.store.rows import event
from tasks.certificates.comparing import Asking, Checked, compared_with_order, take_over, unusable
from tasks.retry import step
from tasks.runs import Progress, log, this_run
from tasks.services import Services, open_services

BATCH = 2500
"""Orders that one task handles: at ten times the latency of a near server still some minutes only."""

PAGE = 500
STORED_TOGETHER = 100
COLLECTED_AHEAD = 200
"""Certificates. A process that is killed asks again for at most those that it had not stored."""

TURN_SECONDS = 0.0005
"""So long a thread that checks may keep those from working that talk to SCM. Python's own 5 ms cost each call several times that: an answer
waits for its turn at each step on its way."""

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
        batch = _Batch(svc, account, after, order_ids)
        rows = iter(batch)
        if (first := next(rows, None)) is not None:
            with svc.scm(account) as scm, ThreadPoolExecutor(svc.settings.scm_concurrency) as pool, _short_turns():
                answers = _ahead(pool, lambda row: (row, _collected(scm, row)), chain([first], rows))
                while some := list(islice(answers, STORED_TOGETHER)):
                    _take(svc, some, batch.result)
                    batch.on_the_way -= len(some)
        return batch.result, batch.after if batch.more else 0


class _Batch:
    """The orders of a batch that may be fetched, page by page, so that SCM is asked for some while the next are read.

    Those that the licence limit does not allow are marked on the way. `on_the_way` counts what was handed out and is not stored yet.
    """

    def __init__(self, svc: Services, account: str, after: int, order_ids: Sequence[UUID] | None) -> None:
        self.svc, self.account, self.after, self.order_ids = svc, account, after, order_ids
        self.result = Fetched()
        self.on_the_way = 0
        self.more = True

    def __iter__(self) -> Iterator[CertificateOrder]:
        for _page in range(BATCH // PAGE):
            with self.svc.store.reading() as session:
                rows = certificates.not_fetched(session, self.account, after=self.after, most=PAGE, order_ids=self.order_ids)
            self.after = max((row.ssl_id or 0 for row in rows), default=0)
            self.more = len(rows) == PAGE
            allowed, waiting = self._within(rows)
            _mark_waiting(self.svc, {row.id: _no_room(self.svc) for row in waiting})
            self.result.waiting += len(waiting)
            self.on_the_way += len(allowed)
            yield from allowed
            if not self.more:
                return

    def _within(self, rows: Sequence[CertificateOrder]) -> tuple[list[CertificateOrder], list[CertificateOrder]]:
        """Who may be fetched: successors and reissues always, since they take a place that is counted (RULES D4); others while there is room."""
        limit, now = self.svc.settings.certificate_limit, self.svc.clock()
        if limit is None:
            return list(rows), []
        with self.svc.store.reading() as session:
            placed = certificates.taking_a_place(session, rows, now=now)
            others = [row for row in rows if row.id not in placed]
            room = certificates.room(session, len(others) + self.on_the_way, limit=limit, now=now) - self.on_the_way
        waits = others[max(room, 0):]
        waiting = {row.id for row in waits}
        return [row for row in rows if row.id not in waiting], waits


@contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


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
    with svc.store.transaction() as session:
        before = fetched.facts(session, [one.order.id for one in checked])
        if len(before) < len(checked):
            raise ConflictError("an import has given the order its old id back: the next import or poll fetches it")
        kept = certificates.add(session, [one.new for one in checked], limit=svc.settings.certificate_limit, now=now)
        after = {one.order.id: _after(svc, one, what, before[one.order.id]) for one, what in zip(checked, kept, strict=True)}
        fetched.write(session, before, after)
        _take_over(session, [one for one, what in zip(checked, kept, strict=True) if what is not Kept.NO_ROOM and not one.old])
        orders.record_events(session, [
            event(one.order.id, "fetched", "; ".join((f"serial {one.new.serial_number}", *(found.text for found in one.found))), now=now, run=run)
            for one, what in zip(checked, kept, strict=True) if what is Kept.ADDED and not one.old
        ])
    return kept


def _after(svc: Services, one: Checked, what: Kept, before: fetched.Facts) -> fetched.Facts:
    """What the order says of its certificate from now on."""
    new = one.new
    if what is Kept.NO_ROOM:
        return before._replace(waiting_because=_no_room(svc))
    if one.old:
        return before._replace(
            waiting_because=f"SCM took the reissue and still hands out the certificate before it (serial number {new.serial_number})")
    return fetched.Facts(new.held_because, new.serial_number, before.issued_at or new.not_before, before.expires_at or new.not_after)


def _take_over(session: Session, checked: Sequence[Checked]) -> None:
    """Reissues change more of their orders."""
    reissued = [one for one in checked if one.owner is not None and one.owner.kind == REISSUE]
    rows = orders.by_ids(session, [one.order.id for one in reissued]) if reissued else {}
    for one in reissued:
        take_over(rows[one.order.id], one)


def _mark_waiting(svc: Services, because: Mapping[UUID, str]) -> None:
    if because:
        with svc.store.transaction() as session:
            fetched.mark_waiting(session, because)
