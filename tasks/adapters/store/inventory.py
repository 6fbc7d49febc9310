"""Queries of the inventory: plain columns, streamed, so that a million certificates need no more memory than a thousand.

A line is an order with one of its certificates; an order whose certificate is not in the repository is a line too. When it ends is told by
the certificate, and by SCM where there is none.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Subquery,
    and_,
    case,
    cast,
    distinct,
    exists,
    func,
    join,
    or_,
    outerjoin,
    select,
    text,
    true,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op
from sqlmodel import Session, col

from models.orders import Certificate, CertificateOrder, Revocation, Submission
from models.runway import Ahead
from models.status import LIVING, WAITS_FOR_APPROVAL, OrderStatus, SubmissionStatus
from tasks.adapters.store.chosen import Chosen, certificate, ends, of_lines, of_orders, order, texts
from tasks.adapters.store.orders import is_stuck
from tasks.adapters.store.revocations import PLANNED, REFUSED

FETCHED_TOGETHER = 2000

Lines: TypeAlias = Sequence["Line"]


class Line(NamedTuple):
    """A line as text and numbers. Moments begin with `YYYY-MM-DD HH:MM:SS` in UTC, `names` is JSON, UUIDs may lack their dashes."""

    ends: str | None
    not_before: str | None
    order_id: str
    ssl_id: int | None
    status: str
    common_name: str
    names: str
    organization_id: int | None
    organization_name: str | None
    profile_name: str | None
    term_days: int | None
    serial_number: str | None
    issuer: str | None
    key_algorithm: str | None
    key_size: str | None
    origin: str
    requested_via: str | None
    requester: str | None
    requested_at: str | None
    live_name: str | None
    waiting_because: str | None
    stored: int
    """1 when its certificate is in the repository."""
    living: int
    """1 when the order is issued, the certificate has not ended, and no newer one has taken its place."""


class Ending(NamedTuple):
    """An issued order that no successor has replaced."""

    number: int | UUID
    name: str
    ends: datetime
    live_name: str | None
    requested_via: str | None


def lines(session: Session, chosen: Chosen) -> Iterator[Lines]:
    """Every line that fits, some thousands at a time, in no order."""
    yield from _streamed(session, _lines(session, chosen))


def ahead(session: Session, chosen: Chosen) -> Iterator[Ahead]:
    """The living certificates that `live/` serves with a key or a CSR that was sent here, and that nobody renews yet (RULES R7)."""
    successor = aliased(CertificateOrder)
    under_way = exists().where(
        col(successor.predecessor_id) == col(order.id), col(successor.status).in_(LIVING), col(successor.deleted_at).is_(None),
    )
    query = select(
        order.id, order.common_name, certificate.names, order.organization_id, order.certificate_profile_id, certificate.not_before,
        certificate.not_after, col(Submission.own_csr),
    ).select_from(
        join(order, certificate, col(certificate.order_id) == col(order.id))
        .join(Submission, col(Submission.id) == col(certificate.submission_id))
    ).where(
        *of_orders(session, chosen), *of_lines(chosen), col(order.status) == OrderStatus.ISSUED, col(order.live_name).is_not(None),
        col(certificate.not_after) > chosen.now, col(certificate.delivered_at).is_not(None), *_usable(certificate), ~under_way, ~_reissued(),
    )
    for some in _streamed(session, query):
        for id_, name, names, organization_id, profile_id, not_before, not_after, own_csr in some:
            yield Ahead(
                order_id=id_, name=name, names=names, organization_id=organization_id, profile_id=profile_id, not_before=not_before,
                not_after=not_after, own_csr=own_csr,
            )


def counts(session: Session, chosen: Chosen) -> list[tuple[str, int | None, int]]:
    """Status, organization, and how many orders that fit."""
    found = session.execute(
        select(col(order.status), col(order.organization_id), func.count()).where(*of_orders(session, chosen))
        .group_by(col(order.status), col(order.organization_id))
    )
    return [(status, organization_id, number) for status, organization_id, number in found]


def organization_names(session: Session, account: str, ids: Sequence[int]) -> dict[int, str]:
    """What SCM called these organizations in orders; for those that the reference data do not know."""
    return {
        id_: name for id_ in ids if (name := session.execute(
            select(order.organization_name).where(col(order.account) == account, col(order.organization_id) == id_).limit(1)
        ).scalar())
    }


def ending(session: Session, chosen: Chosen, *, most: int) -> list[Ending]:
    """The orders that end first."""
    found = session.execute(
        select(order.ssl_id, order.id, order.common_name, order.expires_at, order.live_name, order.requested_via).where(
            *of_orders(session, chosen), col(order.status) == OrderStatus.ISSUED, col(order.expires_at) > chosen.now, ~_renewed_one(),
        ).order_by(col(order.expires_at)).limit(most)
    )
    return [Ending(ssl_id or id_, *others) for ssl_id, id_, *others in found]


def count_ending(session: Session, account: str, *, now: datetime, days: int) -> int:
    """How many orders `ending` has within so many days."""
    chosen = Chosen(account=account, now=now)
    ending: int = session.execute(select(func.count()).select_from(order).where(
        *of_orders(session, chosen), col(order.status) == OrderStatus.ISSUED, col(order.expires_at) > now,
        col(order.expires_at) <= now + timedelta(days=days), ~_renewed_one(),
    )).scalar_one()
    return ending


def attention_counts(session: Session, chosen: Chosen, *, stuck_before: datetime) -> dict[str, int]:
    """How many orders that fit are in doubt, wait for approval, wait for their certificate, or are stuck: all, not a page of them."""
    fits = of_orders(session, chosen)
    held = select(certificate.order_id).where(col(certificate.held_because).is_not(None), col(certificate.removed_at).is_(None))
    waits = (col(order.status) == OrderStatus.ISSUED) & col(order.waiting_because).is_not(None)
    kinds: dict[str, Sequence[ColumnElement[bool]]] = {
        "approval": [col(order.status).in_(WAITS_FOR_APPROVAL)],
        "waiting": [waits, col(order.id).not_in(held)],
        "stuck": is_stuck(chosen.account, before=stuck_before),
    }
    in_doubt = select(func.count(distinct(order.id))).select_from(join(order, Submission, col(Submission.order_id) == col(order.id))).where(
        *fits, col(Submission.status) == SubmissionStatus.SUBMITTING,
    )
    found = {kind: session.execute(select(func.count()).select_from(order).where(*fits, *where)).scalar_one() for kind, where in kinds.items()}
    return {"in_doubt": session.execute(in_doubt).scalar_one(), **found}


def shared_names(session: Session, chosen: Chosen, *, most: int) -> tuple[int, list[tuple[str, int]]]:
    """Names that living certificates of several orders bear, the most frequent first: how many there are, and some of them."""
    name = texts(session, certificate.names)
    word, orders = func.lower(name.c.value), func.count(distinct(col(order.id)))
    grouped = select(word.label("name"), orders.label("orders")).select_from(
        join(order, certificate, col(certificate.order_id) == col(order.id)).join(name, true())
    ).where(
        *of_orders(session, chosen), *of_lines(chosen), col(order.status) == OrderStatus.ISSUED, col(certificate.not_after) > chosen.now,
        *_usable(certificate), ~_renewed_one(), ~_reissued(),
    ).group_by(word).having(orders > 1).subquery()
    found = session.execute(
        select(grouped.c.name, grouped.c.orders, func.count().over()).order_by(grouped.c.orders.desc(), grouped.c.name).limit(most)
    ).all()
    return (found[0][2] if found else 0), [(one, number) for one, number, _ in found]


def revocations(session: Session, chosen: Chosen) -> list[tuple[Revocation, int | UUID, str]]:
    """Revocations that are planned, and those that SCM refused while the order is still issued; with the order's number and name."""
    found = session.execute(
        select(Revocation, order.ssl_id, order.id, order.common_name).join(order, col(order.id) == col(Revocation.order_id)).where(
            *of_orders(session, chosen), (col(Revocation.status) == PLANNED)
            | ((col(Revocation.status) == REFUSED) & (col(order.status) == OrderStatus.ISSUED)),
        ).order_by(col(Revocation.created_at))
    )
    return [(one, ssl_id or id_, name) for one, ssl_id, id_, name in found]


