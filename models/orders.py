"""Orders, what we sent for them, the certificates they became, and what happened to them.

Statuses are kept by value (`models.status`); what follows from other rows or the clock (superseded, expired, due) is computed.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.columns import UtcDateTime, json_column
from models.ids import new_id

Moment: Any = UtcDateTime()

_WAITS, _HELD = text("waiting_because IS NOT NULL"), text("held_because IS NOT NULL")
_RENEWED, _SERVED = text("renewal_from IS NOT NULL"), text("served_until IS NOT NULL")
"""Few rows of many: indices of these alone cost nothing."""

ORDERED = "ordered"
IMPORTED = "imported"
"""Where an order comes from (`origin`): placed here, or found at SCM."""

ENROLL = "enroll"
RENEW = "renew"
REISSUE = "reissue"
"""What a submission asks SCM for (`kind`)."""


@dataclass(frozen=True, slots=True)
class Run:
    """The flow run that does something: its id, and how it was started: `schedule`, `automation`, `API or UI`, `Python`."""

    id: str
    started_by: str


class CertificateOrder(SQLModel, table=True):
    """SCM's record of one certificate. `id` exists before SCM knows of the order; `ssl_id` is SCM's number for it.

    `organization_id` and `certificate_profile_id` are SCM's ids, known or not to our reference data.
    `serial_number` is the newest that SCM named: lower-case hex without leading zeros.
    """

    __tablename__ = "certificate_order"
    __table_args__ = (
        UniqueConstraint("account", "ssl_id", name="uq_certificate_order_account_ssl_id"),
        Index("ix_certificate_order_counts", "account", "status", "organization_id", "deleted_at"),
        Index("ix_certificate_order_ends", "account", "status", "expires_at"),
        Index("ix_certificate_order_waiting", "account", "status", sqlite_where=_WAITS, postgresql_where=_WAITS),
        Index("ix_certificate_order_renewal", "account", "status", "renewal_from", sqlite_where=_RENEWED, postgresql_where=_RENEWED),
        Index("ix_certificate_order_served", "account", "status", "served_until", sqlite_where=_SERVED, postgresql_where=_SERVED),
        Index("ix_certificate_order_common_name", "common_name"),
        Index("ix_certificate_order_serial_number", "serial_number"),
        Index("ix_certificate_order_live_name", "live_name"),
        Index("ix_certificate_order_predecessor_id", "predecessor_id"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    account: str
    ssl_id: int | None = Field(default=None, sa_type=BigInteger)
    renew_id: str | None = None
    status: str
    common_name: str
    subject_alternative_names: list[str] = Field(default_factory=list, sa_type=json_column())
    organization_id: int | None = Field(default=None, sa_type=BigInteger)
    organization_name: str | None = None
    certificate_profile_id: int | None = Field(default=None, sa_type=BigInteger)
    certificate_profile_name: str | None = None
    term_days: int | None = None
    key_algorithm: str | None = None
    key_size: str | None = None
    keystore_type: str | None = None
    keystore_password_path: str | None = None
    custom_fields: dict[str, str] = Field(default_factory=dict, sa_type=json_column())
    comments: str | None = None
    external_requester_emails: list[str] = Field(default_factory=list, sa_type=json_column())
    serial_number: str | None = None
    requester: str | None = None
    requested_via: str | None = None
    requested_at: datetime | None = Field(default=None, sa_type=Moment)
    approved_at: datetime | None = Field(default=None, sa_type=Moment)
    issued_at: datetime | None = Field(default=None, sa_type=Moment)
    expires_at: datetime | None = Field(default=None, sa_type=Moment)
    revoked_at: datetime | None = Field(default=None, sa_type=Moment)
    declined_at: datetime | None = Field(default=None, sa_type=Moment)
    replaced_at: datetime | None = Field(default=None, sa_type=Moment)
    predecessor_id: UUID | None = Field(default=None, foreign_key="certificate_order.id")
    origin: str
    live_name: str | None = None
    waiting_because: str | None = None
    """Why the certificate of an issued order is not fetched or not delivered yet, as a sentence."""
    served_until: datetime | None = Field(default=None, sa_type=Moment)
    """When the certificate ends that `live/` serves for this order; empty when it serves another one or none."""
    renewal_from: datetime | None = Field(default=None, sa_type=Moment)
    """From when on that certificate is renewed (`models.policy.renewal_from`); kept, since a million cannot be asked each time."""
    deleted_at: datetime | None = Field(default=None, sa_type=Moment)
    report_digest: int | None = Field(default=None, sa_type=BigInteger)
    """Of the row of SCM's report that was written here last: the same row again says nothing new. None when something else wrote since."""
    created_at: datetime = Field(sa_type=Moment)
    changed_at: datetime = Field(sa_type=Moment)


