"""Queries of the inventory: plain columns, streamed, so that a million certificates need no more memory than a thousand."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    distinct,
    exists,
    func,
    join,
    select,
    text,
    true,
)
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from models.orders import Certificate, CertificateOrder, Revocation, Submission
from models.runway import Ahead
from models.status import LIVING, WAITS_FOR_APPROVAL, OrderStatus, SubmissionStatus
from tasks.adapters.store.chosen import Chosen, certificate, of_lines, of_orders, order, texts
from tasks.adapters.store.orders import is_stuck
from tasks.adapters.store.revocations import PLANNED, REFUSED

FETCHED_TOGETHER = 2000


class Ending(NamedTuple):
    """An issued order that no successor has replaced."""

    number: int | UUID
    name: str
    ends: datetime
    live_name: str | None
    requested_via: str | None


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
        col(certificate.not_after) > chosen.now, col(certificate.delivered_at).is_not(None), *usable(certificate), ~under_way, ~reissued(),
    )
    for some in streamed(session, query):
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
            *of_orders(session, chosen), col(order.status) == OrderStatus.ISSUED, col(order.expires_at) > chosen.now, ~renewed(),
        ).order_by(col(order.expires_at)).limit(most)
    )
    return [Ending(ssl_id or id_, *others) for ssl_id, id_, *others in found]


def count_ending(session: Session, account: str, *, now: datetime, days: int) -> int:
    """How many orders `ending` has within so many days."""
    chosen = Chosen(account=account, now=now)
    ending: int = session.execute(select(func.count()).select_from(order).where(
        *of_orders(session, chosen), col(order.status) == OrderStatus.ISSUED, col(order.expires_at) > now,
        col(order.expires_at) <= now + timedelta(days=days), ~renewed(),
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
        *usable(certificate), ~renewed(), ~reissued(),
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
    for some in streamed(session, select(col(Submission.id))):
        yield from (id_ for (id_,) in some)


def streamed(session: Session, query: Select[Any]) -> Iterator[Sequence[Any]]:
    """The rows of a query, some thousands at a time."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL cursor_tuple_fraction = 1"))    # all rows are wanted, not the first ones soon
    yield from session.connection().execution_options(yield_per=FETCHED_TOGETHER).execute(query).partitions(FETCHED_TOGETHER)


def renewed() -> ColumnElement[bool]:
    """In the order's place a successor has come: its certificate is here and nothing holds it back."""
    successor, its = aliased(CertificateOrder), aliased(Certificate)
    return exists().where(
        col(successor.predecessor_id) == col(order.id), col(successor.status) == OrderStatus.ISSUED, col(successor.deleted_at).is_(None),
        col(its.order_id) == col(successor.id), *usable(its),
    )


def reissued() -> ColumnElement[bool]:
    """A newer certificate of the same order has come, and nothing holds it back."""
    newer = aliased(Certificate)
    return exists().where(
        col(newer.order_id) == col(certificate.order_id), col(newer.id) != col(certificate.id),
        (col(newer.not_before) > col(certificate.not_before))
        | ((col(newer.not_before) == col(certificate.not_before)) & (col(newer.fetched_at) > col(certificate.fetched_at))),
        *usable(newer),
    )


def usable(one: type[Certificate]) -> list[ColumnElement[bool]]:
    """It is here, and nothing holds it back."""
    return [col(one.removed_at).is_(None), col(one.held_because).is_(None), col(one.never_deliver).is_(False)]
