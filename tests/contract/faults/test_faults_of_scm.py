"""Every call to SCM times every fault of the network and of SCM, over real connections: the class of the error, how often it was sent, what is read.

The table is the specification (contract 3, 4, 5.19; RULES E1, E2, S1). Clock and pauses are the test's, so deadlines cost no time.
"""

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from models.errors import (
    AmbiguousError,
    CertflowError,
    LoginError,
    NotFoundError,
    NotReadyError,
    RejectedError,
    RightsError,
    ThrottledError,
    TransientError,
)

Conversation = Callable[[socket.socket], None]
Outcome = tuple[type[CertflowError] | None, str]
KINDS = ("reads", "may be sent again by the caller", "makes something new")


def says(body: str, status: str = "200 OK", *, kind: str = "application/json", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n{body}".encode()


def code(number: int, status: str = "400 Bad Request") -> bytes:
    return says(json.dumps({"code": number, "description": f"SCM's own words about {number}"}), status)


def cut_off(good: str) -> Conversation:
    """The middle of the answer is its end."""
    whole = says(good or "{} {} {}")

    def answer(connection: socket.socket) -> None:
        connection.sendall(whole[:-4])
        connection.shutdown(socket.SHUT_RDWR)
    return answer


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


HANGS, HALF, REFUSED, NO_NAME, NO_TLS = "hangs", "hangs in the middle", "nobody listens", "no such name", "no TLS"
ON_THE_WAY = (REFUSED, NO_NAME, NO_TLS)
ONCE, AGAIN = "once", "until the deadline"
FINE: Outcome = (None, ONCE)
HTML = "<html><body>Sign in: Tr0ub4dor</body></html>"

BROKEN = ((TransientError, AGAIN), (TransientError, ONCE), (AmbiguousError, ONCE))
PASSES = ((TransientError, ONCE), (TransientError, ONCE), (AmbiguousError, ONCE))
UNKNOWN = ((RejectedError, ONCE), (RejectedError, ONCE), (AmbiguousError, ONCE))
REFUSED_BY_SCM = ((RejectedError, ONCE),) * 3
SLOWER = ((ThrottledError, AGAIN), (ThrottledError, ONCE), (ThrottledError, ONCE))

FAULTS: dict[str, tuple[Any, Outcome, Outcome, Outcome]] = {
    # what happens              on the wire, then what becomes of a call that reads, of one that may be sent again, of one that makes something new
    "no answer in time":         (HANGS, *BROKEN),
    "half an answer in time":    (HALF, *BROKEN),
    "connection reset":          (resets, *BROKEN),
    "connection refused":        (REFUSED, *BROKEN),
    "name unknown to DNS":       (NO_NAME, *BROKEN),
    "no TLS":                    (NO_TLS, *BROKEN),
    "answer cut off":            (cut_off, *BROKEN),
    "500":                       (says("", "500 Oops"), *BROKEN),
    "500 with a code":           (code(-3, "500 Oops"), *BROKEN),
    "502 with HTML":             (says(HTML, "502 Bad Gateway", kind="text/html"), *BROKEN),
    "503":                       (says("", "503 Unavailable"), *BROKEN),
    "504":                       (says(HTML, "504 Timeout", kind="text/html"), *BROKEN),
    "401":                       (code(-16, "401 Unauthorized"), *((LoginError, ONCE),) * 3),
    "401 without a body":        (says("", "401 Unauthorized"), *((LoginError, ONCE),) * 3),
    "403":                       (says(HTML, "403 Forbidden", kind="text/html"), *((RightsError, ONCE),) * 3),
    "404":                       (code(-124, "404 Not Found"), *((NotFoundError, ONCE),) * 3),
    "409":                       (says("", "409 Conflict"), *UNKNOWN),
    "429":                       (says("", "429 Slow Down"), *SLOWER),
    "429 with Retry-After":      (says("", "429 Slow Down", more="Retry-After: 1\r\n"), *SLOWER),
    "429 for an hour":           (says("", "429 Slow Down", more="Retry-After: 3600\r\n"), *((ThrottledError, ONCE),) * 3),
    "302":                       (says("", "302 Found", more="Location: /login\r\n"), *UNKNOWN),
    "200 with a page":           (says(HTML, kind="text/html"), *PASSES),
    "200 with nothing":          (says(""), (TransientError, ONCE), FINE, (AmbiguousError, ONCE)),
    "200 with half of the JSON": (lambda good: says((good or '{"a": 1}')[:len(good or '{"a": 1}') // 2]), *PASSES),
    "200 with null":             (says("null"), (TransientError, ONCE), FINE, (AmbiguousError, ONCE)),
    "another content type":      (lambda good: says(good, "200 OK" if good else "204 No Content", kind="text/plain"), FINE, FINE, FINE),
    "400 login":                 (code(-970), *((LoginError, ONCE),) * 3),
    "400 permission":            (code(-3), *((RightsError, ONCE),) * 3),
    "400 account":               (code(-993), *REFUSED_BY_SCM),
    "400 input: request":        (code(-36), *REFUSED_BY_SCM),
    "400 input: CSR and key":    (code(-170), *REFUSED_BY_SCM),
    "400 domain not ready":      (code(-737), *REFUSED_BY_SCM),
    "400 not ready yet":         (code(0), (NotReadyError, ONCE), (NotReadyError, ONCE), (AmbiguousError, ONCE)),
    "400 not found":             (code(-5101), *((NotFoundError, ONCE),) * 3),
    "400 state conflict":        (code(-102), *REFUSED_BY_SCM),
    "400 four eyes":             (code(-1140), *REFUSED_BY_SCM),
    "400 temporary":             (code(-1), *PASSES),
    "400 unknown format":        (code(-1450), *REFUSED_BY_SCM),
    "400 unknown code":          (code(-99999), *UNKNOWN),
    "400 without a code":        (says("", "400 Bad Request"), *UNKNOWN),
}

REFUSALS = [name for name, (_, *reads) in FAULTS.items() if reads[0][0] in {RejectedError, RightsError, NotFoundError}]
ELSEWHERE: dict[tuple[str, str], Outcome] = {
    ("password", "404"): FINE, ("password", "400 not found"): FINE,    # where SCM does not offer it, nothing is known (contract 5.18)
    ("count", "200 with a page"): FINE, ("count", "200 with nothing"): FINE, ("count", "200 with half of the JSON"): FINE,
    ("count", "200 with null"): FINE,                                  # only its header counts
    ("collect", "200 with nothing"): (NotReadyError, ONCE),            # contract 9.4
    **{("custom fields", fault): FINE for fault in REFUSALS},          # the short list serves (contract 5.5)
    ("validations", "404"): FINE, ("validations", "400 not found"): FINE,         # the other host's path serves (contract 2)
    # a report is read while it arrives; its caller asks again, with half of the window
    ("report", "half an answer in time"): (TransientError, ONCE), ("report", "answer cut off"): (TransientError, ONCE),
}
"""What differs from the rule, and why."""


def address_of(what: object, wire: Any) -> str:
    if what == REFUSED:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{free.getsockname()[1]}/api"
    if what == NO_NAME:
        return "https://no-such-host.invalid/api"
    return f"{'https' if what == NO_TLS else 'http'}://127.0.0.1:{wire.port}/api"


def spoilt(what: Any, good: str, wire: Any) -> Conversation | bytes:
    """A conversation; some spoil the good answer."""
    def hangs(connection: socket.socket) -> None:
        if what == HALF:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        wire.patient.wait(5)
        raise OSError("enough")

    if isinstance(what, str):
        return hangs
    if callable(what) and what is not resets:
        return what(good)  # type: ignore[no-any-return]
    return what  # type: ignore[no-any-return]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_meets_every_fault_as_the_table_says(asking: Any, fault: str, wire: Any, is_for_a_person: Any) -> None:
    """contract 3, 4, 5.19; RULES E1, E2, S1; DESIGN 8.2"""
    endpoint, ticks, (what, *by_kind) = asking.endpoint, asking.ticks, FAULTS[fault]
    expected, tries = ELSEWHERE.get((asking.name, fault)) or by_kind[KINDS.index(endpoint.kind)]
    if what not in ON_THE_WAY:
        asking.prepare(wire, says)
        wire.tell("/dcv/v1/validation?" if asking.name == "validations" else endpoint.path, spoilt(what, endpoint.body, wire))
        wire.tell("/dcv/v2/validation?", says(endpoint.body))
        wire.tell("/ssl/v1/customFields", says("[]"))
    caught: CertflowError | None = None
    with asking.client(address_of(what, wire)) as scm:
        try:
            endpoint.call(scm)
        except CertflowError as error:
            caught = error
        sent = scm.calls if what in ON_THE_WAY else sum(endpoint.path in line for line in wire.heard)
        assert type(caught) is (expected or type(None)), caught
        if caught is not None:
            is_for_a_person(caught)
        if tries == AGAIN:
            assert sent >= 3
            assert 0 < ticks.now <= 3
        else:
            assert sent == (2 if asking.name == "validations" and expected is None and fault != "another content type" else 1)
            assert ticks.now == 0
        if expected is LoginError:    # RULES S1: nothing more is sent with this login
            before = scm.calls
            with pytest.raises(LoginError):
                scm.enroll(asking.request)
            assert scm.calls == before


PASSING = [name for name, (what, (_, tries), *_) in FAULTS.items() if tries == AGAIN and what not in ON_THE_WAY]


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_not_noticed_by_a_call_that_reads(asking: Any, fault: str, wire: Any) -> None:
    """contract 3, 5.19; the other calls are sent once and are not repeated although SCM answers well again"""
    endpoint = asking.endpoint
    asking.prepare(wire, says)
    wire.tell(endpoint.path, spoilt(FAULTS[fault][0], endpoint.body, wire), says(endpoint.body))
    with asking.client(address_of(None, wire)) as scm:
        if endpoint.kind == "reads" and (asking.name, fault) not in ELSEWHERE:
            endpoint.call(scm)
        else:
            with pytest.raises(CertflowError):
                endpoint.call(scm)
    sent = sum(endpoint.path in line for line in wire.heard)
    assert sent == (2 if endpoint.kind == "reads" and (asking.name, fault) not in ELSEWHERE else 1)
