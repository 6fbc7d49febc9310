"""What happens on the wire: connections that break, hang, lie or are not SCM's (RULES E1, E2, S1)."""

import gzip
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from models.errors import AmbiguousError, CertflowError, RejectedError, SetupError, TransientError
from models.records import EnrollRequest, ReportWindow
from tasks.adapters.scm import ScmClient, credentials_from

REQUEST = EnrollRequest(organization_id=1, profile_id=2, term_days=90, csr="csr")
ISSUED = b'{"id": 7, "status": "Issued"}'

Conversation = Callable[[socket.socket], None]
Serve = Callable[..., Any]


def says(body: bytes, *, status: str = "200 OK", length: int | None = None, more: bytes = b"") -> Conversation:
    """A plain answer; with a wrong `length` it breaks off."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n".encode() + more + b"\r\n"

    def answer(connection: socket.socket) -> None:
        connection.sendall(head + body)
        if length is not None:
            connection.shutdown(socket.SHUT_RDWR)
    return answer


def raw(content: bytes) -> Conversation:
    """These bytes, then the end."""
    def answer(connection: socket.socket) -> None:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_RDWR)
    return answer


def resets(connection: socket.socket) -> None:
    """The connection is torn down without an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def hangs(_: socket.socket) -> None:
    """No answer, the connection stays open."""


def drips(connection: socket.socket) -> None:
    """An answer that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        connection.sendall(b" ")
        time.sleep(0.02)


def client(port: int, *, deadline: float = 0.3, scheme: str = "http", host: str = "127.0.0.1") -> ScmClient:
    login = {"base_url": f"{scheme}://{host}:{port}/api", "customer_uri": "example", "login": "api", "password": "Tr0ub4dor"}
    return ScmClient(credentials_from(login), timeout=(0.5, 0.5), deadline=deadline)


FAULTS: dict[str, Conversation] = {
    "reset": resets, "closed": raw(b""), "hangs": hangs, "drips": drips, "no http": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "truncated": says(b'{"sslId": 41001', length=500), "half a head": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "broken chunks": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ssl\r\nzz\r\n"),
    "chunks break off": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ssl\r\n"),
    "false gzip": says(b"no gzip", more=b"Content-Encoding: gzip\r\n"), "huge": says(b" " * 33_000_000),
    "bomb": says(gzip.compress(b" " * 40_000_000), more=b"Content-Encoding: gzip\r\n"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n{}"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_whose_answer_is_spoilt_may_be_tried_again(fault: str, serve: Serve) -> None:
    """contract 3"""
    wire = serve(FAULTS[fault])
    with client(wire.port) as scm, pytest.raises(TransientError) as caught:
        scm.details(7)
    assert str(caught.value).isprintable()
    assert "Tr0ub4dor" not in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_order_whose_answer_is_spoilt_is_in_doubt_and_sent_once(fault: str, serve: Serve) -> None:
    """RULES E1, E2"""
    wire = serve(FAULTS[fault], says(b'{"sslId": 41001}'))
    with client(wire.port, deadline=3) as scm:
        with pytest.raises(AmbiguousError, match="not known whether SCM took the order"):
            scm.enroll(REQUEST)
        assert len(wire.heard) == 1


@pytest.mark.parametrize("fault", ["reset", "closed", "hangs", "truncated", "chunks break off"])
def test_a_read_is_repeated_here_after_a_broken_connection(fault: str, serve: Serve) -> None:
    """contract 5.19"""
    wire = serve(FAULTS[fault], ISSUED)
    with client(wire.port, deadline=10) as scm:
        assert scm.details(7).ssl_id == 7
        assert scm.calls == 2


def test_reads_share_a_connection_and_each_order_has_its_own(serve: Serve) -> None:
    """DESIGN 5; RULES E2: a connection that SCM closes just then would leave the order in doubt"""
    wire = serve(ISSUED, ISSUED, b'{"sslId": 1}')
    with client(wire.port, deadline=5) as scm:
        scm.details(7)
        scm.details(7)
        scm.close()
        scm.enroll(REQUEST)
        assert b"connection: close" in wire.heard[2].lower()
        assert b"connection: close" not in wire.heard[0].lower()


def test_a_report_that_breaks_off_is_an_error_after_its_rows(serve: Serve) -> None:
    """contract 5.17"""
    begun = b'{"statusCode": 0, "reports": [' + b",".join(json.dumps({"id": at, "status": "Issued"}).encode() for at in range(1, 4000))

    def breaks(connection: socket.socket) -> None:
        says(begun, length=len(begun) + 500)(connection)

    wire = serve(breaks)
    with client(wire.port, deadline=5) as scm:
        rows = scm.report(ReportWindow())
        assert next(rows).ssl_id == 1
        with pytest.raises(TransientError):
            list(rows)


def test_a_report_that_drips_ends_by_the_deadline(serve: Serve) -> None:
    """DESIGN 8.3"""
    wire = serve(drips)
    with client(wire.port, deadline=0.3) as scm:
        began = time.monotonic()
        with pytest.raises(TransientError, match="within 0 s"):
            list(scm.report(ReportWindow()))
        assert time.monotonic() - began < 3


def test_a_refused_connection_is_told_as_such() -> None:
    """RULES S1"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with client(port) as scm:
        with pytest.raises(TransientError, match="refused the connection"):
            scm.details(7)
        with pytest.raises(AmbiguousError, match="refused the connection"):
            scm.enroll(REQUEST)


