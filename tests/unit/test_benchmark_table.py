"""The table of the benchmarks says which goals were missed and what got worse."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TABLE = Path(__file__).parents[1] / "benchmarks" / "table.py"


@pytest.fixture(scope="module")
def table() -> ModuleType:
    """Benchmarks are scripts beside each other, no package."""
    spec = importlib.util.spec_from_file_location("benchmark_table", TABLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def line(table: ModuleType) -> Any:
    """A line with a ratio, and a goal for it."""
    def make(ratio: float, *, least: bool = False, bound: float = 1.1, **facts: Any) -> Any:
        return table.Line(key="some", what="some work", ours=1.0, ratio=ratio, goals=[table.Goal(bound=bound, least=least)], **facts)
    return make


@pytest.mark.parametrize(("least", "was", "now", "said"), [
    (False, 1.0, 1.2, False), (False, 1.0, 1.3, True), (False, 1.3, 1.0, False), (True, 30.0, 25.0, False), (True, 30.0, 23.0, True),
    (True, 23.0, 30.0, False),
])
def test_a_ratio_that_got_worse_by_more_than_a_quarter_is_said(table: ModuleType, line: Any, least: bool, was: float, now: float, said: bool) -> None:
    """DESIGN 4: make bench"""
    found = table.said_of_worse({"some": was}, [line(now, least=least)])
    assert bool(found) is said
    assert not said or "some work" in found[0]


def test_what_was_never_measured_is_not_worse(table: ModuleType, line: Any) -> None:
    """DESIGN 4: make bench"""
    assert table.said_of_worse({}, [line(9.0)]) == []


def test_a_missed_goal_is_marked_in_the_table_and_said(table: ModuleType, line: Any) -> None:
    """DESIGN 4: make bench"""
    missed, kept = line(1.2, calls=12_345), line(30.0, least=True, bound=28)
    assert table.said_of_missed([missed, kept]) == ["some work: 1.2 times, the goal is ≤ 1.1 times"]
    head, marks, *rows = table.rendered([missed, kept]).splitlines()
    assert {row.count("|") for row in (head, marks, *rows)} == {9}
    assert "**≤ 1.1 times: missed**" in rows[0]
    assert "12,345" in rows[0]
    assert "missed" not in rows[1]


def test_ratios_of_lines_that_were_not_measured_stay(table: ModuleType, line: Any, tmp_path: Path) -> None:
    """DESIGN 4: make bench"""
    file = tmp_path / "ratios.json"
    file.write_text(json.dumps({"other": 2.0}))
    table.keep_ratios(file, [line(1.0876)])
    assert table.ratios_of(file) == {"other": 2.0, "some": 1.088}
