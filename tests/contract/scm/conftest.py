"""A server on the wire that answers as it is told, well or badly."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

Conversation = Callable[[socket.socket], None]


class Wire:
    """A server that hears requests and answers as it is told: by a conversation, or with 200 and these bytes.

    The last answer serves for all requests that follow.
    """

    def __init__(self, *conversations: Conversation | bytes, tls: ssl.SSLContext | None = None) -> None:
        self.heard: list[bytes] = []
        self._conversations = [says(one) if isinstance(one, bytes) else one for one in conversations]
        self._tls = tls
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
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)    # wakes the thread
        self._thread.join(timeout=60)
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
                    connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                self._open.append(connection)
                if isinstance(connection, ssl.SSLSocket):
                    connection.do_handshake()
                while request := heard(connection):
                    self.heard.append(request)
                    self._conversations[min(served, len(self._conversations) - 1)](connection)
                    served += 1
            except OSError:
                continue    # what the client did to the connection is not judged here; it stays open until the test ends


def heard(connection: socket.socket) -> bytes:
    """One whole request; empty when the client went away."""
    got = b""
    while b"\r\n\r\n" not in got:
        if not (more := connection.recv(65536)):
            return b""
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < lengths[0] and (more := connection.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


def says(body: bytes) -> Conversation:
    """A plain answer."""
    return lambda connection: connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


@pytest.fixture
def serve() -> Iterator[Callable[..., Wire]]:
    """Starts servers that end with the test."""
    with contextlib.ExitStack() as running:
        yield lambda *conversations, tls=None: running.enter_context(Wire(*conversations, tls=tls))
