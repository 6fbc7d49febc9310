"""Both Vaults, the real one and the pretend one, and a neighbour in between that spoils answers."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import uvicorn

from deployments.sandbox.vault import create_vault_app
from tasks.adapters.vault import Vault, VaultSettings

VaultFactory = Callable[..., Vault]
PRETEND_TOKEN = "pretend-root"
POLICIES = Path(__file__).parents[2] / "deployments" / "vault-policies"


@dataclass(frozen=True)
class VaultServer:
    """Where a Vault of either kind is."""

    address: str
    token: str


@pytest.fixture(scope="session")
def pretend_vault() -> Iterator[VaultServer]:
    """The sandbox's Vault, over HTTP."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_vault_app(PRETEND_TOKEN), log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield VaultServer(f"http://127.0.0.1:{listening.getsockname()[1]}", PRETEND_TOKEN)
    server.should_exit = True
    thread.join(timeout=120)
    listening.close()


@pytest.fixture(params=["pretend", "real"])
def vault_server(request: pytest.FixtureRequest) -> VaultServer:
    """Each test that asks for this runs against both Vaults."""
    if request.param == "real":
        real = request.getfixturevalue("real_vault")
        return VaultServer(real.address, real.token)
    pretend: VaultServer = request.getfixturevalue("pretend_vault")
    return pretend


@pytest.fixture
def new_vault() -> Iterator[VaultFactory]:
    """Makes clients, each below a prefix of its own unless one is given, and closes them."""
    with ExitStack() as stack:
        def make(address: str, *, timeout: tuple[float, float] = (5, 20), clock: Any = None, **settings: Any) -> Vault:
            settings.setdefault("prefix", f"test-{uuid4()}")
            vault = Vault(VaultSettings(address=address, **settings), timeout=timeout, **({"clock": clock} if clock else {}))
            stack.callback(vault.close)
            return vault

        yield make


@pytest.fixture
def vault(vault_server: VaultServer, new_vault: VaultFactory, prefix: str) -> Vault:
    """A client of either Vault, below a prefix that is empty."""
    return new_vault(vault_server.address, token=vault_server.token, prefix=prefix)


@dataclass
class Neighbour:
    """A server before a Vault that passes calls on, and spoils those that `spoil` names.

    `spoil(method, path)` answers None to pass the call on, "drop" to hang up unasked, "lose" to pass it on and hang up, a number of
    seconds to pass it on and answer that much later, or (status, headers, body) to answer instead of Vault.
    """

    address: str
    spoil: Callable[[str, str], Any] = lambda _method, _path: None
    calls: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    after: Callable[[], None] = lambda: None
    """Runs after a call was passed on whose answer is lost."""

    def lose_once(self, method: str, part: str, how: Any = "lose") -> None:
        """Spoil the next call of this method whose path holds `part`."""
        left = [how]
        self.spoil = lambda seen, path: left.pop() if left and seen == method and part in path else None

    def count(self, method: str, part: str) -> int:
        return sum(1 for seen, path, _ in self.calls if seen == method and part in path)


@pytest.fixture
def neighbour() -> Iterator[Callable[..., Neighbour]]:
    """Starts neighbours before an address ("" for none) and ends them."""
    with ExitStack() as stack:
        yield lambda before="", tls=None: stack.enter_context(_neighbour(before, tls))


@pytest.fixture
def near(neighbour: Callable[..., Neighbour], vault_server: VaultServer) -> Neighbour:
    """A neighbour before either Vault."""
    return neighbour(vault_server.address)


@pytest.fixture
def through(near: Neighbour, vault_server: VaultServer, new_vault: VaultFactory, prefix: str) -> Vault:
    """A client whose calls pass the neighbour. It waits two seconds for an answer."""
    return new_vault(near.address, token=vault_server.token, prefix=prefix, timeout=(2, 2))


@pytest.fixture
def prefix() -> str:
    """A prefix that nobody used."""
    return f"test-{uuid4()}"


@pytest.fixture
def root(real_vault: Any, new_vault: VaultFactory, prefix: str) -> Vault:
    """A client of the real Vault that may do anything."""
    return new_vault(real_vault.address, token=real_vault.token, prefix=prefix)


@pytest.fixture
def worker_hcl(prefix: str) -> str:
    """The worker's policy as we ship it, for this test's prefix."""
    return (POLICIES / "worker.hcl").read_text().replace("certflow", prefix)


@pytest.fixture
def worker(real_vault: Any, worker_hcl: str, prefix: str) -> str:
    """The name of that policy in the real Vault."""
    real_vault.policy(f"worker-{prefix}", worker_hcl)
    return f"worker-{prefix}"


@pytest.fixture
def reader(real_vault: Any, prefix: str) -> str:
    """The name of the consumers' policy in the real Vault."""
    real_vault.policy(f"reader-{prefix}", (POLICIES / "reader.hcl").read_text().replace("certflow", prefix))
    return f"reader-{prefix}"


@contextmanager
def _neighbour(before: str, tls: ssl.SSLContext | None) -> Iterator[Neighbour]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            between.calls.append((self.command, self.path, dict(self.headers)))
            how = between.spoil(self.command, self.path)
            if how == "drop":
                self.close_connection = True
                return
            if isinstance(how, tuple):
                self._answer(*how)
                return
            status, headers, content = self._pass_on(body)
            if how == "lose":
                between.after()
                self.close_connection = True
                return
            if isinstance(how, int | float):
                time.sleep(how)
            self._answer(status, headers, content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the library's names

        def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            upstream = http.client.HTTPConnection(urlsplit(before).netloc, timeout=120)
            try:
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                return answer.status, {"Content-Type": answer.getheader("Content-Type") or ""}, answer.read()
            finally:
                upstream.close()

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content if status != 204 else b"")
            except OSError:    # the client gave up waiting, as a test of timeouts wants it
                self.close_connection = True

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def get_request(self) -> tuple[Any, Any]:
            connection, address = super().get_request()
            return (tls.wrap_socket(connection, server_side=True) if tls else connection), address

    server = Server(("127.0.0.1", 0), Handler)
    between = Neighbour(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield between
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=60)
