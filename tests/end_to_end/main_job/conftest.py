"""One installation for the main job, as a user sets it up: a Vault and an SCM of one's own, accounts connected, `up` beside them.

Everything that it writes lies below one folder, so that the folder can be searched for secrets afterwards.
"""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).resolve().parents[3]
ORGANIZATION = "Example University"
PROFILE = "OV Multi-Domain"
RUN_SECONDS = 300

IMPATIENT_WORKER = """
import datetime, runpy
import tasks.retry
tasks.retry.DEADLINE = datetime.timedelta(seconds=3)
runpy.run_module("prefect.engine", run_name="__main__")
"""
"""What a work pool starts for a run; only that it gives a Vault that is away three seconds instead of ten minutes."""


def _wait(look: Callable[[], Any], what: str) -> Any:
    """Ask again until the answer is true."""
    deadline = time.monotonic() + RUN_SECONDS
    while not (answer := look()):
        assert time.monotonic() < deadline, f"not within {RUN_SECONDS} seconds: {what}"
        time.sleep(0.2)
    return answer


def _works_at(run_id: str) -> bool:
    """Whether a process works at the run, as its environment says."""
    wanted = f"PREFECT__FLOW_RUN_ID={run_id}".encode()
    for file in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in file.read_bytes().split(b"\0"):
                return True
    return False


