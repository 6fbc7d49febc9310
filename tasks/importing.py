"""Read the orders of an account from SCM, in few calls (RULES S3), and store them batch by batch.

An import may be killed at any point: rows are upserted, and a whole import remembers which windows it has finished.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TypeVar
from uuid import UUID

from models.errors import CertflowError, ConflictError, LoginError, RightsError, SetupError, ThrottledError
from models.marker import marked_by
from models.orders import AccountState
from models.parameters import ImportParameters
from models.records import OrderRecord, ReportWindow
from models.status import SubmissionStatus, order_status
from models.windows import FIRST_DAY, WHOLE_AGAIN_AFTER, changed_since, halved, whole
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import orders, rebuilding, submissions
from tasks.adapters.store.reference import account_state
from tasks.reference import facts, organization_ids
from tasks.retry import step
from tasks.runs import Progress, log, this_run
from tasks.services import Services, open_services

T = TypeVar("T")

BATCH = 1000
RESUME_FOR = timedelta(days=1)
LAST_END = timedelta(days=40 * 365)
"""Nothing that SCM holds ends later, but for certificates of devices that nobody renews: those the list finds."""

MOST_FAILURES = 20
"""Reports that fail one after the other: SCM is not overburdened, it is broken."""

MOST_MISSING_DETAILS = 5
"""Open orders that a report of changes did not return are asked for one by one, but no more than these (RULES S3)."""


@dataclass(kw_only=True)
class Read:
    """What an import saw so far."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    unreadable: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@step
def read_orders(wish: ImportParameters) -> Read:
    """Read and store the orders that were asked for: changes only, when a whole import is less than a week old and nothing narrows the wish.

    Raises: as the SCM client when nothing could be read; a window that cannot be read even as a single day is named in `problems`.
    """
    with open_services() as svc, svc.scm(wish.account) as scm:
        job = _Job(svc, scm, wish)
        started = svc.clock()
        with svc.store.transaction() as session:
            state = account_state(session, wish.account)
            since = state.imported_until
            fresh = wish.everything and not wish.include_deleted and state.full_import_at is not None and since is not None \
                and started - state.full_import_at < WHOLE_AGAIN_AFTER
        total = scm.count() if wish.everything else None    # first: it also tells whether SCM answers at all
        if fresh and since is not None:
            job.changes(since)
        else:
            job.everything()
        if wish.everything:
            job.without_request_date(total)
            if not job.read.problems:
                job.remember(started, full=not fresh)
        return job.read


