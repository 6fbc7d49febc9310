"""Give lost orders back what SCM does not hold: their keys, ids, live names and predecessors, out of Vault (RULES K6).

For a database that was lost or is older than Vault. Nothing is written to Vault, keys that fit nothing stay where they are, and every
part may be killed and done again: what is attached is no longer missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from models.delivery import HOLD, NEVER, Asked, IssuedFacts, findings
from models.errors import InputError
from models.orders import ENROLL, IMPORTED, ORDERED, REISSUE, RENEW, AccountState, Certificate, CertificateOrder, Submission
from models.rebuilding import LostKey, kind_of, ours_by_marker, owner
from models.status import OPEN_AT_SCM, OrderStatus, SubmissionStatus
from tasks import lives
from tasks.adapters import pki
from tasks.adapters.store import Session, orders, rebuilding, submissions
from tasks.adapters.store.reference import account_state
from tasks.retry import step
from tasks.runs import counted, log, this_run
from tasks.services import Services, open_services

BATCH = 200
"""Keys that are read together and attached in one transaction."""

LATEST = timedelta(days=1)
"""An order is requested at most so long after its key was seen in Vault, by SCM's clock and its dates without a time."""


@dataclass(frozen=True, kw_only=True)
class Attached:
    """How many orders got a key or a live name back; what could not be decided, as sentences; how the sentences begin in which a fetch
    complained of certificates whose key was found here."""

    orders: int = 0
    said: tuple[str, ...] = ()
    rescued: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For a sentence that goes on."""
        return f"{counted(self.orders, 'order')} attached to keys or live names in Vault, " if self.orders else ""

    def unsolved(self, complaints: Iterable[str]) -> list[str]:
        """A fetch's complaints, without those."""
        return [text for text in complaints if not text.startswith(self.rescued)]


@dataclass(kw_only=True)
class Found:
    """What one look at Vault has attached so far, by SCM's ids. `first`: see `models.rebuilding.enrolled_as`."""

    first: Mapping[UUID, int]
    ssl_ids: set[int | None] = field(default_factory=set)
    rescued: set[str] = field(default_factory=set)


@step
def attach(account: str) -> Attached:
    """Attach keys and live entries in Vault that no order of ours holds to the account's orders.

    Costs two lists in Vault when nothing is missing, none when each order is explained. Entries that fit nothing are read again only when
    others have come, or orders or certificates from the time when they were first seen.
    """
    with open_services() as svc:
        with svc.store.reading() as session:
            begun = (_remembered(session, account) or {"done": True})["done"] is False
            if not (begun or rebuilding.anything_missing(session, account)):
                return Attached()
        live_names = svc.vault.list("live")
        keys, names = _unknown_keys(svc), _free(svc, live_names)
        looked = _worth_a_look(svc, account, keys, names)
        if looked is None:
            return Attached()
        log().info("Vault holds %s keys and %s live entries that no order here explains: looking for theirs", len(keys), len(names))
        with svc.store.reading() as session:
            found = Found(first=rebuilding.first_bearers(session, account))
        # An order's own key last: the key of its reissue, or its live entry, proves that it is ours.
        _attach_keys(svc, account, [one for one in keys if one not in found.first], found)
        _attach_keys(svc, account, [one for one in keys if one in found.first], found)
        _attach_known_keys(svc, account, found)
        found.ssl_ids |= lives.attach_live(svc, account, names, found.first)
        _attach_keys(svc, account, [one for one in _unknown_keys(svc, keys) if found.first.get(one) in found.ssl_ids], found)
        said = lives.finish_lines(svc, account, frozenset(live_names), found.first)
        for text in said:
            log().warning(text)
        left = _digest(_unknown_keys(svc, keys), _free(svc, live_names))
        _remember(svc, account, looked | {"left": left})
        return Attached(orders=len(found.ssl_ids), said=said, rescued=tuple(found.rescued))


def attach_late(account: str) -> Attached:
    """The same for a poll: only after an import has found keys that fitted nothing yet, and when certificates have come since."""
    with open_services() as svc, svc.store.reading() as session:
        looked = _remembered(session, account)
        if looked is None or (looked["done"] and rebuilding.counts(session, account, datetime.fromisoformat(looked["until"])) == looked["counts"]):
            return Attached()
    return attach(account)


def _remembered(session: Session, account: str) -> dict[str, Any] | None:
    state = session.get(AccountState, account)
    return rebuilding.remembered(state.import_resume) if state else None


