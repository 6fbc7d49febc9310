"""Runs that help: ordinary runs of `poll-orders`, which Prefect gives to whichever worker is free. They only send what is planned."""

import httpx
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from models.parameters import RenewParameters
from models.summaries import PollSummary
from tasks import sending
from tasks.batches import TOGETHER
from tasks.runs import counted, log
from tasks.settings import settings

DEPLOYMENT = "poll-orders/poll-orders"
TAG = "certflow-helps"


def call_helpers(wish: RenewParameters, orders: int) -> None:
    """Start the runs that CERTFLOW_RUNS allows besides this one, when so many orders are more than one slice.

    Nothing depends on them: what they have not begun when this run comes to it, it does itself.
    """
    sent = 0 if wish.dry_run else min(orders, wish.max_orders) if wish.by_itself else orders
    more = min(settings().runs, -(-sent // TOGETHER)) - 1
    if more < 1 or FlowRunContext.get() is None:
        return
    try:
        for _ in range(more):
            run_deployment(DEPLOYMENT, parameters={"account": wish.account}, tags=[TAG], timeout=0, as_subflow=False)
    except (httpx.HTTPError, ObjectNotFound, RuntimeError) as error:
        log().warning("no run helps, since Prefect does not start %s (%s): this run does it alone", DEPLOYMENT, type(error).__name__)


def asked() -> bool:
    """Whether this run was started to help another one."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and TAG in context.flow_run.tags)


def help_sending(account: str) -> tuple[PollSummary, str]:
    """Send what is planned until nothing more comes; what was done, for programs and for people."""
    sent = sending.help_sending(account)
    problems = tuple(f"submission {id_}: {why}" for id_, why in sent.failed)
    said = f"helped another run: {counted(sent.taken, 'order')} sent" + f", {len(problems)} failed" * bool(problems)
    return PollSummary(sent=sent.taken, failed=len(problems), problems=problems[:50]), said
