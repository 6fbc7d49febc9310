"""Would this order be issued? All problems at once, before anything is sent (RULES C, K1, N3 to N5). Pure: facts in, answers out.

A documented fact refuses, an inferred one warns. `send_anyway` turns refusals into warnings, save what cannot be sent at all.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from models.checks.facts import Level, Problem, ReferenceFacts, is_private
from models.checks.names import check_names
from models.choosing import as_id, choose_organization, choose_profile, departments, orders_ssl, path
from models.errors import InputError
from models.names import RequestedNames, requested_names
from models.parameters import CUSTOM_FIELD_MAX, EXTERNAL_REQUESTER_MAX, OrderParameters
from models.reference import CertificateProfile, CustomField, Organization

_EC_WORDS = frozenset({"EC", "ECC", "ECDSA"})
_CURVES = {"p256": "P-256", "secp256r1": "P-256", "prime256v1": "P-256", "256": "P-256", "p384": "P-384", "secp384r1": "P-384", "384": "P-384",
           "p521": "P-521", "secp521r1": "P-521", "521": "P-521"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedOrder:
    """An order in SCM's terms. Ids are None where a text could not be resolved; then a problem of level `never` says so."""

    names: RequestedNames | None
    organization: Organization | None = None
    profile: CertificateProfile | None = None
    organization_id: int | None = None
    profile_id: int | None = None
    term_days: int | None = None
    external_requester_emails: tuple[str, ...] = ()
    custom_fields: tuple[tuple[str, str], ...] = ()
    domain_ids: frozenset[int] = field(default_factory=frozenset)
    private: bool = False
    problems: tuple[Problem, ...] = ()

    def against(self, *, send_anyway: bool) -> list[str]:
        """What refuses the order."""
        return [problem.text for problem in self.problems if problem.level == "never" or (problem.level == "refuse" and not send_anyway)]

    def said(self, *, send_anyway: bool) -> list[str]:
        """What is said and does not refuse it."""
        return [problem.text for problem in self.problems if problem.level == "warn" or (problem.level == "refuse" and send_anyway)]


def check_order(
    wish: OrderParameters, facts: ReferenceFacts, *, defaults: Mapping[str, Any], private_profiles: Sequence[str], today: date,
    csr_key: tuple[str, str] | None = None,
) -> CheckedOrder:
    """Everything that can be said of an order before it is sent. `csr_key` is algorithm and size of a customer's own CSR."""
    problems: list[Problem] = []
    organization, organization_id = _organization(wish, facts, problems)
    profile, profile_id = _profile(wish, facts, organization, problems)
    private = is_private(profile, private_profiles)
    names = _names(wish, problems)
    term = wish.term_days
    if profile is not None:
        term = term or max(profile.terms, default=None)
        problems += _terms(term, profile)
        problems += _key(*(csr_key or (wish.key_algorithm, wish.size)), profile)
    elif term is None and profile_id is not None:
        problems.append(Problem(level="never", text="term_days is needed, since the profile and its terms are not known"))
    domain_ids: set[int] = set()
    if names is not None:
        problems += check_names(names.names, facts, organization, used=domain_ids, private=private, today=today)
    custom = _custom_fields(wish, facts, defaults, problems)
    emails = wish.external_requester_emails or _emails(defaults.get("external_requester_emails"))
    if len(", ".join(emails)) > EXTERNAL_REQUESTER_MAX:
        problems.append(Problem(level="never", text=f"the external requesters are longer than {EXTERNAL_REQUESTER_MAX} characters when joined"))
    return CheckedOrder(
        names=names, organization=organization, profile=profile, organization_id=organization_id, profile_id=profile_id, term_days=term,
        external_requester_emails=emails, custom_fields=custom, domain_ids=frozenset(domain_ids), private=private, problems=tuple(problems),
    )


def _organization(wish: OrderParameters, facts: ReferenceFacts, problems: list[Problem]) -> tuple[Organization | None, int | None]:
    try:
        found = choose_organization(wish.organization, facts.organizations)
    except InputError as error:
        number = as_id(wish.organization)
        problems.append(Problem(level="never" if number is None else "refuse", text=str(error)))
        return None, number
    if found.api_allowed is False:
        problems.append(Problem(level="refuse", text=(
            f"organization {path(found)} ({found.id}) does not allow orders by API: an SCM administrator must enable it there"
        )))
    if not orders_ssl(found):
        own = "; ".join(f"{path(one)} ({one.id})" for one in departments(found, facts.organizations))
        problems.append(Problem(level="refuse", text=(
            f"organization {path(found)} ({found.id}) has no SSL certificates of its own" + (f": order for a department: {own}" if own else "")
        )))
    return found, found.id


def _profile(
    wish: OrderParameters, facts: ReferenceFacts, organization: Organization | None, problems: list[Problem]
) -> tuple[CertificateProfile | None, int | None]:
    offered = [one for one in facts.profiles if organization is None or organization.id in one.organization_ids]
    try:
        found = choose_profile(wish.certificate_profile, offered)
    except InputError as error:
        number = as_id(wish.certificate_profile)
        elsewhere = f" for organization {path(organization)} ({organization.id})" if organization else ""
        text = str(error).replace(" is unknown", f" is not offered{elsewhere}")
        problems.append(Problem(level="never" if number is None else "refuse", text=text))
        return next((one for one in facts.profiles if one.id == number), None), number
    return found, found.id