def _unknown_keys(svc: Services, among: Sequence[UUID] | None = None) -> list[UUID]:
    """Keys in Vault, or of these, that no submission of ours has."""
    names = [id_ for name in svc.vault.list("keys") if (id_ := lives.as_uuid(name))] if among is None else among
    unknown: list[UUID] = []
    with svc.store.reading() as session:
        for start in range(0, len(names), rebuilding.MANY):
            some = names[start:start + rebuilding.MANY]
            known = submissions.statuses(session, some)
            unknown += [id_ for id_ in some if id_ not in known]
    return unknown


def _free(svc: Services, live_names: Sequence[str]) -> list[str]:
    with svc.store.reading() as session:
        held = rebuilding.held_names(session, live_names)
    return [name for name in live_names if name not in held]


def _worth_a_look(svc: Services, account: str, keys: Sequence[UUID], names: Sequence[str]) -> dict[str, Any] | None:
    """What is remembered of this look, None when the last one saw the same: then nothing could fit that did not fit before."""
    left = _digest(keys, names)
    with svc.store.transaction() as session:
        state = account_state(session, account)
        before = rebuilding.remembered(state.import_resume)
        if before is None and not (keys or names):
            return None
        until = before["until"] if before is not None and before["left"] == left else (svc.clock() + LATEST).isoformat()
        looked = {"left": left, "until": until, "counts": rebuilding.counts(session, account, datetime.fromisoformat(until)), "done": True}
        if before == looked:
            return None
        state.import_resume = rebuilding.remember(state.import_resume, looked | {"done": False})
    return looked


def _remember(svc: Services, account: str, looked: Mapping[str, Any]) -> None:
    with svc.store.transaction() as session:
        state = account_state(session, account)
        state.import_resume = rebuilding.remember(state.import_resume, looked)


def _digest(keys: Iterable[UUID], names: Iterable[str]) -> str:
    told = sha256()
    for one in (*sorted(str(key) for key in keys), *sorted(names)):
        told.update(one.encode() + b"\n")
    return told.hexdigest()


def _read(svc: Services, id_: UUID) -> LostKey | None:
    """A key's CSR. One that cannot be read belongs to nothing that SCM took."""
    entry = svc.vault.read(f"keys/{id_}")
    try:
        facts = pki.read_csr(str(entry.data.get("csr"))) if entry else None
    except InputError as error:
        log().warning("keys/%s in Vault is not usable: %s", id_, error)
        return None
    return None if facts is None else LostKey(
        id=id_, csr=facts.pem, public_key_sha256=facts.public_key_sha256, common_name=facts.common_name, names=facts.names,
        algorithm=facts.algorithm, size=facts.size,
    )


def _attach_keys(svc: Services, account: str, ids: Sequence[UUID], found: Found) -> None:
    with ThreadPoolExecutor(svc.settings.scm_concurrency) as pool:
        for start in range(0, len(ids), BATCH):
            read = pool.map(partial(_read, svc), ids[start:start + BATCH])
            _attach_batch(svc, account, {one.id: one for one in read if one is not None}, found)


def _attach_batch(svc: Services, account: str, keys: Mapping[UUID, LostKey], found: Found) -> None:
    """Each key to the order whose certificate has its public key, else to the order that was sent under its marker."""
    with svc.store.transaction() as session:
        rebuilding.one_at_a_time(session, account)
        known = submissions.statuses(session, keys)    # another import may be faster
        issued = rebuilding.with_public_key(session, account, [key.public_key_sha256 for key in keys.values()])
        marked = orders.by_ssl_ids(session, account, [found.first[id_] for id_ in keys if id_ in found.first])
        for key in keys.values():
            if key.id in known:
                continue
            pairs = [(row, one) for row, one in issued.get(key.public_key_sha256, []) if one.submission_id is None]
            row = owner(key.id, [row for row, _ in pairs], found.first)
            if row is None:
                row = marked.get(found.first.get(key.id, 0))
                if row is None or not ours_by_marker(key, row, found.first):
                    continue
            sent = _submission(session, row, key, found.first, now=svc.clock())
            for certificate in (one for order, one in pairs if order.id == row.id):
                _belongs(certificate, sent, row, key, now=svc.clock())
                if certificate.never_deliver:    # the fetch held it for a wrong key, and the next one looks again
                    found.rescued.add(f"order {row.ssl_id} ({row.common_name}) ")
            orders.record_event(session, row.id, "attached", f"key keys/{key.id} ({sent.kind})", now=svc.clock(), run=this_run())
            found.ssl_ids.add(row.ssl_id)


