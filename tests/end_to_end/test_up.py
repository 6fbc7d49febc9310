"""`up` against a real Prefect server: what it serves, what it keeps, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

ROOT = Path(__file__).resolve().parents[2]
FORM = "form"
"""The deployment beside those named as their flows."""

FLOWS = sorted(found.stem.replace("_", "-") for found in (ROOT / "flows").iterdir() if not found.name.startswith("_"))

PRESETS = {"requested_by": "web team", "keystore_type": "JKS"}

SILENT_RUN = """
import os, time
from prefect import flow, tags

@flow(name="silent", persist_result=False)
def silent():
    print("running", flush=True)
    time.sleep(600)

with tags("certflow"):
    silent()
"""


def _processes(port: int) -> list[str]:
    """The processes whose environment names this port: everything that one `up` has started, at any depth."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"CERTFLOW_UI_PORT={port}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def _without_forms(up: Any) -> list[dict[str, Any]]:
    return [one for one in up.call("POST", "/deployments/filter", {}) if not one["name"].startswith(FORM)]


def test_every_flow_is_served_under_its_name(up: Any) -> None:
    """DESIGN 4: deployment name = flow name with `-`, entrypoints are module paths."""
    served = _without_forms(up)
    assert sorted(one["name"] for one in served) == FLOWS
    for one in served:
        name = one["name"].replace("-", "_")
        assert one["entrypoint"] == f"flows.{name}.{name}"


def test_each_parameter_has_a_description_and_stands_where_the_design_puts_it(up: Any) -> None:
    """DESIGN 4: the form is made from the flow's signature and its docstring."""
    properties = up.deployment("order-certificate")["parameter_openapi_schema"]["properties"]
    in_order = sorted(properties, key=lambda name: properties[name]["position"])
    assert in_order == [
        "common_name", "organization", "certificate_profile", "subject_alternative_names", "term_days", "key_algorithm", "key_size",
        "keystore_type", "comments", "external_requester_emails", "custom_fields", "requested_by", "wait_minutes", "check_only",
        "send_anyway", "csr", "live_name", "keystore_password_path", "request_id", "account",
    ]
    for one in up.call("POST", "/deployments/filter", {}):
        for name, property_ in one["parameter_openapi_schema"]["properties"].items():
            assert property_.get("description"), f"{one['name']}: {name}"
    assert properties["comments"]["maxLength"] == 978


def test_an_unknown_parameter_is_refused_by_the_api(up: Any) -> None:
    """DESIGN 6: without this it gives 201 and a crash that only the worker's log explains."""
    path = f"/deployments/{up.deployment('poll-orders')['id']}/create_flow_run"
    refused = up.call("POST", path, {"parameters": {"acount": "default"}}, expect=409)
    assert "acount" in refused["detail"]


