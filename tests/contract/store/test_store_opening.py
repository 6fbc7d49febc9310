"""Opening a database: migrations, addresses, databases that are behind, ahead, missing or no databases."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

from models.errors import SetupError, TransientError
from tasks.adapters.store import Store, migrate, open_store
from tasks.adapters.store.schema import MIGRATION_LOCK, MIGRATIONS, newest_revision

Opening = Callable[[str], Store]
SECRET = "hunter2"


def test_migrations_make_what_the_models_say(store: Store) -> None:
    """DESIGN 3: columns, types, indexes and unique constraints."""
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), SQLModel.metadata) == []
        found = inspect(connection)
        for table in SQLModel.metadata.tables.values():
            indexes = {(one["name"], tuple(one["column_names"])) for one in found.get_indexes(table.name) if not one.get("duplicates_constraint")}
            assert indexes == {(index.name, tuple(column.name for column in index.columns)) for index in table.indexes}
            unique = {(one["name"], tuple(one["column_names"])) for one in found.get_unique_constraints(table.name)}
            assert unique == {(one.name, tuple(one.columns.keys())) for one in table.constraints if type(one).__name__ == "UniqueConstraint"}


def test_migrating_says_from_where_to_where_and_twice_does_nothing(database_url: str) -> None:
    """DESIGN 4"""
    assert migrate(database_url) == (None, newest_revision())
    assert migrate(database_url) == (newest_revision(), newest_revision())


def test_several_may_migrate_at_once(database_url: str) -> None:
    """DESIGN 4: PostgreSQL by a command that two hosts may run, SQLite by whoever opens it."""
    code = f"from tasks.adapters.store import migrate; print(migrate({database_url!r})[1])"
    assert _processes(code, 4) == [newest_revision()] * 4


@pytest.mark.postgres
def test_a_second_migration_of_postgresql_waits_for_the_first(postgres: Any) -> None:
    """DESIGN 4: and finds nothing left to do."""
    url = postgres.new_database()
    waiting = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND database = " \
              f"(SELECT oid FROM pg_database WHERE datname = '{url.rpartition('/')[2]}')"  # noqa: S608 - our own name
    with psycopg.connect(url) as first, ThreadPoolExecutor(1) as pool:
        first.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        second = pool.submit(migrate, url)
        deadline = time.monotonic() + 120
        while postgres.do(waiting) != [(1,)]:
            assert not second.done(), "it did not wait"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        first.rollback()
        assert second.result(timeout=120) == (None, newest_revision())


def test_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """DESIGN 4"""
    url = f"sqlite:///{tmp_path / 'deep' / 'certflow.db'}"
    code = f"""
from tasks.adapters.store import open_store
from tasks.adapters.store.reference import account_state
with open_store({url!r}).transaction() as session:
    print(account_state(session, "default").account)
"""
    assert _processes(code, 6) == ["default"] * 6


def test_a_new_file_is_for_its_owner_only(tmp_path: Path, opening: Opening) -> None:
    """DESIGN 4: it names what an organization owns."""
    file = tmp_path / "home" / "certflow.db"
    store = opening(f"sqlite:///{file}")
    with store.transaction() as session:
        session.execute(text("INSERT INTO account_state (account) VALUES ('default')"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir() if not path.name.endswith(".lock")}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert set(modes) >= {"certflow.db", "certflow.db-wal"}
    assert set(modes.values()) == {0o600}


def test_a_file_behind_its_migrations_is_brought_up(tmp_path: Path, opening: Opening) -> None:
    """DESIGN 4"""
    file = tmp_path / "certflow.db"
    file.touch()
    with opening(f"sqlite:///{file}").reading() as session:
        assert session.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == newest_revision()


@pytest.mark.postgres
def test_postgresql_behind_its_migrations_is_refused_with_the_command(postgres: Any) -> None:
    """DESIGN 4"""
    url = postgres.new_database()
    with pytest.raises(SetupError, match=r"is at migration none, .* run `python -m deployments migrate`"):
        open_store(url)
    migrate(url)
    open_store(url).engine.dispose()


def test_a_database_of_a_newer_certflow_is_refused(store: Store, database_url: str) -> None:
    """DESIGN 4"""
    with store.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for act in (open_store, migrate):
        with pytest.raises(SetupError, match="is at migration 9999, which this Certflow does not know: a newer Certflow wrote it"):
            act(database_url)


@pytest.mark.parametrize("url", [
    "", "certflow.db", "sqlite:/relative.db", f"mysql://certflow:{SECRET}@127.0.0.1/certflow", f"oracle+nothing://certflow:{SECRET}@127.0.0.1/x",
    f"postgresql://certflow:{SECRET}@127.0.0.1:port/certflow", f"postgresql://certflow:{SECRET}@{SECRET}@127.0.0.1/certflow",
    f"postgresql://certflow:p@{SECRET}/x@127.0.0.1/certflow", f"sqlite+aiosqlite://certflow:{SECRET}@/x", f"://{SECRET}",
    f"postgresql://certflow@127.0.0.1:1/certflow?{SECRET}=1&pass=word",
    "sqlite://", "sqlite:///:memory:",
])
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(url: str) -> None:
    """DESIGN 8.2: it may hold a password."""
    with pytest.raises(SetupError, match="CERTFLOW_DATABASE_URL") as refused:
        open_store(url)
    assert "certflow:" not in str(refused.value)
    assert SECRET not in str(refused.value) or f"?{SECRET}=" in url    # the name of an unknown option is no secret


def test_a_wrong_address_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN 4"""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError):
        open_store("sqlite://")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres
