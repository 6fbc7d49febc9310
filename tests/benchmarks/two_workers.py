"""How much faster two workers of a work pool do a mass renewal than one:
`PYTHONPATH=. python tests/benchmarks/two_workers.py [--orders 2000] [--latency 100]`.

Everything is real and started here: PostgreSQL, a Prefect server, a work pool with workers as the README starts them, the sandbox. Orders
that an import found are renewed by hand with EC keys. Seconds are those of the flow run, from its start to its end.
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hvac
import psycopg
import requests

from deployments import prefect_server
from deployments.processes import Children, free_port

ROOT = Path(__file__).resolve().parents[2]
POOL = "certflow"
DEPLOY = f"""
from deployments.serving import deployment_of, served_flows
for _, flow in served_flows():
    if flow.name in {{"renew-or-reissue", "poll-orders"}}:
        made = deployment_of(flow)
        made.work_pool_name = {POOL!r}
        made.apply()
"""
"""Without schedules: a poll of its own would help too."""

PROFILE = 5201
"""The sandbox's profile of several names, which takes EC keys."""

UNDELEGATED = 3300
"""An organization of the sandbox that may not have all domains of its orders any more."""

ORDERS_FOR_ONE = 4
"""Orders at SCM for each that can be renewed, about."""

READY_SECONDS = 120.0
"""For Prefect's worker to ask for work."""


