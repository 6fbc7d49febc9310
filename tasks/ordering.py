"""Plan an order: check it, recognise a second request, write order and submission in one transaction (RULES C, D2, E1, E6)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from models.checks import FRESH_FOR, CheckedOrder, check_order
from models.errors import CertflowError, ConflictError, InputError, RejectedError, SetupError
from models.names import check_live_name, live_name
from models.orders import ENROLL, ORDERED, CertificateOrder, Submission
from models.parameters import OrderParameters
from models.status import LIVING, OPEN, OrderStatus, SubmissionStatus
from models.summaries import OrderSummary
from tasks import delivery
from tasks.adapters import pki
from tasks.adapters.store import Session, certificates, orders, revocations, submissions
from tasks.reference import facts, refresh, refresh_domains
from tasks.retry import step
from tasks.runs import demand_requester, next_look, run_id, this_run
from tasks.services import Services, open_services


@dataclass(frozen=True, kw_only=True)
class Planned:
    """An order that stands in our books, with its newest submission; ids are None when only a check was asked for."""

    order_id: UUID | None = None
    submission_id: UUID | None = None
    notes: tuple[str, ...] = ()


@step
def plan(wish: OrderParameters) -> Planned:
    """Check the wish and write it down; a second request under the same id gets what the first one made (RULES E6).

    Raises: InputError with all problems at once; RejectedError when the first request under this id was refused by SCM.
    """
    request_id = wish.request_id or run_id() or str(uuid4())
    with open_services() as svc:
        demand_requester(wish.requested_by)
        with svc.store.reading() as session:
            if not wish.check_only and (earlier := _earlier(session, wish, request_id)):
                return earlier
        csr = pki.read_csr(wish.csr) if wish.csr else None
        checked = _checked(svc, wish, (csr.algorithm, csr.size) if csr else None)
        if against := [*checked.against(send_anyway=wish.send_anyway), *_against_password(svc, wish), *_against_key(svc, csr)]:
            raise InputError.of(against)
        notes = tuple(checked.said(send_anyway=wish.send_anyway))
        assert checked.names is not None  # noqa: S101 - unreadable names were refused before
        name = check_live_name(wish.live_name) if wish.live_name else live_name(checked.names.common_name)
        try:
            with svc.store.transaction() as session:
                orders.one_after_the_other(session, name)
                if not wish.check_only and (earlier := _earlier(session, wish, request_id)):    # somebody was faster under the same id
                    return earlier
                refuse_held(session, name)
                if wish.check_only:
                    return Planned(notes=notes)
                return _write(session, wish, checked, request_id=request_id, name=name, csr=csr, notes=notes, now=svc.clock())
        except ConflictError:    # the same id at the same moment for another live name
            with svc.store.reading() as session:
                if earlier := _earlier(session, wish, request_id):
                    return earlier
            raise


def _earlier(session: Session, wish: OrderParameters, request_id: str) -> Planned | None:
    found = submissions.by_request(session, wish.account, request_id)
    if found is None:
        return None
    if found.wish != wish.wish():
        raise InputError(f"request_id {request_id!r} was used before with other parameters: give a new one to order something else")
    if found.status == SubmissionStatus.REFUSED:
        raise RejectedError(f"SCM refused this request before: {found.error}; a new request_id orders anew")
    return Planned(order_id=found.order_id, submission_id=found.id, notes=("this request was made before; no second order",))


def _against_password(svc: Services, wish: OrderParameters) -> list[str]:
    """Why the user's keystore password cannot serve: better known now than when the certificate is there (RULES K3)."""
    if wish.keystore_password_path:
        try:
            delivery.users_password(svc, wish.keystore_password_path)
        except (SetupError, InputError) as error:
            return [str(error)]
    return []


def _against_key(svc: Services, csr: pki.CsrFacts | None) -> list[str]:
    """A key that was reported as compromised is used by nobody again (RULES K5)."""
    with svc.store.reading() as session:
        known = revocations.compromised(session, [csr.public_key_sha256 if csr else None])
    return ["the key of this csr was reported as compromised: make a new key and a new csr"] if known else []


def _checked(svc: Services, wish: OrderParameters, csr_key: tuple[str, str] | None) -> CheckedOrder:
    """Judge on synced data; before refusing, and for domain states older than a day, on fresh ones (RULES C2)."""
    account = svc.account_entry(wish.account).data.get("defaults") or {}
    first = _judged(svc, wish, account, csr_key)
    with svc.store.reading() as session:
        stored = facts(session, wish.account)
    if not (stored.organizations and stored.profiles):
        raise InputError(f"there is no reference data of account {wish.account!r} yet: run sync-reference-data first; nothing was sent")
    old = {one.id for one in stored.domains if one.id in first.domain_ids and svc.clock() - one.checked_at > FRESH_FOR}
    if old and _may_be_sent(first):    # only states of domains are too old to decide
        with svc.scm(wish.account) as scm:
            refresh_domains(svc, scm, wish.account, names=(), domain_ids=old)
        first = _judged(svc, wish, account, csr_key)
    if _may_be_sent(first):
        return first
    refresh(
        svc, wish.account, organization=wish.organization, names=first.names.names if first.names else (), domain_ids=first.domain_ids,
    )
    return _judged(svc, wish, account, csr_key)


