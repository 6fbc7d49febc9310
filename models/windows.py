"""Which windows of the report to ask for: few, and smaller ones when an answer is too big or too slow (RULES S3). Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

from models.records import ReportWindow

DAY = timedelta(days=1)
FIRST_DAY = date(2000, 1, 1)
"""Before any order of SCM."""

OVERLAP = DAY
"""Dates are UTC days, and what SCM's day is nobody says (contract 3): look a day further on both ends."""

LAST_END = timedelta(days=40 * 365)
"""Nothing that SCM holds ends later, but for certificates of devices that nobody renews: those the list finds."""

WHOLE_AGAIN_AFTER = timedelta(days=7)

ROWS = 20_000
"""So many rows one report shall hold: a large account costs few calls, and each is over in seconds."""

USUAL_AGE = 180
"""Days over which an account's orders are thought to lie before the first window has told: few, since the newest days hold the most."""

MOST_GROWTH = 4
"""A window spans at most so many times the days of the one before it."""

EVER = 100 * 365


@dataclass(frozen=True, slots=True)
class Pace:
    """How many days the next window spans, so that it holds about `ROWS` rows. What failed at `most` days is tried again slowly."""

    days: int
    most: int = EVER

    @classmethod
    def first(cls, total: int | None) -> "Pace":
        """For an account of so many orders; None: nobody knows. A small one is asked for at once."""
        if total is not None and total <= ROWS:
            return cls(EVER)
        return cls(max(1, USUAL_AGE * ROWS // total) if total else 30)

    def after(self, window: ReportWindow, rows: int) -> "Pace":
        """The window was read and held so many rows."""
        days = _days(window)
        wanted = days * ROWS // rows if rows * MOST_GROWTH > ROWS else days * MOST_GROWTH
        most = min(self.most + self.most // 8 + 1, EVER)
        return Pace(max(1, min(wanted, most)), most)

    def halved(self, window: ReportWindow) -> "Pace":
        """The window was too big, too slow or cut."""
        days = max(1, _days(window) // 2)
        return Pace(days, days)

    def window(self, whole: ReportWindow, last: date) -> ReportWindow:
        """The next window of a whole one, going backwards from `last`."""
        assert whole.first is not None  # noqa: S101 - a whole window has both ends
        first = whole.first if (last - whole.first).days < self.days else last - (self.days - 1) * DAY
        return replace(whole, first=first, last=last)


def is_one_day(window: ReportWindow) -> bool:
    """There is no smaller one."""
    return window.first == window.last


def _days(window: ReportWindow) -> int:
    assert window.first is not None  # noqa: S101 - windows that are walked have both ends
    assert window.last is not None  # noqa: S101
    return (window.last - window.first).days + 1


def whole(now: datetime, *, since: date | None = None, organization_ids: Sequence[int] = ()) -> ReportWindow:
    """All orders by request date, up to tomorrow."""
    last = now.date() + OVERLAP
    return ReportWindow(by="request", first=min(since or FIRST_DAY, last), last=last, organization_ids=tuple(organization_ids))


def undated(now: datetime, *, organization_ids: Sequence[int] = ()) -> list[ReportWindow]:
    """Imported and discovered certificates have no request date, but an end, and the report can be asked for these alone (contract 5.17)."""
    last = now.date() + LAST_END
    return [
        ReportWindow(by="expiry", first=FIRST_DAY, last=last, organization_ids=tuple(organization_ids), source=source)
        for source in ("imported", "discovery")
    ]


def changed_since(since: datetime, now: datetime, *, oldest_open: datetime | None) -> list[ReportWindow]:
    """The windows in which an account's changes show: revocation, expiry, issuance, and requests from the oldest open order on."""
    first, last = since.date() - OVERLAP, now.date() + OVERLAP
    requests = min(first, oldest_open.date() - OVERLAP) if oldest_open else first
    return [
        *(ReportWindow(by=by, first=first, last=last) for by in ("revocation", "expiry", "issuance")),
        ReportWindow(by="request", first=requests, last=last),
    ]


def around(days: Iterable[date], *, gap: int = 7, most: int = 3) -> list[ReportWindow]:
    """At most `most` windows by request date that hold all these days with a day's overlap; days nearer than `gap` share one."""
    ordered = sorted(set(days))
    groups: list[list[date]] = []
    for day in ordered:
        if groups and (day - groups[-1][1]).days <= gap:
            groups[-1][1] = day
        else:
            groups.append([day, day])
    while len(groups) > most:
        gaps = [(later[0] - earlier[1]).days for earlier, later in pairwise(groups)]
        at = gaps.index(min(gaps))
        groups[at:at + 2] = [[groups[at][0], groups[at + 1][1]]]
    return [ReportWindow(by="request", first=first - OVERLAP, last=last + OVERLAP) for first, last in groups]
