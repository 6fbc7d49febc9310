"""poll_orders: settle what is in doubt, send what is planned, look at what is open, fetch and deliver what is issued."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import PollParameters, checked
from models.summaries import PollSummary
from tasks import accounts, attention, helping, pages, polling
from tasks.runs import reported, story


@flow(name="poll-orders", flow_run_name="poll {account}", persist_result=False, validate_parameters=False)
@story
def poll_orders(
    orders: Annotated[list[str], Field(max_length=10_000)] = [],  # noqa: B006 - never changed; Prefect shows it in the form
    account: Annotated[str, Field(max_length=63)] = "default",
) -> PollSummary:
    """Bring open orders forward: what became of lost answers, how SCM decided, certificates checked and delivered to Vault.

    With nothing open it makes no call at all. Two polls at once do no harm.

    Args:
        orders: sslId, order id or common name of the orders to look at; none means all that are open.
        account: The account to poll.
    """
    wish = checked(PollParameters, {"orders": orders, "account": account})
    if helping.asked():
        return reported(*helping.help_sending(wish.account))
    chosen = polling.meant(wish.account, wish.orders) if wish.orders else None
    if chosen is None and not polling.anything_open(wish.account):
        attention.tell(wish.account)
        return reported(PollSummary(), f"nothing is open in account {wish.account}")
    before, began = accounts.calls(wish.account), polling.now()
    summary = polling.bring_forward(wish.account, chosen)
    attention.tell(wish.account)
    summary = summary.model_copy(update={"calls": accounts.calls(wish.account) - before})
    shown = {f"orders-{wish.account}": pages.orders_page(wish.account), **pages.order_pages(wish.account, began)}
    return reported(
        summary, polling.sentence(summary), pages=shown,
        failed="; ".join(summary.problems[:5]) if summary.failed else "",
    )
