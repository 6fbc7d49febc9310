"""Queries that give lost orders their keys, ids and live names back (RULES K6)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, text, update
from sqlalchemy.orm import InstrumentedAttribute, aliased
from sqlmodel import Session, col, select

from models.marker import MARKER, marked_by
from models.orders import IMPORTED, ORDERED, RENEW, Certificate, CertificateOrder, OrderEvent, Revocation, Submission
from models.rebuilding import Served
from models.status import LIVING
from tasks.adapters.store.orders.changing import UPSERT_LOCK

MANY = 500
"""Values in one question."""

_MARKED = f"%{MARKER}%"
_KEPT = "rebuilt"


def one_at_a_time(session: Session, account: str) -> None:
    """No other import writes orders of the account until this transaction ends. SQLite's writers wait for each other anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock, hashtext(:account))"), {"lock": UPSERT_LOCK, "account": account})


def anything_missing(session: Session, account: str) -> bool:
    """Whether there is an order or a certificate that none of our submissions explains; without one nothing can be given back."""
    strange = exists().where(
        col(CertificateOrder.account) == account, col(CertificateOrder.origin) == IMPORTED, col(CertificateOrder.deleted_at).is_(None),
    )
    keyless = exists().where(
        col(CertificateOrder.account) == account, col(Certificate.order_id) == col(CertificateOrder.id), col(Certificate.submission_id).is_(None),
    )
    return bool(session.exec(select(strange | keyless)).one())


def counts(session: Session, account: str, until: datetime) -> list[int]:
    """How many orders requested until then are known, and how many certificates of them: no other could fit a key that was there then."""
    early = (CertificateOrder.account == account, col(CertificateOrder.requested_at) <= until)
    return [
        session.exec(select(func.count()).select_from(CertificateOrder).where(*early)).one(),
        session.exec(
            select(func.count(col(Certificate.order_id))).join(CertificateOrder, col(Certificate.order_id) == col(CertificateOrder.id)).where(*early)
        ).one(),
    ]


