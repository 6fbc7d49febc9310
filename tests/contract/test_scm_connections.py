"""What happens on the wire: connections that break, hang, lie or are not SCM's (RULES E1, E2, S1)."""

import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from models.errors import AmbiguousError, CertflowError, RejectedError, SetupError, TransientError
from models.records import EnrollRequest, ReportWindow
from tasks.adapters.scm import ScmClient, credentials_from

REQUEST = EnrollRequest(organization_id=1, profile_id=2, term_days=90, csr="csr")
ISSUED = b'{"id": 7, "status": "Issued"}'

Conversation = Callable[[socket.socket], None]


class Wire:
    """A server that hears requests and answers as it is told; the last conversation serves for all that follow."""

    def __init__(self, *conversations: Conversation, tls: ssl.SSLContext | None = None) -> None:
        self.heard: list[bytes] = []
        self._conversations, self._tls = conversations, tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.05)
        self._ends = threading.Event()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self.port = self._listening.getsockname()[1]

    def __enter__(self) -> "Wire":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(timeout=10)
        for one in (*self._open, self._listening):
            one.close()

    def _serve(self) -> None:
        served = 0
        while not self._ends.is_set():
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            try:
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
                while request := heard(connection):
                    self.heard.append(request)
                    self._conversations[min(served, len(self._conversations) - 1)](connection)
                    served += 1
            except OSError:
                connection.close()


def heard(connection: socket.socket) -> bytes:
    """One whole request; empty when the client went away."""
    got = b""
    while b"\r\n\r\n" not in got:
        if not (more := connection.recv(65536)):
            return b""
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < lengths[0]:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


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
    "bomb": says(gzip.compress(b" " * 40_000_000), more=b"Content-Encoding: gzip\r\n"), "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n{}"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_whose_answer_is_spoilt_may_be_tried_again(fault: str) -> None:
    """contract 3"""
    with Wire(FAULTS[fault]) as wire, client(wire.port) as scm, pytest.raises(TransientError) as caught:
        scm.details(7)
    assert str(caught.value).isprintable()
    assert "Tr0ub4dor" not in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_order_whose_answer_is_spoilt_is_in_doubt_and_sent_once(fault: str) -> None:
    """RULES E1, E2"""
    with Wire(FAULTS[fault], says(b'{"sslId": 41001}')) as wire, client(wire.port, deadline=3) as scm:
        with pytest.raises(AmbiguousError, match="not known whether SCM took the order"):
            scm.enroll(REQUEST)
        assert len(wire.heard) == 1


@pytest.mark.parametrize("fault", ["reset", "closed", "hangs", "truncated", "chunks break off"])
def test_a_read_is_repeated_here_after_a_broken_connection(fault: str) -> None:
    """contract 5.19"""
    with Wire(FAULTS[fault], says(ISSUED)) as wire, client(wire.port, deadline=10) as scm:
        assert scm.details(7).ssl_id == 7
        assert scm.calls == 2


def test_reads_share_a_connection_and_each_order_has_its_own() -> None:
    """DESIGN 5; RULES E2: a connection that SCM closes just then would leave the order in doubt"""
    with Wire(says(ISSUED), says(ISSUED), says(b'{"sslId": 1}')) as wire, client(wire.port, deadline=5) as scm:
        scm.details(7)
        scm.details(7)
        scm.close()
        scm.enroll(REQUEST)
        assert b"connection: close" in wire.heard[2].lower()
        assert b"connection: close" not in wire.heard[0].lower()


@pytest.mark.parametrize("broken", ["truncated", "reset"])
def test_a_report_that_breaks_off_is_an_error_after_its_rows(broken: str) -> None:
    """contract 5.17"""
    begun = b'{"statusCode": 0, "reports": [' + b",".join(json.dumps({"id": at, "status": "Issued"}).encode() for at in range(1, 4000))

    def breaks(connection: socket.socket) -> None:
        says(begun, length=len(begun) + 500)(connection) if broken == "truncated" else (says(begun, length=None)(connection), resets(connection))

    with Wire(breaks) as wire, client(wire.port, deadline=5) as scm:
        rows = scm.report(ReportWindow())
        assert next(rows).ssl_id == 1
        with pytest.raises(TransientError):
            list(rows)


def test_a_report_that_drips_ends_by_the_deadline() -> None:
    """DESIGN 8.3"""
    with Wire(drips) as wire, client(wire.port, deadline=0.3) as scm:
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


