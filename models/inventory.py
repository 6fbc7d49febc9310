"""What is counted while the lines of an inventory pass by: nothing is kept that grows with them. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from models.orders import IMPORTED

SOON = (7, 30, 90)
"""Days within which certificates end that a person may want to know of."""

SMALLEST_RSA = 2048
_USUAL = str(SMALLEST_RSA)
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class WeakKey:
    """A living certificate with a key that is too short."""

    number: int | str
    name: str
    key: str
    ends: str


@dataclass(kw_only=True, slots=True)
class Tally:
    """Lines and certificates seen so far; of the living ones those that end soon, that nobody ordered here, and that have a weak key."""

    now: datetime
    lines: int = 0
    certificates: int = 0
    living: int = 0
    ending: dict[int, int] = field(default_factory=lambda: dict.fromkeys(SOON, 0))
    strangers: Counter[str] = field(default_factory=Counter)
    """By what SCM says of how they were requested."""
    weak: list[WeakKey] = field(default_factory=list)
    """The first 200."""
    weak_keys: int = 0
    _bounds: tuple[tuple[int, str], ...] = ()
    """The ends of `SOON`, the last first, as lines spell moments."""

    def __post_init__(self) -> None:
        self._bounds = tuple((days, f"{self.now + timedelta(days=days):%Y-%m-%d %H:%M:%S}") for days in sorted(SOON, reverse=True))

    def add(
        self, ends: str, origin: str, requested_via: str | None, algorithm: str | None, size: str | None, *, number: int | str, name: str,
    ) -> None:
        """Count a living line; `ends` begins with `YYYY-MM-DD HH:MM:SS` in UTC."""
        self.living += 1
        for days, bound in self._bounds:
            if ends > bound:
                break
            self.ending[days] += 1
        if origin == IMPORTED:
            self.strangers[requested_via or "not known"] += 1
        if size != _USUAL and is_weak(algorithm, size):
            self.weak_keys += 1
            if len(self.weak) < _SHOWN:
                self.weak.append(WeakKey(number, name, f"{algorithm} {size}", ends[:10]))


def is_weak(algorithm: str | None, size: str | None) -> bool:
    """Whether a key is surely too short: RSA below 2048 bits. What is not stored, such as the hash of the signature, is not judged."""
    return bool(algorithm and size and algorithm.upper().startswith("RSA") and size.isascii() and size.isdigit() and int(size) < SMALLEST_RSA)
