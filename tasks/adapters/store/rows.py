"""What SCM said of an order, as values of our tables. Pure: nothing is read or written here."""

from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

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
    return {
        "order_id": order_id, "at": now, "kind": kind, "detail": detail[:2000], "flow_run_id": run.id if run else None,
        "started_by": run.started_by if run else "", "requested_by": by,
    }


def new_row(account: str, record: OrderRecord, status: OrderStatus, *, now: datetime) -> dict[str, Any]:
    """An order that SCM holds and we did not know."""
    row = _copied(record)
    own = {name: value for name, value in _own_words(record).items() if value is not None}
    return row | {
        "common_name": "", "subject_alternative_names": [], "custom_fields": {}, "external_requester_emails": [],
        "key_algorithm": None, "key_size": None, "comments": None,
    } | own | {
        "id": uuid4(), "account": account, "ssl_id": record.ssl_id, "status": status.value, "origin": IMPORTED,
        "certificate_profile_id": record.profile_id, "certificate_profile_name": record.profile_name, "created_at": now, "changed_at": now,
    }


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
    if (record.term_days or 0) > LONGEST_TERM:    # no column holds it, and one mad row must not cost us its batch
        facts["term_days"] = None
    return facts


def _own_words(record: OrderRecord) -> dict[str, Any]:
    """What SCM says of an order that was not placed here: its names, key and comments too."""
    names = record.subject_alternative_names
    return {
        "common_name": record.common_name or (names[0] if names else None),
        "subject_alternative_names": list(names) if names is not None else None,
        "key_algorithm": record.key_algorithm, "key_size": record.key_size, "comments": record.comments,
        "external_requester_emails": [part.strip() for part in record.external_requester.split(",")] if record.external_requester else None,
        "custom_fields": dict(record.custom_fields) if record.custom_fields is not None else None,
    }


def _same_day(ours: Any, theirs: Any) -> bool:
    """A date without a time says nothing new about a moment that is at most a day away (contract 3)."""
    if not isinstance(ours, datetime) or not isinstance(theirs, datetime):
        return False
    return theirs.time() == time() and abs(ours - theirs) <= timedelta(days=1)
