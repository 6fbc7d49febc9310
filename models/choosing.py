"""Which organization, profile or number a text means (RULES N5, N6). Pure: reference data in, a row or an explained refusal out.

Organizations and profiles may be given as name or id and be followed by ` (id)`, as a drop-down shows them; an organization also as
`Parent / Department`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from models.errors import InputError
from models.reference import CertificateProfile, Organization

_WITH_ID = re.compile(r"^(?P<text>.*\S)\s*\((?P<id>[0-9]{1,12})\)$")
_SERIAL_NUMBER = re.compile(r"[0-9A-Fa-f]{11,}|[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{2})+")
_ID = re.compile(r"[0-9]{1,18}")    # more digits fit no column; other scripts' digits are names
_SHOWN = 30
SSL = "SSL"

Row = TypeVar("Row", Organization, CertificateProfile)


def path(organization: Organization) -> str:
    """`Parent / Department` of a department, the name of an organization."""
    return f"{organization.parent_name} / {organization.name}" if organization.parent_name else organization.name


def choose_organization(text: str, organizations: Sequence[Organization]) -> Organization:
    """The organization or department that is meant. Raises: InputError with the candidates."""
    found = _by_text(text, organizations, lambda organization: {organization.name, path(organization)}, _spelled)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"organization {text!r} is not unique: give one of " + _listed(f"{path(one)} ({one.id})" for one in found))
    raise InputError(
        f"organization {text!r} is unknown: " + _choices(f"{path(one)} ({one.id})" for one in organizations) + _its_id(text, organizations, path))


def choose_profile(text: str, profiles: Sequence[CertificateProfile]) -> CertificateProfile:
    """The certificate profile that is meant. Raises: InputError with the candidates."""
    found = _by_text(text, profiles, lambda profile: {profile.name}, str.casefold)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"certificate profile {text!r} is not unique: give one of " + _listed(f"{one.name} ({one.id})" for one in found))
    raise InputError(
        f"certificate profile {text!r} is unknown: " + _choices(f"{one.name} ({one.id})" for one in profiles)
        + _its_id(text, profiles, lambda profile: profile.name))


def as_id(text: str) -> int | None:
    """The id that a text is, or None: a text of digits that no id can have is a name like any other."""
    return int(text) if _ID.fullmatch(text.strip()) else None


def as_serial_number(text: str) -> str | None:
    """The serial number that a text is, as our tables hold it (lower-case hex without leading zeros); None if it is none.

    Pairs of hex digits with colons, or more than 10 hex digits in a row: an sslId has at most 10. A UUID has hyphens; 32 hex digits
    without them are a serial number of 128 bits.
    """
    if not _SERIAL_NUMBER.fullmatch(text.strip()):
        return None
    return text.strip().replace(":", "").lower().lstrip("0") or "0"


def orders_ssl(organization: Organization) -> bool:
    """Whether certificates may be ordered for it itself; True where SCM did not say (contract 9.14)."""
    return organization.certificate_types is None or SSL in organization.certificate_types


def departments(organization: Organization, organizations: Sequence[Organization]) -> list[Organization]:
    """The departments of an organization."""
    return [one for one in organizations if one.parent_id == organization.id]


def _by_text(text: str, rows: Sequence[Row], names: Callable[[Row], set[str]], spelled: Callable[[str], str]) -> list[Row]:
    """By id, else by name; with a trailing id that id decides, unless somebody's name really ends like that."""
    by_name = [row for row in rows if spelled(text) in {spelled(name) for name in names(row)}]
    if by_name:
        return by_name
    with_id = _WITH_ID.match(text)
    wanted = as_id(with_id["id"] if with_id else text)
    if wanted is None:
        return []
    found = [row for row in rows if row.id == wanted]
    if with_id:
        found = [row for row in found if spelled(with_id["text"]) in {spelled(name) for name in names(row)}]
    return found


def _its_id(text: str, rows: Sequence[Row], name: Callable[[Row], str]) -> str:
    """What became of a choice of the order form: it is called otherwise now, or it is gone."""
    with_id = _WITH_ID.match(text)
    if with_id is None or not rows:
        return ""
    found = next((row for row in rows if row.id == int(with_id["id"])), None)
    return f"; {with_id['id']} is now {name(found)} ({found.id})" if found else f"; {with_id['id']} is not, or no longer, among them"


def _spelled(text: str) -> str:
    return " / ".join(part.strip() for part in text.casefold().split("/"))


def _choices(candidates: Iterable[str]) -> str:
    listed = _listed(candidates)
    return f"choose one of {listed}" if listed else "the account offers none; run sync-reference-data if that has changed"


def _listed(candidates: Iterable[str]) -> str:
    texts = sorted(candidates)
    return "; ".join(texts[:_SHOWN]) + (f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "")
