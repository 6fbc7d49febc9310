"""renew_or_reissue: a new order or a new certificate with a new key, for what is due or for the orders that somebody names."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import NAMES_MAX, RenewAction, RenewParameters, checked
from models.summaries import RenewSummary
from tasks import accounts, helping, polling, renewing, sending
from tasks.runs import demand_requester, reported, story


@flow(name="renew-or-reissue", flow_run_name="{action} {account}", persist_result=False, validate_parameters=False)
@story
def renew_or_reissue(
    action: RenewAction,
    orders: Annotated[list[str], Field(max_length=10_000)] = [],  # noqa: B006 - never changed; Prefect shows it in the form
    expiring_within_days: Annotated[int, Field(ge=0, le=3650)] | None = None,
    add_names: Annotated[list[str], Field(max_length=NAMES_MAX)] = [],  # noqa: B006 - as above
    remove_names: Annotated[list[str], Field(max_length=NAMES_MAX)] = [],  # noqa: B006 - as above
    reason: Annotated[str, Field(max_length=512)] = "",
    reuse_key: bool = False,
    csr: Annotated[str, Field(max_length=32767)] | None = None,
    because_of_key_compromise: bool = False,
    revoke_predecessor_after_days: Annotated[int, Field(ge=0, le=3650)] | None = None,
    dry_run: bool = False,
    max_orders: Annotated[int, Field(ge=1, le=100_000)] = 50,
    requested_by: Annotated[str, Field(max_length=256)] = "",
    request_id: Annotated[str, Field(max_length=128)] | None = None,
    account: Annotated[str, Field(max_length=63)] = "default",
) -> RenewSummary:
    """Renew certificates (a new order, the same names) or reissue them (the same order, names may change), each with a new key.

    Without orders it renews what is due: a third of the lifetime is left. The old certificate stays live until the new one is delivered.

    Args:
        action: renew or reissue.
        orders: sslId, order id or common name of the orders; none means all that are due (renew only).
        expiring_within_days: Without orders, what ends within so many days instead of what is due.
        add_names: For a reissue, names to add.
        remove_names: For a reissue, names to remove.
        reason: Why; SCM is told at a reissue, and it is kept in the order's history.
        reuse_key: Use the old key again, where it is in our Vault (renew only).
        csr: A CSR of your own (PEM) for exactly one order, when the key shall stay on your device.
        because_of_key_compromise: Others know the keys. Each certificate with them gets a successor and is revoked then, at the latest in 20 hours.
        revoke_predecessor_after_days: Revoke the old certificate so many days after the new one is delivered; left out, it just ends.
        dry_run: Only show what would be done, when, and why or why not; nothing is sent.
        max_orders: Without orders, renew at most so many in one run.
        requested_by: For whom this is done; kept in the order's history.
        request_id: Makes the request repeatable: the same id never acts twice on an order. Left out, the id of this run serves.
        account: The account that holds the orders.
    """
    wish = checked(RenewParameters, locals())
    demand_requester(wish.requested_by)
    before = accounts.calls(wish.account)
    chosen = renewing.choose(wish)
    if wish.because_of_key_compromise:
        chosen = renewing.report_compromise(wish, chosen.order_ids)
    helping.call_helpers(wish, len(chosen.order_ids))
    plan = renewing.plan_all(wish, chosen)
    sent = sending.send_all(plan.to_send)
    polling.look_soon(wish.account, plan.sent_for(wish.account))
    summary = renewing.summary(plan, sent, chosen).model_copy(update={"calls": accounts.calls(wish.account) - before})
    return reported(
        summary, renewing.sentence(wish, plan, summary), pages={f"renewals-{wish.account}": renewing.page(wish, plan, summary)},
        failed="; ".join(one.reason for one in summary.failed[:5]),
    )
