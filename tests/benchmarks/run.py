"""The benchmarks: `make bench`, and `make bench-million` for the import of a million orders. They print a table and end with 1 when a
promise is broken.

Each line is measured in a process of its own. Machines differ, so seconds stand beside a baseline of this machine: the same bytes or the
same collects with requests alone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac

ROOT = Path(__file__).resolve().parents[2]
MEASURED = Path(__file__).with_name("measured.py")
LATENCY_MS = 20
MOST_CALLS_UNCHANGED = 5
MOST_START_SECONDS = 10.0
MOST_REPORT_SECONDS = 3.0
MOST_MEMORY_RATIO = 1.5
"""Of an import of ten times as many orders."""

Figures = dict[str, Any]


class Bench:
    """Lines of the table, and the promises that were broken."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        print(f"{'':52} {'seconds':>8} {'ratio':>6} {'calls':>7} {'orders':>9} {'certs':>7} {'MB':>6}", flush=True)

    def line(self, what: str, figures: Figures, *, against: Figures | None = None) -> Figures:
        ratio = f"{figures['seconds'] / against['seconds']:.1f}" if against else ""
        cells = (figures.get("calls", ""), figures.get("orders", ""), figures.get("certificates", ""))
        calls, orders, certificates = (f"{one:,}" if one != "" else "" for one in cells)
        memory = f"{figures['megabytes']:.0f}" if "megabytes" in figures else ""
        print(f"{what:52} {figures['seconds']:8.2f} {ratio:>6} {calls:>7} {orders:>9} {certificates:>7} {memory:>6}", flush=True)
        return figures

    def promise(self, kept: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
        if not kept:
            self.broken.append(what)


class Installation:
    """A sandbox with so many orders, an empty home, and measurements in processes of their own."""

    def __init__(self, line: dict[str, Any], home: Path, start_seconds: float) -> None:
        self.start_seconds = start_seconds
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "VAULT_"))} | {
            "CERTFLOW_HOME": str(home), "VAULT_ADDR": line["vault"], "VAULT_TOKEN": line["vault_token"], "PYTHONPATH": str(ROOT),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false", "BENCHMARK_SCM": line["scm"], "BENCHMARK_ACCOUNT": json.dumps(line["account"]),
        }
        vault = hvac.Client(url=line["vault"], token=line["vault_token"])
        vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret={"base_url": line["scm"], **line["account"]})

    def measured(self, name: str) -> Figures:
        done = subprocess.run(
            [sys.executable, str(MEASURED), name], env=self._environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
        )
        found: Figures = json.loads(done.stdout.splitlines()[-1])
        return found


@contextmanager
def installation(orders: int, *, latency: int = 0) -> Iterator[Installation]:
    """Ends the sandbox and removes the home."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "deployments.sandbox", "--orders", str(orders), "--latency", str(latency)]
    with tempfile.TemporaryDirectory() as home, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True,
    ) as sandbox:
        try:
            assert sandbox.stdout is not None
            line = json.loads(sandbox.stdout.readline())
            yield Installation(line, Path(home), time.perf_counter() - began)
        finally:
            sandbox.terminate()


def certificates(bench: Bench, orders: int) -> None:
    """An import with certificates over a slow line, the same again, and a poll with nothing to do."""
    with installation(orders, latency=LATENCY_MS) as here:
        here.measured("import_rows")
        here.measured("bare_collects")    # the sandbox makes a certificate when it is first asked for: nobody's time but its own
    with installation(orders, latency=LATENCY_MS) as here:
        pass
    raise NotImplementedError
