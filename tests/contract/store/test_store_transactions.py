"""Transactions: what they keep, what they take back, and what trouble of the database looks like from outside."""

import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlmodel import col

from models.errors import ConflictError, SetupError, TransientError
from models.orders import AccountState
from tasks.adapters.store import Store, migrate
from tasks.adapters.store import orders as queries
from tasks.adapters.store.engine import open_engine
from tasks.adapters.store.reference import account_state

Opening = Callable[[str], Store]
AtOnce = Callable[..., list[Any]]


def accounts(store: Store) -> set[str]:
    with store.reading() as session:
        return set(session.scalars(select(col(AccountState.account))))


def test_an_error_inside_takes_everything_back(store: Store) -> None:
    """DESIGN 8.7"""
    with pytest.raises(KeyError), store.transaction() as session:  # noqa: PT012 - the end of the transaction is part of it
        account_state(session, "default")
        raise KeyError
    assert accounts(store) == set()


def test_reading_writes_nothing(store: Store) -> None:
    """DESIGN 8.7"""
    for streaming in (False, True):
        with store.reading(streaming=streaming) as session, pytest.raises(RuntimeError, match="does not write: 'INSERT"):
            account_state(session, "default")
    assert accounts(store) == set()


def test_rows_stay_readable_after_their_transaction(store: Store, order: Callable[..., UUID]) -> None:
    """DESIGN 8.7"""
    id_ = order(common_name="www.example.com")
    with store.reading() as session:
        row = queries.order(session, id_)
    assert row.common_name == "www.example.com"


def test_reading_waits_for_no_writer_and_makes_none_wait(store: Store) -> None:
    """DESIGN 6: SQLite in WAL mode; a reader holds no write lock."""
    with store.transaction() as writing:
        account_state(writing, "first")
        with store.reading() as reading:
            assert list(reading.scalars(select(col(AccountState.account)))) == []
    with store.reading() as reading:
        reading.scalars(select(col(AccountState.account))).all()
        with store.transaction() as writing:
            account_state(writing, "second")
    assert accounts(store) == {"first", "second"}


def test_writers_at_once_wait_for_each_other(store: Store, at_once: AtOnce) -> None:
    """DESIGN 6: none fails with a locked database."""
    def add(number: int) -> None:
        with store.transaction() as session:
            account_state(session, "default").stopped_version = number
            account_state(session, f"account-{number}")

    assert at_once(add, range(12)) == [None] * 12
    assert len(accounts(store)) == 13


def test_the_same_row_twice_is_a_conflict(order: Callable[..., UUID]) -> None:
    """DESIGN 8.2"""
    order(ssl_id=7)
    order(ssl_id=7, account="other")
    with pytest.raises(ConflictError, match="somebody wrote the same thing first"):
        order(ssl_id=7)


def test_a_row_that_somebody_removed_meanwhile_is_a_conflict(store: Store, order: Callable[..., UUID]) -> None:
    """DESIGN 8.2: no class of SQLAlchemy leaves the store."""
    id_ = order()
    with pytest.raises(ConflictError, match="somebody removed"), store.transaction() as session:  # noqa: PT012 - the end of the transaction is part of it
        row = queries.order(session, id_)
        session.execute(text("DELETE FROM certificate_order"))
        row.common_name = "other.example.com"


def test_an_event_of_no_order_is_refused(store: Store, now: datetime) -> None:
    """Foreign keys hold on SQLite too."""
    with pytest.raises(ConflictError), store.transaction() as session:
        queries.record_event(session, uuid4(), "lost", now=now, run=None)


