"""Read the orders of an account from SCM, in few calls (RULES S3), and store them batch by batch.

An import may be killed at any point: rows are upserted, and a whole import remembers how far it has come.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar
from uuid import UUID

from models.errors import ConflictError, LoginError, RejectedError, SetupError
from models.marker import marked_by
from models.parameters import ImportParameters
from models.records import OrderRecord, ReportedOrder, ReportWindow
from models.status import SubmissionStatus, order_status
from models.windows import FIRST_DAY, LAST_END, WHOLE_AGAIN_AFTER, Pace, changed_since, is_one_day, undated, whole
from tasks import lists, reports
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import orders, resuming, submissions
from tasks.adapters.store.reference import account_state
from tasks.reference import facts, organization_ids
from tasks.retry import step
from tasks.runs import Progress, log, this_run
from tasks.services import Services, open_services

T = TypeVar("T")

BATCH = 1000

MOST_MISSING_DETAILS = 5
"""Open orders that a report of changes did not return are asked for one by one, but no more than these (RULES S3)."""


@dataclass(kw_only=True)
class Read:
    """What an import saw so far. `said` is what somebody should know although nothing failed."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    unreadable: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@step
def read_orders(wish: ImportParameters) -> Read:
    """Read and store the orders that were asked for: changes only, when a whole import is less than a week old and nothing narrows the wish.

    Raises: as the SCM client when nothing could be read; a window that cannot be read even as a single day is named in `problems`.
    """
    with open_services() as svc, svc.scm(wish.account) as scm:
        with svc.store.transaction() as session:
            state = account_state(session, wish.account)
        started, since = svc.clock(), state.imported_until
        fresh = wish.everything and not wish.include_deleted and state.full_import_at is not None and since is not None \
            and started - state.full_import_at < WHOLE_AGAIN_AFTER
        job = _Job(svc, scm, wish, resuming.found(state, wish.model_dump(mode="json"), now=started))
        total = scm.count()    # first: it also tells whether SCM answers at all
        try:
            if fresh and since is not None:
                job.changes(since)
            else:
                job.everything(total)
            if wish.everything:
                job.missing(total, full=not fresh)
        except (LoginError, SetupError):
            raise
        except RejectedError as error:
            job.read.said.append(f"SCM gives no report, orders are read by list and details, one call for each: {error}")
            log().warning(job.read.said[-1])
            job.by_list(only_open=fresh)
        if wish.everything and not job.read.problems:
            job.remember(full=not fresh)
        job.read.unreadable = list(dict.fromkeys(job.read.unreadable))    # windows overlap
        return job.read


