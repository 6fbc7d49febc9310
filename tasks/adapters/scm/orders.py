"""Orders: list, details, report, and what changes them (contract 5.6 to 5.15, 5.17)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import Any

from models.errors import NotReadyError
from models.records import Enrolled, EnrollRequest, ListedOrder, OrderRecord, ReportedOrder, ReportWindow
from tasks.adapters.scm import parsing, report, values
from tasks.adapters.scm.calls import Call, Calls, Repeat, logger
from tasks.adapters.scm.credentials import OAuth2Client
from tasks.adapters.scm.failures import LATER
from tasks.adapters.scm.paging import walk
from tasks.adapters.scm.values import Unreadable

IMPATIENT = 10.0
"""Seconds after which a report that fails is not asked for again: a passing 503 is waited for, a time-out is not."""

AMONG_MANY = 30.0
"""Seconds for one order of many: some that SCM cannot show must not hold up the others."""

_PEM_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


class OrderCalls:
    """The part of the client that speaks of orders.

    `enroll`, `renew_by_id` and `replace` are sent once by every layer. RejectedError and its kinds, and TransientError with its kind
    ThrottledError, say that they were surely not taken; AmbiguousError that nobody knows (RULES E2).
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._admin_host = isinstance(calls.credentials, OAuth2Client)

    def count(self) -> int | None:
        """How many orders SCM counts; None when it does not say (contract 5.6)."""
        return self._calls.send(Call(method="GET", path="/ssl/v1", what="the number of orders", query={"size": 1, "position": 0})).total()

    def listed(self, common_name: str | None = None) -> Iterator[ListedOrder]:
        """All orders by the list, each once, or those of a common name as SCM's filter understands it (contract 5.6)."""
        query = {} if common_name is None else {"commonName": common_name}
        return walk(
            self._calls, Call(method="GET", path="/ssl/v1", what="the list of orders", query=query), parsing.listed, lambda one: one.ssl_id,
        )

    def report(self, window: ReportWindow, *, unreadable: Callable[[str], None] = logger.warning) -> Iterator[OrderRecord]:
        """The orders of a window, streamed; see `reported`."""
        return (order for row in self.reported(window, unreadable=unreadable) if (order := row.read()) is not None)

    def reported(
        self, window: ReportWindow, *, unreadable: Callable[[str], None] = logger.warning, patient: bool = True, undated: bool = False
    ) -> Iterator[ReportedOrder]:
        """The rows of a window, streamed and not read yet (contract 5.17). The last day is covered whole; a few orders of the next one may
        come too.

        A row that cannot be read is told to `unreadable`, with its id and the reason, and does not end the report; an order with a date that
        cannot be read is told and read without it. Raises: RejectedError with SCM's reason, TransientError for a report that breaks off,
        maybe after some rows; not `patient`, it is hardly repeated, for a caller that can ask for less at once. `undated` leaves out the rows
        that have a request date.
        """
        return report.rows(
            self._calls, window, admin_host=self._admin_host, unreadable=unreadable, undated=undated, deadline=inf if patient else IMPATIENT,
        )

    def details(self, ssl_id: int, *, unreadable: Callable[[str], None] = logger.warning, patient: bool = True) -> OrderRecord:
        """An order's details (contract 5.7). A date that cannot be read is told to `unreadable` and left out. Not `patient`, it is
        asked for again for half a minute only. Raises: NotFoundError."""
        call = Call(method="GET", path=f"/ssl/v1/{ssl_id}", what=f"order {ssl_id}", deadline=inf if patient else AMONG_MANY)
        answer = self._calls.send(call)
        try:
            found = parsing.order(answer.object(), complain=unreadable)
            if found.ssl_id != ssl_id:
                raise Unreadable("it is about another order")
        except Unreadable as reason:
            raise self._calls.unreadable(call, reason) from None
        return found

    def enroll(self, request: EnrollRequest) -> Enrolled:
        """Order a certificate; sent once (contract 5.8, RULES E1, E2, N3)."""
        body: dict[str, Any] = {
            "orgId": request.organization_id, "csr": request.csr, "certType": request.profile_id, "term": request.term_days,
        }
        if request.names:
            body["subjAltNames"] = ",".join(request.names)    # an array gives -1002 (contract 9.10)
        if request.comments:
            body["comments"] = request.comments
        if request.external_requester_emails:
            body["externalRequester"] = ", ".join(request.external_requester_emails)
        if request.custom_fields:
            body["customFields"] = [{"name": name, "value": value} for name, value in request.custom_fields]
        return self._made(Call(method="POST", path="/ssl/v1/enroll", what="the order", repeat=Repeat.NEVER, body=body))

    def renew_by_id(self, ssl_id: int, *, csr: str | None) -> Enrolled:
        """Renew an order under a new id; without `csr` the old key serves again (contract 5.13); sent once."""
        call = Call(
            method="POST", path=f"/ssl/v1/renewById/{ssl_id}", what=f"the renewal of order {ssl_id}", repeat=Repeat.NEVER,
            body={} if csr is None else {"csr": csr},    # SCM refuses an empty body (contract 9.9)
        )
        made = self._made(call)
        if made.ssl_id == ssl_id:
            raise self._calls.unreadable(call, "it names the old order instead of a new one")
        return made

    def replace(self, ssl_id: int, *, csr: str, reason: str, common_name: str | None = None, names: Sequence[str] | None = None) -> None:
        """Reissue a certificate under the same id for a new CSR, maybe with other names (contract 5.15); sent once."""
        body: dict[str, Any] = {"csr": csr, "reason": reason}
        if common_name is not None:
            body["commonName"] = common_name
        if names is not None:
            body["subjectAlternativeNames"] = list(names)    # an array here, a text in enroll (contract 5.11)
        self._done(Call(method="POST", path=f"/ssl/v1/replace/{ssl_id}", what=f"the reissue of order {ssl_id}", repeat=Repeat.NEVER, body=body))

    def collect(self, ssl_id: int) -> bytes:
        """The certificate with its chain, PEM, in SCM's order (contract 5.9).

        Raises: NotReadyError while SCM says so, or answers with an empty body; RejectedError for an unknown or revoked order.
        """
        call = Call(
            method="GET", path=f"/ssl/v1/collect/{ssl_id}", what=f"the certificate of order {ssl_id}", query={"format": "x509"}, accept="*/*",
        )
        answer = self._calls.send(call)
        if not answer.body.strip():
            raise NotReadyError(f"SCM is not ready with {call.what}: it answered with an empty body; {LATER}", status=answer.status)
        if not _PEM_CERTIFICATE.search(answer.body):
            raise self._calls.unreadable(call, f"no PEM certificate in it, {answer.content_type()}")
        return answer.body

    def revoke(self, ssl_id: int, *, reason_code: int, reason: str) -> None:
        """Revoke the certificate of an order (contract 5.12). A second time it raises RejectedError: the details decide (RULES V1)."""
        self._revoke(str(ssl_id), f"the revocation of order {ssl_id}", reason_code, reason)

    def revoke_serial(self, serial_number: str, *, reason_code: int, reason: str) -> None:
        """Revoke the certificate with this serial number, given as hex digits (contract 5.12)."""
        digits = re.sub(r"[^0-9A-Fa-f]", "", serial_number).upper()
        digits = digits.zfill(len(digits) + len(digits) % 2)
        pairs = ":".join(digits[at:at + 2] for at in range(0, len(digits), 2))
        self._revoke(f"serial/{pairs}", f"the revocation of serial number {pairs}", reason_code, reason)

    def approve(self, ssl_id: int, *, message: str) -> None:
        """Approve an order that waits for it (contract 5.10)."""
        self._later(f"/ssl/v1/approve/{ssl_id}", f"the approval of order {ssl_id}", {"message": message})

    def decline(self, ssl_id: int, *, message: str) -> None:
        """Decline an order that is not issued (contract 5.10)."""
        self._later(f"/ssl/v1/decline/{ssl_id}", f"the decline of order {ssl_id}", {"message": message})

    def mark_renewed(self, ssl_id: int, successor: int | None = None) -> None:
        """Mark an order as renewed, so that SCM stops warning; orders nothing (contract 5.14)."""
        body = {} if successor is None else {"id": successor}
        self._later(f"/ssl/v1/renew/manual/{ssl_id}", f"the mark of order {ssl_id} as renewed", body)

    def _revoke(self, path: str, what: str, reason_code: int, reason: str) -> None:
        code = str(reason_code) if self._admin_host else reason_code    # contract 2, row reasonCode
        self._later(f"/ssl/v1/revoke/{path}", what, {"reasonCode": code, "reason": reason})

    def _later(self, path: str, what: str, body: Mapping[str, Any]) -> None:
        self._done(Call(method="POST", path=path, what=what, repeat=Repeat.LATER, body=body))

    def _done(self, call: Call) -> None:
        """A call that answers with nothing. A page of HTML with status 200 is not SCM's consent; to a reissue only the documented 204 is,
        since nobody would look again whether SCM took it (RULES E2)."""
        answer = self._calls.send(call)
        if answer.status == 204:
            return
        if call.repeat is Repeat.NEVER:
            raise self._calls.unreadable(call, f"HTTP {answer.status} in place of 204")
        if not answer.body.strip():
            return
        try:
            answer.json()
        except Unreadable as reason:
            raise self._calls.unreadable(call, reason) from None

    def _made(self, call: Call) -> Enrolled:
        answer = self._calls.send(call)
        try:
            given = answer.object()
            return Enrolled(ssl_id=values.identity(given, "sslId"), renew_id=values.name(given, "renewId"))
        except Unreadable as reason:
            raise self._calls.unreadable(call, reason) from None
