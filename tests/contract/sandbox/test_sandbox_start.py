"""The sandbox as a program: what it prints, what it leaves, how it ends."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

LISTENING = "0A"
ROOT = Path(__file__).resolve().parents[3]


class Program:
    """A sandbox with its standard error at hand."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deployments.sandbox", *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.line: dict[str, Any] = json.loads(self.process.stdout.readline())

    def end(self, number: int = signal.SIGTERM) -> tuple[float, str, str]:
        """Seconds that it took, and what it printed."""
        began = time.monotonic()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=120)
        return time.monotonic() - began, out, err


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(*options: str) -> Program:
        started.append(Program(*options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


def test_it_prints_one_line_that_says_all(program: Callable[..., Program]) -> None:
    """DESIGN 4: Commands"""
    started = program("--orders", "1")
    line = started.line
    assert set(line) == {
        "scm", "scm_admin", "scm_tls", "tls", "vault", "vault_token", "account", "client", "profile_that_waits", "pid",
    }
    assert all(line[name].endswith("/api") and "//127.0.0.1:" in line[name] for name in ("scm", "scm_admin", "scm_tls"))
    assert set(line["tls"]) == {"ca", "client_certificate", "client_key"}
    assert set(line["account"]) == {"login", "password", "customer_uri"}
    assert set(line["client"]) == {"client_id", "client_secret", "token_url"}
    assert line["pid"] == started.process.pid
    assert requests.get(f"{line['vault']}/v1/sys/health", timeout=60).status_code == 200
    _, out, err = started.end()
    assert out == ""
    assert "not for production" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_although_connections_are_open(program: Callable[..., Program], number: int) -> None:
    """DESIGN 4: it ends on SIGTERM; nothing of it is left"""
    started = program("--orders", "1", "--latency", "60000")
    host, port = started.line["scm"].removeprefix("http://").removesuffix("/api").split(":")
    folder = Path(started.line["tls"]["ca"]).parent
    assert folder.is_dir()
    with socket.create_connection((host, int(port))), socket.create_connection((host, int(port))) as busy:
        busy.sendall(b"GET /api/ssl/v1 HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        deadline = time.monotonic() + 60
        while not requests.get(f"http://{host}:{port}/_control/calls", timeout=60).json():
            assert time.monotonic() < deadline
        seconds, _, err = started.end(number)
    assert seconds < 2
    assert started.process.returncode == 0
    assert "Traceback" not in err
    assert not folder.exists()


def test_it_listens_on_the_loopback_only(program: Callable[..., Program]) -> None:
    """DESIGN 4: 127.0.0.1 only"""
    started = program("--orders", "1")
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]": row[1] for row in rows if row[3] == LISTENING}
    own = [sockets[name] for one in Path(f"/proc/{started.process.pid}/fd").iterdir() if (name := str(one.readlink())) in sockets]
    assert len(own) == 4
    assert all(at.startswith("0100007F:") for at in own)


def test_a_port_that_is_taken_is_a_sentence() -> None:
    """DESIGN 8: errors say what to do"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [sys.executable, "-m", "deployments.sandbox", "--orders", "1", "--vault-port", str(taken.getsockname()[1])],
            cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 1
    assert "cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_that_does_not_exist_is_refused_at_the_start() -> None:
    """DESIGN 8: errors say what to do"""
    for fault in ('{"kind": "gremlin"}', '{"kind": "lost", "route": "nowhere"}', '{"kind": "lost", "rout": "enroll"}', "{", '["kind"]'):
        done = subprocess.run(
            [sys.executable, "-m", "deployments.sandbox", "--fault", fault],
            cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 2, fault
        assert "--fault" in done.stderr
        assert "Traceback" not in done.stderr


def test_options_set_the_state_at_the_start(program: Callable[..., Program]) -> None:
    """The start state is an option, and a reset leads back to it"""
    fault = {"kind": "status", "route": "types", "status": 503}
    started = program("--orders", "30", "--mandatory-field", "Ticket", "--fault", json.dumps(fault), "--no-validation")
    account = started.line["account"]
    headers = {"login": account["login"], "password": account["password"], "customerUri": account["customer_uri"]}
    scm = started.line["scm"]
    for _ in range(2):
        assert requests.get(f"{scm}/ssl/v1/types", headers=headers, timeout=60).status_code == 503
        fields = requests.get(f"{scm}/ssl/v1/customFields", headers=headers, timeout=60).json()
        assert [one["name"] for one in fields if one["mandatory"]] == ["Ticket"]
        assert "validationStatus" not in requests.get(f"{scm}/domain/v1/6001", headers=headers, timeout=60).json()
        assert requests.post(f"{scm.removesuffix('/api')}/_control/reset", timeout=60).ok


@pytest.mark.slow
def test_a_hundred_thousand_orders_are_ready_in_ten_seconds_and_reported_in_three(
    program: Callable[..., Program], on_this_machine: Callable[[float], float],
) -> None:
    """DESIGN 5: big accounts are read by report"""
    began = time.monotonic()
    started = program("--orders", "100000")
    assert time.monotonic() - began < on_this_machine(10)
    account = started.line["account"]
    headers = {"login": account["login"], "password": account["password"], "customerUri": account["customer_uri"]}
    began = time.monotonic()
    with requests.post(f"{started.line['scm']}/report/v1/ssl-certificates", headers=headers, json={}, timeout=60, stream=True) as answer:
        rows = sum(part.count(b'"commonName":') for part in answer.iter_content(None))
    seconds = time.monotonic() - began
    assert rows == 100_000
    assert seconds < on_this_machine(3)
