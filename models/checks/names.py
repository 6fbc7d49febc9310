"""May this organization have certificates for these names? (RULES N1, N4, C1, C3). Pure."""

from collections.abc import Iterator, Sequence
from datetime import date

from models.checks.facts import Level, Problem, ReferenceFacts
from models.choosing import SSL, path
from models.names import domain_of, problem_with_public_name
from models.reference import Domain, Organization


def check_names(
    names: Sequence[str], facts: ReferenceFacts, organization: Organization | None, *, used: set[int], private: bool, today: date
) -> Iterator[Problem]:
    """What stands against these normalised names: internal ones, and domains that are not validated or not delegated (RULES N1, N4, C1, C3).

    The ids of the domains that decide are added to `used`.
    """
    yield from _public(names, private=private)
    yield from _domains(names, facts, organization, used, private=private, today=today)


def _public(names: Sequence[str], *, private: bool) -> Iterator[Problem]:
    for name in names:
        if not private and (why := problem_with_public_name(name)):
            yield Problem(level="refuse", text=(
                f"{why} If this profile belongs to a private CA, name it in CERTFLOW_PRIVATE_PROFILES or order with send_anyway."
            ))


def _domains(
    names: Sequence[str], facts: ReferenceFacts, organization: Organization | None, used: set[int], *, private: bool, today: date
) -> Iterator[Problem]:
    """Each domain is judged once, with the names that need it."""
    registered = {domain.name: domain for domain in facts.domains}
    needed: dict[str | None, list[str]] = {}
    for name in names:
        if private or problem_with_public_name(name) is None:
            needed.setdefault(domain_of(name, registered), []).append(name)
    refuse: Level = "warn" if private else "refuse"
    for domain_name, its_names in needed.items():
        who = _some(its_names)
        if domain_name is None:
            yield Problem(level=refuse, text=f"no registered domain covers {who}: register and delegate it in SCM")
            continue
        domain = registered[domain_name]
        used.add(domain.id)
        yield from _domain_state(domain, who, refuse, today)
        if organization is not None and domain.delegations is not None:
            yield from _delegation(domain, organization, its_names, refuse)


def _domain_state(domain: Domain, who: str, refuse: Level, today: date) -> Iterator[Problem]:
    if domain.suspended:
        yield Problem(level="warn", text=f"domain {domain.name} is suspended in SCM; {who} may not be issued")
    if domain.delegation_active is False:
        yield Problem(level="warn", text=f"the delegation of domain {domain.name} waits for approval in SCM")
    if domain.validation_status in {"not_validated", "expired"}:
        state = "has expired" if domain.validation_status == "expired" else "is missing"
        yield Problem(level=refuse, text=f"the validation (DCV) of domain {domain.name} {state}: validate it in SCM, then order {who}")
    elif domain.validation_expires_on is not None and domain.validation_expires_on < today:
        yield Problem(level=refuse, text=(
            f"the validation (DCV) of domain {domain.name} ended on {domain.validation_expires_on}: validate it in SCM, then order {who}"
        ))


def _delegation(domain: Domain, organization: Organization, names: list[str], refuse: Level) -> Iterator[Problem]:
    mine = [one for one in domain.delegations or [] if one["organization_id"] == organization.id]
    if not mine:
        parents = [one for one in domain.delegations or [] if one["organization_id"] == organization.parent_id]
        yield Problem(level="warn" if parents else refuse, text=(
            f"domain {domain.name} is not delegated to {path(organization)} ({organization.id})"
            + (", only to its organization" if parents else "") + ": delegate it in SCM"
        ))
        return
    if not any(SSL in one["certificate_types"] for one in mine if one["certificate_types"]) and any(one["certificate_types"] for one in mine):
        yield Problem(level=refuse, text=f"domain {domain.name} is delegated to {path(organization)} ({organization.id}), but not for SSL")
    elif not any(one["active"] for one in mine):
        yield Problem(level="warn", text=f"the delegation of domain {domain.name} to {path(organization)} ({organization.id}) waits for approval")
    allowed = {privilege for one in mine for privilege in one["privileges"]}
    for name in names:
        if allowed and not (_privileges(name, domain.name) & allowed):
            yield Problem(level="warn", text=(
                f"{path(organization)} has only {', '.join(sorted(allowed))} on domain {domain.name}; SCM may refuse {name}"
            ))


def _privileges(name: str, domain: str) -> set[str]:
    """Each of these alone would allow the name (RULES N4; which level a deeper wildcard needs is inferred)."""
    base = domain.removeprefix("*.")
    if name.startswith("*."):
        return {"WILDCARD_1ST_LEVEL"} if name.removeprefix("*.") == base else {"WILDCARD_2ND_LEVEL"}
    return {"DOMAIN"} if name == base else {"SUBDOMAIN"}


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
