"""What SCM told us, in our words: the types the SCM client speaks. Plain values, no secrets, no wire names.

An absent value is None, whether SCM left the field out, sent null or sent "" (contract 3). Moments are aware UTC; a date without a time is a `date`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True, slots=True)
class OrganizationRecord:
    """An organization or a department (an organization with a parent). Source: contract 5.1."""

    id: int
    name: str
    parent_id: int | None = None
    parent_name: str | None = None
    api_allowed: bool | None = None
    """The organization allows SSL orders by API; None when only the list was read."""
    certificate_types: tuple[str, ...] | None = None
    """For example SSL, SMIME; without SSL it orders through its departments (RULES N5)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delegation:
    """A domain delegated to an organization. Source: contract 5.2."""

    organization_id: int
    certificate_types: tuple[str, ...] = ()
    privileges: tuple[str, ...] = ()
    active: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainRecord:
    """A registered domain with its validation. Source: contract 5.2, 5.3.

    `validation_status` is `validated`, `not_validated` or `expired`; None where SCM shows no validation at all (it is off
    for the customer, or only the list was read).
    """

    id: int
    name: str
    delegation_active: bool | None = None
    suspended: bool | None = None
    validation_status: str | None = None
    validation_method: str | None = None
    validated_on: date | None = None
    validation_expires_on: date | None = None
    delegations: tuple[Delegation, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainValidation:
    """The validation of one domain: `status` as in `DomainRecord`, `order_status` of a validation under way. Source: contract 5.3."""

    domain: str
    status: str | None
    order_status: str | None = None
    method: str | None = None
    expires_on: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileRecord:
    """A certificate profile. `key_types` maps SCM's algorithm words to its size or curve words. Source: contract 5.4."""

    id: int
    name: str
    description: str = ""
    terms: tuple[int, ...] = ()
    key_types: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomFieldRecord:
    """A custom field of SSL orders; `mandatory` for orders by API. Source: contract 5.5."""

    id: int
    name: str
    mandatory: bool
    active: bool = True
    input_type: str = "TEXT_SINGLE_LINE"
    options: tuple[str, ...] = ()


class OrderRecord(NamedTuple):
    """One order as details or a report row show it; a field that the source lacks is None. Source: contract 5.7, 5.17.

    `status_word` is SCM's own word. `serial_number` is normalised: lower-case hex digits without leading zeros.
    `subject_alternative_names` may omit the common name. A tuple, since there may be a million.
    """

    ssl_id: int
    common_name: str | None
    status_word: str
    subject_alternative_names: tuple[str, ...] | None = None
    organization_id: int | None = None
    organization_name: str | None = None
    profile_id: int | None = None
    profile_name: str | None = None
    term_days: int | None = None
    serial_number: str | None = None
    requester: str | None = None
    external_requester: str | None = None
    requested_via: str | None = None
    comments: str | None = None
    key_algorithm: str | None = None
    key_size: str | None = None
    requested_at: datetime | None = None
    approved_at: datetime | None = None
    issued_at: datetime | None = None
    declined_at: datetime | None = None
    expires_at: datetime | None = None
    replaced_at: datetime | None = None
    revoked_at: datetime | None = None
    renewed: bool | None = None
    auto_renew: str | None = None
    """State of SCM's own automatic renewal, as SCM says it; only in details."""
    custom_fields: tuple[tuple[str, str], ...] | None = None
    digest: int | None = None
    """Of the row of the report that this is, see `ReportedOrder`; None for details, and for a row of which something could not be read."""


class ReportedOrder(NamedTuple):
    """A row of the report that nobody has read yet: what did not change need not be read (contract 5.17).

    `digest` is a hash of 64 bits of the row as SCM wrote it, but for MD5 and SHA-1, which it has only once a certificate was made.
    """

    ssl_id: int
    digest: int
    read: Callable[[], OrderRecord | None]
    """The order; None for a row that is none, which is told to whoever asked for the report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedOrder:
    """An item of the list: no status, no date. Source: contract 5.6."""

    ssl_id: int
    common_name: str | None = None
    serial_number: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EnrollRequest:
    """A new order as it is sent. `names` are the SANs to send besides the CSR's common name, maybe none (RULES N3). Source: contract 5.8."""

    organization_id: int
    profile_id: int
    term_days: int
    csr: str
    names: tuple[str, ...] = ()
    comments: str = ""
    external_requester_emails: tuple[str, ...] = ()
    custom_fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolled:
    """SCM's numbers for what it took. `renew_id` is missing after a renewal."""

    ssl_id: int
    renew_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AdminRecord:
    """The login's own administrator record: roles like MRAO, privileges like sslApprove. Source: contract 5.18."""

    id: int
    login: str
    kind: str | None = None
    roles: tuple[tuple[str, int | None], ...] = ()
    """Role and the organization it is limited to (None for MRAO)."""
    privileges: tuple[str, ...] = ()
    active: bool | None = None
    failed_attempts: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PasswordState:
    """`state` is ALIVE, EXPIRED or NEVER_EXPIRE. Source: contract 5.18."""

    state: str
    expires_on: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportWindow:
    """Which orders a report shall hold: a window of one date, both ends included, as UTC days. Source: contract 5.17."""

    by: str = "request"
    """request, issuance, expiry or revocation."""
    first: date | None = None
    last: date | None = None
    organization_ids: tuple[int, ...] = ()
    common_name: str | None = None
    source: str | None = None
    """Only orders that came this way: imported or discovery. These have no request date."""
