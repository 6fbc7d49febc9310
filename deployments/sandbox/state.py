"""Everything the pretend SCM remembers while it runs, and how it begins."""

import gc
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from random import Random
from secrets import token_urlsafe
from typing import Any

from deployments.sandbox import accounts, reference, seed
from deployments.sandbox.authority import Authority
from deployments.sandbox.faults import Fault, Faults
from deployments.sandbox.orders import Order, OrderBook

SERIAL_BITS = 128
MOST_ARRIVALS = 10_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the sandbox starts, and what `/_control/settings` changes later."""

    orders: int = 2000
    seed: int = 1
    issue_delay: float = 2.0
    """Seconds from approval to issue; None of them at 0."""
    latency: float = 0.0
    """Seconds by which each answer is delayed."""
    not_ready_code: int = 0
    token_lifetime: int = 300
    lock_after: int = 10
    """Wrong passwords in a row that lock a login; the real number is not documented (contract 3)."""
    validation: bool = True
    """Domain control validation is enabled for the customer; without it the fields are absent (contract 5.2)."""
    clock_offset: float = 0.0
    """Seconds by which SCM's clock is ahead."""
    mandatory_fields: tuple[str, ...] = ()
    faults: tuple[Mapping[str, Any], ...] = ()


CHANGEABLE = frozenset(one.name for one in fields(Options)) - {"orders", "seed", "mandatory_fields", "faults"}


@dataclass(frozen=True)
class Counted:
    """A route as it is counted."""

    method: str
    route: str
    path: str


@dataclass
class Scm:
    """The pretend SCM behind all its ports."""

    started_with: Options
    password: str = field(default_factory=lambda: token_urlsafe(18))
    client_secret: str = field(default_factory=lambda: token_urlsafe(24))
    authority: Authority = field(default_factory=Authority)
    client_certificate: bytes = b""
    """The certificate (DER) that is registered with the admin."""
    token_url: str = ""

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again: same options, same passwords, same CA, same seeded orders."""
        self.options = self.started_with
        now = self.now()
        self.random = Random(f"{self.options.seed}/new")
        self.calls: Counter[Counted] = Counter()
        self.arrivals: deque[tuple[float, str]] = deque(maxlen=MOST_ARRIVALS)
        self.faults = Faults(Random(f"{self.options.seed}/faults"))
        for one in self.options.faults:
            self.faults.add(Fault.from_json(one))
        self.reference = reference.start(now, self.options.mandatory_fields)
        self.accounts = accounts.start(
            now.date(), password=self.password, client_secret=self.client_secret, lock_after=self.options.lock_after)
        self.book = OrderBook()
        gc.disable()
        try:
            for order in seed.orders(self.options.orders, self.options.seed, now, self.reference):
                self.book.add(order)
        finally:
            gc.enable()
        if self.options.orders > seed.MANY:
            gc.collect()
            gc.freeze()    # a million objects that stay need not be looked at by each collection

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.options.clock_offset)

    def new_serial(self) -> int:
        return self.random.getrandbits(SERIAL_BITS) | 1

    def advance(self) -> None:
        """Let the CA do what is due."""
        self.book.advance(self.now(), self.new_serial)

    def change(self, **changes: Any) -> None:
        """Change settings at run time. Raises: ValueError for one that does not exist."""
        if unknown := set(changes) - CHANGEABLE:
            raise ValueError(f"there is no setting {', '.join(sorted(unknown))}")
        self.options = replace(self.options, **changes)
        self.accounts.lock_after = self.options.lock_after
        if "clock_offset" in changes:
            self.advance()
            self.book.expire(self.now())

    def renewed(self, order: Order) -> None:
        """A successor was ordered or named."""
        order.renewed, order.renewed_date = True, self.now()
