"""The table that the benchmarks print, and how its ratios stand beside those of the last run. Pure, but for the file of ratios."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

WORSE = 1.25
"""A ratio that got worse by more than this is said."""

Figure = Literal["ratio", "ours", "calls", "megabytes", "changed", "task runs"]
UNITS: Mapping[str, str] = {"ratio": "times", "ours": "s", "calls": "calls", "megabytes": "MB", "changed": "rows written", "task runs": "task runs"}
HEAD = ("", "peer", "limit", "ours", "ratio", "goal", "calls", "MB")
LEFT = {0, 5}
"""Columns of words."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A bound on a figure of a line: at most, or with `least` at least."""

    bound: float
    figure: Figure = "ratio"
    least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:,g} {UNITS[self.figure]}"

    def kept(self, found: float) -> bool:
        return found >= self.bound if self.least else found <= self.bound


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: seconds of peer, limit and ours, as far as they were measured, and what must hold. `key` names it in the file of ratios."""

    key: str
    what: str
    ours: float
    peer: float | None = None
    limit: float | None = None
    ratio: float | None = None
    calls: int | None = None
    megabytes: float | None = None
    changed: int | None = None
    task_runs: int | None = None
    goals: Sequence[Goal] = ()

    def figure(self, name: Figure) -> float:
        found = {
            "ratio": self.ratio, "ours": self.ours, "calls": self.calls, "megabytes": self.megabytes, "changed": self.changed,
            "task runs": self.task_runs,
        }[name]
        assert found is not None, f"{self.key} lacks {name}"
        return found

    @property
    def missed(self) -> list[Goal]:
        return [goal for goal in self.goals if not goal.kept(self.figure(goal.figure))]

    @property
    def more_is_better(self) -> bool:
        return any(goal.least for goal in self.goals if goal.figure == "ratio")


def rendered(lines: Iterable[Line]) -> str:
    """The lines as a table in Markdown; a goal that was missed is marked."""
    rows = [HEAD, *(_cells(line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    marks = ["-" * width if at in LEFT else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(_padded(row, widths))} |" for row in (rows[0], marks, *rows[1:]))


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.ljust(width) if at in LEFT else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))]


def _cells(line: Line) -> tuple[str, ...]:
    missed = line.missed
    goals = "; ".join(f"**{goal}: missed**" if goal in missed else str(goal) for goal in line.goals)
    calls = "" if line.calls is None else f"{line.calls:,}"
    return (
        line.what, _seconds(line.peer), _seconds(line.limit), _seconds(line.ours), "" if line.ratio is None else f"{line.ratio:,.2f}", goals, calls,
        "" if line.megabytes is None else f"{line.megabytes:,.0f}",
    )


def _seconds(found: float | None) -> str:
    if found is None:
        return ""
    return f"{found:,.2f} s" if found >= 1 else f"{found * 1000:,.3g} ms"


def said_of_missed(lines: Iterable[Line]) -> list[str]:
    """A sentence for each goal that was missed."""
    return [
        f"{line.what}: {line.figure(goal.figure):,.4g} {UNITS[goal.figure]}, the goal is {goal}" for line in lines for goal in line.missed
    ]


def said_of_worse(before: Mapping[str, float], lines: Iterable[Line]) -> list[str]:
    """A sentence for each ratio that got worse by more than a quarter since `before`."""
    said: list[str] = []
    for line in lines:
        was = before.get(line.key)
        if line.ratio is None or not was or line.ratio <= 0:
            continue
        worse = was / line.ratio if line.more_is_better else line.ratio / was
        if worse > WORSE:
            said.append(f"{line.what}: the ratio was {was:,.2f} and is {line.ratio:,.2f} now, {worse - 1:.0%} worse")
    return said


def ratios_of(file: Path) -> dict[str, float]:
    """The ratios of the last runs; none without a file."""
    return {key: float(value) for key, value in json.loads(file.read_text()).items()} if file.exists() else {}


def keep_ratios(file: Path, lines: Iterable[Line]) -> None:
    """Write the ratios of these lines; those of lines that were not measured stay."""
    found = ratios_of(file) | {line.key: round(line.ratio, 3) for line in lines if line.ratio is not None}
    file.write_text(json.dumps(dict(sorted(found.items())), indent=2) + "\n")