class _Job:
    """One import: where rows go, and what was seen."""

    def __init__(self, svc: Services, scm: ScmClient, wish: ImportParameters, resumed: resuming.Resume) -> None:
        self.svc, self.scm, self.wish = svc, scm, wish
        self.read = Read()
        self.resume = resumed
        self.resumed = resumed.is_under_way
        self.counted: set[int] = set()
        """Orders of the window before this one, since neighbours share a midnight; of changes, those of all windows."""
        with svc.store.reading() as session:
            self.organization_ids = organization_ids(wish.organizations, facts(session, wish.account).organizations)

    def changes(self, since: datetime) -> None:
        """Four windows, and details of a few open orders that they do not hold."""
        with self.svc.store.reading() as session:
            still_open = orders.open_orders(session, self.wish.account)
        oldest = next((one.requested_at for one in still_open if one.requested_at), None)
        for window in changed_since(since, self.svc.clock(), oldest_open=oldest):
            self.read.problems += reports.walk(window, partial(self._window, changes=True), pace=Pace.first(0))
        missing = list(islice((one.ssl_id for one in still_open if one.ssl_id not in self.counted), MOST_MISSING_DETAILS))
        self.read.problems += lists.details(self.scm, missing, self.store, at_once=1, unreadable=self.read.unreadable.append)

    def everything(self, total: int | None) -> None:
        """All windows by request date, and what has none; what a killed import finished within the last day is not asked for again."""
        now = self.svc.clock()
        windows = [whole(now, since=self.wish.requested_since, organization_ids=self.organization_ids)]
        if self.wish.requested_since is None:
            windows += undated(now, organization_ids=self.organization_ids)
        if self.resumed:
            log().info("an import that did not end goes on where it was: %s", self.resume.where())
        with Progress(f"orders of {self.wish.account}", total or 0) as progress:
            for number, window in enumerate(windows):
                if number < self.resume.window:
                    continue
                rest, pace = self.resume.rest(number, window), self.resume.pace(number) or Pace.first(total)
                walk = partial(reports.walk, rest, self._window, pace=pace, finished=partial(self._finished, number, rest, progress))
                self.read.problems += _unless_refused(walk) if window.source else walk()

    def _finished(self, number: int, whole: ReportWindow, progress: Progress, window: ReportWindow, pace: Pace, *, failed: bool) -> None:
        progress.at(self.read.seen, f"{self.read.seen:,} seen back to {window.first}")
        if failed or self.read.problems:    # a day that failed must be asked for again
            return
        self.resume = self.resume.come_to(number, window, pace, ends=window.first == whole.first, now=self.svc.clock())
        self._save()

    def _save(self) -> None:
        with self.svc.store.transaction() as session:
            resuming.save(account_state(session, self.wish.account), self.resume)

    def _window(self, window: ReportWindow, *, without_date: bool = False, changes: bool = False) -> int:
        """Stream one report into the store; how many rows it held. One that can be smaller is not asked for with patience."""
        without_date = without_date or window.source is not None
        told: list[str] = []
        rows = self.scm.reported(window, unreadable=told.append, patient=is_one_day(window), undated=without_date)
        held: set[int] = set()
        for batch in _batches(rows):
            held |= self._store_reported(batch)
        self.read.unreadable += told
        self.read.seen += len(held - self.counted)
        self.counted = self.counted | held if changes else held
        return len(held)

    def _store_reported(self, batch: Sequence[ReportedOrder]) -> set[int]:
        """Which of them are wanted."""
        wants = self._wants if self.wish.statuses else None
        with self.svc.store.transaction() as session:
            done, records = orders.upsert_reported(
                session, self.wish.account, batch, now=self.svc.clock(), run=this_run(), include_deleted=self.wish.include_deleted, wants=wants,
            )
        self._note(done, records)
        return {one.ssl_id for one in (records if wants else batch)}

    def _wants(self, record: OrderRecord) -> bool:
        return self.wish.wants(order_status(record.status_word))

    def store(self, records: Sequence[OrderRecord]) -> None:
        """Upsert what details told."""
        with self.svc.store.transaction() as session:
            done = orders.upsert(
                session, self.wish.account, records, now=self.svc.clock(), run=this_run(), include_deleted=self.wish.include_deleted,
            )
        self._note(done, records)
        self.read.seen += sum(one.ssl_id not in self.counted for one in records)

    def _note(self, done: orders.Upserted, records: Sequence[OrderRecord]) -> None:
        _adopt(self.svc, self.wish.account, records)
        self.read.new += done.new
        self.read.changed += done.changed
        self.read.unreadable += done.unreadable

    def by_list(self, *, only_open: bool = False) -> None:
        """All orders that the wish is about by list and details; with `only_open` those that are not known, and open ones."""
        with self.svc.store.reading() as session:
            open_ids = frozenset(one.ssl_id for one in orders.open_orders(session, self.wish.account))

        def wanted(ids: Sequence[int]) -> Sequence[int]:
            return [*self._unknown(ids), *(id_ for id_ in ids if id_ in open_ids)] if only_open else ids

        def come_to(ssl_id: int) -> None:
            self.resume = self.resume.listed_to(ssl_id, now=self.svc.clock())
            self._save()

        self.counted = set()
        self.read.problems += lists.read(
            self.scm, wanted, self._store_listed, at_once=self.svc.settings.scm_concurrency, unreadable=self.read.unreadable.append,
            above=self.resume.listed, finished=come_to,
        )

    def _store_listed(self, records: Sequence[OrderRecord]) -> None:
        since, places = self.wish.requested_since, self.organization_ids
        self.store([
            one for one in records if self._wants(one) and (not places or one.organization_id in places)
            and (since is None or (one.requested_at is not None and one.requested_at.date() >= since))
        ])

    def _unknown(self, ids: Sequence[int]) -> list[int]:
        with self.svc.store.reading() as session:
            known = orders.known_ssl_ids(session, self.wish.account, ids)
        return [id_ for id_ in ids if id_ not in known]

    def missing(self, total: int | None, *, full: bool) -> None:
        """When SCM counts more orders than we know, or than a whole import saw, some have neither a request date nor a source that tells it:
        a report by expiry shows those that have an end; what is unknown even then, the list finds.

        What the list does not bring either, an order in doubt for example, is looked for once a week only.
        """
        lacking, seen, new = self._lacking(total), self.read.seen, self.read.new
        unseen = (total or 0) - seen if full and not self.resumed else 0
        if max(lacking, unseen) <= (0 if full else self.resume.lacking):
            self.resume = self.resume.without(lacking)
            return
        window = ReportWindow(by="expiry", first=FIRST_DAY, last=self.svc.clock().date() + LAST_END)
        self.read.problems += _unless_refused(
            partial(reports.walk, window, partial(self._window, without_date=True), pace=Pace.first(total)))
        if self._lacking(total):
            self.counted = set()
            self.read.problems += lists.read(
                self.scm, self._unknown, self.store, at_once=self.svc.settings.scm_concurrency, unreadable=self.read.unreadable.append,
            )
        self.read.seen = seen + self.read.new - new    # the others were seen before
        self.resume = self.resume.without(self._lacking(total))

    def _lacking(self, total: int | None) -> int:
        with self.svc.store.reading() as session:
            known = orders.count(session, self.wish.account)
        if total is not None and total > known:
            log().info("SCM counts %s orders, %s are known", f"{total:,}", f"{known:,}")
        return max(0, (total or 0) - known)

    def remember(self, *, full: bool) -> None:
        """From when on the next import looks for changes."""
        with self.svc.store.transaction() as session:
            state = account_state(session, self.wish.account)
            state.imported_until = self.resume.began
            if full:
                state.full_import_at = self.resume.began
            resuming.ended(state, lacking=self.resume.lacking)


def _unless_refused(walk: Callable[[], list[str]]) -> list[str]:
    """What SCM does not report apart or by another date than that of the request, the count and the list find."""
    try:
        return walk()
    except (LoginError, SetupError):
        raise
    except RejectedError as error:
        log().info("left to the list: %s", error)
        return []


def _adopt(svc: Services, account: str, records: Iterable[OrderRecord]) -> None:
    """What SCM holds under the marker of an order that is planned here was sent, after the backup from which this database came or long on
    its way: it must not be sent again (RULES E1, K6)."""
    marked: dict[UUID, OrderRecord] = {}
    for record in sorted(records, key=lambda one: one.ssl_id):    # a renewal may have copied its predecessor's marker
        if mark := marked_by(record.comments):
            marked.setdefault(mark, record)
    if not marked:
        return
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
