"""Many rows at once, past the ORM, whose work for a row costs more than the database's: executemany on SQLite, COPY on PostgreSQL."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from types import MappingProxyType
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

Row = Sequence[Any]
Known = Mapping[int, tuple[UUID, int | None]]
"""Orders by SCM's id: our id, and the digest of the row of the report that was written here last."""


def _moment(value: datetime) -> str:
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat(" ", "microseconds")[:26]


def _texts(value: list[str]) -> str:
    return f"[{', '.join(map(quoted, value))}]"


def _fields(value: dict[str, str]) -> str:
    return "{" + ", ".join(f"{quoted(name)}: {quoted(one)}" for name, one in value.items()) + "}"


STORED: Mapping[type, Callable[[Any], Any]] = MappingProxyType({
    datetime: _moment, list: _texts, dict: _fields, UUID: lambda value: value.hex,
})
"""How both databases take what SQLAlchemy's types would make of it: moments count in UTC there (`engine`), lists and fields are JSON of texts.
Other values go as they are."""


def insert(session: Session, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows into a table; names are ours, never SCM's. Each column holds values of one class, or None.

    Raises: as SQLAlchemy, also for PostgreSQL's COPY.
    """
    session.flush()    # what they refer to may wait there
    if not rows:
        return
    given = [[STORED[one.__class__](one) if one.__class__ in STORED else one for one in row] for row in rows]
    connection, names = session.connection(), ", ".join(columns)
    if connection.dialect.name != "postgresql":
        places = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({places})", [tuple(row) for row in given])  # noqa: S608 - our names
        return
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in given:
                copy.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance("COPY", None, error, psycopg.Error, hide_parameters=True) from None


def known(session: Session, account: str, ssl_ids: Sequence[int]) -> Known:
    """Which of these SCM ids the account has orders for."""
    session.flush()
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        # One look into the index for each. For `ssl_id = ANY` a table that nobody analysed yet is read as a whole.
        found = connection.exec_driver_sql(
            "SELECT asked.ssl_id, held.id, held.report_digest FROM unnest(%s::bigint[]) AS asked (ssl_id) CROSS JOIN LATERAL ("
            "SELECT id, report_digest FROM certificate_order WHERE account = %s AND ssl_id = asked.ssl_id LIMIT 1) AS held",
            (list(ssl_ids), account),
        )
        return {ssl_id: (id_, digest) for ssl_id, id_, digest in found}
    found = connection.exec_driver_sql(
        "SELECT ssl_id, id, report_digest FROM certificate_order WHERE account = ? AND ssl_id IN (SELECT value FROM json_each(?))",
        (account, json.dumps(list(ssl_ids))),
    )
    return {ssl_id: (UUID(id_), digest) for ssl_id, id_, digest in found}