class Submission(SQLModel, table=True):
    """One thing we sent, or mean to send: an enroll, a renew or a reissue. Its key lies in Vault below `keys/<id>`.

    `request_scope` makes `request_id` unique per account and, for renew and reissue, per order (RULES E6).
    `wish` holds the parameters as they were asked, to recognise a second request under the same id.
    `known_ssl_ids` are the ids of that name before a renewal was sent, `known_serial_number` and `known_replaced_at` what SCM said of
    the order before a reissue (RULES E5). `names` are the names a reissue asks for, the common name first; empty for the order's own.
    `reuse_of` is the submission whose key a renewal uses again. `marked_renewed_at` is when SCM was told that a new order renews the
    predecessor (RULES R4).
    `absent_at` are the moments at which SCM was seen not to hold it (RULES E4); `attempts` counts claims.
    Until `taken_until` a run means to send it, with others of its slice: runs that share the work leave it to that one. Only the claim
    decides who sends.
    """

    __table_args__ = (
        UniqueConstraint("account", "request_id", "request_scope", name="uq_submission_account_request"),
        Index("ix_submission_order_id", "order_id"),
        Index("ix_submission_status", "status"),
        Index("ix_submission_public_key_sha256", "public_key_sha256"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    account: str
    order_id: UUID = Field(foreign_key="certificate_order.id")
    kind: str
    status: str
    csr: str | None = None
    own_csr: bool = False
    """The customer brought the CSR: we hold no key (RULES K2)."""
    request_id: str
    request_scope: str = ""
    wish: dict[str, Any] = Field(default_factory=dict, sa_type=json_column())
    public_key_sha256: str | None = None
    names: list[str] = Field(default_factory=list, sa_type=json_column())
    reuse_of: UUID | None = None
    known_ssl_ids: list[int] = Field(default_factory=list, sa_type=json_column())
    known_serial_number: str | None = None
    known_replaced_at: datetime | None = Field(default=None, sa_type=Moment)
    absent_at: list[str] = Field(default_factory=list, sa_type=json_column())
    attempts: int = 0
    taken_until: datetime | None = Field(default=None, sa_type=Moment)
    claimed_at: datetime | None = Field(default=None, sa_type=Moment)
    submitted_at: datetime | None = Field(default=None, sa_type=Moment)
    marked_renewed_at: datetime | None = Field(default=None, sa_type=Moment)
    error: str | None = None
    created_at: datetime = Field(sa_type=Moment)


class Certificate(SQLModel, table=True):
    """One issued X.509 certificate of an order: our repository. `serial_number` as in the order; hashes are lower-case hex.

    `held_because` says why it is not delivered (RULES D3); `never_deliver` that no person may accept it.
    """

    __table_args__ = (
        UniqueConstraint("order_id", "sha256", name="uq_certificate_order_sha256"),
        Index("ix_certificate_serial_number", "serial_number"),
        Index("ix_certificate_public_key_sha256", "public_key_sha256"),
        Index("ix_certificate_not_after", "not_after"),
        Index("ix_certificate_sha256", "sha256"),
        Index("ix_certificate_held", "order_id", sqlite_where=_HELD, postgresql_where=_HELD),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    order_id: UUID = Field(foreign_key="certificate_order.id")
    submission_id: UUID | None = Field(default=None, foreign_key="submission.id")
    serial_number: str
    sha256: str
    public_key_sha256: str
    names: list[str] = Field(sa_type=json_column())
    issuer: str
    key_algorithm: str
    key_size: str
    extended_key_usage: list[str] = Field(default_factory=list, sa_type=json_column())
    not_before: datetime = Field(sa_type=Moment)
    not_after: datetime = Field(sa_type=Moment)
    pem: str
    chain_pem: str
    fetched_at: datetime = Field(sa_type=Moment)
    delivered_at: datetime | None = Field(default=None, sa_type=Moment)
    live_version: int | None = None
    held_because: str | None = None
    never_deliver: bool = False
    flags: list[str] = Field(default_factory=list, sa_type=json_column())
    removed_at: datetime | None = Field(default=None, sa_type=Moment)


@dataclass(kw_only=True)
class NewCertificate:
    """A certificate that is not stored yet: what of `Certificate` is known then. Plain, since making a row costs as much as the check."""

    order_id: UUID
    serial_number: str
    sha256: str
    public_key_sha256: str
    names: list[str]
    issuer: str
    key_algorithm: str
    key_size: str
    not_before: datetime
    not_after: datetime
    pem: str
    chain_pem: str
    fetched_at: datetime
    submission_id: UUID | None = None
    extended_key_usage: list[str] = field(default_factory=list)
    held_because: str | None = None
    never_deliver: bool = False
    flags: list[str] = field(default_factory=list)
    id: UUID = field(default_factory=new_id)


class OrderEvent(SQLModel, table=True):
    """Something that happened to an order: what, when, by which run, asked by whom."""

    __tablename__ = "order_event"
    __table_args__ = (Index("ix_order_event_order_id_at", "order_id", "at"),)

    id: int | None = Field(default=None, primary_key=True)
    order_id: UUID = Field(foreign_key="certificate_order.id")
    at: datetime = Field(sa_type=Moment)
    kind: str
    detail: str = ""
    flow_run_id: str | None = None
    started_by: str = ""
    requested_by: str = ""


class Revocation(SQLModel, table=True):
    """A certificate that is to be revoked at SCM, now or later; poll_orders does what could not be done at once.

    Due from `due_at` on, or `after_days` after the certificate of `successor_id` was delivered, whatever comes first (RULES R5, V3).
    `status`: planned, done, refused. `serial_number` is given when it is revoked by that (RULES N6); `remove` takes it out of the
    repository and its key out of `live/` (RULES D5).
    """

    __table_args__ = (Index("ix_revocation_status", "status"), Index("ix_revocation_order_id", "order_id"))

    id: UUID = Field(default_factory=new_id, primary_key=True)
    account: str
    order_id: UUID = Field(foreign_key="certificate_order.id")
    serial_number: str | None = None
    reason_code: int
    reason: str
    remove: bool = False
    successor_id: UUID | None = Field(default=None, foreign_key="certificate_order.id")
    after_days: int | None = None
    due_at: datetime | None = Field(default=None, sa_type=Moment)
    status: str = "planned"
    requested_by: str = ""
    error: str | None = None
    created_at: datetime = Field(sa_type=Moment)
    done_at: datetime | None = Field(default=None, sa_type=Moment)


class CompromisedKey(SQLModel, table=True):
    """A public key that somebody reported as compromised: nobody uses it again, in no account (RULES K5). SHA-256 as in `certificate`."""

    __tablename__ = "compromised_key"

    public_key_sha256: str = Field(primary_key=True)
    reported_at: datetime = Field(sa_type=Moment)
    reported_by: str = ""
    reason: str = ""


class AccountState(SQLModel, table=True):
    """What we must remember of an account between runs.

    A stop (RULES S1) holds while `stopped_version` is the version of the account's secret in Vault.
    `imported_until` is the start of the last finished import of changes, `full_import_at` of the last whole one;
    `import_resume` tells a killed import what it has finished (RULES S3), and the next one which keys in Vault fitted nothing (K6).
    `free_at` is when the next call to SCM may leave: the turns before it are taken, or SCM has asked for a pause.
    """

    __tablename__ = "account_state"

    account: str = Field(primary_key=True)
    stopped_at: datetime | None = Field(default=None, sa_type=Moment)
    stopped_version: int | None = None
    stopped_because: str | None = None
    checked_at: datetime | None = Field(default=None, sa_type=Moment)
    synced_at: datetime | None = Field(default=None, sa_type=Moment)
    imported_until: datetime | None = Field(default=None, sa_type=Moment)
    full_import_at: datetime | None = Field(default=None, sa_type=Moment)
    import_resume: dict[str, Any] | None = Field(default=None, sa_type=json_column())
    free_at: datetime | None = Field(default=None, sa_type=Moment)
