"""The inventory for people: what needs somebody comes first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.inventory import SOON, Tally
from models.parameters import InventoryParameters
from models.runway import Outlook
from models.summaries import Finding, InventorySummary
from tasks.adapters.store.revocations import PLANNED
from tasks.inventory.looking import KeysOfNothing, PlannedRevocation, Seen, due_since
from tasks.pages import ROWS, needs_somebody, plain, table
from tasks.renewal_switch import Switch
from tasks.runs import counted

ROWS_EACH = 10
"""Of what needs somebody: the file has the others, and what comes below must be found too."""

BAR = 40
"""Characters of the longest bar."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """Everything that an inventory says."""

    wish: InventoryParameters
    now: datetime
    seen: Seen
    tally: Tally
    ahead: Outlook
    keys: KeysOfNothing
    switch: Switch
    findings: Sequence[Finding]
    file: str


def summary(one: Inventory) -> InventorySummary:
    """The counts, for programs."""
    counts = one.seen.counts
    return InventorySummary(
        orders=one.seen.orders, certificates=one.tally.certificates, ending_soon=one.tally.ending[30], in_doubt=counts["in_doubt"],
        waiting=counts["approval"] + counts["waiting"], held=counts["held"], strangers=one.tally.strangers.total(), stuck=counts["stuck"],
        will_fail=one.ahead.will_fail, overdue=sum(each.overdue for each in one.seen.revocations), weak_keys=one.tally.weak_keys,
        shared_names=one.seen.shared_names, keys_of_nothing=one.keys.count, renewal_schedule=one.switch, file=one.file,
    )


def sentence(said: InventorySummary) -> str:
    """The run's state message."""
    return (
        f"{counted(said.orders, 'order')}, {counted(said.certificates, 'certificate')}; within 30 days {said.ending_soon:,} end; "
        f"{said.in_doubt:,} in doubt, {said.waiting:,} wait, {said.held:,} held, {said.stuck:,} stuck; {said.will_fail:,} renewals will fail; "
        f"file {said.file}"
    )


def page(one: Inventory) -> str:
    """The artifact."""
    return "\n".join((
        f"# Inventory of account {plain(one.wish.account)}\n", *(f"> **{plain(each.message, 1000)}**\n" for each in one.findings),
        _facts(one), _revocations(one.seen.revocations, one.now), needs_somebody(one.seen.needs, most=ROWS_EACH), _runway(one.ahead),
        _ending(one), _weak(one.tally), _shared(one.seen), _strangers(one.tally), _keys(one.keys), _weeks(one.ahead), _counts(one.seen),
    ))


def _facts(one: Inventory) -> str:
    wish = one.wish
    within = "" if wish.expiring_within_days is None else f"ends within {counted(wish.expiring_within_days, 'day')}"
    filters = [
        *([f"name holds {wish.name}"] if wish.name else []), *([f"status {', '.join(wish.statuses)}"] if wish.statuses else []),
        *([f"organization {wish.organization}"] if wish.organization else []), *([f"issuer holds {wish.issuer}"] if wish.issuer else []),
        *([within] if within else []),
    ]
    said = summary(one)
    ends = ", ".join(f"{one.tally.ending[days]:,} within {days} days" for days in SOON)
    needs = {
        "held back": said.held, "in doubt": said.in_doubt, "waiting": said.waiting, "stuck": said.stuck, "revocations overdue": said.overdue,
        "renewals that will fail": said.will_fail, "weak keys": said.weak_keys, "shared names": said.shared_names,
        "keys that belong to nothing": said.keys_of_nothing,
    }
    return "\n".join(f"- {what}: {plain(said, 1000)}" for what, said in (    # a list: the UI does not break the lines of a table
        ("When", f"{one.now:%Y-%m-%d %H:%M} UTC"), ("Only", "; ".join(filters) or "everything"), ("Orders", f"{said.orders:,}"),
        ("Certificates", f"{said.certificates:,} in the repository; {one.tally.living:,} are living, of these end {ends}"),
        ("Need somebody", ", ".join(f"{what} {number:,}" for what, number in needs.items() if number) or "nothing"),
        ("Renewal by schedule", one.switch), ("File", one.file),
    )) + "\n"


