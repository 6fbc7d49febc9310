"""Every call to SCM, an SCM on the wire that does to each path what it is told, and what every sentence of ours must be."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from models.records import EnrollRequest, ReportWindow
from tasks.adapters.scm import ScmClient, credentials_from

Conversation = Callable[[socket.socket], None] | bytes
"""Bytes are sent as they are."""

PASSWORD = "Tr0ub4dor"
DEADLINE = 3.0
PATIENCE_SECONDS = 10


class Wire:
    """A server on 127.0.0.1 that notes each request and holds a conversation about it: the first whose words are in the request line."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.patient = threading.Event()
        self._told: list[tuple[str, list[Conversation]]] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def tell(self, words: str, *conversations: Conversation) -> None:
        """One conversation after the other; the last serves for all requests that follow."""
        self._told.append((words, list(conversations)))

    def forget_words(self, words: str) -> None:
        """What was told for these words."""
        self._told = [one for one in self._told if one[0] != words]

    def forget(self) -> None:
        """End what hangs, and begin anew."""
        self.patient.set()
        self.heard, self._told, self.patient = [], [], threading.Event()

    def close(self) -> None:
        self.patient.set()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_SECONDS)
        try:
            with connection:
                while line := _request(connection):
                    self.heard.append(line)
                    waiting = next((answers for words, answers in self._told if words in line), None)
                    if waiting is None:
                        return
                    answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                    if isinstance(answer, bytes):
                        connection.sendall(answer)
                    else:
                        answer(connection)
        except (OSError, ValueError):
            return    # the client went away, or spoke TLS


def _request(connection: socket.socket) -> str:
    """The request line of one whole request; empty when the client went away. Raises: ValueError for what is no HTTP."""
    got = b""
    while b"\r\n\r\n" not in got:
        if not (more := connection.recv(65536)):
            return ""
        got += more
        if got[:1] == b"\x16":
            raise ValueError("TLS")
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < lengths[0] and (more := connection.recv(65536)):
        body += more
    return head.split(b"\r\n")[0].decode("latin-1")


@pytest.fixture(scope="session")
def one_wire() -> Iterator[Wire]:
    """One server for the whole session; ask for `wire`."""
    made = Wire()
    yield made
    made.close()


@pytest.fixture
def wire(one_wire: Wire) -> Iterator[Wire]:
    """The server, knowing nothing."""
    one_wire.forget()
    yield one_wire
    one_wire.forget()


READS = "reads"
LATER = "may be sent again by the caller"
NEW = "makes something new"

# --- The calls ---

REQUEST = EnrollRequest(organization_id=1, profile_id=2, term_days=90, csr="csr", names=("www.example.com",))
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
ORGANIZATION = {"id": 3, "name": "Example", "sslCertsApiEnabled": True, "certTypes": ["SSL"]}
DOMAIN = {"id": 4, "name": "example.com", "delegationStatus": "ACTIVE", "state": "ACTIVE", "validationStatus": "Validated", "delegations": []}
VALIDATION = {"domain": "example.com", "dcvStatus": "VALIDATED", "dcvOrderStatus": "SUBMITTED", "expirationDate": "2026-12-01"}
STATUS_OF_DOMAIN = {"status": "Validated", "orderStatus": "Submitted", "expirationDate": "2026-12-01"}
PROFILE = {"id": 2, "name": "OV", "description": "", "terms": [90, 199], "keyTypes": {"RSA": ["2048"]}}
FIELD = {"id": 5, "name": "Cost centre", "certType": "SSL", "state": "active", "input": {"type": "TEXT_SINGLE_LINE"}, "mandatories": ["REST_API"]}
SHORT_FIELD = {"id": 5, "name": "Cost centre", "mandatory": True}
ITEM = {"sslId": 7, "commonName": "www.example.com", "serialNumber": "AA:BB"}
ORDER = {
    "id": 7, "status": "Issued", "commonName": "www.example.com", "orgId": 3, "term": 199, "requested": "11/20/2026", "expires": "",
    "serialNumber": "AA:BB", "renewed": False, "certType": {"id": 2, "name": "OV"}, "comments": None,
}
ROW = {"id": 7, "commonName": "www.example.com", "status": "Issued", "requested": "2026-11-20T09:00:00.000Z", "subjAltNames": "www.example.com"}
ADMIN = {"id": 42, "login": "api", "type": "API", "credentials": [{"role": "MRAO"}], "privileges": ["sslRequest"], "activeStatus": "ACTIVE"}
DONE = ""
"""204: nothing is said."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A call of the client; `path` finds its request, `good` is what SCM answers, `needs` are the fields without which it cannot be read."""

    path: str
    call: Callable[[ScmClient], Any]
    good: Any
    kind: str = READS
    needs: tuple[str, ...] = ()
    first: tuple[str, Any] | None = None
    """A request before it, and its answer."""

    @property
    def body(self) -> str:
        return self.good if isinstance(self.good, str) else json.dumps(self.good)


