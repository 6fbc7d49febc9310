"""One measurement in a process of its own, so that its peak of memory is its own: `measured.py NAME`, one line of JSON on stdout.

The environment names database, Vault and sandbox (see run.py). The flows run as plain functions, without Prefect.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from sqlalchemy import update
from sqlmodel import col, select

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from models.orders import CertificateOrder
from models.records import ReportWindow
from models.status import OPEN_AT_SCM, OrderStatus
from models.windows import whole
from tasks.services import open_services

POOL = 8
"""The default of CERTFLOW_SCM_CONCURRENCY."""

Figures = dict[str, Any]


def import_everything() -> Figures:
    """Orders and certificates of the whole account, or what changed since."""
    summary = import_orders.fn()
    return {"calls": summary.calls, "orders": summary.orders_seen, "certificates": summary.certificates_fetched}


def import_rows() -> Figures:
    """Orders only."""
    summary = import_orders.fn(fetch_certificates=False)
    return {"calls": summary.calls, "orders": summary.orders_seen}


def import_open() -> Figures:
    """The orders that SCM has not decided: they are what a poll asks for."""
    summary = import_orders.fn(statuses=sorted(OPEN_AT_SCM - {OrderStatus.SUBMITTED}), fetch_certificates=False)
    return {"calls": summary.calls, "orders": summary.orders_new}


def close_all() -> Figures:
    """Take open orders out of the repository, so that a poll finds nothing to do."""
    with open_services() as svc, svc.store.transaction() as session:
        done = session.execute(
            update(CertificateOrder).where(col(CertificateOrder.status).in_(OPEN_AT_SCM)).values(deleted_at=svc.clock())
        )
    return {"orders": done.rowcount}


def poll() -> Figures:
    """Whatever is open."""
    summary = poll_orders.fn()
    return {"calls": summary.calls, "orders": summary.orders_checked, "certificates": summary.certificates_fetched}


def stream_report() -> Figures:
    """The baseline of an import: the client alone reads the report of everything and keeps nothing."""
    with open_services() as svc, svc.scm("default") as scm:
        window: ReportWindow = whole(svc.clock())
        return {"orders": sum(1 for _ in scm.report(window)), "calls": scm.calls}


def bare_report() -> Figures:
    """The report of everything, its bytes thrown away."""
    with _session() as session, session.post(
        _url("report/v1/ssl-certificates"), json={"certificateStatus": 0, "certificateDateAttribute": 4}, stream=True, timeout=60,
    ) as answer:
        answer.raise_for_status()
        return {"bytes": sum(len(piece) for piece in answer.iter_content(64 * 1024)), "calls": 1}


def bare_collects() -> Figures:
    """The baseline of fetching: the same collects with requests alone, over a pool of the same size."""
    with open_services() as svc, svc.store.reading() as session:
        ids = session.exec(select(CertificateOrder.ssl_id).where(CertificateOrder.status == OrderStatus.ISSUED)).all()
    with _session() as http, ThreadPoolExecutor(POOL) as pool:
        def collect(ssl_id: int | None) -> int:
            answer = http.get(_url(f"ssl/v1/collect/{ssl_id}"), params={"format": "x509"}, timeout=60)
            answer.raise_for_status()
            return len(answer.content)

        return {"bytes": sum(pool.map(collect, ids)), "calls": len(ids), "certificates": len(ids)}


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=POOL))
    account = json.loads(os.environ["BENCHMARK_ACCOUNT"])
    session.headers.update({"login": account["login"], "password": account["password"], "customerUri": account["customer_uri"]})
    return session


def _url(path: str) -> str:
    return f"{os.environ['BENCHMARK_SCM']}/{path}"


MEASURED: dict[str, Callable[[], Figures]] = {
    one.__name__: one for one in (
        import_everything, import_rows, import_open, close_all, poll, stream_report, bare_report, bare_collects,
    )
}


def main() -> None:
    """Open the services first: what is measured is the work, not the making of tables."""
    with open_services() as svc:
        svc.account_entry("default")
    idle = _peak_mb()
    began, busy = time.perf_counter(), time.process_time()
    figures = MEASURED[sys.argv[1]]()
    figures |= {
        "seconds": time.perf_counter() - began, "cpu": time.process_time() - busy, "megabytes": _peak_mb() - idle, "idle": idle,
    }
    print(json.dumps(figures))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
