"""The order form of one account: the parameters of order_certificate, with the account's own choices in place of free texts. Pure.

Prefect's UI makes a drop-down with a search field of an `enum`, and a plain field only where `null` is not among the types; the texts
offered are those that `choosing` understands.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from models.checks import ReferenceFacts
from models.choosing import path
from models.reference import CertificateProfile, CustomField, Organization

MOST_CHOICES = 1000
"""Above it a field stays a text. Each look at Prefect's list of deployments carries all choices of all forms: 1,000 are some 70 KB."""

TEXT_MAX = 256
"""So long may an organization or a profile be as a parameter."""

SORTS = {"DATE": "A date such as 2026-03-31.", "NUMBER": "A number."}

Schema = dict[str, Any]


def order_form(schema: Mapping[str, Any], facts: ReferenceFacts, *, account: str) -> Schema:
    """The JSON schema of the form. `schema` is that of the flow's parameters as Prefect holds it, maybe of another release than this one.

    What the account has none of, before its first sync, stays a text.
    """
    fields: dict[str, Schema] = {name: _without_null(field) for name, field in schema.get("properties", {}).items()}
    named = defaultdict[str, Schema](dict, fields)
    terms = sorted({days for profile in facts.profiles for days in profile.terms})
    chosen: dict[str, Schema] = {
        "organization": _choice(
            named["organization"], (_organization(one) for one in facts.organizations),
            "The organization or department that orders, as the last sync-reference-data found them."),
        "certificate_profile": _choice(
            named["certificate_profile"], (_profile(one) for one in facts.profiles),
            "The certificate profile. Whether the organization may use it is checked before anything is sent."),
        "term_days": _choice(
            named["term_days"], terms, "Lifetime in days; it must be one of the profile's. Left out: the longest that the profile offers."),
        "custom_fields": _custom_fields(named["custom_fields"], [one for one in facts.custom_fields if one.active]),
        "account": {**named["account"], "enum": [account], "default": account, "description": "The account that this form is for."},
    }
    return {**schema, "properties": {name: chosen.get(name, field) for name, field in fields.items()}, "additionalProperties": False}


def fitting(parameters: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Of the values that a person preset for the form, those that it still offers: Prefect refuses a form that contradicts them."""
    fields = schema["properties"]
    return {
        name: value for name, value in parameters.items()
        if name in fields and value in fields[name].get("enum", [value])
    }


def _without_null(field: Mapping[str, Any]) -> Schema:
    """An optional field as one that may be left out; with `null` among its types the UI would ask for the type first."""
    others = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    if len(others) != 1:
        return dict(field)
    kept = {name: value for name, value in field.items() if name not in {"anyOf", "default"}}
    return {**kept, **others[0]}


def _choice(field: Schema, choices: Iterable[str | int], description: str) -> Schema:
    offered = list(dict.fromkeys(choices))
    if not offered:
        return {**field, "description": f"{field.get('description', '')} To choose from a list, run sync-reference-data first."}
    if len(offered) > MOST_CHOICES:
        return {**field, "description": f"{field.get('description', '')} There are {len(offered):,}, too many for a list."}
    offered.sort(key=lambda one: one.casefold() if isinstance(one, str) else one)
    # What an enum holds needs no limits beside it.
    return {name: field[name] for name in ("title", "type", "position") if name in field} | {"enum": offered, "description": description}


def _custom_fields(field: Schema, custom_fields: list[CustomField]) -> Schema:
    names = [one.name for one in custom_fields]
    if not names or len(set(names)) < len(names) or len(names) > MOST_CHOICES:
        return field
    own: dict[str, Schema] = {}
    for position, one in enumerate(sorted(custom_fields, key=lambda one: (not one.mandatory, one.name.casefold()))):
        said = ("Mandatory, unless the account has a default for it." if one.mandatory else "", SORTS.get(one.input_type, ""))
        own[one.name] = {"title": one.name, "type": "string", "position": position, "description": " ".join(said).strip()}
        if one.input_type == "TEXT_OPTION" and one.options:
            own[one.name]["enum"] = list(one.options)
    return {**field, "properties": own, "additionalProperties": False, "description": "What is left empty gets the account's default."}


def _organization(one: Organization) -> str:
    return _readable(one.id, path(one), one.name)


def _profile(one: CertificateProfile) -> str:
    return _readable(one.id, one.name)


def _readable(id_: int, *names: str) -> str:
    """`name (id)`; the id alone where every name is too long for a parameter."""
    return next((text for name in names if len(text := f"{name} ({id_})") <= TEXT_MAX), str(id_))
