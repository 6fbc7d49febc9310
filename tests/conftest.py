"""Fixtures for every folder of tests."""

# --- A real Vault: the program named by CERTFLOW_TEST_VAULT, or `vault` on PATH ---

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
VAULT_START_SECONDS = 60


class RealVault:
    """A Vault in dev mode, started and stopped here. `secret/` is a KV version 2 mount; `token` is the root token."""

    token = "root"

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self.keeps_data = True
        self.unseal_key = ""

    def start(self) -> None:
        """Start and wait until it answers, unsealed. HashiCorp's own dev mode knows no `-storage` and forgets its data."""
        log = self._folder / "vault.log"
        options = ["server", "-dev", f"-dev-listen-address=127.0.0.1:{self._port}", f"-dev-root-token-id={self.token}"]
        if self.keeps_data:
            options.append(f"-storage={self._folder}")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [self._program, *options], stdout=output, stderr=subprocess.STDOUT, cwd=self._folder,
                env={**os.environ, "HOME": str(self._folder)},    # dev mode writes ~/.vault-token
            )
        deadline = time.monotonic() + VAULT_START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                if self.keeps_data:
                    self.keeps_data = False
                    return self.start()
                break
            if self._health() in {200, 503}:
                key = re.search(r"Unseal Key: (\S+)", log.read_text())
                self.unseal_key = key.group(1) if key else self.unseal_key
                return self.unseal()
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"Vault did not start: {log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(timeout=30)
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again, as a lost host would."""
        self.stop()
        self.start()

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, token: str | None = None) -> dict[str, Any]:
        """Any call of Vault's API, as root."""
        answer = requests.request(
            method, f"{self.address}/v1/{path}", json=body, headers={"X-Vault-Token": token or self.token}, timeout=30)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def seal(self) -> None:
        self.call("PUT", "sys/seal")

    def unseal(self) -> None:
        """Unseal, if it is sealed, and wait until it serves."""
        deadline = time.monotonic() + VAULT_START_SECONDS
        while self._health() != 200:
            assert time.monotonic() < deadline, "Vault was not unsealed in time"
            self.call("PUT", "sys/unseal", {"key": self.unseal_key})
            time.sleep(0.02)

    def policy(self, name: str, hcl: str) -> None:
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": hcl})

    def new_token(self, *policies: str, ttl: str = "1h") -> str:
        return str(self.call("POST", "auth/token/create", {"policies": policies, "ttl": ttl})["auth"]["client_token"])

    def new_role(self, name: str, *policies: str, ttl: str = "1h", **options: Any) -> tuple[str, str]:
        """An AppRole with these policies; answers role id and secret id."""
        if "approle/" not in self.call("GET", "sys/auth")["data"]:
            self.call("POST", "sys/auth/approle", {"type": "approle"})
        self.call("POST", f"auth/approle/role/{name}", {"token_policies": policies, "token_ttl": ttl, **options})
        role = self.call("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        return role, self.call("POST", f"auth/approle/role/{name}/secret-id")["data"]["secret_id"]

    def _health(self) -> int:
        try:
            return requests.get(f"{self.address}/v1/sys/health", timeout=5).status_code
        except requests.ConnectionError:
            return 0


@pytest.fixture(scope="session")
def started_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVault]:
    """One Vault for the whole session; ask for `real_vault`."""
    program = os.environ.get("CERTFLOW_TEST_VAULT") or shutil.which("vault")
    if not program:
        if "vault" in os.environ.get("CERTFLOW_TEST_REQUIRE", "").split(","):
            pytest.fail("CERTFLOW_TEST_REQUIRE names vault, but there is no `vault` on PATH and CERTFLOW_TEST_VAULT is not set")
        pytest.skip("needs the vault program, on PATH or named by CERTFLOW_TEST_VAULT")
    vault = RealVault(program, tmp_path_factory.mktemp("vault"))
    vault.start()
    yield vault
    vault.stop()


@pytest.fixture
def real_vault(started_vault: RealVault) -> Iterator[RealVault]:
    """The real Vault, running and unsealed before and after each test. Use a prefix of your own: data of other tests are in it."""
    yield started_vault
    if started_vault._health() == 0:
        started_vault.start()
    started_vault.unseal()

# --- End of the real Vault ---

# --- The sandbox: pretend SCM and pretend Vault ---


