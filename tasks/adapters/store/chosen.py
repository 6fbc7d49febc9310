"""Which orders and certificates an inventory is about, as conditions of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, TableValuedAlias, cast, exists, func, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from models.orders import Certificate, CertificateOrder

order: Any = CertificateOrder
certificate: Any = Certificate
"""Any, since SQLAlchemy's types do not know that the fields of SQLModel are columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What an inventory is about: one account, and of it what fits all of these. `names` are spellings of a part of a name, lower-case."""

    account: str
    now: datetime
    names: tuple[str, ...] = ()
    issuer: str = ""
    statuses: tuple[str, ...] = ()
    organization_ids: tuple[int, ...] | None = None
    ends_by: datetime | None = None
    """Ends after `now` and not later than this."""


def of_orders(session: Session, chosen: Chosen) -> list[ColumnElement[bool]]:
    """The orders that fit, themselves or by one of their certificates."""
    one = aliased(Certificate)
    conditions: list[ColumnElement[bool]] = [
        col(order.account) == chosen.account, col(order.deleted_at).is_(None),
        *([col(order.status).in_(chosen.statuses)] if chosen.statuses else []),
        *([col(order.organization_id).in_(chosen.organization_ids)] if chosen.organization_ids is not None else []),
    ]
    its = exists().where(col(one.order_id) == col(order.id), col(one.removed_at).is_(None))
    if chosen.names:
        conditions.append(or_(
            _holds(order.common_name, chosen.names), _one_holds(session, order.subject_alternative_names, chosen.names),
            its.where(_one_holds(session, one.names, chosen.names)),
        ))
    fits = its
    if chosen.issuer:
        fits = fits.where(_holds(one.issuer, (chosen.issuer,)))
    if chosen.ends_by is not None:
        fits = fits.where(col(one.not_after) > chosen.now, col(one.not_after) <= chosen.ends_by)
    if chosen.issuer:
        conditions.append(fits)
    elif chosen.ends_by is not None:
        conditions.append(fits | (~its & (col(order.expires_at) > chosen.now) & (col(order.expires_at) <= chosen.ends_by)))
    return conditions


def of_lines(chosen: Chosen) -> list[ColumnElement[bool]]:
    """Of the orders that fit, the certificates that do."""
    return [
        *([_holds(certificate.issuer, (chosen.issuer,))] if chosen.issuer else []),
        *([ends() > chosen.now, ends() <= chosen.ends_by] if chosen.ends_by is not None else []),
    ]


def ends() -> ColumnElement[Any]:
    """When a line ends: as its certificate says, as SCM says where there is none."""
    return func.coalesce(col(certificate.not_after), col(order.expires_at))


def texts(session: Session, column: Any) -> TableValuedAlias:
    """The texts of a list as rows."""
    each = func.jsonb_array_elements_text if session.get_bind().dialect.name == "postgresql" else func.json_each
    return each(column).table_valued("value")


def _holds(column: Any, parts: Sequence[str]) -> ColumnElement[bool]:
    """Whether a text holds one of these parts, without case; every letter means itself."""
    return or_(*(func.lower(column).contains(part, autoescape=True) for part in parts))


def _one_holds(session: Session, column: Any, parts: Sequence[str]) -> ColumnElement[bool]:
    """Whether one of a list's texts does. The list as it is stored is asked first, since that is quick and mostly enough."""
    element = texts(session, column)
    exactly = exists(select(1).select_from(element).where(_holds(element.c.value, parts)))
    as_stored = all(part.isascii() and part.isprintable() and not set(part) & {'"', "\\"} for part in parts)
    return _holds(cast(column, String), parts) & exactly if as_stored else exactly
