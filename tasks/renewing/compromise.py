"""After a key compromise: keys are remembered, living certificates with them get successors and are revoked (RULES K5, V3)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from models.errors import InputError
from models.orders import Certificate, CertificateOrder, Revocation
from models.parameters import KEY_COMPROMISE, RenewParameters
from models.status import OPEN, OrderStatus
from tasks.adapters.store import Session, certificates, orders, renewals, revocations
from tasks.renewing.choosing import Chosen
from tasks.retry import step
from tasks.revoking import LATEST, plan_others
from tasks.runs import this_run
from tasks.services import open_services

BECAUSE = "the key is compromised"


@step
def report(wish: RenewParameters, order_ids: Sequence[UUID]) -> Chosen:
    """Remember the keys of these orders and plan the revocations, before anything is sent; the orders that need a successor, of all accounts.

    A dry run writes nothing. Raises: InputError when the certificate of one of them, and so its key, is not known here.
    """
    with open_services() as svc:
        now = svc.clock()
        with svc.store.transaction() as session:
            keys = _keys(session, order_ids, now=now)
            found = certificates.living_with_keys(session, keys, now=now)
            if not wish.dry_run:
                _write_down(session, wish, keys, now=now)
            return Chosen(order_ids=_without_successor(session, wish, found, now=now))


def _keys(session: Session, order_ids: Sequence[UUID], *, now: datetime) -> set[str]:
    keys: set[str] = set()
    unknown: list[str] = []
    for id_, row in orders.by_ids(session, order_ids).items():
        whose = row.predecessor_id if row.status in OPEN and row.predecessor_id else id_    # a second report names the successor under way
        of_it = {one.public_key_sha256 for one in certificates.of_order(session, whose) if one.not_after > now}
        keys |= of_it
        if not of_it:
            unknown.append(f"{row.ssl_id or id_} ({row.common_name})")
    if unknown:
        raise InputError(f"refused, nothing was sent: no living certificate of {', '.join(unknown[:20])} is in the repository, so its key is not "
                         "known: run import-orders first")
    return keys


def _write_down(session: Session, wish: RenewParameters, keys: set[str], *, now: datetime) -> None:
    reason = wish.reason or BECAUSE
    for key in sorted(keys):
        revocations.report_compromised(session, key, now=now, by=wish.requested_by, reason=reason)
    for order, planned in plan_others(session, keys, but=(), reason=reason, remove=False, by=wish.requested_by, now=now):
        orders.record_event(
            session, order.id, "revocation planned", f"{reason}: serial number {planned.serial_number} is revoked once its successor is live, "
            f"at the latest {planned.due_at:%Y-%m-%d %H:%M} UTC", now=now, run=this_run(), by=wish.requested_by)


def _without_successor(
    session: Session, wish: RenewParameters, found: Sequence[tuple[CertificateOrder, Certificate]], *, now: datetime
) -> tuple[UUID, ...]:
    """Orders whose newest certificate has such a key. What was renewed or reissued already is revoked as soon as that is live."""
    needed: dict[UUID, None] = {}
    follow = renewals.successors(session, {order.id for order, _ in found})
    newest = renewals.newest_certificates(session, [order.id for order, _ in found])
    for order, certificate in found:
        mine = newest.get(order.id)
        issued = next((one for one in follow.get(order.id, []) if one.status == OrderStatus.ISSUED), None)
        if mine is None or order.status != OrderStatus.ISSUED or order.deleted_at is not None:
            continue
        if mine.id == certificate.id and issued is None:
            needed[order.id] = None
        elif not wish.dry_run and (issued or mine.delivered_at):
            once_live(session, order, certificate, issued.id if issued else None, reason=wish.reason or BECAUSE, by=wish.requested_by, now=now)
    return tuple(needed)


def once_live(
    session: Session, order: CertificateOrder, certificate: Certificate, successor_id: UUID | None, *, reason: str, by: str, now: datetime
) -> None:
    """Plan to revoke a certificate as soon as its successor is delivered, at the latest 20 hours after the report; at once without one,
    since a reissue has taken its place."""
    revocations.plan(session, Revocation(
        account=order.account, order_id=order.id, serial_number=certificate.serial_number, reason_code=KEY_COMPROMISE, reason=reason,
        successor_id=successor_id, after_days=0, due_at=now + LATEST if successor_id else now, requested_by=by, created_at=now,
    ))
