"""What a lost order gets back: key, kind, predecessor, live name (RULES K6). Pure: rows and facts in, answers out.

The public key decides which key an order has. A marker can be copied, by SCM at a renewal or by a person, so it only tells which order
was sent first under it, and counts alone only where there is no certificate yet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from models.marker import marked_by
from models.orders import ENROLL, IMPORTED, ORDERED, REISSUE, RENEW, CertificateOrder
from models.status import OPEN_AT_SCM, REFUSED_AT_SCM, OrderStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class LostKey:
    """A key in Vault below `keys/<id>` that no submission of ours knows, as its CSR tells it; the private key stays in Vault."""

    id: UUID
    csr: str = field(repr=False)
    public_key_sha256: str
    common_name: str | None
    names: tuple[str, ...]
    algorithm: str
    size: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """One version of a live entry, without its secrets."""

    version: int
    order: UUID | None
    sha256: str
    public_key_sha256: str | None
    serial_number: str
    keystore_type: str | None
    has_key: bool
    status: str


def enrolled_as(order: CertificateOrder, first: Mapping[UUID, int]) -> UUID | None:
    """The submission by whose marker the order was sent: of those that bear it, the oldest is the one that we sent.

    `first` tells for each marker the sslId of the oldest order with it.
    """
    mark = marked_by(order.comments)
    return mark if mark is not None and first.get(mark) == order.ssl_id else None


def owner(key: UUID, orders: Iterable[CertificateOrder], first: Mapping[UUID, int]) -> CertificateOrder | None:
    """Of the orders whose certificate has this public key, the one that the key was made for: the one with its marker, else one that
    was not sent with another key, else the oldest."""

    def rank(order: CertificateOrder) -> tuple[int, int]:
        own = enrolled_as(order, first)
        return 0 if own == key else 1 if own is None else 2, order.ssl_id or 0

    return min(orders, key=rank, default=None)


def kind_of(key: UUID, order: CertificateOrder, first: Mapping[UUID, int], *, sent_before: bool) -> str:
    """What the key was made for: SCM keeps the comments of the first order at a reissue, and may copy them to a renewal."""
    own = enrolled_as(order, first)
    if own == key:
        return ENROLL
    return REISSUE if own is not None or sent_before else RENEW


def ours_by_marker(key: LostKey, order: CertificateOrder, first: Mapping[UUID, int]) -> bool:
    """Whether an order without a certificate of this key is ours all the same: it was sent under the key's marker, for its common name,
    and either SCM has not decided it, or another key of it has proved that it is ours (the one before a reissue)."""
    undecided = order.origin == IMPORTED and order.status in OPEN_AT_SCM
    return (
        order.deleted_at is None and enrolled_as(order, first) == key.id and (undecided or order.origin == ORDERED)
        and order.common_name.lower() == (key.common_name or "").lower()
    )


def took_over(later: CertificateOrder, earlier: CertificateOrder, *, renewal: bool) -> bool:
    """Whether `later`, which came after `earlier` under one live name, is its successor. While an order lives, only a successor gets its
    live name (RULES D2); what came afterwards may be an order of its own."""
    if later.ssl_id is None or earlier.ssl_id is None or later.ssl_id <= earlier.ssl_id:
        return False
    ended = [moment for moment in (earlier.revoked_at, earlier.expires_at) if moment is not None]
    return renewal or (later.requested_at is not None and all(later.requested_at < moment for moment in ended))


def predecessor_of(order: CertificateOrder, line: Iterable[CertificateOrder]) -> CertificateOrder | None:
    """The order that this one renews: the newest older one of its line that is ours and was issued."""
    older = [
        one for one in line
        if one.ssl_id is not None and order.ssl_id is not None and one.ssl_id < order.ssl_id and one.origin == ORDERED
        and one.serial_number and one.status not in REFUSED_AT_SCM and one.deleted_at is None
    ]
    return max(older, key=lambda one: one.ssl_id or 0, default=None)


def alike(order: CertificateOrder, others: Iterable[CertificateOrder]) -> list[CertificateOrder]:
    """Orders that a renewal without a marker can belong to: SCM keeps names, organization and profile (contract 5.13). None where those
    have several live names: then nobody can tell."""
    found = [
        one for one in others
        if one.live_name is not None and one.id != order.id and one.status in {OrderStatus.ISSUED, OrderStatus.EXPIRED}
        and _facts(one) == _facts(order)
    ]
    return found if len({one.live_name for one in found}) == 1 else []


def _facts(order: CertificateOrder) -> tuple[object, ...]:
    names = {order.common_name.lower(), *(name.lower() for name in order.subject_alternative_names)}
    return names, order.organization_id, order.certificate_profile_id
