"""Pages for people: what a run leaves in the Prefect UI, as Markdown. What needs somebody comes first.

Whatever SCM or a user wrote is shown as plain text: no Markdown and no HTML of theirs reaches the page.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from models.choosing import path
from models.orders import Certificate, Revocation
from models.parameters import reason_word
from models.reference import CertificateProfile, CustomField, Domain, Organization
from models.summaries import Finding
from tasks import attention
from tasks.adapters.store import certificates, orders, reference, revocations
from tasks.adapters.store import submissions as sent
from tasks.retry import step
from tasks.services import open_services

ROWS = 200
"""More rows than this make a page that nobody reads and the UI shows slowly."""

# Backslashes: the UI shows numeric entities as they are written.
_PLAIN = str.maketrans({letter: f"\\{letter}" for letter in "&<>|`[]*_!\\#~:@"} | {"\x00": ""})
_LINKS_ITSELF = re.compile(r"\b(www)\.", re.IGNORECASE)


class Markdown(str):
    """Text that is Markdown of ours already."""

    __slots__ = ()


def plain(value: object, most: int = 200) -> str:
    """A value as text that Markdown and HTML leave alone, on one line."""
    if isinstance(value, Markdown):
        return value
    shown = "" if value is None else str(value)
    shown = (shown if len(shown) <= most else shown[:most - 1] + "…").translate(_PLAIN)
    if not shown.isprintable():    # line ends, colours of a terminal, letters that turn the direction of the others
        shown = "".join(letter if letter.isprintable() else " " for letter in shown)
    shown = shown.strip()
    return _LINKS_ITSELF.sub(r"\1\.", shown)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, of: int | None = None) -> str:
    """A Markdown table of at most 200 rows; says how many it leaves out, of `of` or of those given."""
    every = [list(row) for row in rows]
    shown = every[:ROWS]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(plain(cell) for cell in row)} |" for row in shown)]
    left = (of or len(every)) - len(shown)
    return "\n".join(lines) + (f"\n\n{left:,} more are in our tables." if left > 0 else "") + "\n"


def account_page(account: str, findings: Sequence[Finding], *, healthy: bool) -> str:
    """Verdict first, then each finding with who can mend it. A list, since the UI does not break the lines of a table."""
    verdict = "can log in, order and read the report" if healthy else "cannot do its work"
    found = [f"- **{one.severity}**: {plain(one.message, 1000)} ({plain(one.code)}). To be mended by: {plain(one.mended_by)}." for one in findings]
    return f"# Account {plain(account)} {verdict}\n\n" + ("\n".join(found) if found else "Nothing to mend.") + "\n"


@step
def reference_page(account: str) -> str:
    """Reference data by kind: id, name, status, end, changed since."""
    with open_services() as svc, svc.store.reading() as session:
        organizations = reference.rows(session, Organization, account, vanished=True)
        domains = reference.rows(session, Domain, account, vanished=True)
        profiles = reference.rows(session, CertificateProfile, account, vanished=True)
        fields = reference.rows(session, CustomField, account, vanished=True)
    names = {one.id: path(one) for one in organizations}
    return "\n".join((
        f"# Reference data of account {plain(account)}\n",
        f"## Organizations and departments ({len(organizations):,})\n",
        table(("Id", "Name", "Orders by API", "Certificates", "Changed"), [
            (one.id, path(one), _yes(one.api_allowed), ", ".join(one.certificate_types or []), _since(one)) for one in organizations
        ]),
        f"## Domains ({len(domains):,})\n",
        table(("Id", "Name", "Validation", "Ends", "Changed", "Delegated to"), [
            (one.id, one.name, _domain_state(one), one.validation_expires_on, _since(one), ", ".join(
                names.get(given["organization_id"], str(given["organization_id"])) for given in one.delegations or []
            )) for one in sorted(domains, key=_worst_first)
        ]),
        f"## Certificate profiles ({len(profiles):,})\n",
        table(("Id", "Name", "Terms in days", "Keys", "Organizations", "Changed"), [
            (one.id, one.name, ", ".join(str(days) for days in one.terms),
             "; ".join(f"{word} {', '.join(sizes)}" for word, sizes in one.key_types.items()), len(one.organization_ids), _since(one))
            for one in profiles
        ]),
        f"## Custom fields ({len(fields):,})\n",
        table(("Id", "Name", "Mandatory", "Input", "Options", "Changed"), [
            (one.id, one.name, _yes(one.mandatory), one.input_type, ", ".join(one.options), _since(one)) for one in fields
        ]),
    ))


@step
def orders_page(account: str) -> str:
    """What needs somebody on top, what is to be revoked, counts by status, the 50 that end first."""
    with open_services() as svc:
        now = svc.clock()
        with svc.store.reading() as session:
            needs = attention.needs(session, account, now=now)
            counts = orders.counts_by_status(session, account)
            ending = orders.ending_first(session, account, now=now)
            planned = revocations.planned(session, account)
            revoked = orders.by_ids(session, [one.order_id for one in planned[:ROWS]])
    return "\n".join((
        f"# Orders of account {plain(account)}\n",
        needs_somebody(needs),
        *((f"## To be revoked ({len(planned):,})\n", table(("Order", "Name", "When"), [
            (attention.number(revoked[one.order_id]), revoked[one.order_id].common_name, _when_revoked(one)) for one in planned[:ROWS]
        ], of=len(planned))) if planned else ()),
        "## Counts by status\n",
        table(("Status", "Orders"), sorted(counts.items())),
        "## The 50 that end first\n",
        table(("Order", "Name", "Ends", "Days left", "Live name"), [
            (attention.number(one), one.common_name, _day(one.expires_at), (one.expires_at - now).days if one.expires_at else "", one.live_name or "")
            for one in ending
        ]),
    ))


def batch_page(title: str, parts: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Many orders of one run, each with what became of it. A list, since the UI does not break the lines of a table."""
    return f"# {plain(title)}\n\n" + "\n".join(
        f"## {plain(name)} ({len(rows):,})\n\n"
        + "".join(f"- **{plain(label)}**: {plain(said, 1000)}\n" for label, said in rows[:ROWS])
        + (f"\n{len(rows) - ROWS:,} more are in the run's summary.\n" if len(rows) > ROWS else "")
        for name, rows in parts.items() if rows
    )


