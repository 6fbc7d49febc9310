"""Queries of the repository: what is fetched, what waits, what counts as a licence (RULES D4)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum, auto
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, and_, exists, func, text, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from models.orders import Certificate, CertificateOrder, NewCertificate, Revocation
from models.status import OrderStatus
from tasks.adapters.store import bulk
from tasks.adapters.store.renewals import reissue_taken, served, served_no_more

LICENCE_LOCK = 0x636572746C6963
"""PostgreSQL advisory lock: counting and inserting must not interleave. SQLite's writers are one after the other anyway."""


def of_order(session: Session, order_id: UUID) -> list[Certificate]:
    """An order's certificates, newest first, removed ones left out."""
    return list(session.exec(
        select(Certificate).where(Certificate.order_id == order_id, col(Certificate.removed_at).is_(None))
        .order_by(col(Certificate.not_before).desc(), col(Certificate.fetched_at).desc())
    ))


def certificate(session: Session, id_: UUID) -> Certificate | None:
    """One certificate of the repository."""
    return session.get(Certificate, id_, populate_existing=True)


def with_serial_number(session: Session, order_id: UUID, serial_number: str | None) -> Certificate | None:
    """The order's certificate with this serial number, removed or not; without a number its newest."""
    query = select(Certificate).where(Certificate.order_id == order_id)
    if serial_number is not None:
        query = query.where(Certificate.serial_number == serial_number)
    return session.exec(query.order_by(col(Certificate.not_before).desc(), col(Certificate.fetched_at).desc())).first()


def living_with_keys(session: Session, keys: Iterable[str], *, now: datetime) -> list[tuple[CertificateOrder, Certificate]]:
    """Certificates of all accounts with these public keys that have not ended and are not revoked, of deleted orders too (RULES V3)."""
    revoked = exists().where(
        col(Revocation.order_id) == col(Certificate.order_id), col(Revocation.status) == "done",
        col(Revocation.serial_number).is_(None) | (col(Revocation.serial_number) == col(Certificate.serial_number)),
    )
    return list(session.exec(
        select(CertificateOrder, Certificate).join(Certificate, col(Certificate.order_id) == col(CertificateOrder.id)).where(
            col(Certificate.public_key_sha256).in_(list(keys)), col(Certificate.not_after) > now,
            col(CertificateOrder.status) != OrderStatus.REVOKED, ~revoked,
        ).order_by(col(CertificateOrder.created_at))
    ).all())


