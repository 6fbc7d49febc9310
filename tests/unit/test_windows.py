"""Which windows of the report are asked for."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.records import ReportWindow
from models.windows import around, changed_since, halved, whole
from tasks.importing import MOST_FAILURES

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
    assert [span(one) for one in around(wanted)] == [
        (date(2025, 12, 31), date(2026, 1, 21)), (date(2026, 2, 28), date(2026, 3, 2)), (date(2026, 5, 31), date(2026, 6, 2)),
        (date(2026, 11, 30), date(2026, 12, 2)),
    ]


@given(days, days, st.sampled_from(["request", "issuance", "expiry", "revocation"]))
def test_halves_meet_lose_nothing_and_are_shorter(one: date, other: date, by: str) -> None:
    """RULES S3, DESIGN 5: so halving always ends, at single days."""
    window = ReportWindow(by=by, first=min(one, other), last=max(one, other), organization_ids=(7,), common_name="www.example.com")
    halves = halved(window)
    if one == other:
        assert halves is None
        return
    assert halves is not None
    older, newer = halves
    assert (span(older)[0], span(newer)[1]) == span(window)
    assert span(older)[0] <= span(older)[1] == span(newer)[0] - DAY < span(newer)[1] + DAY
    assert all(replace(half, first=window.first, last=window.last) == window for half in halves)


@given(days, st.integers(0, 60))
def test_halving_to_the_end_gives_each_day_once_the_oldest_first(first: date, length: int) -> None:
    """RULES S3"""
    waiting, single = [ReportWindow(first=first, last=first + length * DAY)], []
    while waiting:
        window = waiting.pop()
        halves = halved(window)
        if halves is None:
            single.append(span(window))
        else:
            waiting += reversed(halves)
    assert single == [(first + number * DAY, first + number * DAY) for number in range(length + 1)]


def test_a_single_day_and_a_window_without_ends_have_no_halves() -> None:
    """RULES S3"""
    day = date(2026, 4, 1)
    for window in (ReportWindow(first=day, last=day), ReportWindow(first=day), ReportWindow(last=day), ReportWindow()):
        assert halved(window) is None


@pytest.mark.parametrize("most_days", [1, 31, 366])
def test_a_server_that_reports_few_days_at_once_is_understood_before_we_give_up(most_days: int) -> None:
    """RULES S3: an import ends after 20 failures in a row"""
    waiting, in_a_row, most = [whole(NOW)], 0, 0
    while waiting:
        first, last = span(window := waiting.pop())
        in_a_row = in_a_row + 1 if (last - first).days >= most_days else 0
        most = max(most, in_a_row)
        waiting += reversed(halved(window) or ()) if in_a_row else ()
    assert 0 < most < MOST_FAILURES


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
