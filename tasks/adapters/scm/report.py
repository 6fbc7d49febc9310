"""The certificate report (contract 5.17), read as it arrives: memory does not grow with it."""

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from models.errors import InputError
from models.records import OrderRecord, ReportedOrder, ReportWindow
from tasks.adapters.scm import parsing, values
from tasks.adapters.scm.calls import Call, Calls
from tasks.adapters.scm.rowwise import Rowwise
from tasks.adapters.scm.values import Unreadable

DONE = 0
ANY_STATUS = 0
DATE_ATTRIBUTES = MappingProxyType({"revocation": 2, "expiry": 3, "request": 4, "issuance": 5})
SOURCES = MappingProxyType({"discovery": 3, "imported": 4})

READ_AS = b"1"
"""Part of each digest: raise it when more or other facts are taken from a row than before, so that all rows are read again."""

_HASHES = re.compile(r',?\s*"(?:sha1|md5)"\s*:\s*(?:"[^"]*"|null)')


def rows(
    calls: Calls, window: ReportWindow, *, admin_host: bool, unreadable: Callable[[str], None], undated: bool = False,
    deadline: float,
) -> Iterator[ReportedOrder]:
    """The rows of a window; see `ScmClient.reported`."""
    call = Call(
        method="POST", path="/report/v1/ssl-certificates", what="the certificate report", query={"output_type": "buffered"},
        body=_body(window, admin_host=admin_host), deadline=deadline,
    )
    with calls.opened(call) as response:
        report = Rowwise(calls.pieces(response), list_field="reports")
        try:
            for row, text in report.rows():
                # Rows of a report that has failed by now mean nothing.
                if not _is_done(report.others.get("statusCode", DONE)) or (undated and _has_request_date(row)):
                    continue
                try:
                    yield _reported(row, text, unreadable)
                except Unreadable as reason:
                    unreadable(str(reason))
        except Unreadable as reason:
            raise calls.unreadable(call, reason) from None
    if "statusCode" not in report.others:
        raise calls.unreadable(call, "it has no statusCode")
    if not _is_done(report.others["statusCode"]):
        raise calls.refused(call, 200, {"code": report.others["statusCode"], "description": report.others.get("message")})


def _is_done(code: object) -> bool:
    return values.integer(code) == DONE


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
    if window.source:
        body["certificateRequestSource"] = choice(SOURCES[window.source])
    return body


def _has_request_date(row: Any) -> bool:
    """Known without making a record of the row, which takes several times as long."""
    try:
        return isinstance(row, dict) and values.moment(row, "requested") is not None
    except Unreadable:
        return False


def _reported(row: Any, text: str, unreadable: Callable[[str], None]) -> ReportedOrder:
    """Raises: Unreadable for what is no order at all."""
    if not isinstance(row, dict):
        raise Unreadable("a row of the report is no object")
    try:
        ssl_id = values.identity(row, "id", "sslId")
    except Unreadable as reason:
        raise Unreadable(f"order without id: {reason}") from None
    digest = _digest(text)
    return ReportedOrder(ssl_id, digest, partial(_record, row, digest, unreadable))


def _digest(text: str) -> int:
    if '"sha1"' in text or '"md5"' in text:
        text = _HASHES.sub("", text)
    found = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=READ_AS).digest()
    return int.from_bytes(found, "big", signed=True)


def _record(row: dict[str, Any], digest: int, unreadable: Callable[[str], None]) -> OrderRecord | None:
    try:
        return parsing.order(row, complain=unreadable, digest=digest)
    except Unreadable as reason:
        unreadable(f"order {values.number(row, 'id', 'sslId')}: {reason}")
        return None