ENDPOINTS: dict[str, Endpoint] = {
    "organizations": Endpoint(path="GET /api/organization/v1 ", call=lambda scm: scm.organizations(), good=[ORGANIZATION], needs=("id", "name")),
    "organization": Endpoint(path="/organization/v1/3", call=lambda scm: scm.organization(3), good=ORGANIZATION, needs=("id", "name")),
    "domains": Endpoint(path="/domain/v1?", call=lambda scm: scm.domains(), good=[DOMAIN], needs=("id", "name")),
    "domain": Endpoint(path="/domain/v1/4", call=lambda scm: scm.domain(4), good=DOMAIN, needs=("id", "name")),
    "domain by name": Endpoint(
        path="/domain/v1/4", call=lambda scm: scm.find_domain("example.com"), good=DOMAIN, needs=("id", "name"), first=("/domain/v1?", [DOMAIN])),
    "validations": Endpoint(path="/validation?", call=lambda scm: scm.validations(), good=[VALIDATION], needs=("domain",)),
    "validation": Endpoint(path="/validation/status", call=lambda scm: scm.validation("example.com"), good=STATUS_OF_DOMAIN),
    "domain report": Endpoint(
        path="/report/v1/domains", call=lambda scm: scm.domain_report(), good={"statusCode": 0, "reports": [DOMAIN]}, needs=("statusCode",)),
    "profiles": Endpoint(path="/ssl/v1/types", call=lambda scm: scm.profiles(3), good=[PROFILE], needs=("id", "name")),
    "custom fields": Endpoint(path="/customField/v2", call=lambda scm: scm.custom_fields(), good=[FIELD], needs=("id", "name")),
    "custom fields, short": Endpoint(
        path="/ssl/v1/customFields", call=lambda scm: scm.custom_fields(), good=[SHORT_FIELD], needs=("id", "name"), first=("/customField/v2", None)),
    "own record": Endpoint(path="/admin/v1?", call=lambda scm: scm.own_admin(), good=[{"id": 42, "login": "api2"}], needs=("id", "login")),
    "own record, details": Endpoint(
        path="/admin/v1/42", call=lambda scm: scm.own_admin(), good=ADMIN, needs=("id", "login"), first=("/admin/v1?", [ADMIN])),
    "password": Endpoint(path="/admin/v1/password", call=lambda scm: scm.password_state(), good={"state": "ALIVE"}, needs=("state",)),
    "count": Endpoint(path="/ssl/v1?size=1&", call=lambda scm: scm.count(), good=[ITEM]),
    "list": Endpoint(path="/ssl/v1?", call=lambda scm: list(scm.listed()), good=[ITEM], needs=("sslId",)),
    "list of a name": Endpoint(path="/ssl/v1?", call=lambda scm: list(scm.listed("www.example.com")), good=[ITEM], needs=("sslId",)),
    "report": Endpoint(
        path="/report/v1/ssl", call=lambda scm: list(scm.report(ReportWindow())), good={"statusCode": 0, "reports": [ROW]}, needs=("statusCode",)),
    "details": Endpoint(path="/ssl/v1/7", call=lambda scm: scm.details(7), good=ORDER, needs=("id", "status")),
    "collect": Endpoint(path="/collect/7", call=lambda scm: scm.collect(7), good=PEM),
    "enroll": Endpoint(path="/enroll", call=lambda scm: scm.enroll(REQUEST), good={"sslId": 8, "renewId": "r"}, kind=NEW, needs=("sslId",)),
    "renew by id": Endpoint(path="/renewById/7", call=lambda scm: scm.renew_by_id(7, csr="csr"), good={"sslId": 8}, kind=NEW, needs=("sslId",)),
    "replace": Endpoint(path="/replace/7", call=lambda scm: scm.replace(7, csr="csr", reason="new key"), good=DONE, kind=NEW),
    "revoke": Endpoint(path="/revoke/7", call=lambda scm: scm.revoke(7, reason_code=4, reason="old"), good=DONE, kind=LATER),
    "revoke by serial": Endpoint(
        path="/revoke/serial/AA:BB", call=lambda scm: scm.revoke_serial("aabb", reason_code=4, reason="old"), good=DONE, kind=LATER),
    "approve": Endpoint(path="/approve/7", call=lambda scm: scm.approve(7, message="yes"), good=DONE, kind=LATER),
    "decline": Endpoint(path="/decline/7", call=lambda scm: scm.decline(7, message="no"), good=DONE, kind=LATER),
    "mark renewed": Endpoint(path="/renew/manual/7", call=lambda scm: scm.mark_renewed(7, 8), good=DONE, kind=LATER),
}


@dataclass
class Ticks:
    """Time that passes only while somebody sleeps."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Asking:
    """One call of the client to an address."""

    endpoint: Endpoint
    name: str
    ticks: Ticks
    request: EnrollRequest = REQUEST

    def client(self, address: str) -> ScmClient:
        login = {"base_url": address, "customer_uri": "example", "login": "api", "password": PASSWORD}
        return ScmClient(credentials_from(login), timeout=(0.25, 0.08), deadline=DEADLINE, clock=self.ticks, sleep=self.ticks.sleep)

    def prepare(self, wire: Wire, answer: Callable[..., bytes]) -> None:
        """What is asked before this call, or instead of it, is answered well; the longer list of custom fields is not for us, if it comes before."""
        if self.endpoint.first is not None:
            words, good = self.endpoint.first
            wire.tell(words, answer("", "403 Forbidden") if good is None else answer(json.dumps(good)))


@pytest.fixture(params=ENDPOINTS)
def asking(request: pytest.FixtureRequest) -> Asking:
    """Each test that asks for this runs once for every call of the client."""
    return Asking(endpoint=ENDPOINTS[request.param], name=request.param, ticks=Ticks())


@pytest.fixture(params=[name for name, one in ENDPOINTS.items() if name not in {"count", "own record"} and not isinstance(one.good, str)])
def asking_fields(request: pytest.FixtureRequest) -> Asking:
    """The same for the calls whose answer has fields that are read."""
    return Asking(endpoint=ENDPOINTS[request.param], name=request.param, ticks=Ticks())
