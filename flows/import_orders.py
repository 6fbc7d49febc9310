"""import_orders: know every order that SCM holds, and fetch the certificates of the issued ones."""

from datetime import date
from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import ImportParameters, ImportStatus, checked
from models.summaries import ImportSummary
from tasks import accounts, certificates, importing, pages, polling, rebuilding, settling
from tasks.runs import counted, reported, story


@flow(name="import-orders", flow_run_name="import {account}", persist_result=False, validate_parameters=False)
@story
def import_orders(
    statuses: list[ImportStatus] = [],  # noqa: B006 - never changed; Prefect shows it in the form
    organizations: Annotated[list[str], Field(max_length=100)] = [],  # noqa: B006 - as above
    requested_since: date | None = None,
    fetch_certificates: bool = True,
    include_deleted: bool = False,
    account: Annotated[str, Field(max_length=63)] = "default",
) -> ImportSummary:
    """Read the account's orders by report and store them; goes on where a killed import stopped and fetches no certificate twice.

    With nothing chosen it reads only what changed, and once a week everything. Orders of ours that the database has lost get their keys,
    ids and live names back from Vault.

    Args:
        statuses: Only orders in these statuses; none means all.
        organizations: Only orders of these organizations or departments, by name, id or `Parent / Department`; none means all.
        requested_since: Only orders requested on this day (UTC) or later.
        fetch_certificates: Also fetch the certificates of issued orders that are not in the repository.
        include_deleted: Bring back orders that were deleted here.
        account: The account to read.
    """
    wish = checked(ImportParameters, {
        "statuses": statuses, "organizations": organizations, "requested_since": requested_since,
        "fetch_certificates": fetch_certificates, "include_deleted": include_deleted, "account": account,
    })
    before = accounts.calls(wish.account)
    settled = settling.settle(wish.account)
    read = importing.read_orders(wish)
    fetched = certificates.fetch_all(wish.account) if wish.fetch_certificates else certificates.Fetched()
    attached = rebuilding.attach(wish.account)
    failed = [*read.problems, *attached.unsolved(fetched.failed)]
    problems = [*failed, *read.said, *read.unreadable, *attached.said]
    summary = ImportSummary(
        orders_seen=read.seen, orders_new=read.new, orders_changed=read.changed, certificates_fetched=fetched.fetched,
        certificates_waiting=fetched.waiting, unreadable=len(read.unreadable), settled=settled.adopted, attached=attached.orders,
        calls=accounts.calls(wish.account) - before, problems=tuple(problems[:50]),
    )
    return reported(
        summary, f"{counted(read.seen, 'order')} seen, {read.new:,} new, {read.changed:,} changed, "
        f"{counted(fetched.fetched, 'certificate')} fetched, {attached}"
        f"{fetched.waiting:,} wait, {len(read.unreadable):,} unreadable, {summary.calls:,} calls; {polling.what_comes()}",
        pages={f"orders-{wish.account}": pages.orders_page(wish.account)}, failed="; ".join(failed[:5]),
    )
