"""A Prefect server of our own, and what every Prefect server that runs our flows must know."""

import os
from collections.abc import Mapping
from pathlib import Path

from deployments import loopback_http
from deployments.processes import LOOPBACK, Children

READY_SECONDS = 120.0
"""A cold machine creates the server's database in 20 to 60 seconds."""

HEARTBEAT_SECONDS = 30

UI = "ui"
"""Below the server's home: its own copy of Prefect's pages, made by Prefect at its first start and after its upgrades."""

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
"""The server calls no host outside."""

FENCE = (
    """<meta http-equiv="Content-Security-Policy" content="default-src 'self' http://127.0.0.1:* ws://127.0.0.1:* """
    """data: blob: 'unsafe-inline' 'unsafe-eval'">"""
)
"""Keeps the pages from calling one either: Prefect's newer UI asks Amplitude for settings, whatever the variables above say."""

BATCHES = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "50",
}
"""Seven times as many task runs per second as with Prefect's own values."""

FLOW_RUNS = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    # Without an address Prefect would start a server of its own for each run, silently.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    # Prefect's own 10 s are long for somebody who has just pressed Run.
    "PREFECT_RUNNER_POLL_FREQUENCY": "3",
}
"""For every process that runs flows; the heartbeat goes with the automation of `serving`."""


def api_of(port: int) -> str:
    return f"http://{LOOPBACK}:{port}/api"


def client_environment(env: Mapping[str, str], *, home: Path, api: str) -> dict[str, str]:
    """`env` for processes that talk to the server at `api`."""
    return {**env, **QUIET, **FLOW_RUNS, "PREFECT_HOME": str(home), "PREFECT_API_URL": api}


def start(children: Children, env: Mapping[str, str], *, home: Path, port: int) -> str:
    """Start the server with its data in `home`; the address of its API. It is ready some seconds later: `wait_until_ready`."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    api = api_of(port)
    own = {
        **client_environment(env, home=home, api=api), **BATCHES,
        "PREFECT_UI_API_URL": api, "PREFECT_SERVER_UI_API_URL": api, "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / UI),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    children.start("the Prefect server", ["-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)], own)
    return api


def wait_until_ready(children: Children, api: str, *, home: Path) -> None:
    """Until it answers, with its pages fenced in. Raises: SetupError when it does not in time."""
    children.wait_until(lambda: loopback_http.answers(f"{api}/health"), f"the Prefect server at {api}", seconds=READY_SECONDS)
    for page in (home / UI).glob("*/index.html"):
        text = page.read_text()
        if FENCE not in text:
            page.write_text(text.replace("<head>", f"<head>{FENCE}", 1))


def foreign_free(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what leads to a Vault, a database or a Prefect of the user: for the sandbox."""
    kept = os.environ if env is None else env
    leads_outside = {"CERTFLOW_HOME", "CERTFLOW_DATABASE_URL", "CERTFLOW_ACCOUNTS", "CERTFLOW_VAULT_MOUNT", "CERTFLOW_VAULT_PREFIX"}
    return {
        name: value for name, value in kept.items()
        if not name.upper().startswith(("VAULT_", "PREFECT_")) and name.upper() not in leads_outside
    }
