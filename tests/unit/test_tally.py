"""What is counted of the living lines of an inventory."""

from datetime import UTC, datetime
from typing import Any

import pytest

from models.inventory import Tally, is_weak

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)


def tally(*ends: str, **facts: Any) -> Tally:
    made = Tally(now=NOW)
    for one in ends:
        made.add(one, **{"origin": "imported", "requested_via": "ACME", "algorithm": "RSA", "size": "2048", "number": 7, "name": "www", **facts})
    return made


def test_what_ends_within_the_days_is_counted_to_the_second() -> None:
    """RULES R7"""
    assert tally("2026-04-08 12:00:00", "2026-04-08 12:00:01", "2026-05-01 12:00:00", "2026-06-30 12:00:01").ending == {7: 1, 30: 3, 90: 3}


def test_strangers_are_grouped_by_how_they_were_requested() -> None:
    """RULES R1"""
    assert tally("2026-04-08 12:00:00", "2026-04-09 12:00:00").strangers == {"ACME": 2}
    assert tally("2026-04-08 12:00:00", requested_via=None).strangers == {"not known": 1}
    assert not tally("2026-04-08 12:00:00", origin="ordered").strangers


@pytest.mark.parametrize(("algorithm", "size", "weak"), [
    ("RSA", "1024", True), ("rsa", "2047", True), ("RSA", "2048", False), ("EC", "P-256", False), ("EC", "256", False), ("RSA", None, False),
    (None, "1024", False), ("RSA", "unknown", False), ("RSA", "²", False),
])
def test_only_a_key_that_is_surely_too_short_is_weak(algorithm: str | None, size: str | None, weak: bool) -> None:
    """RULES K1"""
    assert is_weak(algorithm, size) is weak
    assert tally("2026-04-08 12:00:00", algorithm=algorithm, size=size).weak_keys == weak


def test_many_weak_keys_are_counted_and_some_are_kept() -> None:
    """What is kept does not grow with the account."""
    made = tally(*["2026-04-08 12:00:00"] * 500, size="1024")
    assert (made.weak_keys, len(made.weak), made.weak[0].key) == (500, 200, "RSA 1024")
