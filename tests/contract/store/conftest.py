"""Our database as SQLite and as PostgreSQL, and rows to put into it."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from models.errors import CertflowError
from models.orders import IMPORTED, ORDERED, Certificate, CertificateOrder, Submission
from models.records import OrderRecord
from models.status import OrderStatus, SubmissionStatus
from tasks.adapters.store import Store, migrate, open_store

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)


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
            barrier.wait(timeout=30)
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
def certificate() -> Callable[..., Certificate]:
    """A certificate of an order, not written: 90 days long, fetched now. `number` tells certificates apart."""
    def make(order_id: UUID, number: int = 1, **facts: Any) -> Certificate:
        return Certificate(**{
            "order_id": order_id, "serial_number": f"{number:x}", "sha256": f"{number:064x}", "public_key_sha256": f"{number:064x}",
            "names": ["www.example.com"], "issuer": "CN=Example Issuing CA", "key_algorithm": "EC", "key_size": "P-256",
            "not_before": NOW - timedelta(days=1), "not_after": NOW + timedelta(days=89), "pem": "leaf", "chain_pem": "chain",
            "fetched_at": NOW, **facts,
        })
    return make
