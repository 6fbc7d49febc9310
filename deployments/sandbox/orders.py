"""Orders and how they move: the book of all of them, and the CA that works on the open ones (contract 6)."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

INIT, REQUESTED, SA_APPROVED, APPROVED, APPLIED, ISSUED = "Init", "Requested", "SA Approved", "Approved", "Applied", "Issued"
DECLINED, INVALID, REJECTED, REVOKED, EXPIRED, REPLACED = "Declined", "Invalid", "Rejected", "Revoked", "Expired", "Replaced"
STATUSES = (INIT, REQUESTED, SA_APPROVED, APPROVED, APPLIED, ISSUED, DECLINED, INVALID, REJECTED, REVOKED, EXPIRED, REPLACED)
WAITING = frozenset({INIT, REQUESTED, SA_APPROVED})
OPEN = WAITING | {APPROVED, APPLIED}
EDITABLE = frozenset({REQUESTED, DECLINED, REJECTED, INVALID})
HAS_CERTIFICATE = frozenset({ISSUED, EXPIRED})
NOT_ORDERED = frozenset({"Imported", "Discovery"})
"""`requestedVia` of records that were not ordered here: they may be deleted."""

LEFT_OUT, NULL, EMPTY = 0, 1, 2
"""The three ways in which SCM shows that a value is absent (contract 3)."""

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True, eq=False, kw_only=True)
class Order:
    """One order with all its facts. Moments are aware UTC."""

    id: int
    common_name: str
    sans: tuple[str, ...] = ()
    org_id: int
    profile_id: int
    term: int
    status: str
    key_type: str = "RSA - 2048"
    requested: datetime | None = None
    approved: datetime | None = None
    issued: datetime | None = None
    declined: datetime | None = None
    expires: datetime | None = None
    replaced: datetime | None = None
    revoked: datetime | None = None
    renewed_date: datetime | None = None
    reason_code: int | None = None
    renewed: bool = False
    serial: int | None = None
    old_serials: tuple[int, ...] = ()
    revoked_serials: tuple[int, ...] = ()
    comments: str = ""
    requester: str = "api-mrao@example.com"
    requested_via: str = "REST API"
    external_requester: str = ""
    custom_fields: tuple[tuple[str, str], ...] = ()
    auto_renew: str = "Not scheduled"
    auto_renew_days: int | None = None
    suspend_notifications: bool = False
    blank: int = LEFT_OUT
    csr: bytes | None = None
    """The request in DER; None for seeded records, whose key nobody has."""
    key_of: int | None = None
    """The seeded order whose key this one has, after a renewal without a new request."""
    der: bytes | None = None
    """The certificate, once somebody looked at it."""
    defects: frozenset[str] = frozenset()
    """What shall be wrong with the certificate, or with the order's way (see `faults`)."""

    @property
    def renew_id(self) -> str:
        return renew_id(self.id)

    @property
    def backend_id(self) -> int:
        return 880_000_000 + self.id

    @property
    def applied(self) -> bool:
        """The CA has an order number for it."""
        return self.status in {APPLIED, ISSUED, REVOKED, EXPIRED, REPLACED, REJECTED} and self.requested_via not in NOT_ORDERED

    def names(self) -> tuple[str, ...]:
        """The common name and the others, each once."""
        return tuple(dict.fromkeys((self.common_name, *self.sans)))


def renew_id(ssl_id: int) -> str:
    """20 letters and digits, from which the number can be read again, so that a million of them need no table."""
    digest = int.from_bytes(blake2b(str(ssl_id).encode(), digest_size=9).digest(), "big")
    return _text(ssl_id, 7) + _text(digest, 13)


def from_renew_id(text: str) -> int | None:
    """The order's number, or None for a text that is no renewId of ours."""
    number = 0
    for letter in text[:7]:
        if letter not in LETTERS:
            return None
        number = number * len(LETTERS) + LETTERS.index(letter)
    return number if text == renew_id(number) else None


def _text(number: int, width: int) -> str:
    letters = []
    for _ in range(width):
        number, place = divmod(number, len(LETTERS))
        letters.append(LETTERS[place])
    return "".join(reversed(letters))


