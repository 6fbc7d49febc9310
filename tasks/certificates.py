"""Fetch issued certificates into the repository, compare each with its order, mind the licence limit (RULES D3, D4, K6)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

from models.delivery import HOLD, NEVER, Asked, Finding, IssuedFacts, findings
from models.errors import BadCertificateError, CertflowError, LoginError, NotReadyError
from models.orders import ORDERED, Certificate, CertificateOrder, Submission
from tasks.adapters import pki
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import certificates, orders, submissions
from tasks.retry import step
from tasks.runs import log, this_run
from tasks.services import Services, open_services

BATCH = 200


@dataclass(kw_only=True)
class Fetched:
    """What a fetch brought: certificates stored, orders that wait, a sentence for each that failed."""

    fetched: int = 0
    waiting: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Fetched") -> None:
        self.fetched += other.fetched
        self.waiting += other.waiting
        self.failed += other.failed


def fetch_all(account: str, order_ids: Sequence[UUID] | None = None) -> Fetched:
    """Fetch the certificates of all issued orders that lack them, batch by batch; nothing is fetched twice."""
    total = Fetched()
    after = 0
    while True:
        batch, after = fetch(account, after, order_ids)
        total.add(batch)
        if not after:
            return total
        log().info("certificates: %s fetched, %s wait, %s failed so far", f"{total.fetched:,}", f"{total.waiting:,}", len(total.failed))


@step
def fetch(account: str, after: int = 0, order_ids: Sequence[UUID] | None = None) -> tuple[Fetched, int]:
    """Fetch one batch of issued orders above the sslId `after`; the last sslId of the batch, 0 when nothing is left.

    While the licence limit leaves no room, orders wait without a call. One certificate that fails stops no other.
    """
    with open_services() as svc:
        with svc.store.reading() as session:
            rows = certificates.not_fetched(session, account, after=after, most=BATCH, order_ids=order_ids)
            room = _room(svc, len(rows))
        if not rows:
            return Fetched(), 0
        result = Fetched()
        allowed, waiting = _within(svc, rows, room)
        _mark_waiting(svc, waiting, f"waits for a licence: the limit of {svc.settings.certificate_limit} certificates is reached", result)
        if allowed:
            with svc.scm(account) as scm, ThreadPoolExecutor(svc.settings.scm_concurrency) as pool:
                answers = list(pool.map(lambda row: _collected(scm, row), allowed))
            for row, answer in zip(allowed, answers, strict=True):
                _take(svc, row, answer, result)
        last = rows[-1].ssl_id
        return result, last if last is not None and len(rows) == BATCH else 0


def _room(svc: Services, wanted: int) -> int:
    if svc.settings.certificate_limit is None:
        return wanted
    with svc.store.reading() as session:
        return max(0, svc.settings.certificate_limit - certificates.licences_used(session, now=svc.clock()))


def _within(svc: Services, rows: list[CertificateOrder], room: int) -> tuple[list[CertificateOrder], list[CertificateOrder]]:
    """Who may be fetched: successors and reissues always, since they take a place that is counted (RULES D4); others while there is room."""
    allowed: list[CertificateOrder] = []
    waiting: list[CertificateOrder] = []
    with svc.store.reading() as session:
        for row in rows:
            if svc.settings.certificate_limit is None or certificates.takes_a_place(session, row.id, now=svc.clock()):
                allowed.append(row)
            elif room > 0:
                room -= 1
                allowed.append(row)
            else:
                waiting.append(row)
    return allowed, waiting


def _collected(scm: ScmClient, row: CertificateOrder) -> bytes | CertflowError:
    assert row.ssl_id is not None  # noqa: S101 - the query says so
    try:
        return scm.collect(row.ssl_id)
    except CertflowError as error:
        return error


def _take(svc: Services, row: CertificateOrder, answer: bytes | CertflowError, result: Fetched) -> None:
    """Store one answer of SCM, or say why there is nothing to store."""
    if isinstance(answer, LoginError):
        raise answer
    if isinstance(answer, NotReadyError):
        _mark_waiting(svc, [row], f"SCM has issued it but does not hand it out yet ({answer})", result)
        return
    if isinstance(answer, CertflowError):
        result.failed.append(f"order {row.ssl_id} ({row.common_name}): {answer}")
        return
    try:
        new, found = _checked(svc, row, answer)
    except BadCertificateError as error:
        _mark_waiting(svc, [row], f"not usable: {error}", None)
        result.failed.append(f"order {row.ssl_id} ({row.common_name}): {error}")
        return
    now = svc.clock()
    with svc.store.transaction() as session:
        known = {one.sha256 for one in certificates.of_order(session, row.id)}
        if not certificates.add(session, new, limit=svc.settings.certificate_limit, now=now):
            orders.mark_waiting(session, row.id, f"waits for a licence: the limit of {svc.settings.certificate_limit} certificates is reached")
            result.waiting += 1
            return
        orders.mark_waiting(session, row.id, new.held_because)
        current = orders.order(session, row.id)
        current.serial_number = new.serial_number
        current.issued_at, current.expires_at = current.issued_at or new.not_before, current.expires_at or new.not_after
        if new.sha256 not in known:
            said = "; ".join(one.text for one in found)
            orders.record_event(session, row.id, "fetched", f"serial {new.serial_number}" + (f"; {said}" if said else ""), now=now, run=this_run())
            result.fetched += 1
    for one in found:
        log().warning("order %s (%s): %s", row.ssl_id, row.common_name, one.text)
    if new.never_deliver:
        result.failed.append(f"order {row.ssl_id} ({row.common_name}) is not delivered: {new.held_because}")


def _checked(svc: Services, row: CertificateOrder, answer: bytes) -> tuple[Certificate, tuple[Finding, ...]]:
    """The certificate as we store it, compared with what was asked (RULES D3). Raises: BadCertificateError."""
    with svc.store.reading() as session:
        ours = [one for one in submissions.of_order(session, row.id) if one.public_key_sha256][::-1]
    issued, owner = _with_our_key(answer, ours)
    wanted = ours[0].public_key_sha256 if ours else None
    facts = IssuedFacts(
        names=issued.names, not_before=issued.not_before, not_after=issued.not_after, public_key_sha256=issued.public_key_sha256,
        issuer=issued.issuer, extended_key_usages=issued.extended_key_usages,
    )
    asked = Asked(
        names=tuple(row.subject_alternative_names), term_days=row.term_days, public_key_sha256=owner.public_key_sha256 if owner else wanted,
    )
    found = findings(certificate=facts, asked=asked, now=svc.clock()) if row.origin == ORDERED else ()
    never = owner is None and wanted is not None
    held = "; ".join(one.text for one in found if one.kind == HOLD or (one.kind == NEVER and never))
    return Certificate(
        order_id=row.id, submission_id=owner.id if owner else None, serial_number=issued.serial_number, sha256=issued.sha256,
        public_key_sha256=issued.public_key_sha256, names=list(issued.names), issuer=issued.issuer, key_algorithm=issued.key_algorithm,
        key_size=str(issued.key_size), extended_key_usage=list(issued.extended_key_usages), not_before=issued.not_before,
        not_after=issued.not_after, pem=issued.pem, chain_pem=issued.chain_pem, fetched_at=svc.clock(), held_because=held or None,
        never_deliver=never, flags=[one.text for one in found if one.kind not in {HOLD, NEVER}],
    ), found


def _with_our_key(answer: bytes, ours: list[Submission]) -> tuple[pki.IssuedCertificate, Submission | None]:
    """The certificate for the newest of our keys that it fits; for nobody's key of ours, the leaf that SCM sent, so that its serial is known."""
    wrong: BadCertificateError | None = None
    for one in ours:
        try:
            return pki.assemble(answer, one.public_key_sha256), one
        except BadCertificateError as error:
            wrong = wrong or error
    try:
        return pki.assemble(answer, None), None
    except BadCertificateError as error:
        raise wrong or error from None


def _mark_waiting(svc: Services, rows: Sequence[CertificateOrder], because: str, result: Fetched | None) -> None:
    with svc.store.transaction() as session:
        for row in rows:
            orders.mark_waiting(session, row.id, because)
    if result is not None:
        result.waiting += len(rows)