def test_a_run_by_the_api_ends_with_a_sentence_and_no_traceback(up: Any) -> None:
    """DESIGN 6: a refusal is a sentence, in the run's state and in its log."""
    run = up.run("check-account", account="nobody")
    assert run["state"]["type"] == "FAILED"
    assert "connect nobody" in run["state"]["message"]
    logs = up.call("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}})
    assert not [line for line in logs if "Traceback" in line["message"] and not line["task_run_id"]]


def test_a_program_orders_by_the_api_and_reads_the_certificate_in_vault(up: Any) -> None:
    """DESIGN 4: start a run by the API, read its summary from the artifact, read live/ in Vault; nothing secret in between."""
    assert up.run("check-account")["summary"]["healthy"] is True
    assert up.run("sync-reference-data")["state"]["type"] == "COMPLETED"
    run = up.run(
        "order-certificate", common_name="api.example.com", organization="Example University", certificate_profile="OV Multi-Domain",
        key_algorithm="EC", wait_minutes=2,
    )
    assert run["summary"]["status"] == "issued", run["state"]
    answer = requests.get(
        up.told(r"VAULT_ADDR=(\S+)") + "/v1/secret/data/certflow/live/api.example.com",
        headers={"X-Vault-Token": up.told(r"VAULT_TOKEN=(\S+)")}, timeout=60,
    ).json()["data"]["data"]
    assert answer["names"] == ["api.example.com"]
    assert answer["status"] == "issued"
    seen_by_prefect = json.dumps([up.call("GET", f"/flow_runs/{run['id']}"), up.call("POST", "/logs/filter", {}), run["summary"]])
    assert "PRIVATE KEY" not in seen_by_prefect
    assert answer["keystore_password"] not in seen_by_prefect


def test_both_lists_of_deployments_and_schedules_agree(up: Any) -> None:
    """DESIGN 3: prefect.yaml, for work pools, says what `up` serves."""
    listed = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    served = _without_forms(up)

    def facts(name: str, entrypoint: str, tags: list[str], schedules: list[dict[str, Any]]) -> Any:
        return name, entrypoint, tuple(tags), sorted(
            (one["slug"], one.get("cron") or one["schedule"]["cron"], one.get("timezone") or one["schedule"]["timezone"], one["active"],
             str(one["parameters"])) for one in schedules
        )

    assert sorted(facts(one["name"], one["entrypoint"], one["tags"], one["schedules"]) for one in listed) == sorted(
        facts(one["name"], one["entrypoint"], one["tags"], one["schedules"]) for one in served)


def test_prefect_yaml_deploys_from_the_projects_root(up: Any, tmp_path: Path) -> None:
    """The two commands at the top of prefect.yaml do what they say; the next sync sees to the form; afterwards `up` still serves its own."""
    env = {**up.env, "PREFECT_API_URL": up.api, "PREFECT_HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    before = {one["name"]: one["id"] for one in _without_forms(up)}
    for command in (
        ["work-pool", "create", "certflow", "--type", "process"],
        ["--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"],
    ):
        done = subprocess.run([sys.executable, "-m", "prefect", *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    deployed = _without_forms(up)
    assert {one["name"]: one["id"] for one in deployed} == before
    assert {one["work_pool_name"] for one in deployed} == {"certflow"}
    assert all(not one["pull_steps"] for one in deployed)

    form = up.form()
    assert up.run("sync-reference-data")["state"]["type"] == "COMPLETED"
    assert up.form()["work_pool_name"] == "certflow"
    up.call("DELETE", f"/deployments/{form['id']}")
    assert up.run("sync-reference-data")["state"]["message"].endswith("the order form is up to date")
    made = up.form()
    assert made["id"] != form["id"]
    for alike in ("entrypoint", "tags", "path", "job_variables", "pull_steps", "work_pool_name", "work_queue_name"):
        assert made[alike] == up.deployment("order-certificate")[alike]


@pytest.mark.slow
def test_a_run_whose_process_was_killed_is_marked_as_crashed_within_two_minutes(
    up: Any, tmp_path: Path, on_this_machine: Callable[[float], float],
) -> None:
    """DESIGN 6: heartbeat and automation go together; without them the run counts as running for ever."""
    env = {
        **up.env, "PREFECT_API_URL": up.api, "PREFECT_HOME": str(tmp_path), "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", "DO_NOT_TRACK": "1",
    }
    process = subprocess.Popen([sys.executable, "-c", SILENT_RUN], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    runs = up.call("POST", "/flow_runs/filter", {"flows": {"name": {"any_": ["silent"]}}})
    beats = {"filter": {
        "event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{runs[0]['id']}"]},
    }}
    while not up.call("POST", "/events/filter", beats)["events"]:
        assert process.poll() is None
        time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    process.stdout.close()
    ended = up.wait_for_end(runs[0]["id"], seconds=on_this_machine(120))
    assert ended["state"]["type"] == "CRASHED"
    assert "no sign of life" in ended["state"]["message"]


def test_a_busy_port_is_a_sentence(start_up: Callable[..., Any]) -> None:
    """An error shown to a user says what is wrong and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = start_up(CERTFLOW_UI_PORT=str(port))
        assert refused.process.wait(timeout=180) == 1
        refused._reader.join(timeout=60)
    assert refused.said.strip() == f"port {port} on 127.0.0.1 is in use: end what listens there, or choose another port by CERTFLOW_UI_PORT"


def _copy_account(up: Any, prefix: str, to_prefix: str, account: str) -> None:
    """The sandbox's account under another prefix and name, as `connect` would write it."""
    secrets, token = f"{up.env['VAULT_ADDR']}/v1/secret/data", {"X-Vault-Token": up.env["VAULT_TOKEN"]}
    found = requests.get(f"{secrets}/{prefix}/accounts/default", headers=token, timeout=60).json()["data"]["data"]
    assert requests.post(f"{secrets}/{to_prefix}/accounts/{account}", json={"data": found}, headers=token, timeout=60).ok


@pytest.fixture(scope="module")
def restarted(
    up: Any, start_up: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, eventually: Callable[..., Any],
    on_this_machine: Callable[[float], float],
) -> Any:
    """An `up` with a Vault and a home that is ended, with a run under way, and started again after a person has changed schedules.

    Answers the second `up` and the id of the run.
    """
    vault = {
        "VAULT_ADDR": up.told(r"VAULT_ADDR=(\S+)"), "VAULT_TOKEN": up.told(r"VAULT_TOKEN=(\S+)"),
        "CERTFLOW_HOME": str(tmp_path_factory.mktemp("home")), "CERTFLOW_VAULT_PREFIX": "restarted",
    }
    with socket.create_server(("127.0.0.1", 0)) as silent:    # an SCM that takes the connection and never answers
        first = start_up(**vault, CERTFLOW_ACCOUNTS="default,second,third").wait_until_ready()
        account = {"base_url": f"http://127.0.0.1:{silent.getsockname()[1]}/customer/acme", "login": "api", "password": "invented"}
        command = [sys.executable, "-m", "deployments", "connect", "default", "--from", "-", "--no-proof"]
        subprocess.run(command, input=json.dumps(account), cwd=ROOT, env=first.env, text=True, check=True, capture_output=True)
        _copy_account(first, "certflow", "restarted", "third")
        first.call("PATCH", f"/deployments/{first.form('third')['id']}", {"parameters": {**PRESETS, "organization": "Gone (1)", "account": "third"}})
        assert first.run("sync-reference-data", account="third")["state"]["type"] == "COMPLETED"
        run_id = first.start("check-account")
        poll, imports = first.deployment("poll-orders"), first.deployment("import-orders")
        slugs = {one["slug"]: one["id"] for one in poll["schedules"]}
        assert set(slugs) == {f"certflow-{account}-{name}" for account in ("default", "second", "third") for name in ("daily", "quarter-hourly")}
        first.call("PATCH", f"/deployments/{poll['id']}/schedules/{slugs['certflow-default-daily']}", {"active": False})
        for schedule in imports["schedules"]:
            first.call("PATCH", f"/deployments/{imports['id']}/schedules/{schedule['id']}", {"active": True})
        added = {"schedule": {"cron": "0 12 * * 1", "timezone": "UTC"}, "active": True, "parameters": {"account": "second"}}
        first.call("POST", f"/deployments/{poll['id']}/schedules", [added])
        first.call("POST", f"/deployments/{first.deployment('check-account')['id']}/pause_deployment")
        eventually(lambda: first.call("GET", f"/flow_runs/{run_id}")["state"]["type"] == "RUNNING", 180, "the run is under way")
        seconds = first.end()
        assert first.process.returncode == 0, first.said
        assert seconds < on_this_machine(10)
    again = start_up(**vault, CERTFLOW_ACCOUNTS="default,third", CERTFLOW_TIMEZONE="Europe/Berlin").wait_until_ready()
    yield again, run_id
    again.end()


@pytest.mark.slow
def test_a_schedules_switch_and_an_added_schedule_stay_over_restarts(restarted: Any) -> None:
    """DESIGN 6: what a person set stays; the time zone follows the setting; an account that left the settings has no schedules."""
    again, _ = restarted
    kept = again.deployment("poll-orders")["schedules"]
    assert {(one["slug"], one["active"], one["schedule"]["cron"], one["schedule"]["timezone"]) for one in kept} == {
        ("certflow-default-daily", False, "30 4 * * *", "Europe/Berlin"),
        ("certflow-default-quarter-hourly", True, "*/15 * * * *", "Europe/Berlin"),
        ("certflow-third-daily", True, "30 4 * * *", "Europe/Berlin"),
        ("certflow-third-quarter-hourly", True, "*/15 * * * *", "Europe/Berlin"),
        (None, True, "0 12 * * 1", "UTC"),
    }
    assert [one["active"] for one in again.deployment("import-orders")["schedules"]] == [True, True]


@pytest.mark.slow
def test_an_order_form_keeps_its_choices_over_restarts_and_leaves_with_its_account(restarted: Any) -> None:
    """What a person preset stays, too, save what the account does not have any more."""
    again, _ = restarted
    form = again.form("third")
    assert "Example University / Library (3102)" in form["parameter_openapi_schema"]["properties"]["organization"]["enum"]
    assert form["parameters"] == {**PRESETS, "account": "third"}
    assert form["enforce_parameter_schema"] is True
    forms = {one["name"] for one in again.call("POST", "/deployments/filter", {}) if one["name"].startswith(FORM)}
    assert forms == {"form", "form-third"}
    assert "enum" not in again.form()["parameter_openapi_schema"]["properties"]["organization"]


@pytest.mark.slow
def test_a_paused_deployment_stays_paused_and_the_automation_stays_one(restarted: Any) -> None:
    """DESIGN 6: starting again changes nothing that a person set, and adds nothing twice."""
    again, _ = restarted
    assert again.deployment("check-account")["paused"] is True
    assert again.deployment("poll-orders")["paused"] is False
    assert len(again.call("POST", "/automations/filter", {})) == 1


@pytest.mark.slow
def test_a_run_under_way_does_not_count_as_running_after_the_end(restarted: Any) -> None:
    """DESIGN 6: SIGTERM to a busy worker left runs in the state Running for ever."""
    again, run_id = restarted
    assert again.call("GET", f"/flow_runs/{run_id}")["state"]["type"] == "CANCELLED"


@pytest.mark.slow
def test_it_ends_cleanly_within_ten_seconds_and_leaves_nothing(start_up: Callable[..., Any], on_this_machine: Callable[[float], float]) -> None:
    """DESIGN 4: the sandbox's home is temporary and nothing of the user's is touched; Ctrl-C ends all of it."""
    ending = start_up().wait_until_ready()
    assert len(_processes(ending.port)) >= 6
    assert list(ending.temporary.glob("certflow-*"))
    assert ending.end(signal.SIGINT) < on_this_machine(10)
    assert ending.process.returncode == 0
    assert "Traceback" not in ending.said
    assert _processes(ending.port) == []
    assert list(ending.temporary.glob("certflow-*")) == []


@pytest.mark.slow
def test_its_processes_die_with_it_when_it_is_killed(start_up: Callable[..., Any], eventually: Callable[..., Any]) -> None:
    """A parent that is killed cannot end its children: each is on a leash."""
    killed = start_up().wait_until_ready()
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.process.wait(timeout=60)
    eventually(lambda: not _processes(killed.port), 120, "all processes have ended")
