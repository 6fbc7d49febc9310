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

FEW = 3
"""Rows for which a COPY, which takes several answers of the server, is not worth its while."""

Row = Sequence[Any]
Known = Mapping[int, tuple[UUID, int | None]]
"""Orders by SCM's id: our id, and the digest of the row of the report that was written here last."""


def _moment(value: datetime) -> str:
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat(" ", "microseconds")[:26]


def _texts(value: list[str]) -> str:
    return f"[{', '.join(map(quoted, value))}]"


def _fields(value: dict[str, str]) -> str:
    return "{" + ", ".join(f"{quoted(name)}: {quoted(one)}" for name, one in value.items()) + "}"


STORED: Mapping[type | None, Callable[[Any], Any]] = MappingProxyType({
    datetime: _moment, list: _texts, dict: _fields, UUID: lambda value: value.hex,
})
"""How both databases take what SQLAlchemy's types would make of it: moments count in UTC there (`engine`), lists and fields are JSON of texts.
Other values go as they are."""


_ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _stored(column: Sequence[Any]) -> Sequence[Any]:
    kind = next((one.__class__ for one in column if one is not None), None)
    if (store := STORED.get(kind)) is None:
        return column
    if column[0] is column[-1] and column.count(column[0]) == len(column):    # the moment of this import
        return [store(column[0])] * len(column)
    return [None if one is None else store(one) for one in column]


def _copied(column: Sequence[Any]) -> Sequence[str]:
    """The texts in which COPY takes them: adapting each value by itself costs as much as all else that is done to it here."""
    whole = "".join([one for one in column if one.__class__ is str])
    if whole.isprintable() and "\\" not in whole:    # nearly always
        return ["\\N" if one is None else str(one) for one in column]
    return ["\\N" if one is None else str(one).translate(_ESCAPED) for one in column]


def insert(session: Session, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows into a table; names are ours, never SCM's. Each column holds values of one class, or None.

    Raises: as SQLAlchemy, also for PostgreSQL's COPY.
    """
    session.flush()    # what they refer to may wait there
    if not rows:
        return
    given = map(_stored, zip(*rows, strict=True))
    connection, names = session.connection(), ", ".join(columns)
    postgresql = connection.dialect.name == "postgresql"
    if not postgresql or len(rows) <= FEW:
        places = ", ".join(["%s" if postgresql else "?"] * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({places})", [*zip(*given, strict=True)])  # noqa: S608 - our names
        return
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            copy.write("\n".join(map("\t".join, zip(*map(_copied, given), strict=True))))
    except psycopg.Error as error:
        raise DBAPIError.instance("COPY", None, error, psycopg.Error, hide_parameters=True) from None


def insert_alike(session: Session, table: str, rest: Mapping[str, Any], column: str, ids: Sequence[str]) -> None:
    """Insert a row for each of these ids, which stand in `column`; `rest` is the same in all of them. Raises: as SQLAlchemy."""
    session.flush()
    connection, names = session.connection(), ", ".join([*rest, column])
    if connection.dialect.name == "postgresql":
        shown, values, each = "%s", [*rest.values(), list(ids)], "unnest(%s::uuid[]) AS each (value)"
    else:
        shown, values, each = "?", [*(_stored([one])[0] for one in rest.values()), json.dumps(list(ids))], "json_each(?)"
    wanted = ", ".join([*[shown] * len(rest), "value"])
    connection.exec_driver_sql(f"INSERT INTO {table} ({names}) SELECT {wanted} FROM {each}", tuple(values))  # noqa: S608 - our names


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
