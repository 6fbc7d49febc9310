"""The order form in Prefect's UI: a second deployment of order_certificate for each account, whose fields offer the account's choices.

The serving process makes it at its start, `sync_reference_data` brings it up to date. With a work pool the sync makes it too, like the
API's deployment. Programs use that one, whose texts are free: a form changes with the account.
"""

from collections.abc import Mapping
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound

from models.checks import ReferenceFacts
from models.order_form import fitting, order_form
from tasks.reference import facts
from tasks.retry import step
from tasks.services import open_services
from tasks.settings import settings

FLOW = "order-certificate"
"""The flow's name, and that of its deployment for programs."""

FORM = "form"


def name_of(account: str) -> str:
    """The deployment's name below the flow's: `form` of the account `default`, `form-<account>` of others."""
    return FORM if account == "default" else f"{FORM}-{account}"


def description(account: str) -> str:
    """What the deployment's page says."""
    return f"Order one certificate with account {account}. Each sync-reference-data brings its organizations, profiles and terms up to date."


def schema_for(account: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The form's JSON schema, made from the flow's and the stored reference data."""
    with open_services() as svc, svc.store.reading() as session:
        return order_form(schema, facts(session, account), account=account)


def schema_without_choices(account: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The form's JSON schema where nothing is known of the account: its fields are texts."""
    return order_form(schema, ReferenceFacts(organizations=(), domains=(), profiles=(), custom_fields=()), account=account)


def presets(client: SyncPrefectClient, account: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The form's preset values: what a person preset, as far as it is still offered, and the account."""
    return _presets(_there(client, name_of(account)), account, schema)


@step
def offer(account: str) -> str:
    """Bring the account's form up to date with what is stored; how that went, in words that end a sentence, or nothing to say.

    Whatever Prefect refuses is said and fails nothing: the reference data are stored all the same.
    """
    if FlowRunContext.get() is None or account not in settings().accounts:
        return ""
    try:
        with get_client(sync_client=True) as client:
            ours = _there(client, FLOW)
            return _offered(client, account, ours) if ours else ""
    except httpx.HTTPStatusError as error:
        return f"the order form stays as it was, since Prefect refused the new one (HTTP {error.response.status_code}): {_detail(error.response)}"
    except (httpx.HTTPError, ObjectNotFound) as error:
        return f"the order form stays as it was, since Prefect did not take the new one ({type(error).__name__}); the next sync tries again"


def _offered(client: SyncPrefectClient, account: str, ours: DeploymentResponse) -> str:
    schema = schema_for(account, ours.parameter_openapi_schema or {})
    there = _there(client, name_of(account))
    like_ours = {
        "entrypoint": ours.entrypoint, "path": ours.path, "pull_steps": ours.pull_steps, "job_variables": ours.job_variables,
        "work_pool_name": ours.work_pool_name, "work_queue_name": ours.work_queue_name, "version": ours.version,
    }
    form: dict[str, Any] = {
        **like_ours, "description": description(account), "parameters": _presets(there, account, schema), "parameter_openapi_schema": schema,
        "enforce_parameter_schema": True,
    }
    if there is not None:
        client.update_deployment(there.id, DeploymentUpdate(**form))
    elif ours.work_pool_name is not None:
        client.create_deployment(ours.flow_id, name_of(account), tags=ours.tags, **form)
    else:    # the serving process asks only for runs of the deployments that it knows
        return f"there is no order form {FLOW}/{name_of(account)}: it is made when the flows are served anew"
    return "the order form is up to date"


def _presets(there: DeploymentResponse | None, account: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**fitting(there.parameters if there else {}, schema), "account": account}


def _there(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{FLOW}/{name}")
    except ObjectNotFound:
        return None


def _detail(answer: httpx.Response) -> str:
    try:
        said = answer.json().get("detail")
    except (ValueError, AttributeError):
        said = None
    return " ".join(str(said or "no reason was given").split())[:300]
