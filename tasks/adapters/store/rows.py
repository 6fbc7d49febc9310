"""What SCM said of an order, as values of our tables. Pure: nothing is read or written here."""

from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from models.ids import new_id_digits
from models.orders import IMPORTED, CertificateOrder, Run
from models.records import OrderRecord
from models.status import OrderStatus

LONGEST_TERM = 2**31 - 1

_COPIED = (
    "organization_id", "organization_name", "term_days", "serial_number", "requester", "requested_via", "requested_at", "approved_at",
    "issued_at", "expires_at", "revoked_at", "declined_at", "replaced_at",
)
"""Facts that are SCM's to say, whoever placed the order; an absent one keeps what we have."""


def event(order_id: UUID, kind: str, detail: str, *, now: datetime, run: Run | None, by: str = "") -> dict[str, Any]:
    """Something that happened to an order."""
    return {"order_id": order_id, **happened(kind, detail, now=now, run=run, by=by)}


def happened(kind: str, detail: str, *, now: datetime, run: Run | None, by: str = "") -> dict[str, Any]:
    """The same for whichever order it happened to."""
    return {
        "at": now, "kind": kind, "detail": detail[:2000], "flow_run_id": run.id if run else None,
        "started_by": run.started_by if run else "", "requested_by": by,
    }


NEW = (
    "id", "account", "ssl_id", "status", "common_name", "subject_alternative_names", "organization_id", "organization_name",
    "certificate_profile_id", "certificate_profile_name", "term_days", "key_algorithm", "key_size", "custom_fields", "comments",
    "external_requester_emails", "serial_number", "requester", "requested_via", "requested_at", "approved_at", "issued_at", "expires_at",
    "revoked_at", "declined_at", "replaced_at", "origin", "report_digest", "created_at", "changed_at",
)
"""Columns of `new_row`."""

EVENT = ("order_id", "at", "kind", "detail", "flow_run_id", "started_by", "requested_by")
"""Columns of `event`."""


def new_row(account: str, record: OrderRecord, status: OrderStatus, *, now: datetime) -> tuple[Any, ...]:
    """An order that SCM holds and we did not know."""
    names, emails = record.subject_alternative_names, record.external_requester
    return (
        new_id_digits(), account, record.ssl_id, status.value, record.common_name or (names[0] if names else ""), list(names or ()),
        record.organization_id, record.organization_name, record.profile_id, record.profile_name, _term(record), record.key_algorithm,
        record.key_size, dict(record.custom_fields or ()), record.comments, _emails(emails) if emails else [], record.serial_number,
        record.requester, record.requested_via, record.requested_at, record.approved_at, record.issued_at, record.expires_at,
        record.revoked_at, record.declined_at, record.replaced_at, IMPORTED, record.digest, now, now,
    )


def differing(row: CertificateOrder, record: OrderRecord, status: OrderStatus | None) -> dict[str, Any]:
    """What SCM says otherwise than the row. What a record lacks differs in nothing."""
    facts = _copied(record)
    facts |= {"certificate_profile_id": record.profile_id, "certificate_profile_name": record.profile_name}
    if row.origin == IMPORTED:
        facts |= _own_words(record)
    if status is not None:
        facts["status"] = status.value
    return {
        name: value for name, value in facts.items()
        if value is not None and (ours := getattr(row, name)) != value and not _same_day(ours, value)
    }


def _copied(record: OrderRecord) -> dict[str, Any]:
    facts = {name: getattr(record, name) for name in _COPIED}
    facts["term_days"] = _term(record)
    return facts


def _term(record: OrderRecord) -> int | None:
    """No column holds a longer one, and one mad row must not cost us its batch."""
    return None if record.term_days is None or abs(record.term_days) > LONGEST_TERM else record.term_days


def _emails(given: str) -> list[str]:
    return [part.strip() for part in given.split(",")]


def _own_words(record: OrderRecord) -> dict[str, Any]:
    """What SCM says of an order that was not placed here: its names, key and comments too."""
    names = record.subject_alternative_names
    return {
        "common_name": record.common_name or (names[0] if names else None),
        "subject_alternative_names": list(names) if names is not None else None,
        "key_algorithm": record.key_algorithm, "key_size": record.key_size, "comments": record.comments,
        "external_requester_emails": _emails(record.external_requester) if record.external_requester else None,
        "custom_fields": dict(record.custom_fields) if record.custom_fields is not None else None,
    }


def _same_day(ours: Any, theirs: Any) -> bool:
    """A date without a time says nothing new about a moment that is at most a day away (contract 3)."""
    if not isinstance(ours, datetime) or not isinstance(theirs, datetime):
        return False
    return theirs.time() == time() and abs(ours - theirs) <= timedelta(days=1)
