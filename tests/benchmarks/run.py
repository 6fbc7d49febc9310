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
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hvac
import requests

ROOT = Path(__file__).resolve().parents[2]
MEASURED = Path(__file__).with_name("measured.py")
LATENCY_MS = 20
LARGE = 100_000
SHARE_OPEN = 0.07
"""Of the sandbox's orders."""

MOST_CALLS_UNCHANGED = 5
MOST_START_SECONDS = 10.0
MOST_REPORT_SECONDS = 3.0
MOST_MEMORY_RATIO = 1.5
"""Of an import of ten times as many orders."""

SMALLEST_PEAK_MB = 10.0
"""Less than this above an idle process is the noise of the allocator."""

Figures = dict[str, Any]


class Bench:
    """Lines of the table, and the promises that were broken."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        print(f"{'':48} {'seconds':>8} {'ratio':>6} {'CPU s':>7} {'calls':>7} {'orders':>9} {'certs':>7} {'MB':>6}", flush=True)

    def line(self, what: str, figures: Figures, *, against: Figures | None = None) -> Figures:
        ratio = f"{figures['seconds'] / against['seconds']:.1f}" if against else ""
        cells = (figures.get("calls", ""), figures.get("orders", ""), figures.get("certificates", ""))
        calls, orders, certificates = (f"{one:,}" if one != "" else "" for one in cells)
        memory = f"{figures['megabytes']:.0f}" if "megabytes" in figures else ""
        processor = f"{figures['cpu']:.2f}" if "cpu" in figures else ""
        print(f"{what:48} {figures['seconds']:8.2f} {ratio:>6} {processor:>7} {calls:>7} {orders:>9} {certificates:>7} {memory:>6}", flush=True)
        return figures

    def promise(self, what: str, kept: object) -> None:
        if not kept:
            self.broken.append(what)


class Account:
    """A running sandbox with so many orders. Each `home` of it is an installation of its own, with an empty database."""

    def __init__(self, line: dict[str, Any], start_seconds: float) -> None:
        self.start_seconds = start_seconds
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "VAULT_"))} | {
            "VAULT_ADDR": line["vault"], "VAULT_TOKEN": line["vault_token"], "PYTHONPATH": str(ROOT),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false", "BENCHMARK_SCM": line["scm"], "BENCHMARK_ACCOUNT": json.dumps(line["account"]),
        }
        self._control = line["scm"].removesuffix("/api") + "/_control"
        vault = hvac.Client(url=line["vault"], token=line["vault_token"])
        vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret={"base_url": line["scm"], **line["account"]})

    def set(self, **settings: Any) -> None:
        """Change the sandbox's settings."""
        requests.put(f"{self._control}/settings", json=settings, timeout=60).raise_for_status()

    def most_orders_of_a_name(self, beginning: str) -> int:
        """How many orders SCM holds for the name that it holds the most for, among names that begin like this."""
        names = Counter(one["common_name"] for one in requests.get(f"{self._control}/orders", timeout=60).json())
        return max(number for name, number in names.items() if name.startswith(beginning))

    def measured(self, name: str, home: str) -> Figures:
        """A function of measured.py in a process of its own."""
        done = subprocess.run(
            [sys.executable, str(MEASURED), name], env=self._environment | {"CERTFLOW_HOME": home}, cwd=ROOT, stdout=subprocess.PIPE,
            text=True, check=True,
        )
        found: Figures = json.loads(done.stdout.splitlines()[-1])
        return found


