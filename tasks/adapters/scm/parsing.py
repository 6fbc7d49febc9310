"""SCM's objects as our records. Each function raises `Unreadable` when what makes the record is missing."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from models.records import (
    AdminRecord,
    CustomFieldRecord,
    Delegation,
    DomainRecord,
    DomainValidation,
    ListedOrder,
    OrderRecord,
    OrganizationRecord,
    PasswordState,
    ProfileRecord,
)
from tasks.adapters.scm import values
from tasks.adapters.scm.values import Row, Unreadable

Complaint = Callable[[str], None]
Named = Callable[[str], str | None]

_ONLY_IN_DETAILS = frozenset({"certType", "certificateDetails", "autoRenewDetails"})
_TEXTS = frozenset({
    "commonName", "status", "organizationName", "type", "requester", "externalRequester", "requestedVia", "comments", "keyAlgorithm",
    "publicKeyAlg", "keySize", "publicKeySize", "autoRenewState",
})
"""Fields of an order that are read as texts."""


def organizations(rows: list[Row]) -> list[OrganizationRecord]:
    """Organizations, each followed by its departments (contract 5.1)."""
    found = []
    for row in rows:
        parent = organization(row)
        found.append(parent)
        for one in values.objects(row.get("departments")):
            found.append(OrganizationRecord(
                id=values.identity(one, "id"), name=values.required_name(one, "name"), parent_id=parent.id,
                parent_name=values.name(one, "parentName") or parent.name,
            ))
    return found


def organization(row: Row) -> OrganizationRecord:
    """One organization or department; the list lacks what only the details hold (contract 5.1)."""
    return OrganizationRecord(
        id=values.identity(row, "id"), name=values.required_name(row, "name"), parent_id=values.number(row, "parentId"),
        parent_name=values.name(row, "parentName"), api_allowed=values.boolean(row.get("sslCertsApiEnabled")),
        certificate_types=values.texts(row.get("certTypes")),
    )


def domain(row: Row) -> DomainRecord:
    """A domain's details (contract 5.2)."""
    delegation = values.word(row, "delegationStatus")
    state = values.word(row, "state")
    delegations = row.get("delegations")
    return DomainRecord(
        id=values.identity(row, "id"), name=values.required_name(row, "name"),
        delegation_active=None if delegation is None else delegation == "active",
        suspended=None if state is None else state == "suspended",
        validation_status=values.word(row, "validationStatus"), validation_method=values.name(row, "validationMethod"),
        validated_on=values.day(row, "dcvValidation"), validation_expires_on=values.day(row, "dcvExpiration"),
        delegations=None if delegations is None else tuple(map(_delegation, values.objects(delegations))),
    )


def _delegation(row: Row) -> Delegation:
    return Delegation(
        organization_id=values.identity(row, "orgId"), certificate_types=values.texts(row.get("certTypes")) or (),
        privileges=values.texts(row.get("domainCertificateRequestPrivileges")) or (),
        active=values.word(row, "status") in {None, "active"},
    )


def reported_domain(row: Row) -> DomainRecord:
    """A row of the domain report, in the words of the details: what is not initiated or needs action is not validated (contract 5.17)."""
    state = values.word(row, "status")
    status = values.word(row, "dcvStatus")
    return DomainRecord(
        id=values.identity(row, "id"), name=values.required_name(row, "name"),
        suspended=None if state is None else state == "suspended",
        validation_status="not_validated" if status in {"not_initiated", "action_required"} else status,
        validation_expires_on=values.day(row, "stickyUntil"),
    )


def validation(row: Row, *, domain: str | None = None) -> DomainValidation:
    """A validation as the list shows it, or with `domain` as its status call does (contract 5.3)."""
    return DomainValidation(
        domain=domain or values.required_name(row, "domain"), status=values.word(row, "dcvStatus", "status"),
        order_status=values.word(row, "dcvOrderStatus", "orderStatus"),
        method=values.name(row, "dcvMethod", "dcvOrderMethod", "orderMode"), expires_on=values.day(row, "expirationDate"),
    )


def profile(row: Row) -> ProfileRecord:
    """A certificate profile (contract 5.4)."""
    terms = row.get("terms")
    return ProfileRecord(
        id=values.identity(row, "id"), name=values.required_name(row, "name"), description=values.text(row, "description") or "",
        terms=tuple(days for one in terms if (days := values.integer(one))) if isinstance(terms, list) else (),
        key_types={str(word): values.texts(sizes) or () for word, sizes in values.inner(row, "keyTypes").items()},
    )


def custom_field(row: Row) -> CustomFieldRecord:
    """A custom field as `/customField/v2` shows it (contract 5.5)."""
    given = values.inner(row, "input")
    return CustomFieldRecord(
        id=values.identity(row, "id"), name=values.required_name(row, "name"), active=values.word(row, "state") in {None, "active"},
        mandatory="rest_api" in {one.strip().lower() for one in values.texts(row.get("mandatories")) or ()},
        input_type=values.name(given, "type") or "TEXT_SINGLE_LINE", options=values.texts(given.get("options")) or (),
    )


