"""The database: opening, transactions, and its errors in our words.

SQLite runs in WAL mode with a busy timeout of 30 s, and a writing transaction takes its lock at the start, so that two writers wait
for each other instead of failing in the middle.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, DisconnectionError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Session

from models.errors import ConflictError, RejectedError, SetupError, TransientError

BUSY_TIMEOUT_MS = 30_000
CACHE_KB = 64 * 1024
"""Of a connection to SQLite, used as far as it is needed: the indices of a million orders."""

MOST_CONNECTIONS = 64
"""Besides the five that stay open: one for each thread of the largest CERTFLOW_SCM_CONCURRENCY."""

RESTED_SECONDS = 1.0
"""A connection that was not used for so long is asked whether it still lives."""

LAST_USED = "certflow_last_used"
READING = "certflow_reading"
"""Execution option of a transaction that only reads: SQLite needs no lock for it."""

_READS = ("BEGIN", "SELECT", "WITH", "SET", "EXPLAIN", "PRAGMA")
_WORTH_WAITING = (
    "database is locked", "connection", "server closed", "terminating", "starting up", "shutting down", "too many clients", "deadlock",
    "serialize", "recovery mode", "timeout",
)


_NEEDS_A_PERSON = (
    "authentication", "pg_hba", "does not support ssl", "certificate", "does not exist", "not permitted", "permission denied",
    "connection option",
)
"""Said of a connection too, and no wait mends it."""


class Store:
    """Our database. `with store.transaction() as session:` is one transaction; helpers never commit; no network call inside."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __repr__(self) -> str:
        return f"Store({self.engine.dialect.name})"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction that may write.

        Raises: ConflictError when somebody wrote the same thing first, TransientError when the database is busy or away,
        SetupError when it cannot work like this, RejectedError for a value that no column holds.
        """
        with _our_errors(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self, *, streaming: bool = False) -> Iterator[Session]:
        """A transaction that only reads: whatever would write is refused. Raises as `transaction`.

        On PostgreSQL each statement sees what is committed just then, transaction or not: without one it costs a third of the calls. Rows
        that are streamed need one.
        """
        options: dict[str, Any] = {READING: True}
        if self.engine.dialect.name == "postgresql" and not streaming:
            options["isolation_level"] = "AUTOCOMMIT"
        with _our_errors(), self.engine.connect().execution_options(**options) as connection, \
                Session(connection, expire_on_commit=False) as session:
            yield session


def open_engine(url: str) -> Engine:
    """An engine for `sqlite:///path` or `postgresql+psycopg://...` (`postgresql://` and `postgres://` mean psycopg 3 too).

    Raises: SetupError for an address that cannot be used; the address, which may hold a password, is not repeated.
    """
    try:
        address = make_url(url)
        if address.get_backend_name() in {"postgresql", "postgres"}:
            if url.count("@") > 1:    # else the rest of the password would be taken for the host, and named in errors
                raise SetupError("CERTFLOW_DATABASE_URL has more than one @: write @ in user name or password as %40")
            address = address.set(drivername="postgresql+psycopg")
        elif address.get_backend_name() != "sqlite":
            raise SetupError("CERTFLOW_DATABASE_URL must begin with sqlite:/// or postgresql://")
        options: dict[str, Any] = {"connect_args": {"timeout": BUSY_TIMEOUT_MS / 1000}} if address.get_backend_name() == "sqlite" \
            else {"connect_args": {"connect_timeout": 10}}
        engine = create_engine(address, hide_parameters=True, poolclass=QueuePool, max_overflow=MOST_CONNECTIONS, **options)
    except (ArgumentError, NoSuchModuleError, ValueError, ImportError):
        raise SetupError("CERTFLOW_DATABASE_URL is not a database address: use sqlite:///file or postgresql://user@host/name") from None
    event.listen(engine, "before_cursor_execute", _refuse_to_write)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgresql)
        event.listen(engine, "checkin", _used)
        event.listen(engine, "checkout", _ask_whether_it_lives)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None    # pysqlite would begin late and without the lock; _begin_sqlite does it
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL", f"busy_timeout = {BUSY_TIMEOUT_MS}", "foreign_keys = ON", "synchronous = FULL", f"cache_size = -{CACHE_KB}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    connection.execute("SET TIME ZONE 'UTC'")    # east of it the end of the year 9999 (RFC 5280 4.1.2.5) is more than Python can hold
    connection.commit()


def _used(_connection: Any, record: Any) -> None:
    record.info[LAST_USED] = monotonic()


def _ask_whether_it_lives(connection: Any, record: Any, _pool: Any) -> None:
    """A server that was started anew meanwhile has forgotten us. Asked of a connection that rested; each time would double the calls."""
    if monotonic() - record.info.get(LAST_USED, monotonic()) < RESTED_SECONDS:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error as error:
        raise DisconnectionError from error


def _refuse_to_write(connection: Connection, _cursor: Any, statement: str, *_others: Any) -> None:
    if connection.get_execution_options().get(READING) and not statement.lstrip().upper().startswith(_READS):
        raise RuntimeError(f"a transaction that only reads does not write: {statement.lstrip()[:40]!r}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READING) else "BEGIN IMMEDIATE")


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(f"somebody wrote the same thing first ({_first_line(error)}): try again") from None
    except StaleDataError:
        raise ConflictError("somebody removed what was to be changed: look at it before you try again") from None
    except OperationalError as error:
        raise operational(error) from None
    except PoolTimeoutError:
        raise TransientError("all connections to the database are in use: try again") from None
    except DataError as error:
        raise RejectedError(f"the database cannot hold a value ({_first_line(error)}): correct what was asked for") from None
    except (UnicodeEncodeError, OverflowError) as error:
        raise RejectedError(f"the database cannot hold a value ({type(error).__name__}): correct what was asked for") from None
    except DBAPIError as error:
        if error.connection_invalidated:
            raise TransientError(f"the connection to the database broke ({_first_line(error)}): try again") from None
        raise SetupError(f"the database refused a statement ({_first_line(error)}): check that its tables are those of this Certflow") from None


def operational(error: DBAPIError) -> TransientError | SetupError:
    """The database's own trouble in our words: busy or away is worth another try, the rest needs a person."""
    said = _first_line(error)
    lower = said.lower()
    if re.search(r'database "[^"]*" does not exist', lower):
        return SetupError(f"the database does not exist ({said}): create it, then run `python -m deployments migrate`")
    if "no such table" in lower:
        return SetupError(f"the database lacks its tables ({said}): run `python -m deployments migrate`")
    if "full" in lower or "no space left" in lower:
        return SetupError(f"the disk of the database is full ({said}): make room; nothing half written is kept")
    if any(word in lower for word in _WORTH_WAITING) and not any(word in lower for word in _NEEDS_A_PERSON):
        return TransientError(f"the database is busy or not reachable ({said}): try again, and look at its file or server if it stays so")
    return SetupError(f"the database cannot be used ({said}): check CERTFLOW_DATABASE_URL and its file or server")


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return f"{type(error.orig).__name__}: {lines[0][:300] if lines else 'no text'}"
