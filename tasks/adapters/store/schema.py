"""Migrations: SQLite is brought to the newest by whoever opens it, PostgreSQL only on command (DESIGN: settings)."""

import fcntl
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from models.errors import CertflowError, SetupError
from tasks.adapters.store.engine import Store, open_engine, operational

MIGRATIONS = Path(__file__).parents[3] / "deployments" / "migrations"
MIGRATION_LOCK = 0x6D6967726174
"""PostgreSQL advisory lock of whoever migrates."""


def open_store(url: str) -> Store:
    """The store at `url`, at the newest migration.

    A missing SQLite file is made, its folder too, readable by its owner only. Raises: SetupError when the database is behind
    (PostgreSQL) or ahead of this program, or cannot be used; TransientError when it is busy or away.
    """
    engine = open_engine(url)
    try:
        if engine.dialect.name == "sqlite":
            _bring_sqlite_up(engine, _file(engine))
        else:
            refuse_other_revision(engine)
    except CertflowError:
        engine.dispose()
        raise
    return Store(engine)


def migrate(url: str) -> tuple[str | None, str]:
    """Bring the database at `url` to the newest migration; from which revision, to which. Raises: as `open_store`."""
    engine = open_engine(url)
    try:
        if engine.dialect.name == "sqlite":
            file = _file(engine)
            before = _revision(engine) if file.exists() else None
            _bring_sqlite_up(engine, file)
        else:
            before = _revision(engine)
            _refuse_newer(before)
            _upgrade(engine)
    finally:
        engine.dispose()
    return before, newest_revision()


@lru_cache(maxsize=1)
def newest_revision() -> str:
    """The revision that this program needs."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None    # noqa: S101 - the folder of migrations is part of the program
    return head


def refuse_other_revision(engine: Engine) -> None:
    """Raises: SetupError unless the database is at the newest revision."""
    found = _revision(engine)
    _refuse_newer(found)
    if found != newest_revision():
        raise SetupError(
            f"the database is at migration {found or 'none'}, this Certflow needs {newest_revision()}: run `python -m deployments migrate`"
        )


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    if found is not None and found not in known:
        raise SetupError(f"the database is at migration {found}, which this Certflow does not know: a newer Certflow wrote it, use that one")


def _revision(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        raise operational(error) from None


def _file(engine: Engine) -> Path:
    if engine.url.database in {None, "", ":memory:"}:
        raise SetupError("CERTFLOW_DATABASE_URL names no file: a database in memory would forget its orders, use sqlite:///file")
    return Path(str(engine.url.database))


def _bring_sqlite_up(engine: Engine, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = not file.exists()
        if not new and _revision(engine) == newest_revision():
            return
        with file.with_name(file.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)    # several processes may open a new database at once
            file.touch(mode=0o600)
            found = _revision(engine)
            _refuse_newer(found)
            if found != newest_revision():
                _upgrade(engine)
    except OSError as error:
        raise SetupError(f"the database file cannot be used ({type(error).__name__}: {error.strerror}): check CERTFLOW_HOME") from None


def _upgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        with engine.connect() as connection:
            attributes: dict[str, Any] = config.attributes
            attributes["connection"] = connection
            if connection.dialect.name == "postgresql":    # two at once: the second finds nothing left to do
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            command.upgrade(config, "head")
            connection.commit()
    except DBAPIError as error:
        raise operational(error) from None
