"""What stands around Certflow: the sandbox as SCM, a real Vault, SQLite or a real PostgreSQL. Everything is ended by whoever started it."""

import importlib.util
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import requests
from sqlalchemy import NullPool, create_engine, event

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "deployments" / "vault-policies" / "worker.hcl"
TOKEN_LIFE = "20s"
"""Of the AppRole's tokens: they end while a process works."""

ISSUE_DELAY = 0.3
GRACE_SECONDS = 6
"""Longer than the longest fault holds a request (faults.LONGEST), and than a client waits for an answer."""


def from_tests(path: str) -> ModuleType:
    """A conftest.py of other tests, whose servers are used here too; tests are no package."""
    spec = importlib.util.spec_from_file_location(f"chaos_{Path(path).parent.name}", ROOT / "tests" / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class World:
    """The servers, and the environment in which Certflow finds them."""

    def __init__(self, folder: Path, *, database: str, seed: int) -> None:
        self.folder = folder
        self.home = folder / "certflow"
        for part in (self.home, folder / "vault", folder / "logs", folder / "tmp"):
            part.mkdir(mode=0o700)
        shared = from_tests("conftest.py")
        self.sandbox = shared.Sandbox("--orders", "20", "--seed", str(seed), "--issue-delay", str(ISSUE_DELAY))
        self.vault: Any = None
        self.postgres: Any = None
        try:
            program = os.environ.get("CERTFLOW_TEST_VAULT") or shutil.which("vault")
            assert program, "needs the vault program, on PATH or named by CERTFLOW_TEST_VAULT"
            self.vault = shared.RealVault(program, folder / "vault")
            self.vault.start()
            assert self.vault.keeps_data, "needs a vault program that keeps its data over a restart"
            if database == "postgres":
                programs = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
                self.postgres = from_tests("contract/store/conftest.py").RealPostgres(Path(programs))
                self.postgres.start()
            self.url = self.postgres.new_database() if self.postgres else f"sqlite:///{self.home / 'certflow.db'}"
            self.env = self._connected(database)
        except BaseException:
            self.end()
            raise
        os.environ.update(self.env)
        for name in ("VAULT_TOKEN", "VAULT_NAMESPACE", "CERTFLOW_CERTIFICATE_LIMIT", "CERTFLOW_PRIVATE_PROFILES"):
            os.environ.pop(name, None)
        address = self.url.replace("postgresql://", "postgresql+psycopg://")
        self.books = create_engine(address, poolclass=NullPool)    # nothing stays open when the harness forks
        if database == "sqlite":
            event.listen(self.books, "connect", lambda connection, _record: connection.execute("PRAGMA busy_timeout = 10000"))

    def _connected(self, database: str) -> dict[str, str]:
        line = self.sandbox.line
        self.vault.policy("worker", POLICY.read_text())
        role, secret = self.vault.new_role("certflow", "worker", ttl=TOKEN_LIFE, secret_id_num_uses=0)
        self.put("accounts/default", {"base_url": line["scm"], **line["account"]})
        return {
            "CERTFLOW_HOME": str(self.home), "CERTFLOW_DATABASE_URL": self.url if database == "postgres" else "", "VAULT_ADDR": self.vault.address,
            "VAULT_ROLE_ID": role, "VAULT_SECRET_ID": secret, "CERTFLOW_GRACE_SECONDS": str(GRACE_SECONDS),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false", "DO_NOT_TRACK": "1", "TMPDIR": str(self.folder / "tmp"),
            "PREFECT_HOME": str(self.folder / "prefect"),
        }

    def put(self, path: str, secret: dict[str, str]) -> None:
        self.vault.call("POST", f"secret/data/certflow/{path}", {"data": secret})

    def entry(self, path: str, version: int | None = None) -> dict[str, Any] | None:
        """An entry of Vault, read as root; None when that version is gone."""
        with suppress(AssertionError):
            found = self.vault.call("GET", f"secret/data/certflow/{path}" + (f"?version={version}" if version else ""))
            return found["data"]["data"]
        return None

    def versions(self, path: str) -> dict[int, dict[str, Any]]:
        with suppress(AssertionError):
            found = self.vault.call("GET", f"secret/metadata/certflow/{path}")["data"]["versions"]
            return {number: found[str(number)] for number in sorted(int(one) for one in found)}
        return {}

    def names(self, folder: str) -> list[str]:
        with suppress(AssertionError):
            return list(self.vault.call("LIST", f"secret/metadata/certflow/{folder}")["data"]["keys"])
        return []

    def certificate(self, ssl_id: int) -> str | None:
        """What a person sees who looks at an order in SCM; None while there is no certificate."""
        line = self.sandbox.line
        login = {"login": line["account"]["login"], "password": line["account"]["password"], "customerUri": line["account"]["customer_uri"]}
        answer = requests.get(f"{line['scm']}/ssl/v1/collect/{ssl_id}", params={"format": "x509CO"}, headers=login, timeout=10)
        return answer.text if answer.ok else None

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """Our own books, read from outside."""
        with self.books.connect() as connection:
            return list(connection.exec_driver_sql(sql, values or None).mappings())

    def end_tokens(self) -> None:
        """Every token of our AppRole ends now."""
        self.vault.call("PUT", "sys/leases/revoke-prefix/auth/approle/login")

    def restart_postgres(self) -> None:
        self.postgres.stop()
        self.postgres.start()

    def calm(self) -> None:
        """All servers run, nothing spoils an answer."""
        self.sandbox.clear()
        self.vault.unseal()

    def end(self) -> None:
        if self.postgres:
            with suppress(AssertionError):
                self.postgres.stop()
            self.postgres.remove()
        if self.vault:
            self.vault.stop()
        self.sandbox.end()


def scratch(folder: Path) -> None:
    """Forget what a run has left."""
    shutil.rmtree(folder, ignore_errors=True)