def _revocations(rows: Sequence[PlannedRevocation], now: datetime) -> str:
    if not rows:
        return ""

    def rank(each: PlannedRevocation) -> tuple[bool, bool, datetime]:
        return not each.overdue, each.row.status == PLANNED, each.row.created_at

    def state(each: PlannedRevocation) -> str:
        return "SCM refused it" if each.row.status != PLANNED else ("overdue, " if each.overdue else "") + due_since(each.row, now)

    return f"## Revocations that are not done ({len(rows):,})\n\n" + "\n".join(
        f"- {plain(each.number)} {plain(each.name)}: {state(each)}. Reason: {plain(each.row.reason)}."
        + (f" SCM said: {plain(each.row.error, 500)}" if each.row.error else "") for each in sorted(rows, key=rank)[:ROWS]
    ) + "\n"


def _runway(ahead: Outlook) -> str:
    head = f"## Renewals that will fail ({ahead.will_fail:,} of {ahead.certificates:,})\n\n"
    if not ahead.certificates:
        return head + "No certificate here has its key in our Vault and is served from there: Certflow has nothing to renew.\n"
    if not ahead.found:
        return head + "None, as the reference data stand.\n"
    return head + "\n".join(    # a list, as above
        f"- **from {each.first} on**: {counted(each.certificates, 'renewal')}, because of {plain(each.obstacle.what)}: "
        f"{plain(each.obstacle.why)}. To be mended by: {plain(each.obstacle.mended_by)}. For example {plain(', '.join(each.names), 300)}."
        for each in ahead.found[:ROWS]
    ) + (f"\n\n{len(ahead.found) - ROWS:,} more reasons.\n" if len(ahead.found) > ROWS else "\n")


def _ending(one: Inventory) -> str:
    if not one.seen.ending:
        return ""
    return "## What ends first\n\n" + table(("Order", "Name", "Ends", "Days left", "Renewed"), [
        (each.number, each.name, f"{each.ends:%Y-%m-%d}", (each.ends - one.now).days,
         "by Certflow" if each.live_name else f"elsewhere ({each.requested_via or 'not known'})") for each in one.seen.ending[:50]
    ])


def _weak(tally: Tally) -> str:
    if not tally.weak_keys:
        return ""
    return f"## Weak keys ({tally.weak_keys:,})\n\n" + table(("Order", "Name", "Key", "Ends"), [
        (each.number, each.name, each.key, each.ends) for each in tally.weak
    ], of=tally.weak_keys)


def _shared(seen: Seen) -> str:
    if not seen.shared_names:
        return ""
    return f"## Names that several living certificates share ({seen.shared_names:,})\n\n" + table(
        ("Name", "Certificates"), [(name, f"{number:,}") for name, number in seen.shared], of=seen.shared_names,
    )


def _strangers(tally: Tally) -> str:
    if not tally.strangers:
        return ""
    return f"## Certificates that nobody ordered here ({tally.strangers.total():,})\n\n" + table(
        ("Requested via", "Living certificates"), [(via, f"{number:,}") for via, number in tally.strangers.most_common()],
    )


def _keys(keys: KeysOfNothing) -> str:
    if keys.count is None:
        return f"## Keys in Vault that belong to nothing\n\nNot known: {plain(keys.why_not, 500)}.\n"
    if not keys.count:
        return ""
    return f"## Keys in Vault that belong to nothing ({keys.count:,})\n\nNo submission of any account has them.\n\n" + table(
        ("Path",), [(f"keys/{name}",) for name in keys.some], of=keys.count,
    )


def _weeks(ahead: Outlook) -> str:
    """Bars of text: an image would need an address that the browser can reach."""
    most = max(ahead.weeks)
    if not most:
        return ""
    width = len(f"{most:,}")
    bars = [f"{week + 1:>4} {number:>{width},} {'█' * round(BAR * number / most)}" for week, number in enumerate(ahead.weeks)]
    return (
        f"## Renewals per week ({sum(ahead.weeks):,} in a year)\n\n"
        "Under the terms that the profiles offer today; week 1 holds what is due already.\n\n"
        "```\n" + "\n".join(bars) + "\n```\n"
    )


def _counts(seen: Seen) -> str:
    return "## Counts by status\n\n" + table(("Status", "Orders"), [(status, f"{number:,}") for status, number in sorted(seen.by_status.items())]) + \
        "\n## Counts by organization\n\n" + table(("Organization", "Orders"), [
            (name, f"{number:,}") for name, number in sorted(seen.by_organization.items(), key=lambda each: (-each[1], each[0]))
        ])
