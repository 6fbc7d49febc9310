"""What a run did, as text for the terminal, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit import Audit
from chaos import Chaos
from gaps import GAPS

ANY = "at any moment"


def figures(chaos: Chaos, audit: Audit, findings: Sequence[str], **about: Any) -> dict[str, Any]:
    """Everything that was counted."""
    requests = [request for line in chaos.lines.values() for request in line.requests]
    return {
        **about, "kills": chaos.kills.total(), "orders": audit.orders_at_scm, "reissues": audit.replacements,
        "requests": len(requests), "asked": sum(request.asked for request in requests),
        "revocations": sum(len(line.revoked) for line in chaos.lines.values()),
        "kills_per_gap": {gap: chaos.kills[gap] for gap in GAPS} | {gap: number for gap, number in sorted(chaos.kills.items()) if gap not in GAPS},
        "kills_at_any_moment_after": dict(chaos.moments.most_common()),
        "actions": dict(sorted(chaos.actions.items())), "faults": dict(sorted(chaos.weather.struck.items())),
        "left_to_a_person": chaos.by_hand, "findings": list(findings),
    }


def sentence(found: dict[str, Any]) -> str:
    """The run in one line."""
    return (
        f"{found['kills']:,} kills in {len([gap for gap, number in found['kills_per_gap'].items() if number])} gaps, "
        f"{sum(found['faults'].values()):,} faults, {found['requests']:,} requests asked {found['asked']:,} times, "
        f"{found['orders']:,} orders, {found['reissues']:,} reissues, {found['revocations']:,} revocations at SCM; "
        f"{len(found['left_to_a_person'])} decided by a person; {len(found['findings'])} findings; "
        f"{found['seconds']:.0f} s, seed {found['seed']}, {found['database']}"
    )


def markdown(found: dict[str, Any]) -> str:
    """The same as a page."""
    parts = ["# Exactly once, under fire", "", sentence(found), "", "## Findings", "", *(_list(found["findings"]) or ["none"])]
    for title, name in (
        ("Kills per gap", "kills_per_gap"), ("Kills at any moment, after", "kills_at_any_moment_after"), ("Faults", "faults"), ("Actions", "actions"),
    ):
        parts += ["", f"## {title}", "", "| What | How often |", "|---|---|", *(f"| {what} | {number} |" for what, number in found[name].items())]
    return "\n".join([*parts, "", "## Left to a person", "", *(_list(found["left_to_a_person"]) or ["nothing"]), ""])


def _list(texts: Sequence[str]) -> list[str]:
    return [f"- {text}" for text in texts]


def write(found: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"chaos-{found['database']}-{found['seed']}" + (f"-{found['broken']}" if found["broken"] else "")
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1, default=str))
    (folder / f"{name}.md").write_text(markdown(found))