def with_live_successor(session: Session, order_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the orders of which a successor is issued and delivered (RULES V2)."""
    return {id_ for id_ in session.exec(
        select(CertificateOrder.predecessor_id).join(Certificate, col(Certificate.order_id) == col(CertificateOrder.id)).where(
            col(CertificateOrder.predecessor_id).in_(list(order_ids)), CertificateOrder.status == OrderStatus.ISSUED,
            col(CertificateOrder.deleted_at).is_(None), col(Certificate.delivered_at).is_not(None),
        )
    ) if id_ is not None}


def remove(session: Session, id_: UUID, *, now: datetime) -> None:
    """Take a certificate out of the repository; the row stays. Twice is fine: the first moment counts (RULES D5)."""
    session.execute(update(Certificate).where(col(Certificate.id) == id_, col(Certificate.removed_at).is_(None)).values(removed_at=now))
    served_no_more(session, id_)


def not_fetched(
    session: Session, account: str, *, after: int = 0, most: int = 500, order_ids: Iterable[UUID] | None = None, origin: str | None = None,
) -> list[CertificateOrder]:
    """Issued orders whose newest certificate is not in the repository, by sslId above `after`; of these or of this origin only, if given.

    One that may never be delivered does not count: SCM is asked again (RULES D3). Nor does the old one while a reissue is under way (E5).
    """
    query = select(CertificateOrder).where(*_lacks_certificate(account, after, order_ids, origin))
    return list(session.exec(query.order_by(col(CertificateOrder.ssl_id)).limit(most)))


def count_not_fetched(session: Session, account: str, *, order_ids: Iterable[UUID] | None = None) -> int:
    """How many orders `not_fetched` has in all."""
    return session.exec(select(func.count()).select_from(CertificateOrder).where(*_lacks_certificate(account, 0, order_ids, None))).one()


def _lacks_certificate(account: str, after: int, order_ids: Iterable[UUID] | None, origin: str | None) -> list[ColumnElement[bool]]:
    here = exists().where(
        col(Certificate.order_id) == col(CertificateOrder.id), col(Certificate.never_deliver).is_(False),
        col(CertificateOrder.serial_number).is_(None) | (col(Certificate.serial_number) == col(CertificateOrder.serial_number)),
    )
    return [
        col(CertificateOrder.account) == account, col(CertificateOrder.status) == OrderStatus.ISSUED, col(CertificateOrder.ssl_id) > after,
        col(CertificateOrder.deleted_at).is_(None), ~here | reissue_taken(),
        *([col(CertificateOrder.id).in_(list(order_ids))] if order_ids is not None else []),
        *([col(CertificateOrder.origin) == origin] if origin is not None else []),
    ]


def not_delivered(session: Session, account: str, order_ids: Iterable[UUID] | None = None) -> list[Certificate]:
    """Fetched certificates of orders with a live name that no live entry got yet and nothing holds back."""
    newer = aliased(Certificate)
    query = select(Certificate).join(CertificateOrder, col(Certificate.order_id) == col(CertificateOrder.id)).where(
        CertificateOrder.account == account, col(CertificateOrder.live_name).is_not(None), CertificateOrder.status == OrderStatus.ISSUED,
        col(CertificateOrder.deleted_at).is_(None), col(Certificate.delivered_at).is_(None), col(Certificate.removed_at).is_(None),
        col(Certificate.held_because).is_(None), col(Certificate.never_deliver).is_(False),
        ~exists().where(_follows(newer), col(newer.removed_at).is_(None), col(newer.held_because).is_(None)),
    )
    if order_ids is not None:
        query = query.where(col(Certificate.order_id).in_(list(order_ids)))
    return list(session.exec(query))


def held(session: Session, account: str, *, where: Sequence[ColumnElement[bool]] = ()) -> list[tuple[CertificateOrder, Certificate]]:
    """Certificates that are stored and not delivered, with their order; not those that a newer one followed (RULES D3).

    Only of orders that `where` fits.
    """
    newer = aliased(Certificate)
    return list(session.exec(
        select(CertificateOrder, Certificate).join(Certificate, col(Certificate.order_id) == col(CertificateOrder.id)).where(
            CertificateOrder.account == account, col(Certificate.held_because).is_not(None), col(Certificate.removed_at).is_(None),
            CertificateOrder.status == OrderStatus.ISSUED, col(CertificateOrder.deleted_at).is_(None),
            ~exists().where(_follows(newer), col(newer.removed_at).is_(None)), *where,
        )
    ).all())


def held_of(session: Session, order_id: UUID) -> Certificate | None:
    """The order's newest certificate, if it is held."""
    newest = next(iter(of_order(session, order_id)), None)
    return newest if newest is not None and newest.held_because and newest.delivered_at is None else None


def licences_used(session: Session, *, now: datetime) -> int:
    """Certificates that count: over all accounts, not expired, revoked, removed, superseded or of a deleted order (RULES D4)."""
    return session.exec(select(func.count()).select_from(Certificate).join(
        CertificateOrder, col(Certificate.order_id) == col(CertificateOrder.id)
    ).where(_counts(now))).one()


def room(session: Session, wanted: int, *, limit: int, now: datetime) -> int:
    """Of the places that are wanted, how many are left below the limit.

    Who is superseded or revoked takes long to say, and matters only when all that have not ended leave too few.
    """
    lasting = session.exec(
        select(func.count()).select_from(Certificate).where(col(Certificate.not_after) > now, col(Certificate.removed_at).is_(None))
    ).one()
    left = limit - (lasting if lasting + wanted <= limit else licences_used(session, now=now))
    return min(wanted, max(0, left))


class Kept(Enum):
    """What became of a certificate that was to be added."""

    ADDED = auto()
    KNOWN = auto()
    """It is here already."""
    NO_ROOM = auto()
    """The licence limit leaves no room."""


def add(session: Session, new: Sequence[NewCertificate], *, limit: int | None, now: datetime) -> list[Kept]:
    """Put certificates into the repository, one after the other as far as the licence limit leaves room. Counting and adding are one step.

    A certificate that takes its predecessor's place (a reissue, a renewal) never waits.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LICENCE_LOCK})
    known = {*session.exec(
        select(Certificate.order_id, Certificate.sha256).where(col(Certificate.order_id).in_([one.order_id for one in new]))
    )}
    left = 0    # surely free places; counted anew when they are used up
    kept: list[Kept] = []
    added: list[NewCertificate] = []
    for one in new:
        if (one.order_id, one.sha256) in known:
            if not one.never_deliver:    # its chain did not verify before
                session.execute(
                    update(Certificate).where(
                        col(Certificate.order_id) == one.order_id, col(Certificate.sha256) == one.sha256, col(Certificate.never_deliver).is_(True),
                    ).values(never_deliver=False, held_because=one.held_because, chain_pem=one.chain_pem, flags=one.flags)
                )
            kept.append(Kept.KNOWN)
            continue
        if limit is not None:
            _insert(session, added)    # those before it count
            added = []
            if not takes_a_place(session, one.order_id, now=now):
                left = left or room(session, len(new) - len(kept), limit=limit, now=now)
                if left == 0:
                    kept.append(Kept.NO_ROOM)
                    continue
                left -= 1
        added.append(one)
        known.add((one.order_id, one.sha256))
        kept.append(Kept.ADDED)
    _insert(session, added)
    return kept


def _insert(session: Session, new: Sequence[NewCertificate]) -> None:
    if new:
        bulk.insert(session, "certificate", [*vars(new[0])], [[*vars(one).values()] for one in new])


def delivered(session: Session, id_: UUID, *, version: int, now: datetime) -> bool:
    """Remember that the certificate is in its live entry, as that version; whether nobody had remembered it before."""
    session.execute(update(Certificate).where(col(Certificate.id) == id_).values(live_version=version))
    first = session.execute(update(Certificate).where(col(Certificate.id) == id_, col(Certificate.delivered_at).is_(None)).values(delivered_at=now))
    assert isinstance(first, CursorResult)  # noqa: S101 - an UPDATE always answers with a cursor
    served(session, session.get_one(Certificate, id_))
    return first.rowcount == 1


def accept(session: Session, id_: UUID) -> None:
    """A person accepts a held certificate (RULES D3)."""
    session.execute(update(Certificate).where(col(Certificate.id) == id_).values(held_because=None))


def _counts(now: datetime) -> ColumnElement[bool]:
    return and_(
        col(Certificate.removed_at).is_(None), col(Certificate.not_after) > now, col(CertificateOrder.status) != OrderStatus.REVOKED,
        col(CertificateOrder.deleted_at).is_(None), ~_superseded(),
    )


def _follows(newer: type[Certificate]) -> ColumnElement[bool]:
    """`newer` is a later certificate of the same order. CAs round the start to the day: then the one fetched later is the newer."""
    return and_(
        col(newer.order_id) == col(Certificate.order_id),
        (col(newer.not_before) > col(Certificate.not_before))
        | ((col(newer.not_before) == col(Certificate.not_before)) & (col(newer.fetched_at) > col(Certificate.fetched_at))),
    )


def _superseded() -> ColumnElement[bool]:
    newer, successor, its_certificate = aliased(Certificate), aliased(CertificateOrder), aliased(Certificate)
    reissued = exists().where(_follows(newer), col(newer.removed_at).is_(None))
    renewed = exists().where(
        col(successor.predecessor_id) == col(Certificate.order_id), col(its_certificate.order_id) == col(successor.id),
        col(its_certificate.removed_at).is_(None),
    )
    return reissued | renewed


def takes_a_place(session: Session, order_id: UUID, *, now: datetime) -> bool:
    """Whether a certificate of this order would take a place that is counted already: a reissue's or a renewal's."""
    order = session.get(CertificateOrder, order_id)
    return order is not None and bool(taking_a_place(session, [order], now=now))


def taking_a_place(session: Session, orders: Sequence[CertificateOrder], *, now: datetime) -> set[UUID]:
    """Those of the orders whose certificate would take a place that is counted already: a reissue's or a renewal's."""
    places = {one.id for one in orders} | {one.predecessor_id for one in orders if one.predecessor_id}
    counted = {*session.exec(
        select(Certificate.order_id).join(CertificateOrder, col(Certificate.order_id) == col(CertificateOrder.id)).where(
            col(Certificate.order_id).in_(places), _counts(now)
        )
    )}
    return {one.id for one in orders if one.id in counted or one.predecessor_id in counted}
