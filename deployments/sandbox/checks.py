"""The fields of a request body that orders something, each checked as documented (contract 5.8, 5.11, 5.15)."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from deployments.sandbox.calls import Call
from deployments.sandbox.reference import CustomField, Organization, Profile
from deployments.sandbox.refusals import RefusedError, invalid, missing, unreadable

LONGEST_COMMENTS = 1024
LONGEST_REQUESTERS = 512
LONGEST_MESSAGE = 512
LONGEST_VALUE = 256
EMAIL = re.compile(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+")
MODES = ("CNAME", "EMAIL", "HTTP", "HTTPS", "TXT")


def text(body: Mapping[str, Any], name: str, longest: int) -> str:
    """An optional text; "" when it is absent."""
    found = body.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise unreadable()
    if len(found) > longest:
        raise invalid(name)
    return found


def number(body: Mapping[str, Any], name: str) -> int | None:
    """An optional whole number."""
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int):
        raise unreadable()
    return found


def message(body: Mapping[str, Any], name: str) -> str:
    """A text of 1 to 512 characters that must be there."""
    found = text(body, name, LONGEST_MESSAGE)
    if not found:
        raise invalid(name)
    return found


def external_requester(body: Mapping[str, Any]) -> str:
    found = text(body, "externalRequester", LONGEST_REQUESTERS)
    if found and not all(EMAIL.fullmatch(one.strip()) for one in found.split(",")):
        raise invalid("externalRequester")
    return found


def comments(body: Mapping[str, Any]) -> str:
    return text(body, "comments", LONGEST_COMMENTS)


def organization(call: Call, body: Mapping[str, Any]) -> Organization:
    """The organization that orders. Codes for a missing right to use the API are not documented (contract 1)."""
    given = number(body, "orgId")
    if given is None:
        raise missing("orgId")
    found = call.scm.reference.organizations.get(given)
    if found is None:
        raise RefusedError(-1023, f"Organization '{given}' not found.")
    seen = call.organizations
    if seen is not None and given not in seen:
        raise RefusedError(-226, "You have no rights for this organization.")
    if not found.api_enabled:
        raise RefusedError(-1032, f"The API is not enabled for organization '{found.name}'.")
    if "SSL" not in found.cert_types:
        raise RefusedError(-1021, f"SSL certificates are not available for organization '{found.name}'.")
    return found


def profile(call: Call, body: Mapping[str, Any], org: Organization) -> Profile:
    given = number(body, "certType")
    if given is None:
        raise missing("certType")
    found = next((one for one in call.scm.reference.profiles_of(org.id) if one.id == given), None)
    if found is None:
        raise RefusedError(-111, f"No certificate profile found by id {given}")
    if not org.validated and not found.private:
        raise RefusedError(
            -843, "SSL certificate of this type cannot be requested due to 'NOT_VALIDATED' validation status of the selected organization.")
    return found


def term(given: int | None, kind: Profile) -> int:
    if given is None:
        raise missing("term")
    if given not in kind.terms:
        raise RefusedError(-36, "The validity period (term) is invalid for this certificate profile.")
    return given


def domain_control(call: Call, body: Mapping[str, Any]) -> None:
    """`dcvMode` and `dcvEmail`."""
    mode = text(body, "dcvMode", LONGEST_VALUE)
    if mode and mode not in (*MODES, *(["AUTO"] if call.host.admin else [])):
        raise invalid("dcvMode")
    email = text(body, "dcvEmail", LONGEST_VALUE)
    if (mode == "EMAIL" or email) and not EMAIL.fullmatch(email):
        raise invalid("dcvEmail")


def custom_fields(call: Call, body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and values; all mandatory ones must be there."""
    given = body.get("customFields") or []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise unreadable()
    found: dict[str, str] = {}
    for one in given:
        name, value = text(one, "name", LONGEST_VALUE), text(one, "value", LONGEST_VALUE)
        known = call.scm.reference.field_named(name)
        if known is None or known.state != "ACTIVE":
            raise RefusedError(-64, f"Custom field cannot be found: {name}")
        if value and not _fits(known, value):
            raise RefusedError(-135, f"The value of custom field '{name}' is not valid.")
        found[name] = value
    if any(one.mandatory and not found.get(one.name) for one in call.scm.reference.custom_fields.values()):
        raise RefusedError(-62, "Missing mandatory custom field!")
    return tuple(found.items())


def _fits(known: CustomField, value: str) -> bool:
    if known.kind == "TEXT_OPTION":
        return value in known.options
    if known.kind == "NUMBER":
        return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
    if known.kind == "EMAIL":
        return EMAIL.fullmatch(value) is not None
    if known.kind == "DATE":
        return _is_day(value)
    return True


def _is_day(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def reason_code(body: Mapping[str, Any]) -> int:
    """A number on the old host, a text of digits on the admin host; both are taken (contract 5.12)."""
    given = body.get("reasonCode")
    if isinstance(given, str) and given.isascii() and given.isdecimal():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or given not in {0, 1, 3, 4, 5}:
        raise invalid("reasonCode")
    return given


def names(body: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """An optional array of names; None when it is absent. Replace and update have arrays where enroll has a text."""
    given = body.get(name)
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise unreadable()
    return tuple(one.strip() for one in given if one.strip())
