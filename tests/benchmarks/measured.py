"""One measurement in a process of its own, so that its peak of memory is its own: `measured.py NAME`, one line of JSON on stdout.

The environment names database, Vault and sandbox (see run.py). The flows run as plain functions, without Prefect.
"""

import base64
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, pkcs12
from sqlalchemy import update
from sqlmodel import col, select

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from flows.sync_reference_data import sync_reference_data
from models.orders import CertificateOrder
from models.parameters import OrderParameters
from models.records import ReportWindow
from models.status import OPEN_AT_SCM, OrderStatus
from models.windows import whole
from tasks import ordering, sending
from tasks.services import open_services

POOL = 8
"""The default of CERTFLOW_SCM_CONCURRENCY."""

MANY = 1000
"""Certificates that are renewed in one run."""

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


def order_many() -> Figures:
    """Orders with EC keys, delivered: what the renewals renew."""
    wishes = [
        OrderParameters(
            common_name=f"renew-{number}.example.com", organization="Example University", certificate_profile="OV Multi-Domain",
            key_algorithm="EC", request_id=f"renew-{number}",
        ) for number in range(MANY)
    ]
    sync_reference_data.fn()
    planned = [ordering.plan(wish).submission_id for wish in wishes]
    sent = sending.send_all([one for one in planned if one is not None])
    assert not sent.failed, sent.failed[:3]
    return {"calls": 0, "orders": sent.taken, "certificates": _deliver_all()}


def renew_many() -> Figures:
    """All that are due, in one run, and polls until the last successor is delivered."""
    renewed = renew_or_reissue.fn("renew", max_orders=MANY)
    assert len(renewed.orders) == MANY, renewed.skipped[:3]
    with open_services() as svc:
        before = svc.calls("default")
        certificates = _deliver_all()
        return {"calls": renewed.calls + svc.calls("default") - before, "orders": len(renewed.orders), "certificates": certificates}


def check_renewed() -> Figures:
    """Read each live entry back: key, certificate, chain and keystore belong together; password, alias and type are those of before."""
    good = 0
    with open_services() as svc:
        for name in svc.vault.list("live"):
            old, new = svc.vault.read_version(f"live/{name}", 1), svc.vault.read(f"live/{name}")
            assert old is not None, name
            assert new is not None, name
            good += _belongs_together(new.data) and new.version == 2 and _keystore(old.data)[0] == _keystore(new.data)[0] and all(
                old.data[field] == new.data[field] for field in ("keystore_password", "keystore_type", "names"))
    assert good == MANY, f"{good} of {MANY} entries are good"
    return {"orders": good}


def _keystore(entry: dict[str, Any]) -> tuple[bytes | None, pkcs12.PKCS12KeyAndCertificates]:
    """Alias and contents."""
    store = pkcs12.load_pkcs12(base64.b64decode(entry["keystore"]), entry["keystore_password"].encode())
    assert store.cert is not None
    return store.cert.friendly_name, store


def _belongs_together(entry: dict[str, Any]) -> bool:
    leaf, *chain = x509.load_pem_x509_certificates(entry["fullchain"].encode())
    leaf.verify_directly_issued_by(chain[0])
    key = load_pem_private_key(entry["private_key"].encode(), None)
    _, store = _keystore(entry)
    assert store.key is not None
    assert store.cert is not None
    keys = (key.public_key(), store.key.public_key(), leaf.public_key())
    same = len({one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in keys}) == 1
    return same and store.cert.certificate == leaf and [one.certificate for one in store.additional_certs] == chain


def _deliver_all() -> int:
    """Poll until nothing is open; how many certificates were delivered."""
    delivered = 0
    while (polled := poll_orders.fn()).orders_checked or polled.delivered:
        delivered += polled.delivered
    return delivered


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
        import_everything, import_rows, import_open, close_all, poll, stream_report, bare_report, bare_collects, order_many, renew_many,
        check_renewed,
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
