"""Decide about each order, and write down what is to be sent: order and submission in one transaction (RULES E1, E5, E6, R1, R6)."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from models.errors import InputError, RejectedError
from models.orders import CertificateOrder
from models.parameters import REISSUE, RenewParameters
from models.policy import REISSUE_BY_HAND, RENEW_BY_HAND, RENEW_BY_ITSELF, RenewalFacts, why_not, why_not_at_scm
from models.status import SubmissionStatus
from models.summaries import OrderResult
from tasks import asking
from tasks.adapters import pki
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import Session, certificates, orders, renewals, revocations, submissions
from tasks.batches import TOGETHER, each
from tasks.renewing.checking import Names, names_asked, stand_against
from tasks.renewing.choosing import Chosen
from tasks.renewing.compromise import BECAUSE, once_live
from tasks.renewing.writing import Written, write_reissue, write_renewal
from tasks.retry import step
from tasks.runs import log, run_id
from tasks.services import Services, open_services


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be sent or under way already, what is left as it is and why, what failed and why; and how many more are due."""

    written: tuple[Written, ...] = ()
    skipped: tuple[OrderResult, ...] = ()
    failed: tuple[OrderResult, ...] = ()
    more: int = 0

    @property
    def to_send(self) -> list[UUID]:
        """Submissions that this run wrote down."""
        return [one.submission_id for one in self.written if one.submission_id is not None and one.new]

    def sent_for(self, account: str) -> list[UUID]:
        """The account's orders that these are for."""
        return [one.order_id for one in self.written if one.order_id is not None and one.new and one.predecessor.account == account]

    def with_more(self, other: "Plan") -> "Plan":
        """Both together."""
        return Plan(written=self.written + other.written, skipped=self.skipped + other.skipped, failed=self.failed + other.failed)


def plan_all(wish: RenewParameters, chosen: Chosen) -> Plan:
    """Decide about every order, in tasks of 100; by itself at most `max_orders` are renewed (RULES R6)."""
    request_id = wish.request_id or run_id() or str(uuid4())
    waiting = list(chosen.order_ids)
    done = Plan()
    while waiting:
        room = wish.max_orders - len(done.written) if wish.by_itself else len(waiting)
        if room <= 0:
            break
        some, waiting = waiting[:min(room, TOGETHER)], waiting[min(room, TOGETHER):]
        done = done.with_more(plan_some(wish, request_id, some))
        if len(chosen.order_ids) > TOGETHER:
            log().info("%s of %s orders looked at", f"{len(chosen.order_ids) - len(waiting):,}", f"{len(chosen.order_ids):,}")
    return replace(done, more=len(waiting))


@step
def plan_some(wish: RenewParameters, request_id: str, order_ids: Sequence[UUID]) -> Plan:
    """Decide about some orders. One that cannot be renewed stops no other. A dry run asks SCM nothing and writes nothing."""
    with open_services() as svc:
        facts = _facts(svc, wish, order_ids)
        plan = Plan()
        for account in sorted({one.order.account for one in facts.values()}):    # after a key compromise orders of others too
            mine = {id_: one for id_, one in facts.items() if one.order.account == account}
            with nullcontext() if wish.dry_run else svc.scm(account) as scm:
                plan = plan.with_more(_plan_of(svc, scm, wish, request_id, account, mine))
        return plan


def _plan_of(
    svc: Services, scm: ScmClient | None, wish: RenewParameters, request_id: str, account: str, facts: Mapping[UUID, RenewalFacts]
) -> Plan:
    asked = {id_: names_asked(one, wish) for id_, one in facts.items()}
    against = stand_against(svc, scm, account, facts, asked)
    answers, failed = each(
        lambda id_: _decide(svc, scm, wish, request_id, facts[id_], asked[id_], against[id_]), facts, at_once=svc.settings.scm_concurrency)
    return Plan(
        written=tuple(one for one in answers.values() if isinstance(one, Written)),
        skipped=tuple(one for one in answers.values() if isinstance(one, OrderResult)),
        failed=tuple(OrderResult(order_id=id_, ssl_id=facts[id_].order.ssl_id, reason=str(error)) for id_, error in failed.items()),
    )


def _facts(svc: Services, wish: RenewParameters, order_ids: Sequence[UUID]) -> dict[UUID, RenewalFacts]:
    with svc.store.reading() as session:
        rows = orders.by_ids(session, order_ids)
        issued = renewals.newest_certificates(session, order_ids)
        sent = {one.id: one for ones in submissions.of_orders(session, order_ids).values() for one in ones}
        follow = renewals.successors(session, order_ids)
    return {
        id_: RenewalFacts(
            order=rows[id_], certificate=issued.get(id_), successors=follow.get(id_, []), expiring_within=wish.expiring_within_days,
            submission=next((sent[one] for one in [issued[id_].submission_id if id_ in issued else None] if one in sent), None),
            reissue=next((one for one in sent.values() if one.order_id == id_ and one.kind == REISSUE and one.status in renewals.UNDER_WAY), None),
        )
        for id_ in order_ids if id_ in rows
    }