def submission_ids(session: Session) -> Iterator[UUID]:
    """The ids of all submissions, of every account."""
    for some in _streamed(session, select(col(Submission.id))):
        yield from (id_ for (id_,) in some)


def _lines(session: Session, chosen: Chosen) -> Select[Any]:
    renewed, several = _renewed(chosen), _several()
    living = and_(
        col(order.status) == OrderStatus.ISSUED, ends() > chosen.now, renewed.c.predecessor_id.is_(None),
        or_(several.c.order_id.is_(None), ~_reissued()),
    )
    stored = and_(col(certificate.order_id) == col(order.id), col(certificate.removed_at).is_(None))
    joined = outerjoin(order, certificate, stored)
    joined = joined.outerjoin(renewed, renewed.c.predecessor_id == order.id).outerjoin(several, several.c.order_id == order.id)
    account, *others = of_orders(session, chosen)
    return select(
        _text(ends()), _text(certificate.not_before), _text(order.id), order.ssl_id, order.status, order.common_name,
        func.coalesce(_text(certificate.names), _text(order.subject_alternative_names)), order.organization_id, order.organization_name,
        order.certificate_profile_name, order.term_days, func.coalesce(certificate.serial_number, order.serial_number), certificate.issuer,
        func.coalesce(certificate.key_algorithm, order.key_algorithm), func.coalesce(certificate.key_size, order.key_size), order.origin,
        order.requested_via, order.requester, _text(order.requested_at), order.live_name, order.waiting_because,
        case((col(certificate.id).is_(None), 0), else_=1),
        case((living, 1), else_=0),
    ).select_from(joined).where(_from_the_table(session, chosen, account), *others, *of_lines(chosen))


