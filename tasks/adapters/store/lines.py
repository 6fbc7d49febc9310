"""The lines of an inventory as text that the database itself writes, some thousand orders in one answer.

A line is an order with one of its certificates; an order whose certificate is not in the repository is a line too. When it ends is told by
the certificate, and by SCM where there is none.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, Subquery, and_, case, cast, func, literal, literal_column, or_, outerjoin, select
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op
from sqlmodel import Session, col

from models.spreadsheet import CELL, HEAD, LINE
from models.status import OrderStatus
from tasks.adapters.store.chosen import Chosen, certificate, ends, of_lines, of_orders, order
from tasks.adapters.store.inventory import reissued, renewed, streamed, usable

ORDERS_TOGETHER = 4000
"""So many orders the database makes one text of, where it makes one of several."""

_ROW: ColumnElement[int] = literal_column("certificate_order.rowid")


def tables(session: Session, chosen: Chosen) -> Iterator[str]:
    """Every line that fits, some thousands at a time, in no order, as tables of texts with the columns of `models.spreadsheet.HEAD`.

    Moments are `YYYY-MM-DD HH:MM:SS` in UTC. PostgreSQL writes one line after the other beside us; for SQLite see `pieces`.
    """
    several = _several()
    again, before = _renewed(chosen), or_(several.c.order_id.is_(None), ~reissued())
    joined = _stored().outerjoin(again, again.c.predecessor_id == order.id).outerjoin(several, several.c.order_id == order.id)
    line = _line(session, chosen, and_(again.c.predecessor_id.is_(None), before), careful=True)
    query = select(line).select_from(joined).where(*of_orders(session, chosen), *of_lines(chosen))
    for some in streamed(session, query):
        yield LINE.join(row for (row,) in some)


def pieces(session: Session) -> Sequence[int]:
    """The ends of pieces of SQLite's table of orders, each to be asked for with `piece`. SQLite works in its caller's thread, and makes one
    text of a piece without Python: two at once use two cores."""
    last = session.execute(select(func.max(_ROW)).select_from(order)).scalar() or 0
    return range(ORDERS_TOGETHER, last + ORDERS_TOGETHER, ORDERS_TOGETHER)


def piece(session: Session, chosen: Chosen, end: int) -> str:
    """The lines of one of these, as `tables`; an empty text when nothing fits."""
    newest = and_(~renewed(), or_(certificate.id.is_(None), ~reissued()))
    _, *others = of_orders(session, chosen)
    by_no_index: ColumnElement[Any] = UnaryExpression(order.__table__.c.account, operator=custom_op("+"))
    for careful in (False, True):
        line = _line(session, chosen, newest, careful=careful)
        table, number = session.execute(select(func.group_concat(line, LINE), func.count()).select_from(_stored()).where(
            by_no_index == chosen.account, *others, *of_lines(chosen), end - ORDERS_TOGETHER < _ROW, end >= _ROW,
        )).one()
        if not number or (table.count(CELL), table.count(LINE)) == (number * (len(HEAD) - 1), number - 1):
            break    # else a text of others holds what separates cells or lines: to take it out of every cell takes long
    return table or ""


def _stored() -> Any:
    return outerjoin(order, certificate, and_(col(certificate.order_id) == col(order.id), col(certificate.removed_at).is_(None)))


def _line(session: Session, chosen: Chosen, newest: ColumnElement[bool], *, careful: bool) -> ColumnElement[str]:
    """One call joins the cells; NULL is written as nothing. `careful`: no text of others holds what separates cells and lines."""
    joined = func.format if _on_postgresql(session) else func.printf
    living = and_(col(order.status) == OrderStatus.ISSUED, ends() > chosen.now, newest)
    cells = _cells(session, chosen, living, careful=careful)
    return joined(CELL.join(["%s"] * len(HEAD)), *(cells[name] for name in HEAD))


def _renewed(chosen: Chosen) -> Subquery:
    """Orders in whose place a successor has come: all at once."""
    return select(col(order.predecessor_id)).distinct().join(certificate, col(certificate.order_id) == col(order.id)).where(
        col(order.account) == chosen.account, col(order.predecessor_id).is_not(None), col(order.status) == OrderStatus.ISSUED,
        col(order.deleted_at).is_(None), *usable(certificate),
    ).subquery()


def _several() -> Subquery:
    """Orders with more than one certificate; of these few a look at each tells which is the newest."""
    return select(col(certificate.order_id)).group_by(col(certificate.order_id)).having(func.count() > 1).subquery()


def _on_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _cells(session: Session, chosen: Chosen, living: ColumnElement[bool], *, careful: bool) -> dict[str, Any]:
    def others(*columns: Any) -> ColumnElement[str]:
        text: ColumnElement[str] = columns[0] if len(columns) == 1 else func.coalesce(*columns)
        return _one_cell(session, text) if careful else text

    return {
        "order_id": _uuid(session, order.id), "ssl_id": order.ssl_id, "account": literal(chosen.account), "status": order.status,
        "living": case((living, "yes"), else_="no"), "common_name": others(order.common_name),
        "names": _names(session, func.coalesce(cast(certificate.names, String), cast(order.subject_alternative_names, String))),
        "organization": others(order.organization_name), "organization_id": order.organization_id,
        "certificate_profile": others(order.certificate_profile_name), "term_days": order.term_days,
        "serial_number": others(certificate.serial_number, order.serial_number), "issuer": others(certificate.issuer),
        "not_before": _moment(certificate.not_before), "not_after": _moment(ends()),
        "key_algorithm": others(certificate.key_algorithm, order.key_algorithm), "key_size": others(certificate.key_size, order.key_size),
        "origin": order.origin, "requested_via": others(order.requested_via), "requester": others(order.requester),
        "requested_at": _moment(order.requested_at), "live_name": others(order.live_name), "waiting_because": others(order.waiting_because),
    }


def _moment(column: Any) -> ColumnElement[str]:
    return func.substr(cast(column, String), 1, 19)


def _names(session: Session, listed: ColumnElement[str]) -> ColumnElement[str]:
    """A JSON list of texts with blanks in between; as it is where something in it is escaped."""
    position = func.strpos if _on_postgresql(session) else func.instr
    return case((position(listed, "\\") > 0, listed), else_=func.replace(func.trim(listed, '[]"'), '", "', " "))


def _uuid(session: Session, column: Any) -> ColumnElement[str]:
    """With its dashes, which SQLite does not keep."""
    digits = cast(column, String)
    if _on_postgresql(session):
        return digits
    first: ColumnElement[str]
    first, *others = (func.substr(digits, start, length) for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12)))
    for part in others:
        first = first + "-" + part
    return first


def _one_cell(session: Session, text: Any) -> ColumnElement[str]:
    """A text of others without what separates cells and lines."""
    if _on_postgresql(session):
        return func.translate(text, CELL + LINE, "  ")
    return func.replace(func.replace(text, CELL, " "), LINE, " ")
