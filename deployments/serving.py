"""The process that serves every flow as a deployment, and the order forms: `python -m deployments.serving`.

It registers them at the Prefect server of PREFECT_API_URL, sees to their schedules, and starts a process for each run until it
gets SIGTERM. Every file in `flows/` is one flow, so there is no list to keep.
"""

import asyncio
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pkgutil import iter_modules
from threading import Event, Thread
from typing import Any, Literal
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound, TerminationSignal
from prefect.flows import Flow
from prefect.runner import Runner
from prefect.settings import PREFECT_UI_URL
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.callables import ParameterSchema

import flows
from deployments import schedules
from models.errors import CertflowError, SetupError
from tasks import order_form
from tasks.settings import settings

TAG = "certflow"
"""On every deployment and so on every run: the automation below must not touch the flows of others."""

RUNS_AT_ONCE = 16
"""Each is a process of about 200 MB; an order that waits for its certificate must not keep `poll-orders` from running."""

SILENCE = timedelta(seconds=90)
"""Three heartbeats."""

LOOK_EVERY = timedelta(seconds=15)
"""How soon a schedule has its parameters back: long before the next run that it plans, save by chance."""

CRASHED = "Certflow: a run without a heartbeat is marked as crashed"


class StrictParameters(ParameterSchema):
    """A flow's parameters and no others: the API refuses an unknown name (409), which otherwise only the worker's log would show."""

    additionalProperties: Literal[False] = False  # noqa: N815 - JSON schema's own word