def short_custom_field(row: Row) -> CustomFieldRecord:
    """A custom field as `/ssl/v1/customFields` shows it (contract 5.5)."""
    return CustomFieldRecord(
        id=values.identity(row, "id"), name=values.required_name(row, "name"), mandatory=values.boolean(row.get("mandatory")) or False,
    )


def admin(row: Row) -> AdminRecord:
    """An administrator's details (contract 5.18)."""
    active = values.word(row, "activeStatus", "activeState", "status")
    return AdminRecord(
        id=values.identity(row, "id"), login=values.required_name(row, "login"), kind=values.name(row, "type"),
        roles=tuple((values.required_name(one, "role"), values.number(one, "orgId")) for one in values.objects(row.get("credentials"))),
        privileges=values.texts(row.get("privileges")) or (), active=None if active is None else active == "active",
        failed_attempts=values.number(row, "failedAttempts"),
    )


def password_state(row: Row) -> PasswordState:
    """The state of one's own password (contract 5.18)."""
    return PasswordState(state=values.required_name(row, "state").upper(), expires_on=values.day(row, "expirationDate"))


def listed(row: Row) -> ListedOrder:
    """An item of the list (contract 5.6)."""
    return ListedOrder(
        ssl_id=values.identity(row, "sslId", "id"), common_name=values.name(row, "commonName"), serial_number=values.serial(row, "serialNumber"),
    )


def order(row: Row, *, complain: Complaint, digest: int | None = None) -> OrderRecord:
    """An order as its details (contract 5.7) or a row of the report (5.17) show it.

    A date or serial number that cannot be read is left out and told to `complain`, and the record then has no digest; without id or status
    there is no record.
    """
    kept, plain = values.cleaned(row, texts=_TEXTS)
    if not kept.keys().isdisjoint(_ONLY_IN_DETAILS):
        kept, plain = _as_reported(kept), False
    ssl_id = values.identity(kept, "id", "sslId")
    name: Named = kept.get if plain else partial(values.clean_name, kept)
    text: Named = kept.get if plain else partial(values.clean_text, kept)
    whole = digest

    def left_out(reason: Unreadable) -> None:
        nonlocal whole
        whole = None
        complain(f"order {ssl_id}: {reason}; it was left out")

    def dated(field: str) -> datetime | None:
        if field not in kept:
            return None
        try:
            return values.moment(kept, field)
        except Unreadable as reason:
            left_out(reason)
            return None

    serial_number = None
    try:
        serial_number = values.serial(kept, "serialNumber") if "serialNumber" in kept else None
    except Unreadable as reason:
        left_out(reason)
    return OrderRecord(
        ssl_id=ssl_id, common_name=name("commonName"), status_word=name("status") or values.required_name(row, "status"),
        subject_alternative_names=values.dns_names(kept, "subjectAlternativeNames", "subjAltNames"),
        organization_id=values.integer(kept.get("orgId")), organization_name=name("organizationName"),
        profile_id=values.integer(kept.get("typeId")), profile_name=name("type"), term_days=values.integer(kept.get("term")),
        serial_number=serial_number, requester=text("requester"), external_requester=text("externalRequester"),
        requested_via=text("requestedVia"), comments=text("comments"), key_algorithm=name("keyAlgorithm") or name("publicKeyAlg"),
        key_size=name("keySize") or name("publicKeySize"), requested_at=dated("requested"), approved_at=dated("approved"),
        issued_at=dated("issued"), declined_at=dated("declined"), expires_at=dated("expires"), replaced_at=dated("replaced"),
        revoked_at=dated("revoked"), renewed=values.boolean(kept["renewed"]) if "renewed" in kept else None,
        auto_renew=name("autoRenewState"), custom_fields=_custom_values(kept), digest=whole,
    )


def _as_reported(kept: dict[str, Any]) -> dict[str, Any]:
    """What details hold in objects of their own, under the names of the report."""
    profile_of, certificate = values.inner(kept, "certType"), values.inner(kept, "certificateDetails")
    given = {
        "typeId": values.number(profile_of, "id"), "type": values.name(profile_of, "name"),
        "subjAltNames": kept.get("subjAltNames") or certificate.get("subjectAltNames"),
        "autoRenewState": values.name(values.inner(kept, "autoRenewDetails"), "state"),
    }
    return kept | {field: value for field, value in given.items() if value is not None}


def _custom_values(row: Row) -> tuple[tuple[str, str], ...] | None:
    if (given := row.get("customFields")) is None:
        return None
    if not given:
        return ()
    return tuple((values.required_name(one, "name"), values.text(one, "value") or "") for one in values.objects(given))