def postgres() -> Any:
    """The PostgreSQL of the tests."""
    spec = importlib.util.spec_from_file_location("store_conftest", ROOT / "tests/contract/store/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    bindir = subprocess.run([shutil.which("pg_config") or "pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
    return found.RealPostgres(Path(bindir))


class Machines:
    """The server, the sandbox and the books that all workers share."""

    def __init__(self, children: Children, folder: Path, database: str, line: dict[str, Any]) -> None:
        self._children, self._control = children, line["scm"].removesuffix("/api") + "/_control"
        vault = hvac.Client(url=line["vault"], token=line["vault_token"])
        vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret={"base_url": line["scm"], **line["account"]})
        self.database = database
        own = {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "VAULT_", "PREFECT_"))} | {
            "CERTFLOW_HOME": str(folder), "CERTFLOW_DATABASE_URL": database, "VAULT_ADDR": line["vault"], "VAULT_TOKEN": line["vault_token"],
            "PYTHONPATH": str(ROOT), "BENCHMARK_SCM": line["scm"], "BENCHMARK_ACCOUNT": json.dumps(line["account"]),
        }
        self.api = prefect_server.start(children, own, home=folder / "prefect", port=free_port())
        prefect_server.wait_until_ready(children, self.api, home=folder / "prefect")
        self.env = prefect_server.client_environment(own, home=folder / "client", api=self.api)
        self.do("-m", "deployments", "migrate")
        self.do(str(Path(__file__).with_name("ours.py")), "import_everything")
        self.do("-m", "prefect", "work-pool", "create", POOL, "--type", "process")
        self.do("-c", DEPLOY)

    def do(self, *command: str) -> None:
        """A Python command that must end well."""
        done = subprocess.run([sys.executable, *command], env=self.env, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call of Prefect's API, which on a busy machine now and then has no time (503), or does not answer."""
        for _ in range(20):
            try:
                answer = requests.request(method, f"{self.api}/{path}", json=body, timeout=60)
            except requests.Timeout:
                if method != "GET":    # it may have been done
                    raise
                continue
            if answer.status_code != 503:
                break
            time.sleep(1)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def renewable(self, number: int) -> list[str]:
        """So many orders that nothing stands against, by UUID; their successors get EC keys."""
        rows = requests.get(f"{self._control}/orders", timeout=60).json()
        names = Counter(one["common_name"] for one in rows)
        good = [
            one["ssl_id"] for one in rows if one["profile_id"] == PROFILE and one["status"] == "Issued" and names[one["common_name"]] == 1
            and not one["renewed"] and one["auto_renew"] == "Not scheduled" and one["org_id"] != UNDELEGATED
        ]
        with psycopg.connect(self.database, autocommit=True) as books:
            books.execute("UPDATE certificate SET key_algorithm = 'EC', key_size = 'P-256'")
            found = books.execute(
                "SELECT o.id FROM certificate_order o JOIN certificate c ON c.order_id = o.id WHERE o.ssl_id = ANY(%s) AND o.status = 'issued' "
                "AND c.not_after > now() LIMIT %s", (good, number),
            ).fetchall()
        assert len(found) == number, f"only {len(found)} orders can be renewed: raise ORDERS_FOR_ONE"
        return [str(id_) for (id_,) in found]

    def distance(self, milliseconds: int) -> None:
        """SCM is so far away from now on."""
        requests.put(f"{self._control}/settings", json={"latency": milliseconds / 1000}, timeout=60).raise_for_status()

    def orders_at_scm(self) -> int:
        return len(requests.get(f"{self._control}/orders", timeout=60).json())

    def renewed_by(self, workers: int, orders: list[str]) -> float:
        """Seconds that a mass renewal takes so many workers for each order, each worker with one run at a time."""
        with Children(Path(self.env["CERTFLOW_HOME"]) / f"{workers}-workers") as pool:
            for number in range(workers):
                pool.start(
                    f"worker {number}", ["-m", "prefect", "worker", "start", "--pool", POOL, "--name", f"{workers}-{number}", "--limit", "1"],
                    self.env | {"CERTFLOW_RUNS": str(workers), "PREFECT_WORKER_QUERY_SECONDS": "1"},
                )
            deadline = time.monotonic() + READY_SECONDS
            while sum(one["name"].startswith(f"{workers}-") for one in self.call("POST", f"work_pools/{POOL}/workers/filter", {})) < workers:
                assert time.monotonic() < deadline, "the workers did not start"
                time.sleep(0.5)
            before = self.orders_at_scm()
            deployment = self.call("GET", "deployments/name/renew-or-reissue/renew-or-reissue")["id"]
            run = self.call("POST", f"deployments/{deployment}/create_flow_run", {
                "parameters": {"action": "renew", "orders": orders}, "state": {"type": "SCHEDULED"},
            })["id"]
            while (state := (found := self.call("GET", f"flow_runs/{run}"))["state"])["type"] in {"SCHEDULED", "PENDING", "RUNNING"}:
                time.sleep(1)
            helpers = [one for one in self.call("POST", "flow_runs/filter", {}) if "certflow-helps" in one["tags"]]
            print(f"{workers} workers: {state['name']}: {state['message'][:150]}; helpers {[one['state']['name'] for one in helpers]}", flush=True)
            while any(one["state"]["type"] == "RUNNING" for one in self.call("POST", "flow_runs/filter", {})):
                time.sleep(1)
            for one in self.call("POST", "flow_runs/filter", {}):
                if one["id"] != run and "certflow-helps" in one["tags"]:
                    print(f"  helper: {one['state']['message']}", flush=True)
        made = self.orders_at_scm() - before
        assert len(orders) * 0.95 <= made <= len(orders), f"{made} orders were made at SCM for {len(orders)}"
        return float(found["total_run_time"]) / made


def main() -> None:
    """Print the seconds of one worker and of two, and the ratio."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--orders", type=int, default=2000, help="renewals in each of the two runs")
    given.add_argument("--latency", type=int, default=100, help="milliseconds to SCM")
    options = given.parse_args()
    server = postgres()
    server.start()
    try:
        with TemporaryDirectory() as scratch, Children(Path(scratch)) as children:
            command = ["-m", "deployments.sandbox", "--orders", str(ORDERS_FOR_ONE * 2 * options.orders), "--issue-delay", "100000"]
            sandbox = children.start("the sandbox", command, dict(os.environ), output="pipe")
            assert sandbox.stdout is not None
            machines = Machines(children, Path(scratch), server.new_database(), json.loads(sandbox.stdout.readline()))
            orders = machines.renewable(2 * options.orders)
            machines.distance(options.latency)
            one = machines.renewed_by(1, orders[:options.orders])
            two = machines.renewed_by(2, orders[options.orders:])
    finally:
        server.stop()
        server.remove()
    print(f"{options.orders:,} renewals with EC keys, SCM {options.latency} ms away")
    print(f"one worker {1000 * one:.1f} ms each, two workers {1000 * two:.1f} ms each, ratio {one / two:.2f}")


if __name__ == "__main__":
    main()
