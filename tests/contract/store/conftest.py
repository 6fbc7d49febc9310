"""Our database as SQLite and as PostgreSQL, and rows to put into it."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from models.errors import CertflowError
from models.orders import IMPORTED, ORDERED, CertificateOrder, NewCertificate, Submission
from models.records import OrderRecord
from models.status import OrderStatus, SubmissionStatus
from tasks.adapters.store import Store, migrate, open_store

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
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


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database; each test that asks for it runs on both kinds."""
    return str(request.getfixturevalue("postgres").new_database()) if request.param == "postgres" else f"sqlite:///{tmp_path / 'certflow.db'}"


@pytest.fixture
def opening() -> Iterator[Callable[[str], Store]]:
    """Opens stores, and closes their connections at the end."""
    opened: list[Store] = []

    def act(url: str) -> Store:
        opened.append(open_store(url))
        return opened[-1]

    yield act
    for store in opened:
        store.engine.dispose()


@pytest.fixture
def store(database_url: str, opening: Callable[[str], Store]) -> Store:
    """A store on an empty database at the newest migration."""
    migrate(database_url)
    return opening(database_url)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Calls a function once for each argument, all in threads that start together; answers or errors, in the order of the arguments."""
    def run(act: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
        given = list(arguments)
        barrier = threading.Barrier(len(given))

        def one(argument: Any) -> Any:
            barrier.wait(timeout=120)
            try:
                return act(argument)
            except CertflowError as error:
                return error

        with ThreadPoolExecutor(len(given)) as pool:
            return list(pool.map(one, given))
    return run


@pytest.fixture
def record() -> Callable[..., OrderRecord]:
    """An order as SCM shows it."""
    def make(ssl_id: int, **facts: Any) -> OrderRecord:
        return OrderRecord(**{"ssl_id": ssl_id, "common_name": f"host{ssl_id}.example.com", "status_word": "Issued", **facts})
    return make


@pytest.fixture
def order(store: Store) -> Callable[..., UUID]:
    """Writes an order as it stands in our books; its id."""
    def make(**facts: Any) -> UUID:
        row = CertificateOrder(**{
            "account": "default", "status": OrderStatus.ISSUED, "common_name": "www.example.com", "origin": ORDERED, "created_at": NOW,
            "changed_at": NOW, **facts,
        })
        with store.transaction() as session:
            session.add(row)
        return row.id
    return make


@pytest.fixture
def imported(order: Callable[..., UUID]) -> Callable[..., UUID]:
    """The same, for an order that was found at SCM."""
    return lambda ssl_id, **facts: order(ssl_id=ssl_id, origin=IMPORTED, **facts)


@pytest.fixture
def submission(store: Store, order: Callable[..., UUID]) -> Callable[..., UUID]:
    """Writes a submission, for a new planned order unless one is given; its id."""
    def make(**facts: Any) -> UUID:
        facts.setdefault("order_id", None)
        facts["order_id"] = facts["order_id"] or order(status=OrderStatus.PLANNED)
        row = Submission(**{"account": "default", "kind": "enroll", "status": SubmissionStatus.PLANNED, "created_at": NOW, **facts})
        row.request_id = facts.get("request_id") or str(row.id)
        with store.transaction() as session:
            session.add(row)
        return row.id
    return make


@pytest.fixture
def certificate() -> Callable[..., NewCertificate]:
    """A certificate of an order, not written: 90 days long, fetched now. `number` tells certificates apart. Facts that a new one has not
    yet, such as a delivery, go into the row all the same."""
    def make(order_id: UUID, number: int = 1, **facts: Any) -> NewCertificate:
        later = {name: facts.pop(name) for name in [*facts] if name not in NewCertificate.__dataclass_fields__}
        new = NewCertificate(**{
            "order_id": order_id, "serial_number": f"{number:x}", "sha256": f"{number:064x}", "public_key_sha256": f"{number:064x}",
            "names": ["www.example.com"], "issuer": "CN=Example Issuing CA", "key_algorithm": "EC", "key_size": "P-256",
            "not_before": NOW - timedelta(days=1), "not_after": NOW + timedelta(days=89), "pem": "leaf", "chain_pem": "chain",
            "fetched_at": NOW, **facts,
        })
        vars(new).update(later)
        return new
    return make
