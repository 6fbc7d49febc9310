"""Which windows of the report to ask for: few, and halved when an answer is too big or too slow (RULES S3). Pure."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

from models.records import ReportWindow

DAY = timedelta(days=1)
FIRST_DAY = date(2000, 1, 1)
"""Before any order of SCM."""

OVERLAP = DAY
"""Dates are UTC days, and what SCM's day is nobody says (contract 3): look a day further on both ends."""

WHOLE_AGAIN_AFTER = timedelta(days=7)


def halved(window: ReportWindow) -> tuple[ReportWindow, ReportWindow] | None:
    """The window in two halves, the older one first; None for a single day."""
    if window.first is None or window.last is None or window.first >= window.last:
        return None
    middle = window.first + (window.last - window.first) // 2
    return _with(window, window.first, middle), _with(window, middle + DAY, window.last)


def _with(window: ReportWindow, first: date, last: date) -> ReportWindow:
    return ReportWindow(by=window.by, first=first, last=last, organization_ids=window.organization_ids, common_name=window.common_name)


def whole(now: datetime, *, since: date | None = None, organization_ids: Sequence[int] = ()) -> ReportWindow:
    """All orders by request date, up to tomorrow."""
    last = now.date() + OVERLAP
    return ReportWindow(by="request", first=min(since or FIRST_DAY, last), last=last, organization_ids=tuple(organization_ids))


def changed_since(since: datetime, now: datetime, *, oldest_open: datetime | None) -> list[ReportWindow]:
    """The windows in which an account's changes show: revocation, expiry, issuance, and requests from the oldest open order on."""
    first, last = since.date() - OVERLAP, now.date() + OVERLAP
    requests = min(first, oldest_open.date() - OVERLAP) if oldest_open else first
    return [
        *(ReportWindow(by=by, first=first, last=last) for by in ("revocation", "expiry", "issuance")),
        ReportWindow(by="request", first=requests, last=last),
    ]


def around(days: Iterable[date], *, gap: int = 7, most: int = 4) -> list[ReportWindow]:
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