class EndingRunner(Runner):
    """Prefect's runner, which ends its runs when it gets SIGTERM.

    Prefect 3.8 forgets to await its own ending there, and the runs under way would count as running until the automation below finds them.
    """

    def handle_sigterm(self, *_args: Any, **_kwargs: Any) -> None:
        """Cancel what runs, say so at the server, and stop."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.astop(), self._loop)


def served_flows() -> Iterator[tuple[str, Flow[..., Any]]]:
    """Each flow with its module path."""
    for found in sorted(iter_modules(flows.__path__), key=lambda module: module.name):
        yield f"flows.{found.name}.{found.name}", getattr(import_module(f"flows.{found.name}"), found.name)


def deployment_of(flow: Flow[..., Any]) -> RunnerDeployment:
    """The deployment named as its flow. Without schedules: these are not ours alone, see `schedules`."""
    made = RunnerDeployment.from_flow(flow, name=flow.name, tags=[TAG], entrypoint_type=EntrypointType.MODULE_PATH)
    # Whatever is set is sent at each start, and would undo what a person has set in the UI.
    made.model_fields_set.difference_update({"schedules", "paused", "parameters", "concurrency_limit", "concurrency_options"})
    made.work_pool_name = None    # takes it back from a work pool, if `prefect deploy` put it there
    loose = made._parameter_openapi_schema
    made._parameter_openapi_schema = StrictParameters(**loose.model_dump(exclude_unset=True), additionalProperties=False)
    return made


def form_of(client: SyncPrefectClient, flow: Flow[..., Any], account: str) -> RunnerDeployment:
    """The order form of an account, with the choices that are stored; a database that cannot be read now leaves its fields as texts."""
    made = deployment_of(flow)
    loose = made._parameter_openapi_schema.model_dump(exclude_unset=True)
    try:
        schema = order_form.schema_for(account, loose)
    except CertflowError as error:
        print(f"note     the order form of account {account} has no choices until the next sync-reference-data: {error}", flush=True)
        schema = order_form.schema_without_choices(account, loose)
    made.name, made.description = order_form.name_of(account), order_form.description(account)
    made.parameters = order_form.presets(client, account, schema)
    made._parameter_openapi_schema = StrictParameters(**schema)
    return made


def forget_forms(client: SyncPrefectClient, kept: Collection[str]) -> None:
    """Delete the forms of accounts that left CERTFLOW_ACCOUNTS: nobody would serve their runs."""
    forms = client.read_deployments(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[order_form.FLOW])),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])),
    )
    for one in forms:
        account = one.parameters.get("account")
        if isinstance(account, str) and account not in kept and one.name == order_form.name_of(account):
            client.delete_deployment(one.id)


def crash_automation() -> AutomationCore:
    """Marks a run of ours as crashed when it was silent for `SILENCE`: its process was killed, or its host was lost."""
    ended = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    beat = "prefect.flow-run.heartbeat"
    return AutomationCore(
        name=CRASHED,
        description="Made by Certflow when it starts. A run that lost its process would otherwise count as running for ever.",
        trigger=EventTrigger(
            after={beat}, expect={beat, *ended}, match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification({"prefect.resource.id": [f"prefect.tag.{TAG}"], "prefect.resource.role": ["tag"]}),
            for_each={"prefect.resource.id"}, posture=Posture.Proactive, threshold=1, within=SILENCE,
        ),
        actions=[ChangeFlowRunState(
            state=StateType.CRASHED, name="Crashed",
            message=f"The run gave no sign of life for {SILENCE.total_seconds():.0f} seconds: its process or its host is gone. "
                    "Retry is safe: nothing is ordered twice.",
        )],
    )


def watch_for_crashes(client: SyncPrefectClient) -> None:
    """See that the automation is there, once, in its present form; whoever switched it off keeps it off."""
    known = client.read_automations_by_name(CRASHED)
    if not known:
        client.create_automation(crash_automation())
        return
    client.update_automation(known[0].id, crash_automation().model_copy(update={"enabled": known[0].enabled}))
    for extra in known[1:]:
        client.delete_automation(extra.id)


def watch_schedules(served: Mapping[str, UUID], ended: Event) -> None:
    """Give schedules their parameters back while we serve, soon after a person has switched one; a server that is away is asked again."""
    with get_client(sync_client=True) as client:
        while not ended.wait(LOOK_EVERY.total_seconds()):
            with suppress(httpx.HTTPError, ObjectNotFound):    # it will answer again; a deployment was deleted: the next start makes it anew
                schedules.give_back_parameters(client, served, settings().accounts)


def register(runner: Runner) -> dict[str, UUID]:
    """Register every flow; the ids by deployment name. Raises: SetupError when the Prefect server does not take them."""
    try:
        served = {flow.name: flow for _, flow in served_flows()}
        ids = {name: _registered(runner, deployment_of(flow)) for name, flow in served.items()}
        with get_client(sync_client=True) as client:
            schedules.settle(client, ids, settings().accounts, settings().timezone)
            watch_for_crashes(client)
            forget_forms(client, settings().accounts)
            forms = [form_of(client, served[order_form.FLOW], account) for account in settings().accounts]
        ids |= {f"{made.flow_name}/{made.name}": _registered(runner, made) for made in forms}
    except (httpx.HTTPError, DeploymentApplyError, RuntimeError) as error:
        raise SetupError(f"the Prefect server of PREFECT_API_URL does not take the deployments ({type(error).__name__}: {error})") from None
    return ids


def _registered(runner: Runner, made: RunnerDeployment) -> UUID:
    added = runner.add_deployment(made)
    assert isinstance(added, UUID)  # noqa: S101 - a coroutine only inside of an event loop
    return added


def main() -> int:
    """Register and serve until SIGTERM or Ctrl-C."""
    try:
        runner = EndingRunner(name="certflow", pause_on_shutdown=False, limit=RUNS_AT_ONCE)
        served = register(runner)
    except CertflowError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"serving  {', '.join(served)}", flush=True)
    print(f"ready    {PREFECT_UI_URL.value()}  (Ctrl-C ends it)", flush=True)
    ended = Event()
    Thread(target=watch_schedules, args=(served, ended), daemon=True).start()
    with suppress(KeyboardInterrupt, TerminationSignal):
        asyncio.run(runner.start())
    ended.set()
    return 0


if __name__ == "__main__":
    sys.exit(main())
