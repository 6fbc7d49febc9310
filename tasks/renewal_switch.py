"""Is renewal by itself switched on? Prefect knows, since its schedules belong to whoever looks after it (RULES R6)."""

from collections.abc import Sequence
from typing import Literal

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from pydantic import ValidationError

from models.orders import RENEW
from models.summaries import Finding
from tasks.adapters.store import inventory
from tasks.retry import step
from tasks.runs import counted
from tasks.services import open_services

Switch = Literal["on", "off", "not known"]

DEPLOYMENT = "renew-or-reissue/renew-or-reissue"
ANSWER_SECONDS = 5.0
SOON_DAYS = 30


def renewal_switch(account: str) -> Switch:
    """Whether a schedule renews the account's certificates. Not known outside of a run, without the deployment, or when Prefect is silent."""
    if FlowRunContext.get() is None:
        return "not known"
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), \
                get_client(sync_client=True, httpx_settings={"timeout": ANSWER_SECONDS}) as client:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
            schedules = client.read_deployment_schedules(deployment.id)
    except (httpx.HTTPError, ObjectNotFound, ValidationError, RuntimeError):
        return "not known"
    renewing = [
        one for one in schedules
        if (given := {"account": "default", **deployment.parameters, **one.parameters})["account"] == account and given.get("action") == RENEW
    ]
    return "on" if not deployment.paused and any(one.active for one in renewing) else "off"


@step
def renewal_findings(account: str) -> Sequence[Finding]:
    """A warning while certificates end within 30 days and nothing renews them by itself; none when nothing ends."""
    switch = renewal_switch(account)
    if switch == "on" or FlowRunContext.get() is None:
        return ()
    with open_services() as svc, svc.store.reading() as session:
        ending = inventory.count_ending(session, account, now=svc.clock(), days=SOON_DAYS)
    if not ending:
        return ()
    ends = f"{counted(ending, 'certificate')} end{'s' * (ending == 1)} within {SOON_DAYS} days"
    if switch == "off":
        return (Finding(
            severity="warning", code="renewal-switched-off", mended_by="Certflow operator",
            message=f"{ends}, and the schedule that renews is switched off: switch it on at the deployment renew-or-reissue",
        ),)
    return (Finding(
        severity="unknown", code="renewal-schedule-unknown", mended_by="Certflow operator",
        message=f"{ends}, and whether the schedule that renews is switched on is not known: Prefect does not tell",
    ),)
