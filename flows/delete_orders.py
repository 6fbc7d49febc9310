"""delete_orders: forget orders here; SCM keeps them, and no later import brings them back."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import DeleteParameters, checked
from models.summaries import DeleteSummary
from tasks import deleting, ending, meaning
from tasks.runs import reported, story


@flow(name="delete-orders", flow_run_name="delete orders of {account}", persist_result=False, validate_parameters=False)
@story
def delete_orders(
    orders: Annotated[list[str], Field(min_length=1, max_length=10_000)],
    destroy_key: bool = False,
    confirm: Annotated[list[str], Field(max_length=10_000)] = [],  # noqa: B006 - never changed; Prefect shows it in the form
    account: Annotated[str, Field(max_length=63)] = "default",
) -> DeleteSummary:
    """Delete orders here only: nothing is said to SCM, no certificate is revoked, and live/ stays as it is.

    An import brings them back only with include_deleted.

    Args:
        orders: sslId, order id or common name, one per line.
        destroy_key: Also destroy the orders' keys below keys/ in Vault; a live entry keeps its own copy.
        confirm: Live names whose certificate is served and shall not be renewed any more.
        account: The account of the orders.
    """
    wish = checked(DeleteParameters, {"orders": orders, "destroy_key": destroy_key, "confirm": confirm, "account": account})
    result = deleting.delete(wish, meaning.exactly(wish.account, wish.orders, deleted=True))
    return reported(
        DeleteSummary(done=tuple(result.done), failed=tuple(result.failed)), ending.sentence("deleted here", result.done),
        pages=ending.shown(wish.account, "deleted", result.done, result.failed), failed=ending.listed(result.failed),
    )
