"""What the live entries in Vault tell of orders that our database has lost: id, live name, keystore, line (RULES K6). Never written here."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

from models.errors import BadCertificateError
from models.marker import marked_by, without_marker
from models.names import live_name
from models.orders import ENROLL, ORDERED, RENEW, CertificateOrder, Submission
from models.rebuilding import Served, alike, enrolled_as, predecessor_of, took_over
from models.status import LIVING, SubmissionStatus
from tasks.adapters import pki
from tasks.adapters.store import Session, orders, rebuilding, submissions
from tasks.adapters.store import certificates as repository
from tasks.adapters.vault import VersionState
from tasks.runs import this_run
from tasks.services import Services

T = TypeVar("T")

BATCH = 200
"""Entries or orders in one transaction."""


def attach_live(svc: Services, account: str, names: Sequence[str], first: Mapping[UUID, int]) -> set[int | None]:
    """Give the orders of these live entries, and of those beside an order without a live name, what the entries tell; SCM's ids of those
    that got a live name back."""
    with svc.store.reading() as session:
        wanted = [*names, *sorted(rebuilding.names_beside(session, account) - {*names})]
    touched: set[int | None] = set()
    with ThreadPoolExecutor(svc.settings.scm_concurrency) as pool:
        for some in _batches(wanted):
            read = list(zip(some, pool.map(partial(_versions, svc, account), some), strict=True))
            with svc.store.transaction() as session:
                rebuilding.one_at_a_time(session, account)
                for name, versions in read:
                    if versions:
                        touched |= _take(svc, session, account, name, versions, first)
    return touched


def _versions(svc: Services, account: str, name: str) -> list[Served]:
    """What an entry of the account serves and served, the oldest first; nothing for an entry of another account."""
    path = f"live/{name}"
    newest = svc.vault.read(path)
    if newest is None or newest.data.get("account") != account:
        return []
    older = [number for number, state in svc.vault.versions(path).items() if state is VersionState.KEPT and number < newest.version]
    read = [svc.vault.read_version(path, number) for number in older]
    return [_served(entry.data, entry.version) for entry in [*read, newest] if entry is not None and entry.data.get("account") == account]


def _served(data: Mapping[str, Any], version: int) -> Served:
    return Served(
        version=version, order=as_uuid(data.get("order")), sha256=str(data.get("sha256") or ""), public_key_sha256=_public_key(data),
        serial_number=str(data.get("serial_number") or ""), keystore_type=str(data.get("keystore_type") or "") or None,
        has_key=bool(data.get("private_key")), status=str(data.get("status") or ""),
    )


def _public_key(data: Mapping[str, Any]) -> str | None:
    try:
        return pki.public_key_sha256(pki.read_certificates(str(data.get("certificate")).encode())[0])
    except BadCertificateError:
        return None


def _take(
    svc: Services, session: Session, account: str, name: str, versions: Sequence[Served], first: Mapping[UUID, int]
) -> set[int | None]:
    """The orders that the versions of one entry were written for, each the successor of the one before where that is certain."""
    orders.one_after_the_other(session, name)
    touched: set[int | None] = set()
    if any(holder.account != account for holder in orders.holder_of(session, name)):
        return touched
    before: CertificateOrder | None = None
    for served in versions:
        known = rebuilding.issued_as(session, account, served)
        if known is None or known[0].live_name not in {None, name}:
            continue
        row, certificate = known
        if row.live_name is None:
            if served.order is not None:
                row = rebuilding.take_id(session, row, served.order)
            row.live_name, row.keystore_type, row.origin = name, served.keystore_type, ORDERED
            if served is versions[-1] and served.status == "issued" and not served.has_key and not submissions.of_order(session, row.id):
                _own_csr(svc, session, row, served.public_key_sha256, first)
            if before is not None and row.predecessor_id is None and took_over(row, before, renewal=_renews(session, row, first)):
                row.predecessor_id = before.id
            orders.record_event(session, row.id, "attached", f"live/{name}, version {served.version}", now=svc.clock(), run=this_run())
            touched.add(row.ssl_id)
        if certificate is not None and certificate.delivered_at is None:
            certificate = repository.certificate(session, certificate.id)
            assert certificate is not None  # noqa: S101 - it was there a moment ago, in the same transaction
            repository.delivered(session, certificate.id, version=served.version, now=svc.clock())
            repository.accept(session, certificate.id)    # whoever delivered it had compared it
            row.waiting_because = None
            if certificate.submission_id:
                submissions.finish(session, certificate.submission_id)
        before = row
    return touched


def _own_csr(svc: Services, session: Session, row: CertificateOrder, public_key_sha256: str | None, first: Mapping[UUID, int]) -> None:
    """The customer brought the CSR (RULES K2): there is no key, and the CSR itself is lost."""
    own = enrolled_as(row, first)
    id_ = own if own is not None and session.get(Submission, own) is None else uuid4()
    session.add(Submission(
        id=id_, account=row.account, order_id=row.id, kind=ENROLL if own else RENEW, status=SubmissionStatus.DONE, own_csr=True,
        public_key_sha256=public_key_sha256, request_id=str(id_), attempts=1, submitted_at=row.requested_at,
        created_at=row.requested_at or svc.clock(),
    ))
    session.flush()


def _renews(session: Session, row: CertificateOrder, first: Mapping[UUID, int]) -> bool:
    kinds = {one.kind for one in submissions.of_order(session, row.id)}
    return RENEW in kinds or (ENROLL not in kinds and enrolled_as(row, first) is None)


def finish_lines(svc: Services, account: str, live_names: Collection[str], first: Mapping[UUID, int]) -> tuple[str, ...]:
    """Predecessors and live names that no entry told: of orders that were never delivered. Sentences about those that stay without."""
    with svc.store.reading() as session:
        waiting = rebuilding.unfinished(session, account)
    for some in _batches(waiting):    # the oldest first: each finds the one before it linked already
        with svc.store.transaction() as session:
            for id_ in some:
                _link(session, orders.order(session, id_), first)
    said: list[str] = []
    for some in _batches(waiting):
        with svc.store.transaction() as session:
            rebuilding.one_at_a_time(session, account)
            said += [text for id_ in some if (text := _finish(session, orders.order(session, id_), live_names))]
    return tuple(said)


def _finish(session: Session, row: CertificateOrder, live_names: Collection[str]) -> str:
    """The order's live name, and the user's own comments; why it stays without a live name."""
    row.comments = without_marker(row.comments)
    if row.live_name is not None or row.status not in LIVING or not (why := _name(session, row, live_names)):
        return ""
    row.waiting_because = f"its key is in Vault, but {why}: nothing is delivered for it; order anew for the live name that lacks it"
    return f"order {row.ssl_id} ({row.common_name}) is ours again: {row.waiting_because}"


def _link(session: Session, row: CertificateOrder, first: Mapping[UUID, int]) -> None:
    if row.predecessor_id is not None or not _renews(session, row, first):
        return
    mark = marked_by(row.comments)
    line = rebuilding.line_of(session, row.account, first[mark]) if mark is not None and mark in first else []
    found = predecessor_of(row, line) or predecessor_of(row, alike(row, rebuilding.of_name(session, row.account, row.common_name)))
    row.predecessor_id = found.id if found else None


def _name(session: Session, row: CertificateOrder, live_names: Collection[str]) -> str:
    """Give a living order that was never delivered its live name: its predecessor's, else the default one, if nobody holds that. Why not, else."""
    sent = submissions.of_order(session, row.id)
    if rebuilding.has_successor(session, row.id):
        return ""
    if all(one.reuse_of is not None for one in sent):    # anybody at SCM can order with a CSR of ours; its key alone proves too little
        return "it uses the key of another order again"
    if row.predecessor_id is not None:
        before = orders.order(session, row.predecessor_id)
        if before.live_name is not None:
            row.live_name, row.keystore_type, row.keystore_password_path = before.live_name, before.keystore_type, before.keystore_password_path
            return ""
    name = live_name(row.common_name)
    orders.one_after_the_other(session, name)
    holders = orders.holder_of(session, name)
    if any(one.kind == RENEW for one in sent):
        return "which order it renews is not known"
    if any(holder.status in LIVING for holder in holders) or (name in live_names and not holders):
        return f"live/{name} is another's"
    row.live_name = name
    return ""


def _batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), BATCH):
        yield values[start:start + BATCH]


def as_uuid(text: object) -> UUID | None:
    """The text as the UUID that it is."""
    try:
        return UUID(str(text))
    except ValueError:
        return None
