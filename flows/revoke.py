"""revoke: revoke certificates at SCM, and take their keys out of the repository if that is asked."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from models.parameters import ReasonCode, RevokeParameters, checked
from models.summaries import RevokeSummary
from tasks import accounts, before_revoking, ending, meaning, revoking
from tasks.runs import reported, story


@flow(name="revoke", flow_run_name="revoke, reason {reason_code}", persist_result=False, validate_parameters=False)
@story
def revoke(
    orders: Annotated[list[str], Field(min_length=1, max_length=10_000)],
    reason_code: ReasonCode,
    reason: Annotated[str, Field(min_length=1, max_length=512)],
    delete_from_repository: bool = False,
    confirm: Annotated[list[str], Field(max_length=10_000)] = [],  # noqa: B006 - never changed; Prefect shows it in the form
    dry_run: bool = False,
    requested_by: Annotated[str, Field(max_length=256)] = "",
    account: Annotated[str, Field(max_length=63)] = "default",
) -> RevokeSummary:
    """Revoke certificates for good: everything is looked at first, written down, then sent; SCM's details decide what became of it.

    Args:
        orders: sslId, order id, common name or serial number, one per line. A serial number has colons or more than 10 digits.
        reason_code: Word or number. With keyCompromise (1) every other certificate with that key is revoked within 20 hours.
        reason: A text that SCM keeps, at most 512 characters.
        delete_from_repository: Also take the certificate out of the repository, and destroy the versions of live/ that hold its key.
        confirm: Live names whose certificate is served and has no successor, and shall be revoked all the same.
        dry_run: Only say what would be revoked and what else the keys serve; nothing is sent or written.
        requested_by: For whom this is done; kept in the order's history.
        account: The account of the orders.
    """
    wish = checked(RevokeParameters, locals())
    before = accounts.calls(wish.account)
    targets = before_revoking.look(wish, meaning.exactly(wish.account, wish.orders, serial_numbers=True))
    if wish.dry_run:
        return ending.dry_run(wish.account, targets)
    written = revoking.write_down(wish, targets)
    result = revoking.carry_out(wish.account, written.due)
    failed = (*before_revoking.refused(targets), *result.failed)
    summary = RevokeSummary(done=tuple(result.done), failed=failed, planned=written.later, calls=accounts.calls(wish.account) - before)
    if result.stopped:
        raise ending.stopped(result.stopped, summary)
    said = ending.sentence("revoked", result.done) + ending.also_planned(written.later)
    return reported(summary, said, pages=ending.shown(wish.account, "revoked", result.done, failed), failed=ending.listed(failed))
