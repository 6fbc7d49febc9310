"""Names in an order: their form, the domain they belong to, and whether SCM may issue for them (contract 4, 5.2)."""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from deployments.sandbox.accounts import Admin
from deployments.sandbox.reference import DOMAIN, SUBDOMAIN, VALIDATED, WILDCARD_1, WILDCARD_2, Domain, Profile
from deployments.sandbox.refusals import RefusedError, invalid
from deployments.sandbox.state import Scm

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
INTERNAL = frozenset({"local", "internal", "lan", "corp", "home", "localhost", "intranet", "test"})
LONGEST_COMMON_NAME = 64
LONGEST_NAME = 253
MOST_NAMES = 250


def split(text: object, field: str) -> tuple[str, ...]:
    """The names of a comma separated text. Raises: RefusedError; an array cannot be parsed (contract 9, quirk 10)."""
    if text is None or text == "":
        return ()
    if not isinstance(text, str):
        raise RefusedError(-1002, "Cannot parse message body")
    names = tuple(one.strip() for one in text.split(","))
    if not all(names):
        raise invalid(field)
    return names


def check(scm: Scm, names: Sequence[str], profile: Profile, org_id: int) -> None:
    """Whether this organization may have a certificate for these names. `names` begins with the common name. Raises: RefusedError."""
    if len(names[0]) > LONGEST_COMMON_NAME:
        raise RefusedError(-306, "The common name is too long.")
    if len(names) > MOST_NAMES:
        raise invalid("subjAltNames")
    for name in names:
        _check_form(name, profile)
        if not profile.private:
            _check_domain(scm, name.lower(), org_id)


def _check_form(name: str, profile: Profile) -> None:
    wrong = RefusedError(-732, f"The domain name '{name}' is not valid.")
    if _is_address(name):
        if profile.private:
            return
        raise wrong
    labels = name.removeprefix("*.").split(".")
    if len(name) > LONGEST_NAME or not all(LABEL.fullmatch(one) for one in labels):
        raise wrong
    if name.startswith("*.") and profile.single_name:
        raise wrong
    if not profile.private and (len(labels) == 1 or labels[-1].lower() in INTERNAL):
        raise RefusedError(-164, f"The local name '{name}' is not allowed.")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _check_domain(scm: Scm, name: str, org_id: int) -> None:
    """SUSPENDED does not block (contract 9, quirk 19)."""
    domains = registered(scm, name)
    if not domains:
        raise RefusedError(-727, f"The domain '{name}' does not exist.")
    needed = privilege(name, domains[0].name.removeprefix("*."))
    delegated = [
        one for one in domains if one.approved for given in one.delegations
        if given.org_id == org_id and given.active and "SSL" in given.cert_types and needed in given.privileges
    ]
    if scm.options.validation and not any(_is_validated(scm, one) for one in delegated or domains):
        raise RefusedError(-737, f"The domain(s): {name} are not validated! Please perform the DCV process for them before proceed.")
    if not delegated:
        raise RefusedError(-1010, f"Domain '{name}' is not allowed.")


def registered(scm: Scm, name: str) -> list[Domain]:
    """The registered domains of the longest ancestor of a name: `example.org`, `*.example.org`, or both."""
    labels = name.removeprefix("*.").split(".")
    for start in range(len(labels)):
        above = ".".join(labels[start:])
        found = [one for one in scm.reference.domains.values() if one.name in {above, f"*.{above}"}]
        if found:
            return found
    return []


def privilege(name: str, domain: str) -> str:
    """What a delegation must allow so that this name may be ordered below this domain."""
    if name.startswith("*."):
        return WILDCARD_1 if name.removeprefix("*.") == domain else WILDCARD_2
    return DOMAIN if name == domain else SUBDOMAIN


def _is_validated(scm: Scm, domain: Domain) -> bool:
    return domain.validation == VALIDATED and (domain.expires_on is None or domain.expires_on >= scm.now().date())


def visible(scm: Scm, admin: Admin | None) -> frozenset[int] | None:
    """The organizations that the caller may see; None means all of them. An OAuth2 client (None) sees all."""
    if admin is None or admin.is_mrao:
        return None
    seen = {org for role, org in admin.roles if org is not None and not role.startswith("DRAO")}
    seen |= {department.id for one in list(seen) for department in scm.reference.departments(one)}
    return frozenset(seen | {org for role, org in admin.roles if org is not None and role.startswith("DRAO")})
