"""Walking a paged list (contract 3): `size` entries from `position`, the total in X-Total-Count, the order of rows unknown."""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from tasks.adapters.scm import values
from tasks.adapters.scm.calls import Call, Calls
from tasks.adapters.scm.values import Row, Unreadable

PAGE = 200
"""SCM's largest page (contract 3)."""

MOST_WALKS = 3

T = TypeVar("T")

logger = logging.getLogger(__name__)


def walk(calls: Calls, call: Call, parse: Callable[[Row], T], key: Callable[[T], Hashable]) -> Iterator[T]:
    """Every entry once.

    Rows that come or go meanwhile shift the pages: a walk that found fewer entries than SCM counted at any moment of it is repeated, at
    most twice. One that goes makes room for one that is never shown, while the count goes down with it.
    Raises: as `Calls.send`; TransientError for a page or an entry that cannot be read.
    """
    seen: set[Hashable] = set()
    for _ in range(MOST_WALKS):
        total: int | None = None
        most = 0
        before = len(seen)
        for page, total in _pages(calls, call):
            most = max(most, total or 0)
            fresh = [one for row in page if key(one := _parsed(calls, call, parse, row)) not in seen]
            for one in fresh:
                if key(one) not in seen:
                    seen.add(key(one))
                    yield one
        if total is None or len(seen) >= most or len(seen) == before:
            break
    if total is not None and len(seen) < total:
        logger.warning("SCM counts %d entries of %s but lists %d", total, call.what, len(seen))


def _pages(calls: Calls, call: Call) -> Iterator[tuple[list[Row], int | None]]:
    position = 0
    previous: list[Row] = []
    while True:
        query: Mapping[str, str | int] = {"size": PAGE, "position": position, **(call.query or {})}
        answer = calls.send(replace(call, query=query))
        try:
            page = values.listing(answer.json())
        except Unreadable as reason:
            raise calls.unreadable(call, reason) from None
        total = answer.total()
        position += len(page)
        if page and page == previous:    # a server that does not know `position` would go on for ever
            return
        yield page, total
        # Without a total a short page is the last; with one, it may be a server with smaller pages.
        if not page or (len(page) < PAGE if total is None else position >= total):
            return
        previous = page


def _parsed(calls: Calls, call: Call, parse: Callable[[Row], T], row: Row) -> T:
    try:
        return parse(row)
    except Unreadable as reason:
        raise calls.unreadable(call, f"in an entry, {reason}") from None