def _names(wish: OrderParameters, problems: list[Problem]) -> RequestedNames | None:
    try:
        names = requested_names(wish.common_name, wish.subject_alternative_names)
    except InputError as error:
        problems += [Problem(level="never", text=text) for text in error.problems]
        return None
    problems += [Problem(level="warn", text=note) for note in names.notes]
    return names


def _terms(term: int | None, profile: CertificateProfile) -> Iterator[Problem]:
    if term is None:
        yield Problem(level="never", text=f"profile {profile.name} names no term: give term_days")
    elif profile.terms and term not in profile.terms:
        yield Problem(level="refuse", text=(
            f"profile {profile.name} has no term of {term} days: choose one of {', '.join(str(days) for days in sorted(profile.terms))}"
        ))


def _key(algorithm: str, size: str, profile: CertificateProfile) -> Iterator[Problem]:
    """RULES K1: SCM's words for keys are compared without case and spelling; a profile that names no EC at all only warns."""
    offered: dict[str, set[str]] = {}
    for word, sizes in profile.key_types.items():
        offered.setdefault("EC" if word.strip().upper() in _EC_WORDS else word.strip().upper(), set()).update(_size(one) for one in sizes)
    if not offered:
        return
    if algorithm not in offered:
        level: Level = "warn" if algorithm == "EC" else "refuse"
        yield Problem(level=level, text=(
            f"profile {profile.name} names no {algorithm} keys, only {', '.join(sorted(offered))}; SCM may refuse the order"
        ))
    elif offered[algorithm] and size not in offered[algorithm]:
        readable = algorithm != "EC" or offered[algorithm] <= set(_CURVES.values())    # SCM's words for curves are documented nowhere
        yield Problem(level="refuse" if readable else "warn", text=(
            f"profile {profile.name} has no {algorithm} keys of size {size}: choose one of {', '.join(sorted(offered[algorithm]))}"
        ))


def _size(word: str) -> str:
    return _CURVES.get(re.sub(r"[\s_-]", "", word.lower()), word.strip())


def _custom_fields(
    wish: OrderParameters, facts: ReferenceFacts, defaults: Mapping[str, Any], problems: list[Problem]
) -> tuple[tuple[str, str], ...]:
    """By name or id; the account's defaults fill what was not given (RULES C4)."""
    fields = {str(one.id): one for one in facts.custom_fields} | {one.name.casefold(): one for one in facts.custom_fields}
    by_default = defaults.get("custom_fields") or {}
    if not isinstance(by_default, Mapping):
        problems.append(Problem(level="never", text="the account's defaults in Vault: custom_fields must be an object of names and values"))
        by_default = {}
    values: dict[str, str] = {}
    for given, source in ((by_default, "the account's defaults"), (wish.custom_fields, "custom_fields")):
        for key, value in given.items():
            found = fields.get(str(key).casefold())
            if found is None:
                known = ", ".join(sorted(one.name for one in facts.custom_fields)) or "none"
                problems.append(Problem(level="refuse", text=f"{source}: there is no custom field {key!r}; the account has {known}"))
            values[found.name if found else str(key)] = "" if value is None else str(value)
    for one in facts.custom_fields:
        problems += _value(one, values.get(one.name, ""))
        if one.mandatory and one.active and not values.get(one.name):
            problems.append(Problem(level="refuse", text=f"custom field {one.name!r} is mandatory: give it, or a default for the account"))
    return tuple((name, value) for name, value in values.items() if value)


def _emails(default: Any) -> tuple[str, ...]:
    """The account's default requesters: a list, or one text with commas as SCM itself writes it."""
    return tuple(part.strip() for part in (default.split(",") if isinstance(default, str) else default or ()) if part.strip())


def _value(custom_field: CustomField, value: str) -> Iterator[Problem]:
    if len(value) > CUSTOM_FIELD_MAX:
        yield Problem(level="never", text=f"custom field {custom_field.name!r} is longer than {CUSTOM_FIELD_MAX} characters")
    elif custom_field.input_type == "TEXT_OPTION" and custom_field.options and value and value not in custom_field.options:
        yield Problem(level="refuse", text=f"custom field {custom_field.name!r} must be one of {', '.join(custom_field.options)}")
    elif custom_field.input_type == "DATE" and value and not _is_day(value):
        yield Problem(level="refuse", text=f"custom field {custom_field.name!r} must be a date such as 2026-03-31")
    elif custom_field.input_type == "NUMBER" and value and not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        yield Problem(level="refuse", text=f"custom field {custom_field.name!r} must be a number")


def _is_day(value: str) -> bool:
    """Whether the text is a day as `yyyy-MM-dd` (contract 3)."""
    with suppress(ValueError):
        return date.fromisoformat(value).isoformat() == value
    return False
