"""cancel_orders: withdraw what is planned, decline what waits for approval at SCM."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import CancelParameters, checked
from models.summaries import CancelSummary
from tasks import accounts, cancelling, ending, meaning
from tasks.runs import reported, story


@flow(name="cancel-orders", flow_run_name="cancel orders of {account}", persist_result=False, validate_parameters=False)
@story
def cancel_orders(
    orders: Annotated[list[str], Field(min_length=1, max_length=10_000)],
    message: Annotated[str, Field(min_length=1, max_length=512)],
    account: Annotated[str, Field(max_length=63)] = "default",
) -> CancelSummary:
    """Cancel orders that are not issued: a planned one is never sent, one that waits for approval is declined at SCM.

    Args:
        orders: sslId, order id or common name, one per line.
        message: Why, at most 512 characters; SCM keeps it with the refusal.
        account: The account of the orders.
    """
    wish = checked(CancelParameters, {"orders": orders, "message": message, "account": account})
    before = accounts.calls(wish.account)
    result = cancelling.cancel(wish.account, meaning.exactly(wish.account, wish.orders), wish.message)
    summary = CancelSummary(done=tuple(result.done), failed=tuple(result.failed), calls=accounts.calls(wish.account) - before)
    if result.stopped:
        raise ending.stopped(result.stopped, summary)
    return reported(
        summary, ending.sentence("cancelled", result.done), pages=ending.shown(wish.account, "cancelled", result.done, result.failed),
        failed=ending.listed(result.failed),
    )
