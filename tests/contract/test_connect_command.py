"""`python -m deployments connect` as a user types it, against a Vault over HTTP."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
DATA = {"base_url": "http://127.0.0.1:9/customer/acme", "login": "api", "password": "s3cret-Value"}

Connect = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def env(pretend_vault: Any, prefix: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a user of this Vault."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "VAULT_", "PREFECT_"))}
    return {
        **mine, "VAULT_ADDR": pretend_vault.address, "VAULT_TOKEN": pretend_vault.token, "CERTFLOW_VAULT_PREFIX": prefix,
        "CERTFLOW_HOME": str(tmp_path),
    }


@pytest.fixture
def connect(env: dict[str, str]) -> Connect:
    """connect(*arguments, data=...): run the command with the data on standard input."""

    def run(*arguments: str, data: object = DATA) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "deployments", "connect", *arguments], input=data if isinstance(data, str) else json.dumps(data),
            cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=180,
        )

    return run


@pytest.fixture
def stored(pretend_vault: Any, prefix: str) -> Callable[[str], dict[str, Any]]:
    """What Vault holds for an account, and its version."""

    def read(account: str) -> dict[str, Any]:
        answer = requests.get(
            f"{pretend_vault.address}/v1/secret/data/{prefix}/accounts/{account}", headers={"X-Vault-Token": pretend_vault.token}, timeout=60)
        return dict(answer.json().get("data") or {})

    return read


def test_data_from_standard_input_go_to_vault(connect: Connect, stored: Callable[[str], dict[str, Any]]) -> None:
    """DESIGN 4: one entry below accounts/, with exactly these fields."""
    done = connect("default", "--from", "-", "--no-proof")
    assert (done.returncode, done.stderr) == (0, "")
    assert "s3cret" not in done.stdout
    assert stored("default")["data"] == {**DATA, "base_url": "http://127.0.0.1:9/api", "customer_uri": "acme"}


def test_a_connected_account_is_replaced_only_on_wish(connect: Connect, stored: Callable[[str], dict[str, Any]]) -> None:
    """Nobody loses a login by a repeated command."""
    connect("default", "--from", "-", "--no-proof")
    refused = connect("default", "--from", "-", "--no-proof", data={**DATA, "password": "another"})
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    assert stored("default")["data"]["password"] == DATA["password"]
    assert connect("default", "--from", "-", "--no-proof", "--replace", data={**DATA, "password": "another"}).returncode == 0
    assert (stored("default")["data"]["password"], stored("default")["metadata"]["version"]) == ("another", 2)


@pytest.mark.parametrize(("account", "data", "words"), [
    ("Default", DATA, "lower-case"),
    ("../keys/x", DATA, "lower-case"),
    ("default", {"base_url": "https://scm.example.com", "login": "api"}, "lacks customer_uri, password"),
    ("default", {**DATA, "base_url": "http://scm.example.com/customer/acme"}, "must begin with https"),
    ("default", {**DATA, "client_id": "x"}, "mixes several ways"),
    ("default", "nonsense", "no JSON"),
])
def test_what_cannot_work_is_refused_in_one_sentence(
    connect: Connect, stored: Callable[[str], dict[str, Any]], account: str, data: Any, words: str
) -> None:
    """Nothing is written, nothing secret is said, status 1."""
    refused = connect(account, "--from", "-", "--no-proof", data=data)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert words in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "s3cret" not in refused.stderr
    assert not stored("default")


def test_usage_errors_have_a_status_of_their_own(connect: Connect) -> None:
    """2, as every command line tool answers."""
    assert connect().returncode == 2
    assert connect("default", "--unknown").returncode == 2


def test_without_a_terminal_and_without_from_it_says_how(connect: Connect) -> None:
    """A job that forgot --from must not wait for ever."""
    refused = connect("default", "--no-proof")
    assert refused.returncode == 1
    assert "--from" in refused.stderr


def test_a_person_is_asked_and_the_password_is_not_shown(env: dict[str, str], stored: Callable[[str], dict[str, Any]]) -> None:
    """The password is typed without an echo and never printed."""
    person, terminal = pty.openpty()
    command = [sys.executable, "-m", "deployments", "connect", "default", "--no-proof"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True) as process:
        os.close(terminal)
        shown = b""
        for question, answer in (
            (b"Way", "1"), (b"Address", "https://scm.example.com/customer/acme"), (b"Login", "api"), (b"not shown", "s3cret-Value"),
            (b"External requesters", "pki@example.com, web@example.com"), (b"Custom field", "Cost centre"), (b"Value of", "12"),
            (b"Custom field", ""),
        ):
            asked = b""
            while question not in asked or not asked.endswith(b": "):
                asked += os.read(person, 1024)
            shown += asked
            os.write(person, answer.encode() + b"\n")
        try:
            while more := os.read(person, 1024):
                shown += more
        except OSError:    # how Linux tells that the other end is closed
            pass
        os.close(person)
        assert process.wait(timeout=120) == 0, shown
    assert b"s3cret" not in shown
    assert stored("default")["data"] == {
        "base_url": "https://scm.example.com/api", "customer_uri": "acme", "login": "api", "password": "s3cret-Value",
        "defaults": {"external_requester_emails": ["pki@example.com", "web@example.com"], "custom_fields": {"Cost centre": "12"}},
    }