class Sandbox:
    """A running sandbox and its control API."""

    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deployments.sandbox", *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=ROOT, text=True,
        )
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        assert text, "the sandbox did not start"
        self.line: dict[str, Any] = json.loads(text)
        self._control = self.line["scm"].removesuffix("/api") + "/_control"
        self._session = requests.Session()
        self._session.trust_env = False

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._session.close()
        if self._process.stdout:
            self._process.stdout.close()

    def control(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """A call of the control API."""
        answer = self._session.request(method, f"{self._control}/{path}", json=body, params=query, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def reset(self) -> None:
        """The account as it was at the start; no faults, no calls."""
        self.control("POST", "reset")

    def fault(self, kind: str, **facts: Any) -> None:
        """What goes wrong: `route`, `path`, `method`, `probability`, `count` and what the kind needs."""
        self.control("POST", "faults", {"kind": kind, **facts})

    def lose_next_answer(self, route: str) -> None:
        self.fault("lost", route=route, count=1)

    def clear(self) -> None:
        self.control("DELETE", "faults")

    def calls(self) -> dict[str, int]:
        """Calls by method and route, such as `POST enroll`, since the start or `forget_calls`."""
        found: dict[str, int] = {}
        for one in self.control("GET", "calls"):
            name = f"{one['method']} {one['route']}"
            found[name] = found.get(name, 0) + one["count"]
        return found

    def forget_calls(self) -> None:
        self.control("DELETE", "calls")

    def orders(self, common_name: str | None = None) -> list[dict[str, Any]]:
        """The truth about orders."""
        return list(self.control("GET", "orders", **({"common_name": common_name} if common_name else {})))

    def change_order(self, ssl_id: int, **facts: Any) -> None:
        self.control("PUT", f"orders/{ssl_id}", facts)

    def settings(self, **facts: Any) -> None:
        """issue_delay and latency in seconds, token_lifetime, clock_offset, validation and more."""
        self.control("PUT", "settings", facts)


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes of one's own, with options; all are ended."""
    started: list[Sandbox] = []

    def start(*options: str) -> Sandbox:
        started.append(Sandbox(*options))
        return started[-1]
    yield start
    for one in started:
        one.end()


@pytest.fixture(scope="session")
def shared_sandbox(sandbox_process: Callable[..., Sandbox]) -> Sandbox:
    """One sandbox for the whole session; ask for `sandbox`."""
    return sandbox_process("--orders", "200", "--issue-delay", "0.2")


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox with its account as it was at the start."""
    shared_sandbox.reset()
    yield shared_sandbox
    shared_sandbox.reset()

# --- End of the sandbox ---

# --- PostgreSQL ---


@pytest.fixture(scope="session")
def postgres_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server for the whole session, without fsync; the address of its first database."""
    found = shutil.which("pg_config")
    programs = Path(subprocess.run([found, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()) if found else None
    if programs is None or not (programs / "initdb").exists():
        if "postgres" in os.environ.get("CERTFLOW_TEST_REQUIRE", "").split(","):
            pytest.fail("CERTFLOW_TEST_REQUIRE names postgres, but its server programs are not where `pg_config --bindir` says")
        pytest.skip("needs PostgreSQL's server programs, where `pg_config --bindir` says")
    folder = Path(tempfile.mkdtemp(prefix="certflow-postgres-"))    # PostgreSQL refuses to run as root, and pytest's folders are closed to others
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *options: str) -> None:
        with (tmp_path_factory.getbasetemp() / f"{program}.out").open("wb") as output:    # a pipe would stay open while the server runs
            subprocess.run([*user, str(programs / program), *options], stdout=output, stderr=output, cwd=folder, timeout=120, check=True)

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "certflow", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    run("pg_ctl", "start", "-w", "-D", data, "-l", str(folder / "log"), "-o", f"-F -h 127.0.0.1 -p {port} -k {folder}")
    yield f"postgresql://certflow@127.0.0.1:{port}/postgres"
    run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)
    shutil.rmtree(folder)

# --- End of PostgreSQL ---


@pytest.fixture(scope="session")
def own_csr() -> Callable[..., str]:
    """A customer's CSR, for a new key unless one is given; nobody else has the key."""

    def make(common_name: str, key: ec.EllipticCurvePrivateKey | None = None) -> str:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject)
        return request.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    return make

# --- Which tests stay together when they run on several cores: `up` is started once, and a file's own servers too ---


def _group(test: str) -> str:
    """Of a test's id: its file, and `up` for all that run beside one."""
    file = test.split("::")[0].removeprefix("tests/")
    return "up" if file.startswith("end_to_end/") and not file.startswith("end_to_end/stories/") else file


class _Groups(LoadScopeScheduling):    # `--dist loadgroup` of pytest-xdist 3.8 does nothing with pytest 9
    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Groups:
    return _Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _group(item.nodeid) != "up")    # what takes longest must not begin last

# --- End of what stays together ---

# --- What a user reads ---

NOT_FOR_READERS = (
    "Tr0ub4dor", "S3cr3t-word", "hunter2-token", "Traceback", " object at 0x", "Error(", "Exception(", "<html", "PRIVATE KEY", "{'", '{"',
)
WHAT_TO_DO = (
    "try", "look", "correct", "give ", "wait", "set ", "register", "name ", "ask", "again", "allow", "use ", "validate", "must", "make room",
    "run ", "check", "deployments", "poll-orders", "goes on", "restore", "unseal", "settle", "decline", "was not sent", "nothing was sent", "see ",
    "is it running", "choose", "import-orders",
)


@pytest.fixture
def is_for_a_person() -> Callable[[BaseException | str], None]:
    """What a user reads is one sentence: no payload, no secret, no repr; and it says what to do or what happens next."""
    def holds(error: BaseException | str) -> None:
        said = str(error)
        assert said.isprintable(), said
        assert 20 < len(said) < 1200, said    # an account with many organizations names them all
        assert not [word for word in NOT_FOR_READERS if word in said], said
        assert any(word in said.lower() for word in WHAT_TO_DO), said
        assert isinstance(error, str) or error.__cause__ is None, said
    return holds

# --- End of what a user reads ---


# --- Promises in seconds ---


@pytest.fixture(scope="session")
def on_this_machine() -> Callable[[float], float]:
    """on_this_machine(seconds): what a promise for a free machine is on one that others keep busy just now, as wall against processor time says."""
    def seconds_here(seconds: float) -> float:
        began, work = time.monotonic(), time.thread_time()
        while time.thread_time() - work < 0.3:
            pass
        return seconds * max(1, (time.monotonic() - began) / 0.3)

    return seconds_here