@contextmanager
def account(orders: int, *, latency: int = 0) -> Iterator[Account]:
    """Ends the sandbox."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "deployments.sandbox", "--orders", str(orders), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            line = json.loads(sandbox.stdout.readline())
            yield Account(line, time.perf_counter() - began)
        finally:
            sandbox.terminate()


def certificates(bench: Bench, orders: int) -> None:
    """An import with certificates over a slow line, the same again, and a poll that finds nothing to do."""
    with account(orders, latency=LATENCY_MS) as scm, TemporaryDirectory() as scratch, TemporaryDirectory() as home:
        scm.measured("import_rows", scratch)
        scm.measured("bare_collects", scratch)    # the sandbox makes a certificate when it is first asked for, and that is its own time
        bare = bench.line(f"collects with requests alone, {LATENCY_MS} ms away", scm.measured("bare_collects", scratch))
        bench.line("import with certificates", scm.measured("import_everything", home), against=bare)
        again = bench.line("the same again", scm.measured("import_everything", home), against=bare)
        bench.promise(f"an unchanged account is imported in at most {MOST_CALLS_UNCHANGED} calls", again["calls"] <= MOST_CALLS_UNCHANGED)
        scm.measured("close_all", home)
        idle = bench.line("poll with nothing open", scm.measured("poll", home))
        bench.promise("a poll with nothing open makes no call", idle["calls"] == 0)


def rows(bench: Bench, orders: int, *, fewer: int) -> None:
    """An import without certificates, beside one of a smaller account: memory must not grow with it."""
    with account(fewer) as scm, TemporaryDirectory() as home:
        small = bench.line("import without certificates", scm.measured("import_rows", home))
    with account(orders) as scm, TemporaryDirectory() as home:
        start = bench.line("start of the sandbox", {"seconds": scm.start_seconds, "orders": orders})
        bare = bench.line("report with requests alone", scm.measured("bare_report", home))
        client = bench.line("report by the client alone", scm.measured("stream_report", home), against=bare)
        large = bench.line("import without certificates", scm.measured("import_rows", home), against=client)
        again = bench.line("the same again", scm.measured("import_rows", home), against=client)
    if orders == LARGE:
        bench.promise(f"the sandbox starts with {orders:,} orders within {MOST_START_SECONDS:.0f} s", start["seconds"] <= MOST_START_SECONDS)
        bench.promise(f"a report of {orders:,} rows takes at most {MOST_REPORT_SECONDS:.0f} s", bare["seconds"] <= MOST_REPORT_SECONDS)
    bench.promise(f"an unchanged account is imported in at most {MOST_CALLS_UNCHANGED} calls", again["calls"] <= MOST_CALLS_UNCHANGED)
    bench.promise("memory does not grow with the account", large["megabytes"] <= MOST_MEMORY_RATIO * max(small["megabytes"], SMALLEST_PEAK_MB))


def open_orders(bench: Bench, number: int) -> None:
    """A poll of so many open orders."""
    with account(int(number / SHARE_OPEN), latency=LATENCY_MS) as scm, TemporaryDirectory() as home:
        scm.measured("import_open", home)
        polled = bench.line(f"poll of open orders, {LATENCY_MS} ms away", scm.measured("poll", home))
        bench.promise("open orders are polled by reports, not one by one", polled["calls"] <= polled["orders"] / 2 + polled["certificates"])


def renewals(bench: Bench) -> None:
    """A thousand due certificates renewed in one run; each live entry is read back, and SCM is asked whether an order was doubled."""
    with account(100) as scm, TemporaryDirectory() as home:
        scm.set(clock_offset=-150 * 86_400)
        scm.measured("order_many", home)
        scm.set(clock_offset=0, latency=LATENCY_MS / 1000)
        renewed = bench.line(f"1,000 renewals, EC, delivered, {LATENCY_MS} ms away", scm.measured("renew_many", home))
        bench.promise("each renewal is delivered", renewed["certificates"] == renewed["orders"])
        bench.promise("a renewal costs at most 5 calls", renewed["calls"] <= 5 * renewed["orders"])
        checked = scm.measured("check_renewed", home)
        bench.promise("each live entry belongs together", checked["orders"] == renewed["orders"])
        bench.promise("no order is doubled", scm.most_orders_of_a_name("renew-") == 2)


def main() -> int:
    """1 when a promise is broken."""
    parser = argparse.ArgumentParser(description="Import and poll of large accounts, measured on the sandbox.")
    parser.add_argument("--million", action="store_true", help="only the import of 1,000,000 orders; takes some minutes")
    given = parser.parse_args()
    bench = Bench()
    if given.million:
        rows(bench, 1_000_000, fewer=LARGE)
    else:
        certificates(bench, 10_000)
        rows(bench, LARGE, fewer=10_000)
        open_orders(bench, 1000)
        renewals(bench)
    for one in bench.broken:
        print(f"BROKEN: {one}")
    return 1 if bench.broken else 0


if __name__ == "__main__":
    sys.exit(main())