class Installation:
    """A running Certflow, seen by its user: Prefect's API, Vault, and SCM's truth about orders."""

    def __init__(self, up: Any, sandbox: Any, folder: Path) -> None:
        self.up, self.sandbox, self.folder = up, sandbox, folder
        self.vault = f"{sandbox.line['vault']}/v1/secret"
        self.worker_says: list[str] = []

    def run(self, name: str, **parameters: Any) -> dict[str, Any]:
        """A run by the API, ended; with its summary, its parameters as they were, and the lines of its log and of its tasks' logs."""
        return self.ended(self.up.start(name, **parameters))

    def runs(self, *wanted: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Several runs at once, in their order."""
        ids = [self.up.start(name, **parameters) for name, parameters in wanted]
        return [self.ended(one) for one in ids]

    def ended(self, run_id: str) -> dict[str, Any]:
        """The run when it has ended, its process too: only then its log is whole."""
        self.up.wait_for_end(run_id, seconds=RUN_SECONDS)
        _wait(lambda: not _works_at(run_id), f"the process of run {run_id} has ended")
        record = self.up.call("GET", f"/flow_runs/{run_id}")
        return {**record, "summary": self.summary(run_id), "log": self.log(run_id)}

    def summary(self, run_id: str) -> Any:
        """What the run left for programs (DESIGN 4): the newest artifact of its key."""
        newest = self.up.call("POST", "/artifacts/filter", {
            "artifacts": {"key": {"any_": [f"summary-{run_id}"]}}, "sort": "CREATED_DESC", "limit": 1,
        })
        found = newest[0]["data"] if newest else None
        return json.loads(found) if isinstance(found, str) else found

    def log(self, run_id: str) -> list[str]:
        """The log as the run's page shows it: the flow's lines and those of its tasks."""
        lines = self.up.call("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"})
        return [line["message"] for line in lines]

    def events(self, name: str) -> list[dict[str, Any]]:
        """All events of a name that Prefect has kept."""
        page = self.up.call("POST", "/events/filter", {"filter": {"event": {"name": [name]}}, "limit": 50})
        found: list[dict[str, Any]] = page["events"]
        while page["next_page"]:
            page = self.up.call("GET", page["next_page"].removeprefix(self.up.api))
            found += page["events"]
        return found

    def retry(self, run_id: str) -> dict[str, Any]:
        """The button "Retry" of the run's page; the run when it has ended again."""
        before = self.up.call("GET", f"/flow_runs/{run_id}")["run_count"]
        self.up.call("POST", f"/flow_runs/{run_id}/set_state", {
            "state": {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}, "force": True,
        })
        _wait(lambda: self.up.call("GET", f"/flow_runs/{run_id}")["run_count"] > before, "the retried run has started")
        return self.ended(run_id)

    def on_another_worker(self, name: str, parameters: dict[str, Any], **env: str) -> dict[str, Any]:
        """A run by the API whose process has another environment, as on a work pool's host that is set up wrongly."""
        path = f"/deployments/{self.up.deployment(name)['id']}/create_flow_run"
        # Pending: this worker has it, the one of `up` leaves it alone.
        run_id = str(self.up.call("POST", path, {"parameters": parameters, "state": {"type": "PENDING"}})["id"])
        done = subprocess.run(
            [sys.executable, "-c", IMPATIENT_WORKER], cwd=ROOT, capture_output=True, text=True, check=False, timeout=RUN_SECONDS,
            env={**self.up.env, "PREFECT_API_URL": self.up.api, "PREFECT_HOME": str(self.folder / "worker"),
                 "PREFECT__FLOW_RUN_ID": run_id, "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false", **env},
        )
        self.worker_says += [done.stdout, done.stderr]
        return self.ended(run_id)

    def wish(self, common_name: str, **more: Any) -> dict[str, Any]:
        """The parameters of an order: what it needs, and more."""
        return {"common_name": common_name, "organization": ORGANIZATION, "certificate_profile": PROFILE, "key_algorithm": "EC", **more}

    def poll_until(self, look: Callable[[], Any], what: str, **parameters: Any) -> Any:
        """Poll, as the schedule does, until it is so; what the look found."""
        def polled() -> Any:
            run = self.run("poll-orders", **parameters)
            assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
            return look()

        return _wait(polled, what)

    def poll_until_live(self, name: str, *, account: str = "default") -> dict[str, Any]:
        """Poll until the live entry of a name is there; the entry."""
        found: dict[str, Any] = self.poll_until(lambda: self.entry(f"live/{name}"), f"{name} is delivered", orders=[name], account=account)
        return found

    def by_schedule(self, name: str) -> dict[str, Any]:
        """The run that the shipped schedule of account `default` starts, once a person has switched it on and moved it to the next minute.

        The switch in Prefect's UI sends no parameters, and neither does this.
        """
        path = f"/deployments/{self.up.deployment(name)['id']}"
        [schedule] = [one for one in self.up.deployment(name)["schedules"] if one["slug"] == "certflow-default-daily"]
        soon = {"interval": 60, "anchor_date": datetime.now(UTC).isoformat()}
        self.up.call("PATCH", f"{path}/schedules/{schedule['id']}", {"active": True, "schedule": soon})
        begun = {"flow_runs": {"deployment_id": {"any_": [path.rpartition("/")[2]]}, "start_time": {"is_null_": False}}}
        found = _wait(lambda: [one for one in self.up.call("POST", "/flow_runs/filter", begun) if one["auto_scheduled"]], f"{name} has begun")
        run = self.ended(found[0]["id"])
        self.up.call("PATCH", f"{path}/schedules/{schedule['id']}", {"active": False, "schedule": schedule["schedule"]})
        return run

    def age(self, name: str, *, days: int) -> None:
        """Let SCM have issued the order of a name so many days ago."""
        self.sandbox.settings(clock_offset=-timedelta(days=days).total_seconds())
        [order] = self.sandbox.orders(name)
        self.sandbox.change_order(order["ssl_id"], serial=None, status="Issued")
        self.sandbox.settings(clock_offset=0)

    def rows(self, sql: str, *given: Any) -> list[dict[str, Any]]:
        """What a query of Certflow's tables answers, as a user may ask it (README, Tables)."""
        with closing(sqlite3.connect(f"file:{self.folder}/certflow/certflow.db?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(sql, given)]

    def entry(self, path: str) -> dict[str, Any] | None:
        """An entry of Vault below our prefix."""
        answer = self._vault("GET", f"data/certflow/{path}")
        return None if answer is None else dict(answer["data"]["data"])

    def versions(self, name: str) -> dict[int, dict[str, Any] | None]:
        """The versions of a live entry: what each holds, None for destroyed ones."""
        numbers = self._vault("GET", f"metadata/certflow/live/{name}")["data"]["versions"]
        read = {number: self._vault("GET", f"data/certflow/live/{name}?version={number}") for number, of in numbers.items() if not of["destroyed"]}
        return {int(number): read[number]["data"]["data"] if number in read else None for number in numbers}

    def names(self, folder: str) -> list[str]:
        """The names of the entries in a folder of Vault."""
        answer = self._vault("LIST", f"metadata/certflow/{folder}")
        return [] if answer is None else list(answer["data"]["keys"])

    def put(self, path: str, secret: dict[str, str]) -> None:
        self._vault("POST", f"data/certflow/{path}", {"data": secret})

    def _vault(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(
            method, f"{self.vault}/{path}", json=body, headers={"X-Vault-Token": self.sandbox.line["vault_token"]}, timeout=60)
        if answer.status_code == 404:
            return None
        assert answer.ok, f"{method} {path}: {answer.status_code}"
        return answer.json() if answer.content else None

    def sent(self) -> int:
        """How many enroll calls SCM has got so far."""
        return int(self.sandbox.calls().get("POST enroll", 0))


@pytest.fixture(scope="session")
def installation(
    start_up: Callable[..., Any], sandbox_process: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory,
) -> Installation:
    """`up` with a Vault that the user has, three accounts connected: `default` by header login, `cloud` by OAuth2, `device` by client certificate."""
    folder = tmp_path_factory.mktemp("main_job")
    sandbox = sandbox_process("--orders", "400", "--issue-delay", "0.5")
    line = sandbox.line
    env = {
        "HOME": str(folder / "user"), "CERTFLOW_HOME": str(folder / "certflow"), "VAULT_ADDR": line["vault"], "VAULT_TOKEN": line["vault_token"],
        "CERTFLOW_GRACE_SECONDS": "1", "CERTFLOW_ACCOUNTS": "default,cloud", "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "REQUESTS_CA_BUNDLE": line["tls"]["ca"],
    }
    (folder / "user").mkdir()
    device = {"base_url": line["scm_tls"], **{name: line["account"][name] for name in ("login", "customer_uri")}, **{
        name: Path(line["tls"][name]).read_text() for name in ("client_certificate", "client_key")}}
    logins = {
        "default": {"base_url": line["scm"], **line["account"]}, "cloud": {"base_url": line["scm_admin"], **line["client"]}, "device": device,
    }
    with ThreadPoolExecutor(len(logins)) as pool:
        list(pool.map(lambda item: _connect(item[0], item[1], env), logins.items()))
    installed = Installation(start_up(**env).wait_until_ready(), sandbox, folder)
    installed.put("passwords/shop", {"keystore": "Invented-keystore-password-7"})
    return installed


def _connect(account: str, login: dict[str, str], env: dict[str, str]) -> None:
    """`python -m deployments connect ACCOUNT --from -`, as a user does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "PREFECT_", "VAULT_", "COV_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "deployments", "connect", account, "--from", "-"], cwd=ROOT, env={**kept, **env}, input=json.dumps(login),
        capture_output=True, text=True, check=False, timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def synced(installation: Installation) -> dict[str, dict[str, Any]]:
    """The runs of the morning: reference data of both accounts and the orders are read, one account is checked."""
    names = ("sync-reference-data", "import-orders", "check-account")
    *found, cloud = installation.runs(*((name, {}) for name in names), ("sync-reference-data", {"account": "cloud"}))
    assert cloud["state"]["type"] == "COMPLETED", cloud["state"]["message"]
    return dict(zip(names, found, strict=True))


@pytest.fixture(scope="session")
def ordered(installation: Installation, synced: dict[str, Any]) -> dict[str, Any]:
    """The run that ordered shop.example.com, with all that a shop wants; cloud.example.com is ordered by OAuth2 at the same time."""
    assert synced["sync-reference-data"]["state"]["type"] == "COMPLETED"
    shop = installation.wish(
        "shop.example.com", subject_alternative_names=["www.shop.example.com"], key_size="P-256", comments="for the shop",
        external_requester_emails=["shop@example.com"], keystore_password_path="shop#keystore", requested_by="the shop's team",
    )
    cloud = installation.wish("cloud.example.com", account="cloud", key_algorithm="RSA", keystore_type="JKS")
    found, by_oauth2 = installation.runs(("order-certificate", shop), ("order-certificate", cloud))
    assert by_oauth2["state"]["type"] == "COMPLETED", by_oauth2["state"]["message"]
    return dict(found)


@pytest.fixture(scope="session")
def delivered(installation: Installation, ordered: dict[str, Any]) -> dict[str, Any]:
    """The live entry of shop.example.com."""
    assert ordered["state"]["type"] == "COMPLETED"
    return installation.poll_until_live("shop.example.com")
