"""What goes wrong on demand.

A fault names the calls it spoils by `route` (a short name, see `routes`), `path` (a pattern searched in the whole path) or `method`; a
name left out means all. `count` limits how often it strikes, `skip` lets the first so many pass, `probability` is for each call.

On the wire, before SCM does anything: `drop` (closed without an answer), `delay` (`seconds`), `status` (`status`, `headers`, `body`,
`content_type`; `processed: true` lets SCM work first), `too_many` (429 with `Retry-After: seconds`), `html` (a proxy's page), `empty`
(200 without a body), `not_ready` (400 with `code`).
On the wire, after SCM did its work: `lost` (closed without an answer, after `seconds` if given), `truncate` (half of the body below the
whole `Content-Length`), `slow` (the body in pieces over `seconds`), `wrong_type` (`content_type`).
In an order's way, on enroll, renew_by_id, renew, replace: `stuck` (stays Applied), `rejected`, `lose_comments`; and, there or on collect,
wrong certificates: `wrong_key missing_san extra_san not_yet_valid short_term other_usage bad_signature odd_chain`.
In what is shown of an order, on details, list, report: `unknown_status` (`word`), `field` (`field`, `value`; without value it is left out),
`lose_comments`, `hide`. The last two groups can be limited to one order by `ssl_id` or `common_name`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from random import Random
from types import MappingProxyType, NoneType
from typing import Any

from deployments.sandbox.orders import Order

BEFORE = frozenset({"drop", "delay", "status", "too_many", "html", "empty", "not_ready"})
AFTER = frozenset({"lost", "truncate", "wrong_type", "slow"})
CERTIFICATE = frozenset({
    "wrong_key", "missing_san", "extra_san", "not_yet_valid", "short_term", "other_usage", "bad_signature", "odd_chain",
})
FATES = CERTIFICATE | {"stuck", "rejected", "lose_comments"}
SHOWN = frozenset({"unknown_status", "field", "hide", "lose_comments"})
NUMBERS: Mapping[str, tuple[type, ...]] = MappingProxyType({
    "probability": (int, float), "seconds": (int, float), "count": (int, NoneType), "skip": (int,), "status": (int,),
    "code": (int, NoneType), "ssl_id": (int, NoneType),
})
KINDS = BEFORE | AFTER | FATES | SHOWN


@dataclass(kw_only=True)
class Fault:
    """One thing that goes wrong; see the module's text."""

    kind: str
    route: str | None = None
    path: str | None = None
    method: str | None = None
    probability: float = 1.0
    count: int | None = None
    skip: int = 0
    ssl_id: int | None = None
    common_name: str | None = None
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = ""
    content_type: str | None = None
    processed: bool = False
    seconds: float = 0.0
    code: int | None = None
    word: str = "Frobnicated"
    field: str = "status"
    value: Any = None
    id: int = 0
    struck: int = 0
    """How often it has struck so far."""

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Fault":
        """Raises: ValueError that says what is wrong."""
        if not isinstance(given, Mapping):
            raise ValueError("a fault is an object")
        if unknown := set(given) - {one.name for one in fields(cls)} - {"id", "struck"}:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        if given.get("kind") not in KINDS:
            raise ValueError(f"kind is one of {', '.join(sorted(KINDS))}")
        try:
            re.compile(given.get("path") or "")
        except re.error as error:
            raise ValueError(f"path is no pattern: {error}") from None
        for name, kinds in NUMBERS.items():
            if name in given and (isinstance(given[name], bool) or not isinstance(given[name], kinds)):
                raise ValueError(f"{name} is a number")
        return cls(**given)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def about(self, order: Order | None) -> bool:
        if order is None:
            return self.ssl_id is None and self.common_name is None
        return self.ssl_id in {None, order.id} and self.common_name in {None, order.common_name}

    @property
    def over(self) -> bool:
        return self.count is not None and self.struck >= self.count


class Faults:
    """All faults that are ordered."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._faults: list[Fault] = []
        self._next_id = 1

    def add(self, fault: Fault) -> Fault:
        fault.id, self._next_id = self._next_id, self._next_id + 1
        self._faults.append(fault)
        return fault

    def remove(self, number: int) -> bool:
        before = len(self._faults)
        self._faults = [one for one in self._faults if one.id != number]
        return len(self._faults) < before

    def all(self) -> list[Fault]:
        return list(self._faults)

    def any_of(self, kinds: Iterable[str], route: str) -> bool:
        """Whether a fault of these kinds could strike on this route."""
        asked = frozenset(kinds)
        return any(one.kind in asked and one.route in {None, route} and not one.over for one in self._faults)

    def strike(
        self, kinds: frozenset[str], *, route: str, method: str | None = None, path: str | None = None, order: Order | None = None,
    ) -> list[Fault]:
        """The faults that strike now; each is counted."""
        return [one for one in self._faults if one.kind in kinds and self._strikes(one, route, method, path, order)]

    def _strikes(self, fault: Fault, route: str, method: str | None, path: str | None, order: Order | None) -> bool:
        if fault.over or fault.route not in {None, route} or not (fault.kind in BEFORE | AFTER or fault.about(order)):
            return False
        if method is not None and fault.method is not None and fault.method.upper() != method:
            return False
        if path is not None and fault.path is not None and not re.search(fault.path, path):
            return False
        if fault.skip > 0:
            fault.skip -= 1
            return False
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return False
        fault.struck += 1
        return True
