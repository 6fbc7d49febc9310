"""A digest stands for the facts that the report told: whoever overwrites one of these otherwise makes it worthless.

The next report with the same row would pass it by, and what it says would never come back.
"""

from typing import Any

from sqlalchemy import event, inspect

from models.orders import CertificateOrder

FACTS = (
    "ssl_id", "status", "common_name", "subject_alternative_names", "organization_id", "organization_name", "certificate_profile_id",
    "certificate_profile_name", "term_days", "key_algorithm", "key_size", "custom_fields", "comments", "external_requester_emails",
    "serial_number", "requester", "requested_via", "requested_at", "approved_at", "issued_at", "expires_at", "revoked_at", "declined_at",
    "replaced_at", "origin",
)
"""Columns that the report tells, and `origin`, which decides whether it tells the order's own words too. A bulk UPDATE of one of these
must set `report_digest` to NULL itself."""


@event.listens_for(CertificateOrder, "before_update")
def _forget(_mapper: Any, _connection: Any, row: CertificateOrder) -> None:
    """What only fills a gap overwrites nothing."""
    state: Any = inspect(row)
    attributes = state.attrs
    if row.report_digest is None or attributes["report_digest"].history.added:
        return
    if any(_overwritten(attributes[name].history) for name in FACTS):
        row.report_digest = None


def _overwritten(history: Any) -> bool:
    return bool(history.added) and (not history.deleted or any(old is not None for old in history.deleted))