def _may_be_sent(checked: CheckedOrder) -> bool:
    known = checked.organization is not None and checked.profile is not None
    return known and not any(problem.level == "refuse" for problem in checked.problems)


def _judged(svc: Services, wish: OrderParameters, defaults: dict[str, object], csr_key: tuple[str, str] | None) -> CheckedOrder:
    with svc.store.reading() as session:
        known = facts(session, wish.account)
    return check_order(
        wish, known, defaults=defaults, private_profiles=svc.settings.private_profiles, today=svc.clock().date(), csr_key=csr_key,
    )


def refuse_held(session: Session, name: str) -> None:
    """Raises: InputError when a living order of ours holds the live name (RULES D2)."""
    for holder in orders.holder_of(session, name):
        if holder.status in LIVING:
            raise InputError(
                f"live name {name} is held by order {holder.ssl_id or holder.id} of account {holder.account} ({holder.status}): "
                "renew that order, or give another live_name"
            )


def _write(
    session: Session, wish: OrderParameters, checked: CheckedOrder, *, request_id: str, name: str, csr: pki.CsrFacts | None,
    notes: tuple[str, ...], now: datetime,
) -> Planned:
    names = checked.names
    assert names is not None  # noqa: S101 - unreadable names were refused before
    order = CertificateOrder(
        account=wish.account, status=OrderStatus.PLANNED, common_name=names.common_name, subject_alternative_names=list(names.names),
        organization_id=checked.organization_id, organization_name=checked.organization.name if checked.organization else None,
        certificate_profile_id=checked.profile_id, certificate_profile_name=checked.profile.name if checked.profile else None,
        term_days=checked.term_days, key_algorithm=csr.algorithm if csr else wish.key_algorithm, key_size=csr.size if csr else wish.size,
        keystore_type=None if csr else wish.keystore_type, keystore_password_path=wish.keystore_password_path,
        custom_fields=dict(checked.custom_fields), comments=wish.comments, external_requester_emails=list(checked.external_requester_emails),
        requested_via="REST API", origin=ORDERED, live_name=name, created_at=now, changed_at=now,
    )
    session.add(order)
    session.flush()
    planned = Submission(
        account=wish.account, order_id=order.id, kind=ENROLL, status=SubmissionStatus.PLANNED, request_id=request_id, wish=wish.wish(),
        csr=csr.pem if csr else None, own_csr=csr is not None, public_key_sha256=csr.public_key_sha256 if csr else None, created_at=now,
    )
    session.add(planned)
    session.flush()
    orders.record_event(session, order.id, "planned", "; ".join(notes), now=now, run=this_run(), by=wish.requested_by)
    return Planned(order_id=order.id, submission_id=planned.id, notes=notes)


@contextmanager
def remembered(planned: Planned) -> Iterator[None]:
    """Whatever fails inside, the caller learns how the order stands."""
    try:
        yield
    except CertflowError as error:
        error.summary = summary(planned)
        raise


def summary(planned: Planned) -> OrderSummary:
    """How an order stands, for a caller."""
    if planned.order_id is None:
        return OrderSummary(order_id=None, ssl_id=None, status="checked", notes=planned.notes)
    with open_services() as svc, svc.store.reading() as session:
        order = orders.order(session, planned.order_id)
    return OrderSummary(order_id=order.id, ssl_id=order.ssl_id, status=order.status, notes=planned.notes)


def sentence(planned: Planned) -> str:
    """How an order stands and what happens next, for a person."""
    if planned.order_id is None:
        return "nothing stands against this order" + "".join(f"; {note}" for note in planned.notes)
    with open_services() as svc, svc.store.reading() as session:
        order = orders.order(session, planned.order_id)
        newest = next(iter(certificates.of_order(session, order.id)), None)
        error = submissions.of_order(session, order.id)[-1].error
    next_one = next_look(svc.clock())
    name = order.common_name
    known = {
        OrderStatus.PLANNED: f"{name} is planned and not sent yet{f' ({error})' if error else ''}; {next_one} and sends it",
        OrderStatus.SUBMITTING: f"{name} is in doubt: {error or 'the answer of SCM is not known'}; {next_one} and finds it by its marker",
        OrderStatus.SUBMITTED: f"SCM took {name} as {order.ssl_id}; {next_one}",
        OrderStatus.REQUESTED: f"{name} ({order.ssl_id}) waits for approval in SCM by an administrator; {next_one}",
        OrderStatus.SA_APPROVED: f"{name} ({order.ssl_id}) waits for approval in SCM by an administrator; {next_one}",
    }
    if order.status in known:
        return known[OrderStatus(order.status)]
    if order.status == OrderStatus.ISSUED and newest is not None and newest.delivered_at is not None:
        return f"{name} is issued as {order.ssl_id} and delivered to live/{order.live_name}, version {newest.live_version}"
    if order.status in OPEN or order.status == OrderStatus.ISSUED:
        return f"{name} ({order.ssl_id}) is {order.status} at SCM" + (f", {order.waiting_because}" if order.waiting_because else "") + f"; {next_one}"
    return f"{name} ({order.ssl_id or order.id}) is {order.status}"
