"""What a flow answers: ids, counts and sentences, no secrets. Programs read it from the artifact `summary-<flow run id>`."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

Severity = Literal["error", "warning", "unknown"]


class Summary(BaseModel):
    """What all summaries share."""

    model_config = ConfigDict(frozen=True)


class Finding(Summary):
    """Something a person should know about an account, with what to do."""

    severity: Severity
    code: str
    message: str
    mended_by: str = ""
    """Who can mend it: SCM administrator, Certflow operator, domain owner."""


class AccountSummary(Summary):
    """check_account."""

    healthy: bool = False
    findings: tuple[Finding, ...] = ()


class Counted(Summary):
    """What a sync saw of one kind."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    vanished: int = 0


class SyncSummary(Summary):
    """sync_reference_data. A kind that was not asked for counts zero."""

    organizations: Counted = Counted()
    domains: Counted = Counted()
    certificate_profiles: Counted = Counted()
    custom_fields: Counted = Counted()
    calls: int = 0


class ImportSummary(Summary):
    """import_orders."""

    orders_seen: int = 0
    orders_new: int = 0
    orders_changed: int = 0
    certificates_fetched: int = 0
    certificates_waiting: int = 0
    unreadable: int = 0
    settled: int = 0
    attached: int = 0
    """Orders that got their key or their live name back from Vault (RULES K6)."""
    calls: int = 0
    problems: tuple[str, ...] = ()


class OrderSummary(Summary):
    """order_certificate."""

    order_id: UUID | None = None
    ssl_id: int | None = None
    status: str = "refused"
    notes: tuple[str, ...] = ()


class PollSummary(Summary):
    """poll_orders."""

    orders_checked: int = 0
    orders_changed: int = 0
    certificates_fetched: int = 0
    certificates_waiting: int = 0
    settled: int = 0
    in_doubt: int = 0
    failed: int = 0
    sent: int = 0
    delivered: int = 0
    revoked: int = 0
    calls: int = 0
    problems: tuple[str, ...] = ()


class OrderResult(Summary):
    """One order of a batch, and why it was skipped, what was done with it, or why that failed."""

    order_id: UUID | None = None
    ssl_id: int | None = None
    reason: str = ""


class RenewedOrder(Summary):
    """What renews or reissues an order; for a renewal `ssl_id` is the successor's."""

    action: Literal["renew", "reissue"]
    order_id: UUID
    ssl_id: int | None = None
    predecessor_ssl_id: int | None = None
    status: str


class RenewSummary(Summary):
    """renew_or_reissue."""

    orders: tuple[RenewedOrder, ...] = ()
    skipped: tuple[OrderResult, ...] = ()
    failed: tuple[OrderResult, ...] = ()
    calls: int = 0


class RevokeSummary(Summary):
    """revoke. `planned` are other certificates with a compromised key, which are revoked later (RULES V3)."""

    done: tuple[OrderResult, ...] = ()
    failed: tuple[OrderResult, ...] = ()
    planned: tuple[OrderResult, ...] = ()
    calls: int = 0


class CancelSummary(Summary):
    """cancel_orders."""

    done: tuple[OrderResult, ...] = ()
    failed: tuple[OrderResult, ...] = ()
    calls: int = 0


class DeleteSummary(Summary):
    """delete_orders."""

    done: tuple[OrderResult, ...] = ()
    failed: tuple[OrderResult, ...] = ()


class InventorySummary(Summary):
    """report_inventory. `ending_soon` within 30 days; `strangers` are living certificates that nobody ordered here.

    `will_fail` are renewals that will not succeed as things stand, `overdue` revocations whose moment has passed, `stuck` orders that are
    undecided for more than a day, `keys_of_nothing` keys in Vault without a submission, None where Vault did not tell.
    """

    orders: int = 0
    certificates: int = 0
    ending_soon: int = 0
    in_doubt: int = 0
    waiting: int = 0
    held: int = 0
    strangers: int = 0
    stuck: int = 0
    will_fail: int = 0
    overdue: int = 0
    weak_keys: int = 0
    shared_names: int = 0
    keys_of_nothing: int | None = None
    renewal_schedule: Literal["on", "off", "not known"] = "not known"
    file: str = ""
