"""Write down a renewal or a reissue, before its key is made and anything is sent (RULES E1, D2, R4, R5). In the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from models.marker import without_marker
from models.names import live_name
from models.orders import ORDERED, CertificateOrder, Revocation, Submission
from models.orders import REISSUE as REISSUE_KIND
from models.orders import RENEW as RENEW_KIND
from models.parameters import COMMENTS_MAX, RenewAction, RenewParameters
from models.policy import RenewalFacts, key_like
from models.status import OrderStatus, SubmissionStatus
from tasks.adapters.pki import CsrFacts
from tasks.adapters.store import Session, orders, renewals, revocations
from tasks.adapters.store.rows import event
from tasks.ordering import refuse_held
from tasks.renewing.checking import Names
from tasks.runs import this_run

SUPERSEDED = 4


@dataclass(frozen=True, kw_only=True)
class Written:
    """What renews or reissues an order: `order_id` is the successor, or the order itself; None in a dry run. `new`: this run sends it."""

    action: RenewAction
    predecessor: CertificateOrder
    order_id: UUID | None = None
    submission_id: UUID | None = None
    new: bool = False


def write_renewal(
    session: Session, wish: RenewParameters, request_id: str, facts: RenewalFacts, asked: Names, csr: CsrFacts | None, *, now: datetime
) -> Written:
    """The successor with its submission; the one that somebody else wrote meanwhile, if so. Raises: InputError when its live name is taken."""
    old = facts.order
    for one in renewals.successors(session, [old.id]).get(old.id, []):
        if RenewalFacts(order=old, successors=[one]).open_successor:
            return Written(action=wish.does, predecessor=old, order_id=one.id)
    successor = _successor(facts, asked, csr, name=_live_name(session, old), now=now)
    session.add(successor)
    session.flush()
    run, by = this_run(), wish.requested_by
    reuse_of = facts.submission.id if wish.reuse_key and facts.submission else None
    planned = _submission(wish, request_id, successor, RENEW_KIND, csr, scope=old.id, reuse_of=reuse_of, now=now)
    session.add(planned)
    session.flush()
    if wish.revoke_predecessor_after_days is not None:
        revocations.plan(session, Revocation(
            account=old.account, order_id=old.id, reason_code=SUPERSEDED, reason=f"superseded by the renewal {successor.id}"[:512],
            successor_id=successor.id, after_days=wish.revoke_predecessor_after_days, requested_by=by, created_at=now,
        ))
        said = f"{wish.revoke_predecessor_after_days} days after its successor {successor.id} is delivered"
        orders.record_event(session, old.id, "revocation planned", said, now=now, run=run, by=by)
    orders.record_events(session, [
        event(successor.id, "planned", f"renews order {old.ssl_id}" + _because(wish), now=now, run=run, by=by),
        event(old.id, "renewal planned", f"as order {successor.id}" + _because(wish), now=now, run=run, by=by),
    ])
    return Written(action=wish.does, predecessor=old, order_id=successor.id, submission_id=planned.id, new=True)


def write_reissue(
    session: Session, wish: RenewParameters, request_id: str, facts: RenewalFacts, asked: Names, csr: CsrFacts | None, *, now: datetime
) -> Written:
    """The submission of a reissue; the one that somebody else wrote meanwhile, if so. Raises: InputError when its live name is taken."""
    order = facts.order
    if sent := renewals.reissue_under_way(session, order.id):
        return Written(action=wish.does, predecessor=order, order_id=order.id, submission_id=sent.id)
    _live_name(session, order)
    planned = _submission(wish, request_id, order, REISSUE_KIND, csr, scope=order.id, names=asked.texts, now=now)
    session.add(planned)
    session.flush()
    said = f"reissue for {', '.join(asked.texts[:20])}" if asked.change else "reissue with a new key"
    orders.record_event(session, order.id, "planned", said + _because(wish), now=now, run=this_run(), by=wish.requested_by)
    return Written(action=wish.does, predecessor=order, order_id=order.id, submission_id=planned.id, new=True)


def _successor(facts: RenewalFacts, asked: Names, csr: CsrFacts | None, *, name: str, now: datetime) -> CertificateOrder:
    """SCM takes everything but the key from the old order (contract 5.13); the term is SCM's to say."""
    old, issued = facts.order, facts.certificate
    algorithm, size = (csr.algorithm, csr.size) if csr else key_like(
        (issued.key_algorithm if issued else None) or old.key_algorithm, (issued.key_size if issued else None) or old.key_size)
    return CertificateOrder(
        account=old.account, status=OrderStatus.PLANNED, common_name=asked.texts[0], subject_alternative_names=list(asked.texts),
        organization_id=old.organization_id, organization_name=old.organization_name, certificate_profile_id=old.certificate_profile_id,
        certificate_profile_name=old.certificate_profile_name, key_algorithm=algorithm, key_size=size,
        keystore_type=None if csr else old.keystore_type, keystore_password_path=None if csr else old.keystore_password_path,
        custom_fields=dict(old.custom_fields), comments=(without_marker(old.comments) or "")[:COMMENTS_MAX],
        external_requester_emails=list(old.external_requester_emails), requested_via="REST API", predecessor_id=old.id, origin=ORDERED,
        live_name=name, created_at=now, changed_at=now,
    )


def _submission(
    wish: RenewParameters, request_id: str, order: CertificateOrder, kind: str, csr: CsrFacts | None, *, scope: UUID, now: datetime,
    reuse_of: UUID | None = None, names: list[str] | None = None,
) -> Submission:
    return Submission(
        account=order.account, order_id=order.id, kind=kind, status=SubmissionStatus.PLANNED, request_id=request_id, request_scope=str(scope),
        wish={**wish.wish(), "by_itself": wish.by_itself, "names_asked": names}, csr=csr.pem if csr else None, own_csr=csr is not None,
        public_key_sha256=csr.public_key_sha256 if csr else None, reuse_of=reuse_of, names=names or [], created_at=now,
    )


def _live_name(session: Session, order: CertificateOrder) -> str:
    """The order's own; an imported one takes its common name over (RULES D2). Raises: InputError when another living order holds that."""
    if order.live_name:
        return order.live_name
    name = live_name(order.common_name.lower())
    orders.one_after_the_other(session, name)
    refuse_held(session, name)
    return name


def _because(wish: RenewParameters) -> str:
    return f": {wish.reason}" if wish.reason else ""