def test_a_locked_sqlite_file_is_worth_waiting_for(tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN 8.2"""
    monkeypatch.setattr("tasks.adapters.store.engine.BUSY_TIMEOUT_MS", 50)
    store = opening(f"sqlite:///{tmp_path / 'certflow.db'}")
    other = sqlite3.connect(tmp_path / "certflow.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(TransientError, match="the database is busy"), store.transaction() as session:
            account_state(session, "second writer")
        assert accounts(store) == set()
    finally:
        other.close()


def test_a_full_disk_is_said_and_nothing_half_written_is_kept(tmp_path: Path, opening: Opening) -> None:
    """DESIGN 8.2: SQLite reports a full disk and a file at its page limit by the same code."""
    store = opening(f"sqlite:///{tmp_path / 'certflow.db'}")
    with pytest.raises(SetupError, match=r"disk of the database is full .*: make room"), store.transaction() as session:  # noqa: PT012 - the end of the transaction is part of it
        session.execute(text("PRAGMA max_page_count = 1"))
        account_state(session, "default").stopped_because = "x" * 1_000_000
        session.flush()
    assert accounts(store) == set()


def test_a_read_only_file_needs_a_person(tmp_path: Path, opening: Opening) -> None:
    """DESIGN 8.2"""
    store = opening(f"sqlite:///{tmp_path / 'certflow.db'}")
    with pytest.raises(SetupError, match="readonly"), store.transaction() as session:  # noqa: PT012 - the end of the transaction is part of it
        session.execute(text("PRAGMA query_only = ON"))
        account_state(session, "default")


def test_connections_that_are_all_taken_are_worth_waiting_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN 8.2: no class of SQLAlchemy leaves the store."""
    monkeypatch.setattr(store.engine.pool, "_timeout", 0.05)
    monkeypatch.setattr(store.engine.pool, "_max_overflow", 10)
    taken = [store.engine.connect() for _ in range(15)]
    try:
        with pytest.raises(TransientError, match="in use"), store.reading() as session:
            session.get(AccountState, "default")
    finally:
        for one in taken:
            one.close()


@pytest.mark.postgres
def test_a_connection_that_is_killed_is_worth_another_try(postgres: Any, opening: Opening) -> None:
    """DESIGN 8.2"""
    url = postgres.new_database()
    migrate(url)
    store = opening(url)
    with pytest.raises(TransientError), store.transaction() as session:  # noqa: PT012 - the end of the transaction is part of it
        account_state(session, "lost")
        postgres.do(f"SELECT pg_terminate_backend({session.scalar(text('SELECT pg_backend_pid()'))})")
        account_state(session, "also lost")
    with store.transaction() as session:
        account_state(session, "kept")
    assert accounts(store) == {"kept"}


@pytest.mark.postgres
@pytest.mark.parametrize("streaming", [False, True])
def test_a_connection_that_rested_and_died_meanwhile_is_replaced_unnoticed(
    postgres: Any, opening: Opening, monkeypatch: pytest.MonkeyPatch, streaming: bool,
) -> None:
    """DESIGN 8.2"""
    monkeypatch.setattr("tasks.adapters.store.engine.RESTED_SECONDS", 0.0)
    url = postgres.new_database()
    migrate(url)
    store = opening(url)
    pid = text("SELECT pg_backend_pid()")
    with store.reading(streaming=streaming) as session:
        before = session.scalar(pid)
    postgres.do(f"SELECT pg_terminate_backend({before}, 10000)")
    with store.reading(streaming=streaming) as session:
        assert session.scalar(pid) != before


@pytest.mark.postgres
def test_a_server_that_went_away_is_worth_waiting_for(postgres: Any, opening: Opening) -> None:
    """DESIGN 8.2: the same store goes on when the server is back."""
    url = postgres.new_database()
    migrate(url)
    store = opening(url)
    assert accounts(store) == set()
    postgres.stop()
    try:
        with pytest.raises(TransientError, match="not reachable"), store.transaction() as session:
            account_state(session, "lost")
    finally:
        postgres.start()
    assert accounts(store) == set()


@pytest.mark.postgres
def test_two_that_wait_for_each_other_get_a_transient_error(postgres: Any, opening: Opening, at_once: AtOnce) -> None:
    """DESIGN 8.2: PostgreSQL ends one of them."""
    url = postgres.new_database()
    migrate(url)
    store = opening(url)
    with store.transaction() as session:
        account_state(session, "a")
        account_state(session, "b")
    both_hold_one = threading.Barrier(2)

    def cross(names: tuple[str, str]) -> str:
        with store.transaction() as session:
            session.get_one(AccountState, names[0], with_for_update=True)
            both_hold_one.wait(timeout=120)
            session.get_one(AccountState, names[1], with_for_update=True)
        return "done"

    answers = at_once(cross, [("a", "b"), ("b", "a")])
    assert sorted(type(answer).__name__ for answer in answers) == ["TransientError", "str"]


@pytest.mark.postgres
def test_missing_rights_need_a_person(postgres: Any, opening: Opening) -> None:
    """DESIGN 8.2"""
    url = postgres.new_database()
    migrate(url)
    database = url.rpartition("/")[2]
    postgres.do(f"CREATE ROLE reader_of_{database} LOGIN", database=database)
    postgres.do(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_{database}", database=database)
    store = opening(postgres.url(database, user=f"reader_of_{database}"))
    with pytest.raises(SetupError, match="permission denied"), store.transaction() as session:
        account_state(session, "default")


def test_a_database_without_tables_names_the_command(tmp_path: Path) -> None:
    """DESIGN 8.2"""
    bare = Store(open_engine(f"sqlite:///{tmp_path / 'bare.db'}"))
    with pytest.raises(SetupError, match="run `python -m deployments migrate`"):
        accounts(bare)
    bare.engine.dispose()
