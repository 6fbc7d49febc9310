"""The benchmarks: `make bench`, and `make bench-million` for large accounts on both databases.

One table: the peer (the client that people use today), the limit (the same unavoidable requests by a pool that stores nothing), and
Certflow. Machines differ, so ratios are what counts; those of the last run are kept beside this file, and one that got worse by more than
a quarter is said. Each figure comes from a process of its own, the sandbox is another. Ends with 1 when a goal was missed.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from accounts import HERE, ROOT, Account, Figures, Home, account, measured, new_home, postgres_server, prefect
from table import Goal, Line, keep_ratios, ratios_of, rendered, said_of_missed, said_of_worse

from deployments.processes import end_like_ctrl_c

RATIOS = HERE / "ratios.json"
LATENCY_MS = 20
ORDERS = 10_000
LARGE = 100_000
LARGEST = 1_000_000
PEERS = 1000
"""The peer takes a minute for so many orders."""

OPEN = 10_000
SHARE_OPEN = 0.07
"""Of the sandbox's orders."""

ISSUED_MEANWHILE = 100
PREFECT_SECONDS = 1.1
"""What a flow run costs whatever it does."""

LARGEST_GOALS = {"sqlite": (1.5, 110.0), "postgres": (1.3, 80.0)}
"""A million orders: how many times the time per order of 10,000, and seconds."""

HURRY_AFTER = 180.0
"""Seconds after which nothing is tried twice, so that all of it ends within ten minutes on a slow machine too."""

PATIENT = "--million" in sys.argv
STARTED = time.monotonic()
Lines = Iterator[Line]


def told(what: str) -> None:
    """A line of progress."""
    print(f"[{time.monotonic() - STARTED:4.0f} s] {what}", file=sys.stderr, flush=True)


def allowed(tries: int) -> int:
    """So many, or one when time runs short; a million orders may take as long as they take."""
    return tries if PATIENT or time.monotonic() - STARTED < HURRY_AFTER else 1


def best(what: str, tries: int, measure: Callable[[], Figures]) -> Figures:
    """The quickest of some tries: what else the machine does only makes them slower."""
    found = [measure() for _ in range(allowed(tries))]
    told(f"{what}: " + ", ".join(f"{one['seconds']:.2f} s" for one in found))
    return min(found, key=lambda one: one["seconds"])


def imported(scm: Account, name: str, *, database: str = "sqlite", server: Any = None, connections: int = 8, also: Home | None = None) -> Figures:
    """An import into an empty database."""
    with new_home(database, server) as home:
        return scm.ours(name, {**home, **(also or {})}, connections=connections)


def imports() -> Lines:
    """10,000 orders, without and with certificates."""
    with account(PEERS, latency_ms=LATENCY_MS) as scm:
        scm.bare("certificates", connections=8)    # the sandbox makes a certificate when it is first asked for
        peer = best("the peer", 1, scm.peer)
    peer_orders, peer_all = (ORDERS * peer[name] / peer["orders"] for name in ("orders_seconds", "seconds"))
    with account(ORDERS, latency_ms=LATENCY_MS) as scm:
        limit = best("limit: the report", 3, lambda: scm.bare("orders"))
        rows = best("orders", 3, lambda: imported(scm, "import_rows"))
        yield Line(
            key="orders ÷ peer", what="10,000 orders without certificates, functions called bare", peer=peer_orders, limit=limit["seconds"],
            ours=rows["seconds"], ratio=peer_orders / rows["seconds"], calls=rows["calls"], megabytes=rows["megabytes"],
            goals=[Goal(bound=250, least=True), Goal(bound=5, figure="calls")],
        )
        with prefect() as server:
            flow = best("orders as a flow", 2, lambda: imported(scm, "import_rows_as_flow", also=server))
        yield Line(
            key="flow ÷ bare", what=f"the same as a flow; ratio: less {PREFECT_SECONDS} s, ÷ bare", limit=rows["seconds"], ours=flow["seconds"],
            ratio=(flow["seconds"] - PREFECT_SECONDS) / rows["seconds"], calls=flow["calls"], megabytes=flow["megabytes"], goals=[Goal(bound=1.2)],
        )
        told(f"the sandbox makes {ORDERS:,} certificates")
        scm.bare("certificates", connections=16)
        for connections, most, least in ((16, 1.15, 28), (8, 1.1, 15)):
            limit, ours = certificates(scm, connections)
            what = f"10,000 orders with certificates, {connections} connections"
            bound = ours["certificates"] + 5
            yield Line(
                key=f"certificates {connections} ÷ limit", what=f"{what}, ÷ limit", limit=limit["seconds"], ours=ours["seconds"],
                ratio=ours["seconds"] / limit["seconds"], calls=ours["calls"], megabytes=ours["megabytes"],
                goals=[Goal(bound=most), Goal(bound=bound, figure="calls")],
            )
            yield Line(
                key=f"peer ÷ certificates {connections}", what=f"{what}, peer ÷ ours", peer=peer_all, ours=ours["seconds"],
                ratio=peer_all / ours["seconds"], goals=[Goal(bound=least, least=True)],
            )
        yield from unchanged(scm)