def remembered(resume: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the last look at Vault left in `account_state.import_resume`."""
    return (resume or {}).get(_KEPT)


def remember(resume: Mapping[str, Any] | None, looked: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`import_resume` with what a look at Vault leaves there; None where there is nothing to remember."""
    return {**{name: value for name, value in (resume or {}).items() if name != _KEPT}, **({_KEPT: dict(looked)} if looked else {})} or None


def first_bearers(session: Session, account: str) -> dict[UUID, int]:
    """For each marker at SCM the sslId of the order that was sent under it: the one that our submission names, else the oldest with it."""
    first: dict[UUID, int] = {}
    for ssl_id, comments in session.exec(
        select(CertificateOrder.ssl_id, CertificateOrder.comments).where(
            CertificateOrder.account == account, col(CertificateOrder.comments).like(_MARKED), col(CertificateOrder.ssl_id).is_not(None),
        ).order_by(col(CertificateOrder.ssl_id))
    ):
        if ssl_id is not None and (mark := marked_by(comments)):
            first.setdefault(mark, ssl_id)
    for some in _batches(list(first)):
        for id_, ssl_id in session.exec(
            select(Submission.id, CertificateOrder.ssl_id).join(CertificateOrder, col(Submission.order_id) == col(CertificateOrder.id))
            .where(col(Submission.id).in_(some), col(CertificateOrder.ssl_id).is_not(None))
        ):
            if ssl_id is not None:
                first[id_] = ssl_id
    return first


def with_public_key(session: Session, account: str, hashes: Iterable[str]) -> dict[str, list[tuple[CertificateOrder, Certificate]]]:
    """Certificates that no submission explains, with their order, by public key."""
    found: dict[str, list[tuple[CertificateOrder, Certificate]]] = {}
    for order, certificate in session.exec(
        select(CertificateOrder, Certificate).join(Certificate, col(Certificate.order_id) == col(CertificateOrder.id)).where(
            CertificateOrder.account == account, col(Certificate.public_key_sha256).in_(set(hashes)), col(Certificate.submission_id).is_(None),
            col(Certificate.removed_at).is_(None), col(CertificateOrder.deleted_at).is_(None),
        )
    ):
        found.setdefault(certificate.public_key_sha256, []).append((order, certificate))
    return found


def with_known_key(session: Session, account: str) -> list[tuple[UUID, UUID]]:
    """Certificates that no submission explains, and the submission whose public key they have all the same: another order's."""
    return list(session.exec(
        select(Certificate.id, Submission.id).join(CertificateOrder, col(Certificate.order_id) == col(CertificateOrder.id))
        .join(Submission, col(Submission.public_key_sha256) == col(Certificate.public_key_sha256)).where(
            CertificateOrder.account == account, Submission.account == account, col(Certificate.submission_id).is_(None),
            col(Certificate.removed_at).is_(None), col(CertificateOrder.deleted_at).is_(None), col(Submission.reuse_of).is_(None),
        ).order_by(col(CertificateOrder.ssl_id))
    ).all())


def proved(session: Session, order_id: UUID) -> bool:
    """Whether a certificate shows that a submission of ours belongs to this order."""
    return session.exec(
        select(Certificate.id).where(Certificate.order_id == order_id, col(Certificate.submission_id).is_not(None)).limit(1)
    ).first() is not None


def held_names(session: Session, names: Sequence[str]) -> set[str]:
    """Those of these live names that an order of ours holds or held, in any account."""
    held: set[str] = set()
    for some in _batches(names):
        held.update(name for name in session.exec(
            select(CertificateOrder.live_name).where(col(CertificateOrder.live_name).in_(some))
        ) if name is not None)
    return held


def names_beside(session: Session, account: str) -> set[str]:
    """Live names of orders for a common name for which another order of ours has no live name yet: maybe its successor."""
    nameless = aliased(CertificateOrder)
    return {name for name in session.exec(
        select(CertificateOrder.live_name).join(nameless, col(nameless.common_name) == col(CertificateOrder.common_name)).where(
            CertificateOrder.account == account, col(nameless.account) == account, col(CertificateOrder.live_name).is_not(None),
            col(nameless.live_name).is_(None), col(nameless.origin) == ORDERED, col(nameless.deleted_at).is_(None),
        ).distinct()
    ) if name is not None}


def issued_as(session: Session, account: str, served: Served) -> tuple[CertificateOrder, Certificate | None] | None:
    """The order that a live entry was written for, and its certificate if it is in the repository; None for no order, or several.

    Known by its certificate; by the serial number that SCM names, when the certificate has ended; by the key, when it was reissued since.
    """
    here = (CertificateOrder.account == account, col(CertificateOrder.deleted_at).is_(None))
    known = session.exec(
        select(CertificateOrder, Certificate).join(Certificate, col(Certificate.order_id) == col(CertificateOrder.id))
        .where(*here, Certificate.sha256 == served.sha256)
    ).all()
    if ours := [pair for pair in known if pair[1].submission_id is not None] or known:
        return (ours[0][0], ours[0][1]) if len(ours) == 1 else None
    rows = session.exec(select(CertificateOrder).where(*here, CertificateOrder.serial_number == served.serial_number)).all() \
        if served.serial_number else []
    if not rows and served.public_key_sha256:
        rows = session.exec(
            select(CertificateOrder).join(Submission, col(Submission.order_id) == col(CertificateOrder.id))
            .where(*here, Submission.public_key_sha256 == served.public_key_sha256).distinct()
        ).all()
    return (rows[0], None) if len(rows) == 1 else None


def take_id(session: Session, row: CertificateOrder, id_: UUID) -> CertificateOrder:
    """The same order under the id that it had before, with all that belongs to it; as it is when that id is taken."""
    if row.id == id_ or session.get(CertificateOrder, id_) is not None:
        return row
    session.flush()
    facts, old = {name: getattr(row, name) for name in CertificateOrder.model_fields}, row.id
    row.ssl_id = None    # of two rows one may have it
    session.flush()
    new = CertificateOrder(**{**facts, "id": id_})
    session.add(new)
    session.flush()
    belonging: tuple[tuple[Any, InstrumentedAttribute[Any]], ...] = tuple((table, getattr(table, name)) for table, name in (
        (Certificate, "order_id"), (Submission, "order_id"), (OrderEvent, "order_id"), (Revocation, "order_id"), (Revocation, "successor_id"),
        (CertificateOrder, "predecessor_id"),
    ))
    for table, column in belonging:
        session.execute(update(table).where(column == old).values({column.key: id_}))
    session.delete(row)
    session.flush()
    return new


def unfinished(session: Session, account: str) -> list[UUID]:
    """Orders of ours that still lack a live name or a predecessor, or show their marker, the oldest first. An order that was placed here and
    never lost is none of them."""
    renewed = exists().where(col(Submission.order_id) == col(CertificateOrder.id), col(Submission.kind) == RENEW)
    return list(session.exec(
        select(CertificateOrder.id).where(
            CertificateOrder.account == account, CertificateOrder.origin == ORDERED, col(CertificateOrder.deleted_at).is_(None),
            col(CertificateOrder.ssl_id).is_not(None),
            col(CertificateOrder.comments).like(_MARKED) | (col(CertificateOrder.live_name).is_(None) & col(CertificateOrder.status).in_(LIVING))
            | (col(CertificateOrder.predecessor_id).is_(None) & renewed),
        ).order_by(col(CertificateOrder.ssl_id))
    ))


def line_of(session: Session, account: str, first: int) -> list[CertificateOrder]:
    """The order with this sslId and all that follow it."""
    line = list(session.exec(select(CertificateOrder).where(CertificateOrder.account == account, CertificateOrder.ssl_id == first)))
    newest = line
    while newest:
        known = {one.id for one in line}
        newest = [one for one in session.exec(
            select(CertificateOrder).where(col(CertificateOrder.predecessor_id).in_([one.id for one in newest]))
        ) if one.id not in known]
        line += newest
    return line


def of_name(session: Session, account: str, common_name: str) -> list[CertificateOrder]:
    """Orders of ours for a common name."""
    return list(session.exec(select(CertificateOrder).where(
        CertificateOrder.account == account, CertificateOrder.common_name == common_name, CertificateOrder.origin == ORDERED,
        col(CertificateOrder.deleted_at).is_(None),
    )))


def has_successor(session: Session, order_id: UUID) -> bool:
    """Whether another order follows this one."""
    return session.exec(select(CertificateOrder.id).where(CertificateOrder.predecessor_id == order_id).limit(1)).first() is not None


def _batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), MANY):
        yield values[start:start + MANY]