def _decide(
    svc: Services, scm: ScmClient | None, wish: RenewParameters, request_id: str, facts: RenewalFacts, asked: Names, against: Sequence[str]
) -> Written | OrderResult:
    """What is done about one order: written down, or left with the reason why. Without `scm` nothing is asked and written.

    Raises: InputError for an order named by hand that cannot be renewed, or whose names cannot be had; RejectedError when SCM refused
    the same request before.
    """
    order = facts.order
    if found := _under_way(svc, wish, request_id, facts):
        return found
    if why := _why_not(svc, wish, facts):
        if wish.by_itself:
            return OrderResult(order_id=order.id, ssl_id=order.ssl_id, reason=why)
        raise InputError(f"order {order.ssl_id or order.id} ({order.common_name}) is not {_done(wish)}: {why}")
    if against:
        raise InputError(f"order {order.ssl_id} ({order.common_name}) is not {_done(wish)}: {'; '.join(against)}", problems=tuple(against))
    if scm is None:
        return Written(action=wish.does, predecessor=order)
    if why := _why_not_at_scm(svc, scm, wish, facts):
        now = _facts(svc, wish, [order.id]).get(order.id, facts)
        if found := _under_way(svc, wish, request_id, now):    # what SCM shows already may be ours
            return found
        if wish.by_itself:
            return OrderResult(order_id=order.id, ssl_id=order.ssl_id, reason=why)
        raise InputError(f"order {order.ssl_id} ({order.common_name}) is not {_done(wish)}: {why}")
    csr = pki.read_csr(wish.csr) if wish.csr else None
    with svc.store.transaction() as session:
        renewals.one_after_the_other(session, order.id)
        if earlier := _earlier(session, wish, request_id, order):    # somebody was faster under the same id
            return earlier
        write = write_reissue if wish.does == REISSUE else write_renewal
        written = write(session, wish, request_id, facts, asked, csr, now=svc.clock())
        if wish.because_of_key_compromise and written.order_id is not None and facts.certificate is not None:
            once_live(session, order, facts.certificate, written.order_id, reason=wish.reason or BECAUSE, by=wish.requested_by, now=svc.clock())
        return written


def _under_way(svc: Services, wish: RenewParameters, request_id: str, facts: RenewalFacts) -> Written | None:
    """What an earlier request made, or what somebody else has under way for the same order (RULES E6). Raises: as `_earlier`."""
    with svc.store.reading() as session:
        if not wish.dry_run and (earlier := _earlier(session, wish, request_id, facts.order)):
            return earlier
    if wish.does == REISSUE:
        if (sent := facts.reissue) is None:
            return None
        if sent.wish.get("names_asked") != names_asked(facts, wish).texts or ((sent.own_csr or wish.csr) and sent.wish.get("csr") != wish.csr):
            raise InputError(
                f"order {facts.order.ssl_id} ({facts.order.common_name}) is being reissued already, with other names or another CSR: wait until it "
                "is delivered, then reissue it again"
            )
        return Written(action=wish.does, predecessor=facts.order, order_id=facts.order.id, submission_id=sent.id)
    if wish.by_itself or (successor := facts.open_successor) is None:
        return None
    if wish.because_of_key_compromise and not wish.dry_run and facts.certificate is not None:
        with svc.store.transaction() as session:
            once_live(
                session, facts.order, facts.certificate, successor.id, reason=wish.reason or BECAUSE, by=wish.requested_by, now=svc.clock())
    return Written(action=wish.does, predecessor=facts.order, order_id=successor.id)


def _earlier(session: Session, wish: RenewParameters, request_id: str, predecessor: CertificateOrder) -> Written | None:
    """What the first request under this id made of this order (RULES E6).

    Raises: InputError when it was asked with other parameters; RejectedError when SCM refused it.
    """
    found = submissions.by_request(session, predecessor.account, request_id, scope=str(predecessor.id))
    if found is None:
        return None
    if {name: value for name, value in found.wish.items() if name in wish.wish()} != wish.wish():
        raise InputError(f"request_id {request_id!r} was used before with other parameters: give a new one to ask for something else")
    if found.status == SubmissionStatus.REFUSED:
        raise RejectedError(f"SCM refused this request before: {found.error}; a new request_id asks anew")
    return Written(
        action=wish.does, predecessor=predecessor, order_id=found.order_id, submission_id=found.id, new=found.status == SubmissionStatus.PLANNED,
    )


def _why_not(svc: Services, wish: RenewParameters, facts: RenewalFacts) -> str | None:
    """What our own books hold against it; `live/` is read last, and only for what goes by itself (RULES R1)."""
    now = svc.clock()
    if not wish.by_itself:
        return why_not(facts, now, reasons=REISSUE_BY_HAND if wish.does == REISSUE else RENEW_BY_HAND) or _no_key_to_reuse(wish, facts)
    *first, last = RENEW_BY_ITSELF
    if why := why_not(facts, now, reasons=first):
        return why
    entry = svc.vault.read(f"live/{facts.order.live_name}")
    served = entry.data if entry and entry.data.get("status") != "revoked" else {}
    return last(facts.serving(str(served.get("sha256") or "")), now)


def _no_key_to_reuse(wish: RenewParameters, facts: RenewalFacts) -> str | None:
    if wish.reuse_key and (facts.submission is None or facts.submission.own_csr):
        return "its key is not in our Vault, so it cannot be used again: renew with a new key, or with a csr"
    return None


def _why_not_at_scm(svc: Services, scm: ScmClient, wish: RenewParameters, facts: RenewalFacts) -> str | None:
    """What SCM's details hold against it, read just before sending (RULES R1)."""
    order = facts.order
    assert order.ssl_id is not None  # noqa: S101 - what is issued has a number
    record = scm.details(order.ssl_id)
    with svc.store.transaction() as session:
        asking.keep(session, svc, order.account, record)
        newest = next(iter(certificates.of_order(session, order.id)), None)
        bad = wish.csr and revocations.compromised(session, [pki.read_csr(wish.csr).public_key_sha256])
    if bad:
        return "the key of the csr was reported as compromised and is never used (RULES K5): make a new one"
    known = newest.serial_number if newest else order.serial_number
    return why_not_at_scm(record, known_serial_number=known, own_successors=facts.successors, reissue=wish.does == REISSUE)


def _done(wish: RenewParameters) -> str:
    return "reissued" if wish.does == REISSUE else "renewed"

