"""Which windows of the report are asked for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import CertflowError, LoginError, NotFoundError, RejectedError, RightsError, ThrottledError, TransientError
from models.records import ReportWindow
from models.windows import EVER, ROWS, USUAL_AGE, Pace, around, changed_since, undated, whole
from tasks.reports import MOST_FAILURES, walk

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
days = st.dates(date(2000, 1, 1), date(2099, 12, 31))


def span(window: ReportWindow) -> tuple[date, date]:
    assert window.first is not None
    assert window.last is not None
    return window.first, window.last


@given(st.lists(days, max_size=60), st.integers(0, 60), st.integers(1, 6))
def test_a_few_windows_hold_all_days_with_a_day_around_them(wanted: list[date], gap: int, most: int) -> None:
    """RULES S3"""
    windows = around(wanted, gap=gap, most=most)
    assert len(windows) <= most
    spans = [span(window) for window in windows]
    assert all(any(first <= day - DAY and day + DAY <= last for first, last in spans) for day in wanted)
    assert {first + DAY for first, _ in spans} | {last - DAY for _, last in spans} <= set(wanted)
    assert all(window.by == "request" for window in windows)


def test_days_that_are_near_share_a_window_and_the_nearest_are_joined_first() -> None:
    """RULES S3"""
    wanted = [date(2026, 1, day) for day in (1, 8, 20)] + [date(2026, 3, 1), date(2026, 6, 1), date(2026, 12, 1)]
    assert [span(one) for one in around(wanted, most=4)] == [
        (date(2025, 12, 31), date(2026, 1, 21)), (date(2026, 2, 28), date(2026, 3, 2)), (date(2026, 5, 31), date(2026, 6, 2)),
        (date(2026, 11, 30), date(2026, 12, 2)),
    ]


def test_a_window_is_sized_by_what_the_last_one_held() -> None:
    """RULES S3: some thousand rows in each, few calls for a large account, and one for a small one."""
    assert Pace.first(ROWS).days == EVER
    assert Pace.first(50 * ROWS).days == USUAL_AGE // 50
    ten = ReportWindow(first=date(2026, 4, 1), last=date(2026, 4, 10))
    sized = {rows: Pace(10).after(ten, rows).days for rows in (0, 10, ROWS // 2, ROWS, 2 * ROWS, 10**9)}
    assert sized == {0: 40, 10: 40, ROWS // 2: 20, ROWS: 10, 2 * ROWS: 5, 10**9: 1}
    assert Pace(10).halved(ten) == Pace(5, 5)
    assert Pace(5, 5).after(ReportWindow(first=date(2026, 4, 1), last=date(2026, 4, 5)), 0) == Pace(6, 6)    # slowly back to what failed


def held(per_day: Callable[[date], int], window: ReportWindow) -> int:
    first, last = span(window)
    return sum(per_day(first + number * DAY) for number in range((last - first).days + 1))


@given(st.integers(1, 100), st.integers(0, 60_000), st.lists(st.integers(0, 100), max_size=3), st.integers(1, 500))
def test_windows_hold_each_day_once_the_newest_first_and_each_day_that_fails_is_named(
    length: int, per_day: int, broken: list[int], longest: int,
) -> None:
    """RULES S3: whatever is too long for SCM, and whatever day it cannot report."""
    whole_window = ReportWindow(first=date(2026, 1, 1), last=date(2026, 1, 1) + (length - 1) * DAY)
    bad = {date(2026, 1, 1) + number * DAY for number in broken if number < length}
    read: list[ReportWindow] = []

    def act(window: ReportWindow) -> int:
        first, last = span(window)
        if (last - first).days >= longest or any(first <= day <= last for day in bad):
            raise TransientError("too much")
        read.append(window)
        return held(lambda _: per_day, window)

    problems = walk(whole_window, act, pace=Pace.first(length * per_day))
    seen = [first + number * DAY for first, last in map(span, reversed(read)) for number in range((last - first).days + 1)]
    assert seen == [day for number in range(length) if (day := date(2026, 1, 1) + number * DAY) not in bad]
    assert [text[:20] for text in problems] == [f"orders of {day}" for day in sorted(bad, reverse=True)]


@pytest.mark.parametrize(("total", "most"), [(10_000, 1), (100_000, 25), (1_000_000, 80)])
def test_a_large_account_costs_few_calls(total: int, most: int) -> None:
    """RULES S3: orders of four years, most of them young."""
    newest = span(whole(NOW))[1]
    years = 4 * 365

    def per_day(day: date) -> int:
        age = (newest - day).days
        return 0 if age >= years else round(2 * total * (years - age) / years**2)

    windows: list[ReportWindow] = []

    def act(window: ReportWindow) -> int:
        windows.append(window)
        first, last = span(window)
        return held(per_day, replace(window, first=max(first, newest - years * DAY), last=last)) if last > newest - years * DAY else 0

    assert walk(whole(NOW), act, pace=Pace.first(total)) == []
    assert len(windows) <= most
    assert max(act(window) for window in windows[:]) < 3 * ROWS


@pytest.mark.parametrize(("error", "asked"), [
    (RightsError("no"), 1), (NotFoundError("what?"), 1), (RejectedError("no"), 14), (TransientError("later"), MOST_FAILURES),
    (ThrottledError("later"), 1), (LoginError("who?"), 1),
])
def test_a_report_that_is_refused_ends_at_once_or_at_a_single_day(error: CertflowError, asked: int) -> None:
    """Contract 5.17: a refusal may be about the range; a right or an address that is missing is not."""
    windows: list[ReportWindow] = []

    def act(window: ReportWindow) -> int:
        windows.append(window)
        raise error

    with pytest.raises(type(error)):
        walk(whole(NOW), act, pace=Pace.first(0))
    assert len(windows) == asked


def test_a_whole_import_never_ends_before_it_begins() -> None:
    """Contract 5.17: from earlier than to."""
    for since in (None, date(2026, 1, 1), date(2099, 1, 1)):
        first, last = span(whole(NOW, since=since, organization_ids=[3]))
        assert first <= last
    assert whole(NOW, organization_ids=[3]).organization_ids == (3,)


def test_changes_are_looked_for_by_every_date_that_the_report_knows() -> None:
    """RULES S3: a day's overlap, and requests from the oldest open order on."""
    since = NOW - timedelta(days=2)
    windows = {window.by: span(window) for window in changed_since(since, NOW, oldest_open=NOW - timedelta(days=30))}
    near = (date(2026, 3, 29), date(2026, 4, 2))
    assert windows == {"revocation": near, "expiry": near, "issuance": near, "request": (date(2026, 3, 1), date(2026, 4, 2))}


def test_without_open_orders_requests_are_looked_for_a_day_back() -> None:
    """RULES S3"""
    for oldest in (None, NOW):
        [request] = [window for window in changed_since(NOW, NOW, oldest_open=oldest) if window.by == "request"]
        assert span(request) == (date(2026, 3, 31), date(2026, 4, 2))


def test_what_has_no_request_date_is_asked_for_by_its_source_and_end() -> None:
    """Contract 5.17, RULES S3"""
    windows = undated(NOW, organization_ids=[3])
    assert [(window.by, window.source, window.organization_ids) for window in windows] == [
        ("expiry", "imported", (3,)), ("expiry", "discovery", (3,)),
    ]
    assert all(first == date(2000, 1, 1) and last > date(2060, 1, 1) for first, last in map(span, windows))