def certificates(scm: Account, connections: int) -> tuple[Figures, Figures]:
    """Limit and ours, in turns, so that both meet the same machine: the quickest of each."""
    pairs = [
        (scm.bare("certificates", connections=connections), imported(scm, "import_everything", connections=connections))
        for _ in range(allowed(2))
    ]
    told(f"certificates, {connections} connections, limit and ours: " + ", ".join(
        f"{limit['seconds']:.2f} and {ours['seconds']:.2f} s (CPU {limit['cpu']:.1f} and {ours['cpu']:.1f})" for limit, ours in pairs
    ))
    limit, ours = (min(some, key=lambda one: one["seconds"]) for some in zip(*pairs, strict=True))
    assert limit["certificates"] <= ours["certificates"] <= limit["certificates"] * 1.2, (limit, ours)    # some have no request date
    return limit, ours


def unchanged(scm: Account) -> Lines:
    """An account that did not change; a poll of nothing and of one order."""
    with new_home() as home:
        first = scm.ours("import_everything", home, connections=16)
        again = scm.ours("import_everything", home)
        yield Line(
            key="again", what="10,000 orders with certificates imported again", ours=again["seconds"], calls=again["calls"],
            megabytes=again["megabytes"],
            changed=again["new"] + again["changed"], goals=[Goal(bound=5, figure="calls"), Goal(bound=0, figure="changed")],
        )
        yield swept(scm, home, first, key="sweep with certificates", what="the weekly sweep of the same", certificates=True)
        one = scm.ours("poll", home, str(scm.orders("Requested")[0]))
        yield Line(
            key="poll of one", what="poll of one named order", ours=one["seconds"], calls=one["calls"], megabytes=one["megabytes"],
            goals=[Goal(bound=2, figure="calls")],
        )
    with new_home() as home:
        scm.ours("import_open", home)
        scm.ours("close_all", home)
        idle = scm.ours("poll", home)
        yield Line(
            key="idle poll", what="poll with nothing open", ours=idle["seconds"], calls=idle["calls"], megabytes=idle["megabytes"],
            goals=[Goal(bound=0, figure="calls")],
        )
        ordered = scm.ours("order_calls", home)
        yield Line(
            key="order", what="order_certificate, calls up to the order", ours=ordered["seconds"], calls=ordered["calls"],
            megabytes=ordered["megabytes"], goals=[Goal(bound=2, figure="calls")],
        )


def rows() -> Lines:
    """100,000 orders without certificates: memory, the weekly sweep, what Prefect keeps."""
    with account(ORDERS, latency_ms=LATENCY_MS) as scm:
        few = best(f"{ORDERS:,} orders", 3, lambda: imported(scm, "import_rows"))
    with account(LARGE, latency_ms=LATENCY_MS) as scm:
        limit = best("limit: the report", 1, lambda: scm.bare("orders"))
        with new_home() as home:
            first = best(f"{LARGE:,} orders", 1, lambda: scm.ours("import_rows", home))
            per_order = first["seconds"] / few["seconds"] * ORDERS / LARGE
            yield Line(
                key="100,000 per order", what="100,000 orders without certificates; ratio: per order ÷ 10,000", limit=limit["seconds"],
                ours=first["seconds"], ratio=per_order, calls=first["calls"], megabytes=first["megabytes"],
                goals=[Goal(bound=1.5), Goal(bound=150, figure="megabytes")],
            )
            yield swept(scm, home, first, key="sweep", what="the weekly sweep of 100,000, nothing changed")
        with prefect() as server:
            told("as a flow")
            flow = imported(scm, "import_rows_as_flow", also=server)
            runs = measured("ours.py", "task_runs", env={**scm.env, **server})
            yield Line(
                key="task runs", what=f"100,000 orders as a flow: {runs['task runs']} task runs in Prefect", ours=flow["seconds"],
                calls=flow["calls"], megabytes=flow["megabytes"], task_runs=runs["task runs"], goals=[Goal(bound=50, figure="task runs")],
            )


