"""The certificate report (contract 5.17), read as it arrives: memory does not grow with it."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any

import ijson

from models.errors import InputError, TransientError
from models.records import OrderRecord, ReportWindow
from tasks.adapters.scm import parsing, values
from tasks.adapters.scm.calls import Call, Calls
from tasks.adapters.scm.values import Unreadable
from tasks.adapters.scm.wire import LARGEST_BODY

DONE = 0
ANY_STATUS = 0
DATE_ATTRIBUTES = MappingProxyType({"revocation": 2, "expiry": 3, "request": 4, "issuance": 5})

NO_VALUE: Any = object()


def rows(calls: Calls, window: ReportWindow, *, admin_host: bool, unreadable: Callable[[str], None]) -> Iterator[OrderRecord]:
    """The orders of a window; see `ScmClient.report`."""
    call = Call(
        method="POST", path="/report/v1/ssl-certificates", what="the certificate report", query={"output_type": "buffered"},
        body=_body(window, admin_host=admin_host),
    )
    with calls.opened(call) as response:
        reader = _Reader(call, calls)
        for piece in calls.pieces(response):
            for row in reader.feed(piece):
                record = _record(row, unreadable)
                if record is not None:
                    yield record
        reader.end()


def _body(window: ReportWindow, *, admin_host: bool) -> dict[str, Any]:
    """25.5 shows dates and numbers, the admin host date-times and texts of digits (contract 2)."""
    if window.by not in DATE_ATTRIBUTES:
        raise InputError(f"a report goes by {', '.join(DATE_ATTRIBUTES)}, not by {window.by}")

    def moment(day: date) -> str:
        return f"{day.isoformat()}T00:00:00.000Z" if admin_host else day.isoformat()

    def choice(value: int) -> str | int:
        return str(value) if admin_host else value

    body: dict[str, Any] = {"certificateStatus": choice(ANY_STATUS), "certificateDateAttribute": choice(DATE_ATTRIBUTES[window.by])}
    if window.first:
        body["from"] = moment(window.first)
    if window.last and window.last < date.max:
        # Whether `to` is in it is not documented, and it must be later than `from`: the next day is right either way.
        body["to"] = moment(window.last + timedelta(days=1))
    if window.organization_ids:
        body["organizationIds"] = list(window.organization_ids)
    if window.common_name:
        body["commonName"] = window.common_name
    return body


def _record(row: Any, unreadable: Callable[[str], None]) -> OrderRecord | None:
    if not isinstance(row, dict):
        unreadable("a row of the report is no object")
        return None
    try:
        return parsing.order(row, complain=unreadable)
    except Unreadable as reason:
        unreadable(f"order {values.number(row, 'id') or 'without id'}: {reason}")
        return None


class _Reader:
    """Feeds the report's JSON to three parsers: for rows, status code and message, which may come in any order."""

    def __init__(self, call: Call, calls: Calls) -> None:
        self._call, self._calls = call, calls
        self._rows, self._codes, self._messages = (ijson.sendable_list() for _ in range(3))
        self._parsers = (
            ijson.items_coro(self._rows, "reports.item"), ijson.items_coro(self._codes, "statusCode"),
            ijson.items_coro(self._messages, "message"),
        )
        self._fed_since_row = 0
        self._code: Any = NO_VALUE

    def feed(self, piece: bytes) -> list[Any]:
        """The rows that this piece completes. Raises: TransientError, or RejectedError once SCM says that the report failed."""
        self._send(lambda parser: parser.send(piece))
        found = list(self._rows)
        del self._rows[:]
        self._fed_since_row = 0 if found else self._fed_since_row + len(piece)
        if self._fed_since_row > LARGEST_BODY:
            raise TransientError(f"{self._call.what} holds a row of more than {LARGEST_BODY // 1024 // 1024} MB: it is not read")
        self._look_at_code()
        return found

    def end(self) -> None:
        """The report is complete and SCM calls it good. Raises: as `feed`."""
        self._send(lambda parser: parser.close())
        self._look_at_code(at_end=True)
        if self._code is NO_VALUE:
            raise self._calls.unreadable(self._call, "it has no statusCode")

    def _send(self, step: Callable[[Any], object]) -> None:
        try:
            for parser in self._parsers:
                step(parser)
        except (ijson.JSONError, ValueError, OverflowError, StopIteration, RecursionError):
            raise TransientError(f"{self._call.what} broke off or is no JSON: it is read again later, by smaller windows if it is large") from None

    def _look_at_code(self, *, at_end: bool = False) -> None:
        if self._codes:
            self._code = self._codes[0]
        if self._code is NO_VALUE or values.integer(self._code) == DONE:
            return
        if self._messages or at_end or self._fed_since_row:
            message = self._messages[0] if self._messages else None
            raise self._calls.refused_report(self._call, values.integer(self._code), values.text({"message": message}, "message"))