@step
def order_pages(account: str, since: datetime) -> dict[str, str]:
    """The pages of orders placed here that changed since then, by artifact key; at most 50, the others keep theirs until they change again."""
    with open_services() as svc, svc.store.reading() as session:
        ids = orders.changed_since(session, account, since, most=50)
    return {f"order-{id_}": _order_page(id_) for id_ in ids}


@step
def order_page(order_id: UUID) -> str:
    """One order: see `_order_page`."""
    return _order_page(order_id)


def _order_page(order_id: UUID) -> str:
    """One order: names, organization, profile, term, requester, SCM's id, live path and version, public certificate, history."""
    with open_services() as svc, svc.store.reading() as session:
        order = orders.order(session, order_id)
        newest = next(reversed(sent.of_order(session, order_id)), None)
        certificate = next(iter(certificates.of_order(session, order_id)), None) or certificates.with_serial_number(session, order_id, None)
        planned = [one for one in revocations.of_order(session, order_id) if one.status == revocations.PLANNED]
        history = orders.history(session, order_id)
        parents = {one.id: path(one) for one in reference.rows(session, Organization, order.account, vanished=True)}
    taken_out = f"taken out of the repository on {_day(certificate.removed_at)}" if certificate and certificate.removed_at else ""
    facts = [
        ("Status", order.status + (f" ({order.waiting_because})" if order.waiting_because else "")),
        ("Names", ", ".join(order.subject_alternative_names) or order.common_name),
        ("Organization", f"{parents.get(order.organization_id or 0, order.organization_name or '')} ({order.organization_id})"),
        ("Profile", f"{order.certificate_profile_name or ''} ({order.certificate_profile_id})"),
        ("Term", f"{order.term_days} days" if order.term_days else ""),
        ("Key", f"{order.key_algorithm or ''} {order.key_size or ''}"),
        ("Requested by", next((one.requested_by for one in history if one.kind == "planned"), "")),
        ("Order in Certflow", order.id), ("Order at SCM", order.ssl_id or "none yet"), ("Account", order.account),
        ("Live path", f"live/{order.live_name}" if order.live_name else "none: not ordered here"),
        ("Live version", taken_out or (certificate.live_version if certificate and certificate.live_version else "not delivered yet")),
        ("To be revoked", "; ".join(_when_revoked(one) for one in planned)), ("Deleted here", _day(order.deleted_at)),
        ("Last answer of SCM", newest.error if newest and newest.error else ""),
    ]
    return "\n".join((
        f"# {plain(order.common_name)}: {plain(order.status)}\n", _facts(facts), _certificate(certificate, svc.clock()),
        "## History\n",
        table(("When (UTC)", "What", "Detail", "For", "Run"), [
            (f"{one.at:%Y-%m-%d %H:%M:%S}", one.kind, one.detail, one.requested_by, _run_link(one.flow_run_id)) for one in history
        ]),
    ))


