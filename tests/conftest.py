"""Fixtures for every folder of tests."""

# --- A real Vault: the program named by CERTFLOW_TEST_VAULT, or `vault` on PATH ---

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

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

# --- A real PostgreSQL: the server programs that `pg_config --bindir` names ---

POSTGRES_START_SECONDS = 60


class RealPostgres:
    """A PostgreSQL server of its own in a temporary folder, on a free port of 127.0.0.1, without fsync. Everybody is let in."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # It refuses to run as root, and pytest's own folders cannot be entered by others.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="certflow-postgres-"))
        if self._user:
            shutil.chown(self._folder, self._user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._names = count(1)

    def url(self, database: str = "postgres", *, user: str = "certflow") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the cluster the first time, and wait until it answers."""
        data = self._folder / "data"
        if not data.exists():
            self._run("initdb", "-D", str(data), "-U", "certflow", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        options = f"-F -h 127.0.0.1 -p {self.port} -k {self._folder} -c max_connections=60"
        self._run("pg_ctl", "start", "-w", "-t", str(POSTGRES_START_SECONDS), "-D", str(data), "-l", str(self._folder / "log"), "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._folder / "data"))

    def remove(self) -> None:
        shutil.rmtree(self._folder)

    def new_database(self) -> str:
        """The address of an empty database that nobody used."""
        name = f"certflow_{next(self._names)}"
        self.do(f"CREATE DATABASE {name}")
        return self.url(name)

    def do(self, sql: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """A statement from outside, in a connection of its own."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *options: str) -> None:
        before = ["runuser", "-u", self._user, "--"] if self._user else []
        # pg_ctl's server inherits the output: a pipe would stay open for as long as it runs
        with (self._folder / f"{program}.out").open("wb") as output:
            done = subprocess.run(
                [*before, str(self._programs / program), *options], stdout=output, stderr=subprocess.STDOUT, cwd=self._folder, timeout=120)
        assert done.returncode == 0, f"{program}: {(self._folder / f'{program}.out').read_text()[-2000:]}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[RealPostgres]:
    """One PostgreSQL server for the whole session; take a `new_database()` for each test."""
    found = shutil.which("pg_config")
    programs = Path(subprocess.run([found, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()) if found else None
    if programs is None or not (programs / "initdb").exists():
        if "postgres" in os.environ.get("CERTFLOW_TEST_REQUIRE", "").split(","):
            pytest.fail("CERTFLOW_TEST_REQUIRE names postgres, but its server programs are not where `pg_config --bindir` says")
        pytest.skip("needs PostgreSQL's server programs, where `pg_config --bindir` says")
    server = RealPostgres(programs)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        server.remove()

# --- End of the real PostgreSQL ---
