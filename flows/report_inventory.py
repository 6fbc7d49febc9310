"""report_inventory: what is there, what needs somebody, what lies ahead."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import AnyStatus, InventoryParameters, checked
from models.summaries import InventorySummary
from tasks.inventory import looking, writing
from tasks.inventory.page import Inventory, page, sentence, summary
from tasks.renewal_switch import renewal_findings, renewal_switch
from tasks.runs import reported, story


@flow(name="report-inventory", flow_run_name="inventory {account}", persist_result=False, validate_parameters=False)
@story
def report_inventory(
    name: Annotated[str, Field(max_length=255)] = "",
    statuses: list[AnyStatus] = [],  # noqa: B006 - never changed; Prefect shows it in the form
    organization: Annotated[str, Field(max_length=256)] = "",
    expiring_within_days: Annotated[int, Field(ge=0, le=3650)] | None = None,
    issuer: Annotated[str, Field(max_length=256)] = "",
    account: Annotated[str, Field(max_length=63)] = "default",
) -> InventorySummary:
    """Show an account's orders and certificates as a page and as a file for spreadsheets; no call to SCM is made.

    Args:
        name: A part of a common name or of another name of the certificate; * means itself. None means all.
        statuses: Only orders in these statuses; none means all.
        organization: Only orders of this organization with its departments, by name, id or `Parent / Department`; none means all.
        expiring_within_days: Only what ends within so many days from now; left out, everything.
        issuer: A part of the name of the CA that issued it; none means all.
        account: The account to show.
    """
    wish = checked(InventoryParameters, {
        "name": name, "statuses": statuses, "organization": organization, "expiring_within_days": expiring_within_days,
        "issuer": issuer, "account": account,
    })
    wanted = looking.chosen(wish)
    file, tally = writing.write(wanted)
    found = Inventory(
        wish=wish, now=wanted.now, seen=looking.look(wanted), tally=tally, ahead=looking.look_ahead(wanted), keys=looking.keys_of_nothing(),
        switch=renewal_switch(wish.account), findings=renewal_findings(wish.account), file=file,
    )
    said = summary(found)
    return reported(said, sentence(said), pages={f"inventory-{wish.account}": page(found)})
