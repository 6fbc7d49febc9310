"""Decisions of (facts, now), without I/O. Each answers why or why not, in words that can be shown."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from models.orders import Certificate, CertificateOrder, Submission
from models.parameters import KEY_SIZES
from models.records import OrderRecord
from models.status import LIVING, OPEN, REFUSED_AT_SCM, OrderStatus, order_status

THIRD = 1 / 3
SHORT_LIFE = timedelta(days=10)
"""Certificates that live so long or shorter are renewed when half of it is left (RULES R2)."""

SPREAD = 0.1
"""The share of what is left by which a renewal may come later, so that orders of one day are not renewed on one day."""

_RENEWED_ELSEWHERE = frozenset({"acme", "scep", "est", "msagent", "discovery", "imported", "import"})
"""`requestedVia` of certificates that something else renews (RULES R1), without case, blanks and `_`."""


def renewal_day(not_before: datetime, not_after: datetime, *, share_left: float = THIRD, jitter: float = 0.0) -> datetime:
    """From when on a certificate must be renewed: a third of its lifetime is left, half when it lives 10 days or less (RULES R2).

    `jitter` from 0 to 1 moves it later, by at most a tenth of what is left then.
    """
    lifetime = not_after - not_before
    left = lifetime / 2 if lifetime <= SHORT_LIFE else timedelta(days=round(lifetime * share_left / timedelta(days=1)))
    return not_after - left * (1 - SPREAD * jitter)


def jitter_of(order_id: UUID) -> float:
    """From 0 to 1, always the same for an order."""
    return (order_id.int % 1009) / 1008


def renewal_from(order_id: UUID, not_before: datetime, not_after: datetime) -> datetime:
    """From when on Certflow renews the order whose certificate is this, by itself (RULES R2).

    `certificate_order` keeps it: who changes this changes the rows too, by a migration.
    """
    return renewal_day(not_before, not_after, jitter=jitter_of(order_id))


def due(certificate: Certificate, now: datetime, *, share_left: float = THIRD, jitter: float = 0.0) -> str | None:
    """Why the certificate must be renewed now, or None (RULES R2)."""
    if now < renewal_day(certificate.not_before, certificate.not_after, share_left=share_left, jitter=jitter):
        return None
    left = certificate.not_after - now
    return f"ended on {certificate.not_after:%Y-%m-%d}" if left <= timedelta(0) else f"ends on {certificate.not_after:%Y-%m-%d}, in {left.days} days"


@dataclass(frozen=True, kw_only=True, slots=True)
class RenewalFacts:
    """What decides about the renewal or the reissue of one order.

    `certificate` is the newest that may be delivered, `submission` the one whose key it carries. `served_sha256` is what `live/` serves
    under the order's live name. `successors` are the orders that renew it, `reissue` is one under way. `expiring_within` widens what is due (days).
    """

    order: CertificateOrder
    certificate: Certificate | None = None
    submission: Submission | None = None
    served_sha256: str | None = None
    successors: Sequence[CertificateOrder] = ()
    reissue: Submission | None = None
    expiring_within: int | None = None

    def serving(self, sha256: str) -> "RenewalFacts":
        """The same, knowing what `live/` serves."""
        return replace(self, served_sha256=sha256)

    @property
    def open_successor(self) -> CertificateOrder | None:
        """The renewal that is under way (RULES E5, E6)."""
        return next((one for one in self.successors if one.status in OPEN), None)


Reason: TypeAlias = Callable[[RenewalFacts, datetime], str | None]


def why_not(facts: RenewalFacts, now: datetime, *, reasons: Sequence[Reason]) -> str | None:
    """The first reason that stands against it, or None."""
    return next((why for reason in reasons if (why := reason(facts, now))), None)


def not_issued(facts: RenewalFacts, _now: datetime) -> str | None:
    status = facts.order.status
    if status == OrderStatus.ISSUED:
        return None
    if status in OPEN:
        return f"it is {status}: it is not issued yet"
    return f"it is {status}: order a new certificate with order-certificate"


def renews_by_another_way(facts: RenewalFacts, _now: datetime) -> str | None:
    via = facts.order.requested_via or ""
    word = "".join(letter for letter in via.lower() if letter not in " _-")
    return f"it was requested by {via}: whoever made it renews it" if word in _RENEWED_ELSEWHERE else None


def key_is_not_ours(facts: RenewalFacts, _now: datetime) -> str | None:
    if facts.submission is None:
        return "its key is not in our Vault: name it by hand, and its successor gets a key of ours"
    if facts.submission.own_csr:
        return "its key is not in our Vault, since it was ordered with a CSR of the customer: renew it by hand with a new csr"
    return None


def not_served(facts: RenewalFacts, _now: datetime) -> str | None:
    if facts.certificate is not None and facts.served_sha256 == facts.certificate.sha256:
        return None
    return f"live/{facts.order.live_name} does not serve it" if facts.order.live_name else "it has no live name: nobody reads it from Vault"


def being_renewed(facts: RenewalFacts, _now: datetime) -> str | None:
    one = facts.open_successor
    return f"it is being renewed already, as order {one.ssl_id or one.id} ({one.status})" if one else None


def being_reissued(facts: RenewalFacts, _now: datetime) -> str | None:
    return "it is being reissued: wait until that is delivered" if facts.reissue else None


def was_renewed(facts: RenewalFacts, _now: datetime) -> str | None:
    one = next((one for one in facts.successors if one.status == OrderStatus.ISSUED), None)
    return f"it was renewed already: order {one.ssl_id or one.id} is its successor" if one else None


def renewal_was_refused(facts: RenewalFacts, _now: datetime) -> str | None:
    one = next((one for one in facts.successors if one.status in REFUSED_AT_SCM), None)
    return f"its renewal, order {one.ssl_id}, was {one.status} at SCM: mend the cause there, then renew it by hand" if one else None


def not_due_yet(facts: RenewalFacts, now: datetime) -> str | None:
    certificate = facts.certificate
    if certificate is None:
        return "its certificate is not in the repository"
    if facts.expiring_within is not None:
        return None if certificate.not_after - now <= timedelta(days=facts.expiring_within) else f"it ends on {certificate.not_after:%Y-%m-%d}"
    if due(certificate, now, jitter=jitter_of(facts.order.id)):
        return None
    return f"it is not due before {renewal_from(facts.order.id, certificate.not_before, certificate.not_after):%Y-%m-%d}"


RENEW_BY_ITSELF: tuple[Reason, ...] = (
    not_issued,
    was_renewed,
    being_renewed,            # E6
    being_reissued,           # SCM may still have the old names and the old key
    key_is_not_ours,          # R1: a key that no server of ours uses
    renews_by_another_way,    # R1: ACME, EST and the like
    not_due_yet,              # R2
    renewal_was_refused,      # somebody declined it: a person must look first
    not_served,               # R1: last, since it needs a look into Vault
)

RENEW_BY_HAND: tuple[Reason, ...] = (not_issued, was_renewed, being_reissued)
REISSUE_BY_HAND: tuple[Reason, ...] = (not_issued, was_renewed, being_renewed)


def key_like(algorithm: str | None, size: str | None) -> tuple[str, str]:
    """The kind of key that a successor gets: as before where we may make such a key, else the nearest stronger one (RULES K1)."""
    if (algorithm or "").upper() in {"EC", "ECC", "ECDSA"}:
        return "EC", "P-384" if any(curve in (size or "") for curve in ("384", "521")) else "P-256"
    digits = re.search(r"[0-9]{3,5}", size or "")
    bits = int(digits[0]) if digits else 0
    return "RSA", next((one for one in KEY_SIZES["RSA"] if int(one) >= bits), KEY_SIZES["RSA"][-1])


def why_not_at_scm(
    record: OrderRecord, *, known_serial_number: str | None, own_successors: Sequence[CertificateOrder] = (), reissue: bool = False
) -> str | None:
    """What SCM's details, read just before sending, hold against a renewal or a reissue (RULES R1).

    A successor of ours that came to nothing explains why SCM calls the order renewed. A serial number that SCM does not show stands
    against nothing.
    """
    if order_status(record.status_word) != OrderStatus.ISSUED:
        return f"SCM says that it is {record.status_word}"
    if record.serial_number and known_serial_number and record.serial_number != known_serial_number:
        return f"SCM shows serial number {record.serial_number}, we know {known_serial_number}: run import-orders first"
    if reissue:
        return None
    if record.renewed and not any(one.ssl_id and one.status not in LIVING for one in own_successors):
        return "SCM says that it was renewed already, by somebody else: import-orders finds the successor"
    if record.auto_renew and record.auto_renew.lower().replace("_", " ") in {"scheduled", "started"}:
        return "SCM renews it by itself (autoRenewDetails): switch that off there first"
    return None


def newest_living(rows: Sequence[CertificateOrder]) -> list[CertificateOrder]:
    """What a name means among orders that bear it: the newest living order of its line (RULES N6).

    Orders of one line follow each other as predecessor and successor. Orders of several lines that live at once stay several;
    when none lives, the newest counts.
    """
    by_id = {row.id: row for row in rows}
    replaced = {row.predecessor_id for row in rows if row.predecessor_id and row.status in LIVING}
    living = [row for row in rows if row.status in LIVING and row.id not in replaced]
    lines = {_root(row, by_id): row for row in reversed(living)}
    if living:
        return list(lines.values())
    return list(rows[:1])


def _root(row: CertificateOrder, by_id: dict[UUID, CertificateOrder]) -> UUID:
    seen = {row.id}
    while row.predecessor_id in by_id and row.predecessor_id not in seen:    # a ring, mended by hand in the database, must not hang us
        row = by_id[row.predecessor_id]
        seen.add(row.id)
    return row.id


def why_not_live(
    order: CertificateOrder, certificate: Certificate, *, holder: CertificateOrder | None, predecessors: Sequence[UUID], now: datetime
) -> str | None:
    """Why a fetched certificate must not take its live name now, or None (RULES D2, D3). `holder` is the order that `live/` serves."""
    if certificate.held_because:
        return certificate.held_because
    if certificate.not_before > now:
        return f"not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC"
    if certificate.not_after <= now:
        return f"ended on {certificate.not_after:%Y-%m-%d}"
    if holder is None or holder.id == order.id or holder.id in predecessors or holder.status not in LIVING:
        return None
    return f"live name {order.live_name} is served for order {holder.ssl_id or holder.id} of account {holder.account}, which is no predecessor"
