"""The token server, which is not SCM, times every fault (contract 1; RULES E2, S1)."""

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from models.errors import CertflowError, LoginError, RightsError, SetupError, ThrottledError, TransientError
from models.records import EnrollRequest
from tasks.adapters.scm import ScmClient, credentials_from

REQUEST = EnrollRequest(organization_id=1, profile_id=2, term_days=90, csr="csr")
ONCE, AGAIN = "once", "until the deadline"


def says(body: Any, status: str = "200 OK", more: str = "") -> bytes:
    text = body if isinstance(body, str) else json.dumps(body)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n{more}\r\n{text}".encode()


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def hangs(_: socket.socket) -> None:
    """Nothing is said; the next request comes over another connection."""


FAULTS: dict[str, tuple[bytes | Callable[[socket.socket], None], type[CertflowError], str]] = {
    # what happens          on the wire                                                what becomes of a call that reads
    "no answer in time":   (hangs,                                                    TransientError, AGAIN),
    "connection reset":    (resets,                                                   TransientError, AGAIN),
    "500":                 (says("", "500 Oops"),                                     TransientError, AGAIN),
    "502 with HTML":       (says("<html>", "502 Bad Gateway"),                        TransientError, AGAIN),
    "503":                 (says("", "503 Unavailable"),                              TransientError, AGAIN),
    "429":                 (says("", "429 Slow Down"),                                ThrottledError, AGAIN),
    "429 for an hour":     (says("", "429 Slow Down", more="Retry-After: 3600\r\n"),  ThrottledError, ONCE),
    "401":                 (says({"error": "invalid_client"}, "401 Unauthorized"),    LoginError,     ONCE),
    "400 invalid client":  (says({"error": "invalid_client"}, "400 Bad Request"),     LoginError,     ONCE),
    "400":                 (says("", "400 Bad Request"),                              SetupError,     ONCE),
    "403":                 (says("", "403 Forbidden"),                                RightsError,    ONCE),
    "404":                 (says("", "404 Not Found"),                                SetupError,     ONCE),
    "409":                 (says("", "409 Conflict"),                                 SetupError,     ONCE),
    "302":                 (says("", "302 Found", more="Location: /\r\n"),            SetupError,     ONCE),
    "200 with nothing":    (says(""),                                                 SetupError,     ONCE),
    "200 with a page":     (says("<html>Tr0ub4dor"),                                  SetupError,     ONCE),
    "200 with half of it": (says('{"access_token": "hunter2-tok'),                    SetupError,     ONCE),
    "no token":            (says({"expires_in": 60}),                                 SetupError,     ONCE),
    "token is null":       (says({"access_token": None}),                             SetupError,     ONCE),
    "a token for others":  (says({"access_token": "two words\r\nX: y"}),              SetupError,     ONCE),
    "deep":                (says("[" * 100_000),                                      SetupError,     ONCE),
}


@pytest.fixture
def scm(wire: Any) -> Any:
    base, slept = f"http://127.0.0.1:{wire.port}", [0.0]
    secret = {"base_url": f"{base}/api", "client_id": "client", "client_secret": "S3cr3t-word", "token_url": f"{base}/token"}
    with ScmClient(credentials_from(secret), timeout=(0.25, 0.08), deadline=3, clock=lambda: sum(slept), sleep=slept.append) as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_that_reads_meets_every_fault_of_the_token_server_as_the_table_says(fault: str, scm: Any, wire: Any, is_for_a_person: Any) -> None:
    """contract 1; RULES S1: nothing reaches SCM without a token"""
    what, expected, tries = FAULTS[fault]
    wire.tell("/token", what)
    with pytest.raises(CertflowError) as caught:
        scm.details(7)
    assert type(caught.value) is expected
    is_for_a_person(caught.value)
    assert (len(wire.heard) >= 3) == (tries == AGAIN)
    assert scm.calls == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_an_order_without_a_token_was_surely_not_sent(fault: str, scm: Any, wire: Any, is_for_a_person: Any) -> None:
    """RULES E2"""
    what, expected, _ = FAULTS[fault]
    wire.tell("/token", what)
    with pytest.raises(CertflowError) as caught:
        scm.enroll(REQUEST)
    assert type(caught.value) is (LoginError if expected is LoginError else TransientError)
    is_for_a_person(caught.value)
    assert len(wire.heard) == 1
