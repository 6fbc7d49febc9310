"""How each kind of submission is put to SCM: enroll, renew, reissue; and what must be seen there just before (RULES R1, E5, K5)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from models.errors import NotFoundError, RejectedError
from models.marker import with_marker
from models.names import names_to_send
from models.orders import REISSUE, RENEW, CertificateOrder, Submission
from models.policy import why_not_at_scm
from models.records import Enrolled, EnrollRequest, OrderRecord
from models.reference import CertificateProfile
from models.status import SubmissionStatus
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import Session, certificates, orders, reference, renewals, revocations, submissions
from tasks.runs import log, this_run
from tasks.services import Services

FRESH_FOR = timedelta(minutes=5)
"""So long the details count that were read when a renewal was planned; whoever sends it later reads them again."""

NO_REASON = "new key"
"""SCM demands a reason for a reissue (contract 5.15)."""


@dataclass(frozen=True, kw_only=True)
class Before:
    """What SCM showed before: the ids of that name; serial number and last replacement of the order; and the order that is renewed."""

    ssl_ids: tuple[int, ...] = ()
    serial_number: str | None = None
    replaced_at: datetime | None = None
    predecessor: CertificateOrder | None = None


def look_before(svc: Services, scm: ScmClient, order: CertificateOrder, planned: Submission) -> Before:
    """What must be known before a submission is claimed. Raises: RejectedError when it must not be sent any more; it is withdrawn then."""
    with svc.store.reading() as session:
        if revocations.compromised(session, [planned.public_key_sha256]):
            _withdraw(svc, planned, "its key was reported as compromised and is never used (RULES K5)")
        predecessor = orders.order(session, order.predecessor_id) if planned.kind == RENEW and order.predecessor_id else None
    if planned.kind == REISSUE:
        return _still_allowed(svc, scm, order, planned)
    if predecessor is None:
        return Before()
    _still_allowed(svc, scm, predecessor, planned)
    listed = {item.ssl_id for item in scm.listed(common_name=order.common_name)}
    with svc.store.reading() as session:
        known = orders.ssl_ids_named(session, order.account, order.common_name)
    return Before(ssl_ids=tuple(sorted(listed | known)), predecessor=predecessor)


def _still_allowed(svc: Services, scm: ScmClient, order: CertificateOrder, planned: Submission) -> Before:
    """What SCM says of the order that is renewed or reissued. Its details are read, unless they were when it was planned."""
    fresh = planned.claimed_at is None and svc.clock() - planned.created_at < FRESH_FOR
    if fresh and order.serial_number:
        return Before(serial_number=order.serial_number, replaced_at=order.replaced_at)
    with svc.store.reading() as session:
        newest = next(iter(certificates.of_order(session, order.id)), None)
        successors = [one for one in renewals.successors(session, [order.id])[order.id] if one.id != planned.order_id]
    known = newest.serial_number if newest else order.serial_number
    if fresh:
        return Before(serial_number=known, replaced_at=order.replaced_at)
    assert order.ssl_id is not None  # noqa: S101 - what SCM does not know is not renewed
    try:
        record = scm.details(order.ssl_id)
    except NotFoundError as error:
        _withdraw(svc, planned, str(error))
    decided_by_hand = planned.claimed_at is not None and planned.attempts == 0    # settle --send-again
    why = why_not_at_scm(
        record, known_serial_number=known, own_successors=successors, reissue=planned.kind == REISSUE or decided_by_hand)
    if why:
        _withdraw(svc, planned, why)
    return Before(serial_number=record.serial_number or known, replaced_at=record.replaced_at)


def _withdraw(svc: Services, planned: Submission, why: str) -> NoReturn:
    with svc.store.transaction() as session:
        submissions.withdrawn(session, planned.id, SubmissionStatus.PLANNED, why=why, now=svc.clock(), run=this_run())
    raise RejectedError(f"nothing was sent: {why}")


def ask(scm: ScmClient, order: CertificateOrder, claimed: Submission, before: Before) -> Enrolled:
    """The one call that cannot be taken back. Raises: as the SCM client."""
    assert claimed.csr  # noqa: S101 - the key comes before the claim
    if claimed.kind == REISSUE:
        assert order.ssl_id is not None  # noqa: S101 - only what SCM knows is reissued
        common_name, names = _other_names(order, claimed)
        scm.replace(order.ssl_id, csr=claimed.csr, reason=str(claimed.wish.get("reason") or NO_REASON), common_name=common_name, names=names)
        return Enrolled(ssl_id=order.ssl_id)
    if claimed.kind == RENEW:
        assert before.predecessor is not None  # noqa: S101 - a renewal has one
        assert before.predecessor.ssl_id is not None  # noqa: S101 - only what SCM knows is renewed
        return scm.renew_by_id(before.predecessor.ssl_id, csr=claimed.csr)
    return scm.enroll(_enroll_request(order, claimed, claimed.csr))


def _other_names(order: CertificateOrder, claimed: Submission) -> tuple[str | None, tuple[str, ...] | None]:
    """Common name and other names of a reissue, as far as they change; SCM keeps what is left out (contract 5.15, RULES N3)."""
    if not claimed.names or set(claimed.names) == {order.common_name, *order.subject_alternative_names}:
        return None, None
    common_name = claimed.names[0]
    others = names_to_send(common_name, tuple(claimed.names), single_name_profile=False)
    return common_name if common_name != order.common_name else None, others or (common_name,)


def _enroll_request(order: CertificateOrder, claimed: Submission, csr: str) -> EnrollRequest:
    """An order as it goes over the wire: all names besides the common name (RULES N3), our marker at the end of the comments (E3)."""
    assert order.organization_id is not None  # noqa: S101 - the checks demand them
    assert order.certificate_profile_id is not None  # noqa: S101
    assert order.term_days is not None  # noqa: S101
    return EnrollRequest(
        organization_id=order.organization_id, profile_id=order.certificate_profile_id, term_days=order.term_days, csr=csr,
        names=names_to_send(order.common_name, tuple(order.subject_alternative_names), single_name_profile=False),
        comments=with_marker(order.comments or "", claimed.id), external_requester_emails=tuple(order.external_requester_emails),
        custom_fields=tuple(order.custom_fields.items()),
    )


def longest_term(svc: Services, order: CertificateOrder) -> int | None:
    """The longest term that the order's profile offers, in days; its predecessor's where the profile is not known."""
    with svc.store.reading() as session:
        profiles = reference.rows(session, CertificateProfile, order.account)
        predecessor = orders.order(session, order.predecessor_id) if order.predecessor_id else None
    terms = [days for one in profiles if one.id == order.certificate_profile_id for days in one.terms]
    return max(terms, default=None) or order.term_days or (predecessor.term_days if predecessor else None)


def keep(session: Session, svc: Services, account: str, record: OrderRecord) -> None:
    """Write down what SCM's details say of an order. A status that we do not know is said, and keeps the old one (RULES S4)."""
    for text in orders.upsert(session, account, [record], now=svc.clock(), run=this_run()).unreadable:
        log().warning(text)
