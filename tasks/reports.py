"""Walk through a long report in windows, from the newest day backwards (RULES S3)."""

from collections.abc import Callable
from typing import Protocol

from models.errors import CertflowError, LoginError, NotFoundError, RejectedError, RightsError, SetupError, ThrottledError
from models.records import ReportWindow
from models.windows import DAY, Pace, is_one_day
from tasks.runs import log

MOST_FAILURES = 20
"""Reports that fail one after the other: SCM is not overburdened, it is broken."""

ENDS = (LoginError, SetupError, ThrottledError)
"""After these SCM is asked nothing more now."""


class Finished(Protocol):
    """Gets each window that was read and the pace of the next, and whether a day before it failed."""

    def __call__(self, window: ReportWindow, pace: Pace, /, *, failed: bool) -> None: ...



def walk(
    whole: ReportWindow, read: Callable[[ReportWindow], int], *, pace: Pace, finished: Finished | None = None
) -> list[str]:
    """Let `read` take each window, which tells how many rows it held; a sentence for each single day that could not be read.

    A window that is too big, too slow or cut is asked for in smaller ones.
    Raises: RejectedError when SCM gives this login no report, or does not know it: list and details are the way out. As `read`, when nothing
    but failures follow each other, and what leaves nothing more to ask.
    """
    assert whole.first is not None  # noqa: S101 - a whole window has both ends
    assert whole.last is not None  # noqa: S101
    problems: list[str] = []
    last, failures, any_read = whole.last, 0, False
    while last >= whole.first:
        window = pace.window(whole, last)
        try:
            rows = read(window)
        except ENDS:
            raise
        except CertflowError as error:
            failures += 1
            if failures >= MOST_FAILURES or _no_report(error, window, any_read=any_read):
                raise
            pace = pace.halved(window)
            if not is_one_day(window):
                log().info("the report of %s to %s is asked for in smaller parts: %s", window.first, window.last, error)
                continue
            problems.append(f"orders of {window.first} (by {window.by}): {error}")
        else:
            failures, any_read, pace = 0, True, pace.after(window, rows)
            if finished is not None:
                finished(window, pace, failed=bool(problems))
        if window.first is None or window.first <= whole.first:    # the first day there is has none before it
            break
        last = window.first - DAY
    return problems


def _no_report(error: CertflowError, window: ReportWindow, *, any_read: bool) -> bool:
    """A missing right and an unknown address are so for each window; another refusal may be about its length, unless it is the shortest."""
    return isinstance(error, RightsError | NotFoundError) or (isinstance(error, RejectedError) and is_one_day(window) and not any_read)