def start_of_day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def end_of_term(issued: datetime, term: int) -> datetime:
    """The last second of the lifetime; the first one is at midnight of the day of issue."""
    return start_of_day(issued) + timedelta(days=term, seconds=-1)


def _requested(order: Order) -> datetime:
    assert order.requested is not None  # noqa: S101 - only such orders are sorted
    return order.requested


@dataclass(slots=True)
class OrderBook:
    """All orders by number, name and serial number, and what the CA still has to do."""

    rows: list[Order] = field(default_factory=list)
    by_id: dict[int, Order] = field(default_factory=dict)
    by_name: dict[str, list[Order]] = field(default_factory=dict)
    by_serial: dict[int, Order] = field(default_factory=dict)
    work: list[tuple[datetime, int, str]] = field(default_factory=list)
    """What happens next to open orders: when, to which, its next status."""
    next_id: int = 41001
    by_request: list[Order] | None = None
    """Those with a request date, by it; None until somebody asks, and again after a change."""

    def add(self, order: Order) -> None:
        self.rows.append(order)
        self.by_request = None
        self.by_id[order.id] = order
        self.by_name.setdefault(order.common_name, []).append(order)
        if order.serial is not None:
            self.by_serial[order.serial] = order
        self.next_id = max(self.next_id, order.id + 1)

    def remove(self, order: Order) -> None:
        self.rows.remove(order)
        self.by_request = None
        del self.by_id[order.id]
        self.by_name[order.common_name].remove(order)
        if order.serial is not None:
            self.by_serial.pop(order.serial, None)

    def rename(self, order: Order, common_name: str) -> None:
        self.by_name[order.common_name].remove(order)
        order.common_name = common_name
        self.by_name.setdefault(common_name, []).append(order)

    def schedule(self, order: Order, status: str, when: datetime) -> None:
        heapq.heappush(self.work, (when, order.id, status))

    def named(self, name: str) -> list[Order]:
        return self.by_name.get(name, [])

    def requested_between(self, since: datetime | None, until: datetime | None) -> list[Order]:
        """By number; a report of a few days must not look at a million orders."""
        if self.by_request is None:
            self.by_request = sorted((one for one in self.rows if one.requested is not None), key=_requested)
        first = bisect_left(self.by_request, since, key=_requested) if since else 0
        last = bisect_right(self.by_request, until, key=_requested) if until else None
        return sorted(self.by_request[first:last], key=lambda order: order.id)

    def matching(self, tests: Iterable[Callable[[Order], bool]], among: Iterable[Order] | None = None) -> Iterator[Order]:
        asked = tuple(tests)
        for order in self.rows if among is None else among:
            if all(test(order) for test in asked):
                yield order

    def advance(self, now: datetime, new_serial: Callable[[], int]) -> None:
        """Do what the CA has done by now."""
        while self.work and self.work[0][0] <= now:
            when, ssl_id, status = heapq.heappop(self.work)
            order = self.by_id.get(ssl_id)
            if order is None or order.status not in {APPROVED, APPLIED}:
                continue
            if status == ISSUED and "rejected" in order.defects:
                order.status = REJECTED
            elif status == ISSUED:
                self.issue(order, when, new_serial())
            else:
                order.status = status

    def issue(self, order: Order, when: datetime, serial: int) -> None:
        """The CA issues: at once a new serial number; a replacement keeps the end of the old term (contract 6.4)."""
        if order.serial is not None:
            order.old_serials = (*order.old_serials, order.serial)
        else:
            order.expires = end_of_term(when, order.term)
        order.serial, order.issued, order.status, order.der = serial, when, ISSUED, None
        self.by_serial[serial] = order

    def expire(self, now: datetime) -> None:
        """Mark as Expired what has ended."""
        for order in self.rows:
            if order.status == ISSUED and order.expires is not None and order.expires < now:
                order.status = EXPIRED


def utc(text: str) -> datetime:
    """A moment from ISO text; without a zone it is UTC. Raises: ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
