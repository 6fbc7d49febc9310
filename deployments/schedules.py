"""When which flow runs by itself, and how these schedules get along with what a person changes in the UI.

The times are ours at first; from then on each schedule belongs to whoever looks after Prefect: its switch and its time stay as
they were set, over restarts and new releases, and schedules that somebody added stay too. Only the time zone follows
CERTFLOW_TIMEZONE, and an account that left CERTFLOW_ACCOUNTS loses its schedules. One that was deleted in the UI comes back: switch it off instead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule

OURS = "certflow-"
"""How the slug of every schedule begins that was made here."""


@dataclass(frozen=True, kw_only=True)
class Time:
    """A time of day, or several, at which a deployment runs for each account."""

    deployment: str
    name: str
    cron: str
    active: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Besides the account."""

    def slug(self, account: str) -> str:
        return f"{OURS}{account}-{self.name}"


TIMES = (
    Time(deployment="import-orders", name="daily", cron="20 2 * * *", active=False),
    Time(deployment="sync-reference-data", name="weekly", cron="10 3 * * 0"),
    Time(deployment="poll-orders", name="daily", cron="30 4 * * *"),
    Time(deployment="poll-orders", name="quarter-hourly", cron="*/15 * * * *"),
    Time(deployment="check-account", name="daily", cron="10 5 * * *"),
    Time(deployment="renew-or-reissue", name="daily", cron="40 5 * * *", active=False, parameters={"action": "renew"}),
)
"""At night, one after the other: what the later ones decide on is fresh then."""


def wanted(deployment: str, accounts: Iterable[str], timezone: str) -> dict[str, DeploymentScheduleCreate]:
    """The schedules of a deployment by slug, as they are when nobody has changed them."""
    return {
        time.slug(account): DeploymentScheduleCreate(
            schedule=CronSchedule(cron=time.cron, timezone=timezone), active=time.active, parameters={"account": account, **time.parameters},
            slug=time.slug(account),
        )
        for time in TIMES if time.deployment == deployment for account in accounts
    }


def settle(client: SyncPrefectClient, deployments: Mapping[str, UUID], accounts: Iterable[str], timezone: str) -> None:
    """Bring each deployment's schedules to what the settings say, and leave to people what they changed."""
    served = tuple(accounts)
    for name, deployment_id in deployments.items():
        _settle_one(client, deployment_id, wanted(name, served, timezone), timezone)


def give_back_parameters(client: SyncPrefectClient, deployments: Mapping[str, UUID], accounts: Iterable[str]) -> None:
    """Repeat the parameters of our schedules that lack them.

    Prefect forgets a schedule's parameters at each update that does not repeat them, and the switch in its UI does not: `renew-or-reissue`
    would have no action, and another account's poll would poll `default`.
    """
    served = tuple(accounts)
    for name, deployment_id in deployments.items():
        if ours := wanted(name, served, "UTC"):
            for one in client.read_deployment_schedules(deployment_id):
                if one.slug in ours and not ours[one.slug].parameters.keys() <= one.parameters.keys():
                    parameters = {**ours[one.slug].parameters, **one.parameters}
                    client.update_deployment_schedule(deployment_id, one.id, parameters=parameters)


def _settle_one(
    client: SyncPrefectClient, deployment_id: UUID, ours: Mapping[str, DeploymentScheduleCreate], timezone: str
) -> None:
    there = {one.slug: one for one in client.read_deployment_schedules(deployment_id) if one.slug and one.slug.startswith(OURS)}
    for slug in there.keys() - ours.keys():
        client.delete_deployment_schedule(deployment_id, there[slug].id)
    for slug in there.keys() & ours.keys():
        planned = there[slug].schedule
        moved = planned.model_copy(update={"timezone": timezone}) if isinstance(planned, CronSchedule) else planned
        # see give_back_parameters
        parameters = {**ours[slug].parameters, **there[slug].parameters}
        if moved != planned or parameters != there[slug].parameters:
            client.update_deployment_schedule(deployment_id, there[slug].id, schedule=moved, parameters=parameters)
    missing = [ours[slug] for slug in ours if slug not in there]
    if missing:
        client.create_deployment_schedules(deployment_id, missing)