def _from_the_table(session: Session, chosen: Chosen, account: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same, so that SQLite reads the table from front to back: by an index of ours it would jump to and fro in it."""
    if session.get_bind().dialect.name != "sqlite":
        return account
    bare: ColumnElement[Any] = UnaryExpression(order.__table__.c.account, operator=custom_op("+"))
    return bare == chosen.account


def _streamed(session: Session, query: Select[Any]) -> Iterator[Sequence[Any]]:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL cursor_tuple_fraction = 1"))    # all rows are wanted, not the first ones soon
    yield from session.connection().execution_options(yield_per=FETCHED_TOGETHER).execute(query).partitions(FETCHED_TOGETHER)


def _renewed(chosen: Chosen) -> Subquery:
    """Orders in whose place a successor has come: its certificate is here and nothing holds it back."""
    return select(col(order.predecessor_id)).distinct().join(certificate, col(certificate.order_id) == col(order.id)).where(
        col(order.account) == chosen.account, col(order.predecessor_id).is_not(None), col(order.status) == OrderStatus.ISSUED,
        col(order.deleted_at).is_(None), *_usable(certificate),
    ).subquery()


def _renewed_one() -> ColumnElement[bool]:
    """The same, asked of a single order."""
    successor, its = aliased(CertificateOrder), aliased(Certificate)
    return exists().where(
        col(successor.predecessor_id) == col(order.id), col(successor.status) == OrderStatus.ISSUED, col(successor.deleted_at).is_(None),
        col(its.order_id) == col(successor.id), *_usable(its),
    )


def _several() -> Subquery:
    """Orders with more than one certificate; of these few a look at each tells which is the newest."""
    return select(col(certificate.order_id)).group_by(col(certificate.order_id)).having(func.count() > 1).subquery()


def _reissued() -> ColumnElement[bool]:
    """A newer certificate of the same order has come, and nothing holds it back."""
    newer = aliased(Certificate)
    return exists().where(
        col(newer.order_id) == col(certificate.order_id), col(newer.id) != col(certificate.id),
        (col(newer.not_before) > col(certificate.not_before))
        | ((col(newer.not_before) == col(certificate.not_before)) & (col(newer.fetched_at) > col(certificate.fetched_at))),
        *_usable(newer),
    )


def _usable(one: type[Certificate]) -> list[ColumnElement[bool]]:
    return [col(one.removed_at).is_(None), col(one.held_because).is_(None), col(one.never_deliver).is_(False)]


def _text(column: Any) -> ColumnElement[str]:
    return cast(column, String)