def _submission(session: Session, row: CertificateOrder, key: LostKey, first: Mapping[UUID, int], *, now: datetime) -> Submission:
    """The submission that the key was made for, in a row again, and its order as one of ours."""
    before = submissions.of_order(session, row.id)
    kind = kind_of(key.id, row, first, sent_before=bool(before))
    names = tuple(dict.fromkeys(name for name in (key.common_name, *key.names) if name))
    waits = row.status in OPEN_AT_SCM or row.status == OrderStatus.ISSUED
    sent = Submission(
        id=key.id, account=row.account, order_id=row.id, kind=kind, csr=key.csr, public_key_sha256=key.public_key_sha256,
        status=SubmissionStatus.SUBMITTED if waits and not (kind == ENROLL and before) else SubmissionStatus.DONE, request_id=str(key.id),
        names=list(names) if kind == REISSUE else [], attempts=1, submitted_at=row.requested_at,
        created_at=row.requested_at or now if kind == ENROLL else now,
    )
    session.add(sent)
    if kind != ENROLL or not before:    # the names and the key of a reissue are those that count
        row.key_algorithm, row.key_size, row.subject_alternative_names = key.algorithm, key.size, list(names)
        row.common_name = key.common_name or row.common_name
    row.origin, row.changed_at = ORDERED, now
    session.flush()
    return sent


def _belongs(certificate: Certificate, sent: Submission, row: CertificateOrder, key: LostKey, *, now: datetime) -> None:
    """The certificate is compared with what was asked for, as if it had just come (RULES D3)."""
    certificate.submission_id = sent.id
    if certificate.never_deliver or certificate.delivered_at is not None:
        return
    facts = IssuedFacts(
        names=tuple(certificate.names), not_before=certificate.not_before, not_after=certificate.not_after, issuer=certificate.issuer,
        public_key_sha256=certificate.public_key_sha256, extended_key_usages=tuple(certificate.extended_key_usage),
    )
    term = None if sent.kind == REISSUE else row.term_days
    asked = Asked(names=tuple(row.subject_alternative_names), term_days=term, public_key_sha256=key.public_key_sha256)
    found = findings(certificate=facts, asked=asked, now=now)
    certificate.held_because = "; ".join(one.text for one in found if one.kind == HOLD) or None
    certificate.flags = [one.text for one in found if one.kind not in {HOLD, NEVER}]
    row.waiting_because = certificate.held_because


def _attach_known_keys(svc: Services, account: str, found: Found) -> None:
    """Certificates for a key that is another order's already: it was used again at a renewal, or a marker alone had put it there."""
    with svc.store.transaction() as session:
        rebuilding.one_at_a_time(session, account)
        for certificate_id, submission_id in rebuilding.with_known_key(session, account):
            certificate, sent = session.get_one(Certificate, certificate_id), submissions.submission(session, submission_id)
            row, other = orders.order(session, certificate.order_id), orders.order(session, sent.order_id)
            if certificate.submission_id is not None:
                continue
            if row.id != other.id and rebuilding.proved(session, other.id):
                sent = _reuse(session, row, sent, now=svc.clock())
            elif row.id != other.id:
                sent.order_id = row.id
                session.flush()
                if not submissions.of_order(session, other.id):
                    other.origin, other.live_name = IMPORTED, None
            certificate.submission_id, row.origin = sent.id, ORDERED
            orders.record_event(session, row.id, "attached", f"key keys/{sent.reuse_of or sent.id} ({sent.kind})", now=svc.clock(), run=this_run())
            found.ssl_ids.add(row.ssl_id)


def _reuse(session: Session, row: CertificateOrder, of: Submission, *, now: datetime) -> Submission:
    again = uuid5(of.id, f"{row.account}/{row.ssl_id}")
    sent = session.get(Submission, again) or Submission(
        id=again, account=row.account, order_id=row.id, kind=RENEW, status=SubmissionStatus.DONE, csr=of.csr, own_csr=of.own_csr,
        public_key_sha256=of.public_key_sha256, request_id=str(again), reuse_of=of.id, attempts=1, submitted_at=row.requested_at, created_at=now,
    )
    session.add(sent)
    session.flush()
    return sent