def test_a_proxy_that_wants_a_login_needs_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES S1"""
    with Wire(raw(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")) as wire:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{wire.port}")
        with client(443, scheme="https", host="scm.example.com") as scm:
            with pytest.raises(SetupError, match="HTTPS_PROXY"):
                scm.details(7)
            with pytest.raises(AmbiguousError, match="HTTPS_PROXY"):
                scm.enroll(REQUEST)


def test_a_redirect_of_an_order_is_not_followed() -> None:
    """RULES E1"""
    with Wire(says(b"", status="307 Temporary Redirect", more=b"Location: /api/ssl/v1/enroll\r\n")) as wire, client(wire.port) as scm:
        with pytest.raises(AmbiguousError):
            scm.enroll(REQUEST)
        assert len(wire.heard) == 1


@pytest.mark.parametrize("target", [b"http://[broken", b"//", b"ftp://x/", b"\xff\xfe"])
def test_a_redirect_to_nowhere_is_still_a_redirect(target: bytes) -> None:
    """DESIGN 8.8"""
    with Wire(says(b"x", status="302 Found", more=b"Location: " + target + b"\r\n")) as wire, client(wire.port) as scm, pytest.raises(RejectedError, match="redirect"):
        scm.details(7)


class Authority:
    """A certification authority for the loopback."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed("Test CA", self.key.public_key(), ca=True)

    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issued(self, name: str) -> tuple[str, str]:
        """A certificate and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        return self._signed(name, key.public_key(), ca=False).public_bytes(serialization.Encoding.PEM).decode(), text

    def _signed(self, name: str, key: Any, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
        builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])).issuer_name(issuer)
        builder = builder.public_key(key).serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        builder = builder.not_valid_after(now + timedelta(days=1)).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        return builder.sign(self.key, hashes.SHA256())


@contextmanager
def secured(authority: Authority, folder: Path, *, wants_certificate: bool) -> Iterator[Wire]:
    """A TLS server for `localhost`, which may demand a client certificate."""
    files = {name: folder / name for name in ("server.pem", "ca.pem")}
    files["server.pem"].write_text("".join(authority.issued("localhost")))
    files["ca.pem"].write_text(authority.pem())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["server.pem"])
    if wants_certificate:
        context.load_verify_locations(files["ca.pem"])
        context.verify_mode = ssl.CERT_REQUIRED
    with Wire(says(ISSUED), tls=context) as wire:
        yield wire


def with_certificate(port: int, pair: tuple[str, str]) -> ScmClient:
    login = {"base_url": f"https://localhost:{port}/api", "customer_uri": "example", "login": "api"}
    return ScmClient(credentials_from({**login, "client_certificate": pair[0], "client_key": pair[1]}), timeout=(2, 2), deadline=0.3)


def test_a_client_certificate_logs_in_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """contract 1, DESIGN 7"""
    authority = Authority()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with secured(authority, tmp_path, wants_certificate=True) as wire, with_certificate(wire.port, authority.issued("api")) as scm:
        assert scm.details(7).ssl_id == 7
        head = wire.heard[0].lower()
    assert head.startswith(b"get /private/api/ssl/v1/7 ")
    assert b"login: api" in head
    assert b"password" not in head


def test_a_client_certificate_that_scm_does_not_know_needs_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES S1"""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with secured(Authority(), tmp_path, wants_certificate=True) as wire, with_certificate(wire.port, Authority().issued("api")) as scm:
        with pytest.raises(SetupError, match="does not accept the account's client certificate"):
            scm.details(7)


def test_a_server_whose_certificate_cannot_be_verified_needs_a_person(tmp_path: Path) -> None:
    """RULES S1"""
    with secured(Authority(), tmp_path, wants_certificate=False) as wire, client(wire.port, scheme="https", host="localhost") as scm:
        with pytest.raises(SetupError, match="REQUESTS_CA_BUNDLE"):
            scm.details(7)
        with pytest.raises(AmbiguousError):
            scm.enroll(REQUEST)


def test_a_ca_bundle_that_is_not_there_needs_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN 4"""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with client(443, scheme="https", host="localhost") as scm, pytest.raises(SetupError, match="REQUESTS_CA_BUNDLE"):
        scm.details(7)


def test_the_rate_spaces_the_requests_of_all_threads() -> None:
    """CERTFLOW_SCM_RATE"""
    pauses: list[float] = []
    with Wire(says(ISSUED)) as wire:
        login = {"base_url": f"http://127.0.0.1:{wire.port}/api", "customer_uri": "example", "login": "api", "password": "Tr0ub4dor"}
        with ScmClient(credentials_from(login), rate=4, clock=lambda: 100.0, sleep=pauses.append) as scm:
            for _ in range(4):
                scm.details(7)
    assert pauses == [0.25, 0.5, 0.75]