def swept(scm: Account, home: Home, first: Figures, *, key: str, what: str, certificates: bool = False) -> Line:
    """The sweep of an account that did not change."""
    sweep = best("sweep", 1, lambda: scm.ours("sweep", home, *["certificates"][:certificates]))
    assert sweep["certificates"] == 0, sweep
    return Line(
        key=key, what=f"{what}; ratio: ÷ first import", limit=first["seconds"], ours=sweep["seconds"], ratio=sweep["seconds"] / first["seconds"],
        calls=sweep["calls"], megabytes=sweep["megabytes"], changed=sweep["new"] + sweep["changed"],
        goals=[Goal(bound=0.4), Goal(bound=0, figure="changed")],
    )


def polls() -> Lines:
    """10,000 open orders, of which SCM issued 100 meanwhile and rejected one."""
    told(f"a sandbox with {OPEN:,} open orders")
    with account(int(OPEN / SHARE_OPEN), latency_ms=LATENCY_MS) as scm, new_home() as home:
        known = scm.ours("import_open", home)
        *issued, rejected = scm.orders("Requested")[:ISSUED_MEANWHILE + 1]
        for ssl_id in issued:
            scm.move(ssl_id, "Issued")
        scm.move(rejected, "Rejected")
        scm.bare("poll", reports=[], issued=issued, connections=8)    # the sandbox makes the certificates
        ours = best(f"poll of {known['orders']:,} open orders", 1, lambda: scm.ours("poll", home))
        assert ours["certificates"] == ISSUED_MEANWHILE, ours
        assert ours["changed"] >= ISSUED_MEANWHILE + 1, "the rejected one was not seen"
        limit = best("limit: the same reports and collects", 3, lambda: scm.bare("poll", reports=ours["reports"], issued=issued, connections=8))
        yield Line(
            key="poll ÷ limit", what=f"poll of {known['new']:,} open orders, 100 issued meanwhile, ÷ limit", limit=limit["seconds"],
            ours=ours["seconds"], ratio=ours["seconds"] / limit["seconds"], calls=ours["calls"], megabytes=ours["megabytes"],
            goals=[Goal(bound=1.15), Goal(bound=ISSUED_MEANWHILE + 3, figure="calls")],
        )


def renewals() -> Lines:
    """Hundreds of due certificates renewed in one run; each live entry is read back, and SCM is asked whether an order was doubled."""
    with account(100) as scm, new_home() as home:
        scm.set(clock_offset=-150 * 86_400)
        told("orders are placed")
        scm.ours("order_many", home)
        scm.set(clock_offset=0, latency=LATENCY_MS / 1000)
        renewed = best("renewals", 1, lambda: scm.ours("renew_many", home))
        assert renewed["certificates"] == renewed["orders"], "each renewal is delivered"
        assert scm.ours("check_renewed", home)["orders"] == renewed["orders"], "each live entry belongs together"
        assert scm.most_orders_of_a_name("renew-") == 2, "no order is doubled"
        yield Line(
            key="renewals", what=f"{renewed['orders']} renewals, EC, delivered and read back", ours=renewed["seconds"], calls=renewed["calls"],
            megabytes=renewed["megabytes"], goals=[Goal(bound=5 * renewed["orders"], figure="calls")],
        )


def million() -> Lines:
    """100,000 and a million orders, on SQLite and PostgreSQL, and the inventory of a million certificates."""
    with postgres_server() as server:
        first: dict[tuple[str, int], Figures] = {}
        for orders in (ORDERS, LARGE, LARGEST):
            told(f"a sandbox with {orders:,} orders")
            with account(orders, latency_ms=LATENCY_MS) as scm:
                limit = best("limit: the report", 1, lambda: scm.bare("orders"))
                for database in LARGEST_GOALS:
                    yield from large(scm, database, server, orders, limit, first)
        for database in LARGEST_GOALS:
            yield from inventory(database, server)


