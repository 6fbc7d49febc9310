"""What the benchmarks run against: sandboxes, databases, a Prefect server, and a process of its own for whatever is measured."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hvac
import requests

from deployments import prefect_server
from deployments.processes import ENDING_SIGNALS, Children, free_port

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
LONGEST = 1800
"""Seconds after which a measurement is given up."""

Figures = dict[str, Any]
Home = Mapping[str, str]
"""The part of the environment that names an installation: home, database, Prefect's address."""


def _clean() -> dict[str, str]:
    """Our environment without what leads to somebody's own Vault, database or Prefect."""
    foreign = ("CERTFLOW_", "VAULT_", "PREFECT_")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign) and not name.lower().endswith("_proxy")}
    return kept | {"PYTHONPATH": str(ROOT), "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false", "DO_NOT_TRACK": "1"}


def measured(script: str, *arguments: str, env: Mapping[str, str]) -> Figures:
    """What a script beside this one prints, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], env=_clean() | dict(env), cwd=ROOT, capture_output=True, text=True, timeout=LONGEST,
    )
    assert done.returncode == 0, f"{script} {' '.join(arguments)}: {done.stderr[-3000:]}"
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


class Account:
    """A running sandbox, and the account in it."""

    def __init__(self, line: Mapping[str, Any], start_seconds: float) -> None:
        self.start_seconds = start_seconds
        self.env = {
            "VAULT_ADDR": line["vault"], "VAULT_TOKEN": line["vault_token"], "BENCHMARK_SCM": line["scm"],
            "BENCHMARK_ACCOUNT": json.dumps(line["account"]),
        }
        self._control = line["scm"].removesuffix("/api") + "/_control"
        vault = hvac.Client(url=line["vault"], token=line["vault_token"])
        vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret={"base_url": line["scm"], **line["account"]})

    def set(self, **settings: Any) -> None:
        """Change the sandbox's settings."""
        requests.put(f"{self._control}/settings", json=settings, timeout=60).raise_for_status()

    def orders(self, status: str) -> list[int]:
        """The sslIds of the orders in a status, as SCM writes it."""
        return [one["ssl_id"] for one in requests.get(f"{self._control}/orders", params={"status": status}, timeout=60).json()]

    def move(self, ssl_id: int, status: str) -> None:
        """Somebody at SCM decides an order."""
        requests.put(f"{self._control}/orders/{ssl_id}", json={"status": status}, timeout=60).raise_for_status()

    def most_orders_of_a_name(self, beginning: str) -> int:
        """How many orders SCM holds for the name that it holds the most for, among names that begin like this."""
        names = Counter(one["common_name"] for one in requests.get(f"{self._control}/orders", timeout=60).json())
        return max(number for name, number in names.items() if name.startswith(beginning))

    def ours(self, name: str, home: Home, *given: str, connections: int = 8) -> Figures:
        """A function of ours.py."""
        return measured("ours.py", name, *given, env={**self.env, **home, "CERTFLOW_SCM_CONCURRENCY": str(connections)})

    def bare(self, name: str, **given: Any) -> Figures:
        """A function of bare.py: the limit."""
        return measured("bare.py", name, json.dumps(given), env=self.env)

    def peer(self) -> Figures:
        """What the peer needs for the whole account."""
        return measured("peer.py", env=self.env)


@contextmanager
def account(orders: int, *, latency_ms: int = 0) -> Iterator[Account]:
    """A sandbox of its own, ended at the end."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "deployments.sandbox", "--orders", str(orders), "--latency", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True, env=_clean()) as sandbox:
        try:
            assert sandbox.stdout is not None
            yield Account(json.loads(sandbox.stdout.readline()), time.perf_counter() - began)
        finally:
            sandbox.terminate()


@contextmanager
def new_home(database: str = "sqlite", server: Any = None) -> Iterator[Home]:
    """An installation with an empty database, on SQLite or on a PostgreSQL `server`."""
    with TemporaryDirectory(prefix="certflow-bench-") as folder:
        url = server.new_database() if database == "postgres" else ""
        home = {"CERTFLOW_HOME": folder, "CERTFLOW_DATABASE_URL": url}
        if url:
            subprocess.run([sys.executable, "-m", "deployments", "migrate"], env=_clean() | home, cwd=ROOT, capture_output=True, check=True)
        yield home
        if url:
            server.do(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


@contextmanager
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL server, the one of the store's tests; tests are no package."""
    spec = importlib.util.spec_from_file_location("store_conftest", ROOT / "tests" / "contract" / "store" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    programs = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
    server = module.RealPostgres(Path(programs))
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.remove()


@contextmanager
def prefect() -> Iterator[Home]:
    """A Prefect server; the part of a home that leads to it."""
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    with TemporaryDirectory(prefix="certflow-bench-prefect-") as folder, Children(Path(folder) / "logs") as children:
        home, env = Path(folder) / "prefect", _clean()
        api = prefect_server.start(children, env, home=home, port=free_port())
        prefect_server.wait_until_ready(children, api, home=home)
        yield prefect_server.client_environment({}, home=home, api=api)
    for number, handler in handlers.items():    # Children ignores them at its end
        signal.signal(number, handler)