def test_a_name_that_dns_does_not_know_is_told_as_such() -> None:
    """RULES S1"""
    with client(443, scheme="https", host="no-such-host.invalid") as scm, pytest.raises(TransientError, match="not known to DNS"):
        scm.details(7)


def test_a_host_that_is_no_name_needs_a_person() -> None:
    """DESIGN 8"""
    with client(443, scheme="https", host="a" * 70 + ".example.com") as scm, pytest.raises(CertflowError, match="base_url"):
        scm.details(7)


def test_a_proxy_that_is_gone_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES S1; a password in the proxy's address is not shown"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://user:pr0xy-word@127.0.0.1:{port}")
    with client(443, scheme="https", host="scm.example.com") as scm, pytest.raises(TransientError, match="proxy to scm") as caught:
        scm.details(7)
    assert "pr0xy-word" not in str(caught.value)


def test_a_proxy_that_wants_a_login_needs_a_person(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    """RULES S1"""
    wire = serve(raw(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"))
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{wire.port}")
    with client(443, scheme="https", host="scm.example.com") as scm:
        with pytest.raises(SetupError, match="HTTPS_PROXY"):
            scm.details(7)
        with pytest.raises(AmbiguousError, match="HTTPS_PROXY"):
            scm.enroll(REQUEST)


def test_a_redirect_of_an_order_is_not_followed(serve: Serve) -> None:
    """RULES E1"""
    wire = serve(says(b"", status="307 Temporary Redirect", more=b"Location: /api/ssl/v1/enroll\r\n"))
    with client(wire.port) as scm:
        with pytest.raises(AmbiguousError):
            scm.enroll(REQUEST)
        assert len(wire.heard) == 1


@pytest.mark.parametrize("target", [b"http://[broken", b"//", b"ftp://x/", b"\xff\xfe"])
def test_a_redirect_to_nowhere_is_still_a_redirect(target: bytes, serve: Serve) -> None:
    """DESIGN 8.8"""
    wire = serve(says(b"x", status="302 Found", more=b"Location: " + target + b"\r\n"))
    with client(wire.port) as scm, pytest.raises(RejectedError, match="redirect"):
        scm.details(7)


def test_the_rate_spaces_the_requests_of_all_threads(serve: Serve) -> None:
    """CERTFLOW_SCM_RATE"""
    pauses: list[float] = []
    wire = serve(ISSUED)
    login = {"base_url": f"http://127.0.0.1:{wire.port}/api", "customer_uri": "example", "login": "api", "password": "Tr0ub4dor"}
    with ScmClient(credentials_from(login), rate=4, clock=lambda: 100.0, sleep=pauses.append) as scm:
        for _ in range(4):
            scm.details(7)
    assert pauses == [0.25, 0.5, 0.75]