def large(scm: Account, database: str, server: Any, orders: int, limit: Figures, first: dict[tuple[str, int], Figures]) -> Lines:
    """An import of so many orders into a database; `first` holds those of before."""
    with new_home(database, server) as home:
        ours = best(f"{orders:,} orders, {database}", 1, lambda: scm.ours("import_rows", home))
        if orders == ORDERS:    # the line that the others are compared with: the best of three
            ours = best("again", 2, lambda: imported(scm, "import_rows", database=database, server=server))
        first[database, orders] = ours
        ratio = ours["seconds"] / first[database, ORDERS]["seconds"] * ORDERS / orders
        most, seconds = LARGEST_GOALS[database]
        goals = [] if orders == ORDERS else [Goal(bound=most), Goal(bound=150, figure="megabytes")]
        if orders == LARGEST:
            least = first[database, LARGE]["megabytes"]
            goals += [Goal(bound=seconds, figure="ours"), Goal(bound=150, figure="calls"), Goal(bound=round(least + 20), figure="megabytes")]
        yield Line(
            key=f"{orders:,} {database}", what=f"{orders:,} orders, {database}; ratio: per order ÷ 10,000", limit=limit["seconds"],
            ours=ours["seconds"], ratio=ratio, calls=ours["calls"], megabytes=ours["megabytes"], goals=goals,
        )
        if orders == LARGEST:
            yield swept(scm, home, ours, key=f"sweep {database}", what=f"the weekly sweep of a million, {database}")


def inventory(database: str, server: Any) -> Lines:
    """What is asked of a million certificates, each for the first time in a process."""
    with new_home(database, server) as home, account(10) as scm:
        told(f"a million certificates are written, {database}")
        url = home["CERTFLOW_DATABASE_URL"] or f"sqlite:///{home['CERTFLOW_HOME']}/certflow.db"
        measured("many_certificates.py", str(LARGEST), "--url", url, env=home)
        for name, what, seconds in (
            ("due", "what is due", 0.3), ("counts", "counts by status and organization", 0.3), ("page", "a page of 500", 0.3),
            ("csv", "the whole as CSV", 10.0),
        ):
            found = best(f"{what}, {database}", 1 if name == "csv" else 3, lambda name=name: scm.ours(name, home))
            yield Line(
                key=f"{name} {database}", what=f"1,000,000 certificates, {database}: {what}", ours=found["seconds"], megabytes=found["megabytes"],
                goals=[Goal(bound=seconds, figure="ours"), *([Goal(bound=150, figure="megabytes")] if name == "csv" else [])],
            )


PARTS: dict[str, Callable[[], Lines]] = {one.__name__: one for one in (imports, polls, rows, renewals)}


def main() -> int:
    """1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--million", action="store_true", help="only large accounts, on SQLite and PostgreSQL")
    parser.add_argument("--only", choices=PARTS, help="only this part")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True, help="keep the ratios of this run")
    given = parser.parse_args()
    end_like_ctrl_c()    # whatever ends us, servers are ended too
    chosen: Iterable[Callable[[], Lines]] = [million] if given.million else [PARTS[given.only]] if given.only else PARTS.values()
    lines = [line for part in chosen for line in _shown(part())]
    target = "bench-million" if given.million else "bench"
    how = f"{os.cpu_count()} cores, Python {platform.python_version()}, the sandbox {LATENCY_MS} ms away"
    shown = f"Measured on {datetime.now(UTC):%Y-%m-%d} by `make {target}`: {how}.\n\n{rendered(lines)}"
    print(f"\n{shown}\n\n{time.monotonic() - STARTED:.0f} seconds in all.")
    if given.readme:
        into_readme(target, shown)
    for said in said_of_missed(lines):
        print(f"MISSED: {said}")
    for said in said_of_worse(ratios_of(RATIOS), lines):
        print(f"WORSE: {said}")
    if given.keep:
        keep_ratios(RATIOS, lines)
    return 1 if any(line.missed for line in lines) else 0


def into_readme(target: str, shown: str) -> None:
    """Put a table into its place in the README."""
    readme = ROOT / "README.md"
    before, begins, rest = readme.read_text().partition(f"<!-- make {target} -->\n")
    _old, ends, after = rest.partition(f"\n<!-- end of make {target} -->")
    assert begins, f"the README has no place for make {target}"
    assert ends, f"the place for make {target} in the README has no end"
    readme.write_text(f"{before}{begins}{shown}{ends}{after}")


def _shown(lines: Lines) -> Lines:
    for line in lines:
        ratio = "" if line.ratio is None else f", ratio {line.ratio:.2f}"
        told(f"{line.what}: {line.ours:.2f} s{ratio}{', missed' * bool(line.missed)}")
        yield line


if __name__ == "__main__":
    sys.exit(main())