def _when_revoked(one: Revocation) -> str:
    """When a planned revocation is due, why, and what kept it from being done."""
    due = f"{one.due_at:%Y-%m-%d %H:%M} UTC" if one.due_at else f"{one.after_days or 0} days after its successor is live"
    serial = f"serial number {one.serial_number}, " if one.serial_number else ""
    return f"{serial}{due}, {reason_word(one.reason_code)}" + (f": {one.error}" if one.error else "")


def _facts(facts: Sequence[tuple[str, object]]) -> str:
    return table(("What", ""), [fact for fact in facts if fact[1] not in (None, "")])


def _run_link(flow_run_id: str | None) -> Markdown:
    """A run's short id, as a link to its page in the same UI."""
    return Markdown(f"[{flow_run_id[:8]}](/runs/flow-run/{flow_run_id})" if flow_run_id else "")


def _certificate(certificate: Certificate | None, now: datetime) -> str:
    if certificate is None:
        return "## Certificate\n\nNone yet.\n"
    left = certificate.not_after - now
    facts = [
        ("Serial number", certificate.serial_number), ("SHA-256", certificate.sha256), ("Issuer", certificate.issuer),
        ("Valid", f"{certificate.not_before:%Y-%m-%d %H:%M} to {certificate.not_after:%Y-%m-%d %H:%M} UTC, {max(left, timedelta(0)).days} days left"),
        ("Names", ", ".join(certificate.names)), ("Key", f"{certificate.key_algorithm} {certificate.key_size}"),
        ("Usage", ", ".join(certificate.extended_key_usage)), ("Held", certificate.held_because or "no"), ("Noted", "; ".join(certificate.flags)),
    ]
    return f"## Certificate\n\n{_facts(facts)}\n```\n{certificate.pem.strip()}\n```\n"


def needs_somebody(needs: Sequence[attention.Need], *, most: int = ROWS) -> str:
    """Orders about which somebody has to do something, by what that is, most urgent first; so many rows of each."""
    grouped = {what: [one.row for one in needs if one.to_do == what] for what in attention.TO_DO}
    return "\n".join((
        f"## Needs somebody ({len(needs):,})\n", *(_group(what, rows, most) for what, rows in grouped.items() if rows),
        *([] if needs else ["Nothing.\n"]),
    ))


def _group(what: str, rows: Sequence[Sequence[object]], most: int) -> str:
    """The orders about which the same is to be done; without the column Why when nothing is known."""
    head = ("Order", "Name", "State", "Why")
    width = len(head) if any(row[-1] for row in rows) else len(head) - 1
    return f"{len(rows):,}: {what}\n\n{table(head[:width], [row[:width] for row in rows[:most]], of=len(rows))}"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else ""


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "not known"}[value]


def _since(row: Organization | Domain | CertificateProfile | CustomField) -> str:
    return f"vanished {_day(row.vanished_at)}" if row.vanished_at else _day(row.changed_at)


def _domain_state(domain: Domain) -> str:
    words = [(domain.validation_status or "not shown").replace("_", " ")]
    return ", ".join([*words, *(["suspended"] if domain.suspended else []), *(["delegation waits"] if domain.delegation_active is False else [])])


def _worst_first(domain: Domain) -> tuple[bool, str, str]:
    return domain.validation_status == "validated", str(domain.validation_expires_on or ""), domain.name