class _Job:
    """One import: where rows go, and what was seen."""

    def __init__(self, svc: Services, scm: ScmClient, wish: ImportParameters) -> None:
        self.svc, self.scm, self.wish = svc, scm, wish
        self.read = Read()
        self.key = wish.model_dump(mode="json")
        with svc.store.reading() as session:
            self.organization_ids = organization_ids(wish.organizations, facts(session, wish.account).organizations)

    def changes(self, since: datetime) -> None:
        """Four windows, and details of a few open orders that they do not hold."""
        with self.svc.store.reading() as session:
            open_ids, oldest = orders.open_ids(session, self.wish.account)
        seen: set[int] = set()
        for window in changed_since(since, self.svc.clock(), oldest_open=oldest):
            self._halving(window, seen=seen)
        missing = islice((ssl_id for ssl_id in open_ids if ssl_id not in seen), MOST_MISSING_DETAILS)
        self.store(self.scm.details(ssl_id) for ssl_id in missing)

    def everything(self) -> None:
        """All windows by request date; one that a killed import finished within the last day is not asked for again."""
        window = whole(self.svc.clock(), since=self.wish.requested_since, organization_ids=self.organization_ids)
        with self.svc.store.reading() as session:
            state = session.get(AccountState, self.wish.account)
            before = (state.import_resume if state else None) or {}
        if before.get("wish") == self.key and before.get("until") and self._recent(before["at"]):
            window = replace(window, first=date.fromisoformat(before["until"]))
            log().info("an import that did not end had finished everything before %s: going on from there", before["until"])
        assert window.first is not None  # noqa: S101 - a whole window has both ends
        assert window.last is not None  # noqa: S101
        with Progress(f"orders of {self.wish.account}", (window.last - window.first).days) as progress:
            self._halving(window, progress=progress)

    def _recent(self, at: str) -> bool:
        return self.svc.clock() - datetime.fromisoformat(at) < RESUME_FOR

    def _halving(
        self, window: ReportWindow, *, seen: set[int] | None = None, progress: Progress | None = None, undated: bool = False
    ) -> None:
        """Read a window; when the answer is too big, too slow or broken, its halves, the older one first.

        A single day that fails is a problem, not the end; nothing but failures is the end.
        """
        waiting, start = [window], window.first
        failures = 0
        while waiting:
            window = waiting.pop()
            before = self.read.seen, len(self.read.unreadable)
            try:
                self.window(window, seen, undated=undated)
            except (LoginError, RightsError, SetupError, ThrottledError):
                raise
            except CertflowError as error:
                self.read.seen, self.read.unreadable[before[1]:] = before[0], []
                failures += 1
                halves = halved(window)
                if failures >= MOST_FAILURES:
                    raise
                if halves is None:
                    self.read.problems.append(f"orders of {window.first} (by {window.by}): {error}")
                    continue
                log().info("the report of %s to %s is asked for in two halves: %s", window.first, window.last, error)
                waiting += reversed(halves)
                continue
            failures = 0
            if progress is not None and window.last is not None and start is not None:
                progress.at((window.last - start).days, f"{self.read.seen:,} seen up to {window.last}")
                if waiting and not self.read.problems:
                    self._finished(window.last)

    def _finished(self, until: date) -> None:
        with self.svc.store.transaction() as session:
            state = account_state(session, self.wish.account)
            state.import_resume = {
                **(state.import_resume or {}), "wish": self.key, "until": until.isoformat(), "at": self.svc.clock().isoformat(),
            }

    def window(self, window: ReportWindow, seen: set[int] | None, *, undated: bool = False) -> None:
        """Stream one report into the store, or only its rows without a request date. One that can be halved is not asked for with patience."""
        told: Callable[[str], None] = log().debug if undated else self.read.unreadable.append    # the same rows were told before
        self.store(self.scm.report(window, unreadable=told, patient=halved(window) is None, undated=undated), seen)

    def store(self, rows: Iterable[OrderRecord], seen: set[int] | None = None) -> None:
        """Upsert rows in batches; nothing of the account's size stays in memory."""
        for batch in _batches(iter(rows)):
            if seen is not None:
                seen.update(row.ssl_id for row in batch)
            wanted = [row for row in batch if self.wish.wants(order_status(row.status_word))]
            with self.svc.store.transaction() as session:
                done = orders.upsert(
                    session, self.wish.account, wanted, now=self.svc.clock(), run=this_run(), include_deleted=self.wish.include_deleted,
                )
            _adopt(self.svc, self.wish.account, wanted)
            self.read.seen += done.seen
            self.read.new += done.new
            self.read.changed += done.changed
            self.read.unreadable += done.unreadable

    def without_request_date(self, total: int | None) -> None:
        """Imported and discovered certificates have no request date, but an end: when SCM counts more than we know, a report by expiry
        shows them in one call; what is still missing then, the list finds."""
        if not self._lacks(total):
            return
        today = self.svc.clock().date()
        self._halving(ReportWindow(by="expiry", first=FIRST_DAY, last=today + LAST_END), undated=True)
        if not self._lacks(total):
            return
        ids = (item.ssl_id for item in self.scm.listed())
        with ThreadPoolExecutor(self.svc.settings.scm_concurrency) as pool:
            for batch in _batches(ids):
                with self.svc.store.reading() as session:
                    known_ids = orders.known_ssl_ids(session, self.wish.account, batch)
                self.store(pool.map(self.scm.details, [id_ for id_ in batch if id_ not in known_ids]))

    def _lacks(self, total: int | None) -> bool:
        with self.svc.store.reading() as session:
            known = orders.count(session, self.wish.account)
        if total is not None and total > known:
            log().info("SCM counts %s orders, %s are known", f"{total:,}", f"{known:,}")
        return total is not None and total > known

    def remember(self, started: datetime, *, full: bool) -> None:
        """From when on the next import looks for changes."""
        with self.svc.store.transaction() as session:
            state = account_state(session, self.wish.account)
            state.imported_until, state.import_resume = started, rebuilding.remember({}, rebuilding.remembered(state.import_resume))
            if full:
                state.full_import_at = started


def _adopt(svc: Services, account: str, records: Iterable[OrderRecord]) -> None:
    """What SCM holds under the marker of an order that is planned here was sent, after the backup from which this database came or long on
    its way: it must not be sent again (RULES E1, K6)."""
    marked: dict[UUID, OrderRecord] = {}
    for record in sorted(records, key=lambda one: one.ssl_id):    # a renewal may have copied its predecessor's marker
        if mark := marked_by(record.comments):
            marked.setdefault(mark, record)
    with svc.store.reading() as session:
        planned = [id_ for id_, status in submissions.statuses(session, marked).items() if status == SubmissionStatus.PLANNED]
    for id_ in planned:
        try:
            _adopt_one(svc, account, id_, marked[id_])
        except ConflictError:    # somebody was faster
            continue


def _adopt_one(svc: Services, account: str, submission_id: UUID, record: OrderRecord) -> None:
    status = order_status(record.status_word)
    with svc.store.transaction() as session:
        row = orders.order(session, submissions.submission(session, submission_id).order_id)
        if status is None or row.account != account or (record.common_name or "").lower() != row.common_name \
                or submissions.linked_ssl_ids(session, account, [record.ssl_id]):
            return
        submissions.claim(session, submission_id, now=svc.clock(), run=this_run())
        orders.give_way(session, account, record.ssl_id, to=row.id)
        how = f"planned here, but found at SCM by its marker: {record.ssl_id}"
        submissions.submitted(session, submission_id, ssl_id=record.ssl_id, renew_id=None, now=svc.clock(), run=this_run(), how=how)
        session.expire(row)
        orders.update_from(row, record, status, now=svc.clock(), run=this_run())
    log().warning("order %s was %s", row.id, how)


def _batches(rows: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(rows, BATCH)):
        yield batch
