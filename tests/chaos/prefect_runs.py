"""Flow runs of a running Prefect, as a user has them: `python -m deployments up` beside a Vault, the processes of its runs killed."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import requests
from chaos import Chaos
from ledger import Request
from world import from_tests

AT_ONCE = 3
KILLED = "a flow run of Prefect"
SECONDS_PER_KILL = 60.0
LIVES = 2.5
"""Seconds that a flow works at an order, about; the process lives longer."""

FAULTS = ("lost", "drop", "truncate")


@dataclass
class Run:
    """A flow run under way, and when its process is to die; None while it has not begun to work."""

    id: str
    request: Request
    die_at: float | None = None


def fire(chaos: Chaos, kills: int) -> None:
    """Until so many flow runs were killed. Each request is asked again under its id by a run of its own, until it is answered."""
    world, random = chaos.world, Random(f"{chaos.random.random()}")
    for kind in FAULTS:
        world.sandbox.fault(kind, route="enroll", probability=0.15)
    temporary = world.folder / "tmp" / "up"
    temporary.mkdir()
    up = from_tests("end_to_end/conftest.py").Up({**world.env, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}, temporary)
    try:
        up.wait_until_ready()
        runs: list[Run] = []
        asked: list[Request] = []
        ends = time.monotonic() + 60 + SECONDS_PER_KILL * kills
        while chaos.kills[KILLED] < kills and time.monotonic() < ends:
            while len(runs) < AT_ONCE:
                request = next((one for one in asked if one.open), None) or chaos.new_order()
                asked = [*(one for one in asked if one is not request), request]
                request.running = 1
                with suppress(requests.RequestException):
                    runs.append(Run(up.start("order-certificate", **request.asking()), request))
                    continue
                request.running = 0    # whether it was started is not known: it is asked again
                break
            runs = [run for run in runs if not _over(chaos, up, run, random)]
            time.sleep(0.2)
        for run in runs:
            _ended(chaos, up, run)
    finally:
        up.end()
        (world.folder / "logs" / "up.log").write_text(up.said)
    chaos.weather.clear()


def _over(chaos: Chaos, up: Any, run: Run, random: Random) -> bool:
    """Whether a run has ended, or was killed just now. A server that is too busy to say so is asked again."""
    try:
        state = up.call("GET", f"/flow_runs/{run.id}")["state"]["type"]
    except requests.RequestException:
        return False
    if state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
        run.request.running, run.request.answered = 0, state == "COMPLETED"
        return True
    if state == "RUNNING" and run.die_at is None:
        run.die_at = time.monotonic() + random.uniform(0, LIVES)
    if run.die_at is None or time.monotonic() < run.die_at:
        return False
    for process in _processes(run.id):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            chaos.kills[KILLED] += 1
            run.request.running = 0
            return True
    return False


def _ended(chaos: Chaos, up: Any, run: Run) -> None:
    """Let a run come to its end undisturbed."""
    run.request.running = 0
    with suppress(requests.RequestException, AssertionError):
        run.request.answered = up.wait_for_end(run.id, seconds=300)["state"]["type"] == "COMPLETED"
    chaos.actions["flow run"] += 1


def _processes(run_id: str) -> list[int]:
    """Whoever works at a run, as its environment says; the youngest, which runs the flow, first."""
    wanted, found = f"PREFECT__FLOW_RUN_ID={run_id}".encode(), []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
    return sorted(found, reverse=True)