@pytest.mark.parametrize(("database", "user", "sentence"), [
    ("nothing_here", "certflow", "the database does not exist .*: create it, then run `python -m deployments migrate`"),
    ("postgres", f"nobody:{SECRET}", "the database cannot be used .*: check CERTFLOW_DATABASE_URL"),
])
def test_a_missing_database_or_user_needs_a_person(postgres: Any, database: str, user: str, sentence: str) -> None:
    """DESIGN 8.2: waiting mends neither."""
    for act in (open_store, migrate):
        with pytest.raises(SetupError, match=sentence) as refused:
            act(postgres.url(database, user=user))
        assert SECRET not in str(refused.value)


def test_a_server_that_is_away_is_worth_waiting_for() -> None:
    """DESIGN 8.2"""
    with pytest.raises(TransientError, match="the database is busy or not reachable") as away:
        open_store(f"postgresql://certflow:{SECRET}@127.0.0.1:1/certflow")
    assert SECRET not in str(away.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
@pytest.mark.postgres
def test_every_spelling_of_postgresql_means_the_same_driver(postgres: Any, opening: Opening, scheme: str) -> None:
    """DESIGN 4"""
    url = postgres.new_database()
    migrate(url)
    assert opening(scheme + url.removeprefix("postgresql")).engine.dialect.driver == "psycopg"


@pytest.mark.parametrize("broken", ["folder", "text", "below a file"])
def test_a_file_that_is_no_database_is_refused_with_a_sentence(tmp_path: Path, broken: str) -> None:
    """DESIGN 8.2"""
    file = tmp_path / "certflow.db"
    if broken == "folder":
        file.mkdir()
    else:
        file.write_text("no database " * 1000)
    for act in (open_store, migrate):
        with pytest.raises(SetupError, match=r"the database .*cannot be used"):
            act(f"sqlite:///{file / 'certflow.db' if broken == 'below a file' else file}")


def test_a_store_shows_no_address(store: Store) -> None:
    """DESIGN 8.2"""
    assert repr(store) == f"Store({store.engine.dialect.name})"


def test_there_is_one_line_of_migrations() -> None:
    """DESIGN 3"""
    assert sorted(path.stem for path in (MIGRATIONS / "versions").glob("*.py"))[-1].startswith(newest_revision())


def _processes(code: str, how_many: int) -> list[str]:
    """What each of them printed. They import everything first and then start together."""
    ready = "import sys, alembic.command, tasks.adapters.store, models.orders; print('ready', flush=True); sys.stdin.readline()\n"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen([sys.executable, "-c", ready + code], env={**os.environ, "PYTHONPATH": "."}, **pipes) for _ in range(how_many)
    ]
    for one in started:
        assert one.stdout.readline() == "ready\n"
    for one in started:
        one.stdin.write("go\n")
        one.stdin.flush()
    answers = [one.communicate(timeout=120) for one in started]
    assert all(one.returncode == 0 for one in started), "\n".join(error[-1500:] for _, error in answers)
    return [output.strip() for output, _ in answers]
