"""sync_reference_data: bring organizations, domains, profiles and custom fields to what SCM shows."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import Kind, SyncParameters, checked
from models.summaries import SyncSummary
from tasks import accounts, order_form, pages, reference
from tasks.runs import reported, story


@flow(name="sync-reference-data", flow_run_name="sync {account}", persist_result=False, validate_parameters=False)
@story
def sync_reference_data(kinds: list[Kind] = [], account: Annotated[str, Field(max_length=63)] = "default") -> SyncSummary:  # noqa: B006 - never changed; Prefect shows it in the form
    """Read the account's reference data and store it; what vanished in SCM is marked, not lost.

    Args:
        kinds: Which kinds to read; none means all of them.
        account: The account to read.
    """
    wish = checked(SyncParameters, {"kinds": kinds, "account": account})
    before = accounts.calls(wish.account)
    counted, failed = reference.sync_all(wish.account, wish.wanted)
    summary = SyncSummary(**counted, calls=accounts.calls(wish.account) - before)
    formed = order_form.offer(wish.account)
    said = ", ".join(f"{one.seen:,} {kind.replace('_', ' ')}" for kind, one in counted.items()) or "nothing read"
    touched = sum(one.new + one.changed + one.vanished for one in counted.values())
    return reported(
        summary, f"{said}; {touched:,} new, changed or vanished; {summary.calls:,} calls" + (f"; {formed}" if formed else ""),
        pages={f"reference-data-{wish.account}": pages.reference_page(wish.account)}, failed="; ".join(failed),
    )
