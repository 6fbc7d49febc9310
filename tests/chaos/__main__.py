"""`make chaos`: the proof that each order is placed exactly once, whatever dies. Ends with status 1 when the audit finds something.

It starts a sandbox, a real Vault and, if asked, a real PostgreSQL; runs order, renew, reissue, revoke and poll in processes that are killed in
every gap between two steps, while SCM's answers, Vault and the database fail; then lets everything come to rest, and compares what SCM
and Vault hold with what was asked for.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import SystemRandom

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import breaks  # noqa: E402 - the project is no package that is installed
import gaps  # noqa: E402
import peace  # noqa: E402
import prefect_runs  # noqa: E402
import report  # noqa: E402
from audit import Audit  # noqa: E402
from chaos import Chaos  # noqa: E402
from children import impatient  # noqa: E402
from world import World  # noqa: E402

SECONDS_PER_KILL = 4.0
"""A run that cannot kill that often has stopped to move."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description="Kill Certflow in every gap between two steps, then compare with SCM's truth.")
    parser.add_argument("--kills", type=int, default=1000, help="how many processes are killed at least (default: 1000)")
    parser.add_argument("--per-gap", type=int, help="how often in each gap at least (default: a fiftieth of the kills)")
    parser.add_argument("--prefect", type=int, default=0, metavar="KILLS", help="how many flow runs of a running Prefect are killed besides")
    parser.add_argument("--seed", type=int, help="decides what happens; a new one if left out")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--break", dest="broken", choices=sorted(breaks.BREAKS), help="break the protocol on purpose: the run must find it")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="where the report is written, as JSON and Markdown")
    parser.add_argument("--keep", action="store_true", help="keep logs and databases of the run")
    return parser.parse_args()


def main() -> int:
    """0 without findings."""
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)    # whoever ends us: what we started ends too
    seed = SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    per_gap = given.kills // 50 if given.per_gap is None else given.per_gap
    began = time.monotonic()

    def log(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", flush=True)

    log(f"seed {seed}, {given.database}, {given.kills} kills, each gap at least {per_gap} times"
        + (f", protocol broken: {given.broken}" if given.broken else ""))
    gaps.install()
    impatient()
    if given.broken:
        breaks.BREAKS[given.broken]()
    folder = Path(tempfile.mkdtemp(prefix="certflow-chaos-"))
    world = World(folder, database=given.database, seed=seed)
    try:
        chaos = Chaos(world, seed=seed, twins=0.5 if given.broken else 0.12, log=log)
        chaos.begin()
        log("everything runs; under fire now")
        chaos.fire(given.kills, per_gap=per_gap, seconds=60 + SECONDS_PER_KILL * given.kills)
        if given.prefect:
            log("flow runs of a running Prefect")
            prefect_runs.fire(chaos, given.prefect)
        log("peace now")
        peace.make(chaos, longest=peace.LONGEST / 3 if given.broken else peace.LONGEST)
        log("audit")
        audit = Audit(world, chaos.lines)
        findings = [*chaos.findings, *audit.findings()]
        findings += [f"only {chaos.kills[gap]} kills in the gap {gap!r}" for gap in gaps.GAPS if chaos.kills[gap] < per_gap]
        found = report.figures(
            chaos, audit, findings, seed=seed, database=given.database, broken=given.broken or "", seconds=time.monotonic() - began)
        print(report.markdown(found))
        print(report.sentence(found))
        if given.report:
            report.write(found, given.report)
        return 1 if findings else 0
    finally:
        world.end()
        if given.keep:
            log(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
