"""`python -m deployments up` as a user starts it: once for the session, with its sandbox, on a free port."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 180
BUSY_SECONDS = 30


def _eventually(look: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds"
        time.sleep(0.2)
    return answer


class Up:
    """A running `python -m deployments up`, and Prefect's API as a program of the user calls it."""

    def __init__(self, env: Mapping[str, str], temporary: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(env.get("CERTFLOW_UI_PORT") or free.getsockname()[1])
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.temporary = temporary
        self.env = {**_foreign_free(), **env, "CERTFLOW_UI_PORT": str(self.port), "TMPDIR": str(temporary)}
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deployments", "up"], cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def wait_until_ready(self) -> "Up":
        """Until it says so. A process that ends before is a failure with its words."""
        _eventually(lambda: self._says("ready ") or self.process.poll() is not None, READY_SECONDS, "up is ready")
        assert self.process.poll() is None, self.said
        return self

    def end(self, number: int = signal.SIGTERM) -> float:
        """Send a signal and wait until it has ended; the seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        return time.monotonic() - began

    def call(self, method: str, path: str, body: Any = None, *, expect: int | None = None) -> Any:
        """One call of Prefect's API; the answer's JSON. Its 503, SQLite being locked for long, is asked again, as Prefect's own client does."""
        deadline = time.monotonic() + BUSY_SECONDS
        while (answer := requests.request(method, f"{self.api}{path}", json=body, timeout=60)).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert answer.status_code == expect if expect else answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/deployments/name/{name}/{name}")
        return found

    def start(self, name: str, **parameters: Any) -> str:
        """Start a run by the API; its id."""
        return str(self.call("POST", f"/deployments/{self.deployment(name)['id']}/create_flow_run", {"parameters": parameters})["id"])

    def run(self, name: str, *, seconds: float = 120, **parameters: Any) -> dict[str, Any]:
        """Start a run and wait until it has ended: Prefect's record of it, with its summary for programs under `summary`."""
        run_id = self.start(name, **parameters)
        ended = self.wait_for_end(run_id, seconds=seconds)
        written = self.call("POST", "/artifacts/filter", {"artifacts": {"key": {"any_": [f"summary-{run_id}"]}}})
        return {**ended, "summary": json.loads(written[0]["data"]) if written else None}

    def wait_for_end(self, run_id: str, *, seconds: float) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            record: dict[str, Any] = self.call("GET", f"/flow_runs/{run_id}")
            return record if record["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

        found: dict[str, Any] = _eventually(ended, seconds, f"run {run_id} has ended")
        return found

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            self.lines.extend(iter(said.readline, ""))

    def _says(self, words: str) -> bool:
        return any(line.startswith(words) for line in list(self.lines))

    def told(self, pattern: str) -> str:
        """What stands in its lines after a pattern, for example the sandbox's address."""
        found = re.search(pattern, self.said)
        assert found, f"{pattern} is not in: {self.said}"
        return found.group(1)


def _foreign_free() -> dict[str, str]:
    """The environment of a user who has set nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "PREFECT_", "VAULT_", "COV_", "PYTEST_"))}


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], Any], float, str], Any]:
    """eventually(look, seconds, what): ask again until the answer is true."""
    return _eventually


@pytest.fixture(scope="session")
def start_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Up]]:
    """start_up(**environment): another `up`, ended with the session at the latest."""
    started: list[Up] = []

    def start(**env: str) -> Up:
        started.append(Up(env, tmp_path_factory.mktemp("up")))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end()
        one._reader.join(timeout=30)


@pytest.fixture(scope="session")
def up(start_up: Callable[..., Up]) -> Up:
    """The session's `up`, ready, with its sandbox."""
    return start_up(CERTFLOW_GRACE_SECONDS="1").wait_until_ready()
