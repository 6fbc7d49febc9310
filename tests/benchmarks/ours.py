"""One measurement of Certflow in a process of its own, so that its peak of memory is its own: `ours.py NAME`, one line of JSON on stdout.

The environment names database, Vault and sandbox (see accounts.py). Flows run as plain functions, without Prefect, but where a name says flow.
"""

import base64
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, pkcs12
from memory import peak_mb
from sqlalchemy import update
from sqlmodel import col

from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from flows.sync_reference_data import sync_reference_data
from models.orders import CertificateOrder
from models.parameters import InventoryParameters, OrderParameters
from models.status import OPEN_AT_SCM, OrderStatus
from models.windows import WHOLE_AGAIN_AFTER
from tasks import ordering, sending
from tasks.adapters.scm import ScmClient
from tasks.adapters.scm.calls import Call, Calls
from tasks.adapters.store import inventory
from tasks.adapters.store.reference import account_state
from tasks.inventory import looking, writing
from tasks.renewing import choosing
from tasks.services import open_services

MANY = 300
"""Certificates that are renewed in one run."""

PAGE = 500
STANDS_STILL_SECONDS = 4.0
"""Prefect writes the records of its tasks some seconds late; so long without a new one, and all are there."""

Figures = dict[str, Any]


def import_everything() -> Figures:
    """Orders and certificates of the whole account, or what changed since."""
    return _imported(import_orders.fn())


def import_rows() -> Figures:
    """Orders only."""
    return _imported(import_orders.fn(fetch_certificates=False))


def import_rows_as_flow() -> Figures:
    """The same as a flow run of a Prefect server."""
    return _imported(import_orders(fetch_certificates=False))


def sweep(fetch_certificates: str = "") -> Figures:
    """The import that reads everything again, as once a week (RULES S3)."""
    with open_services() as svc, svc.store.transaction() as session:
        account_state(session, "default").full_import_at = svc.clock() - WHOLE_AGAIN_AFTER - timedelta(days=1)
    return _imported(import_orders.fn(fetch_certificates=bool(fetch_certificates)))


def _imported(summary: Any) -> Figures:
    return {
        "calls": summary.calls, "orders": summary.orders_seen, "new": summary.orders_new, "changed": summary.orders_changed,
        "certificates": summary.certificates_fetched,
    }


def task_runs() -> Figures:
    """How many task runs Prefect recorded for flow runs of the import; asked until the number stands still."""
    address = f"{os.environ['PREFECT_API_URL']}/task_runs/count"
    asked = {"flows": {"name": {"any_": [import_orders.name]}}}
    found, since = -1, time.monotonic()
    while time.monotonic() - since < STANDS_STILL_SECONDS:
        now = requests.post(address, json=asked, timeout=60).json()
        if now != found:
            found, since = now, time.monotonic()
        time.sleep(0.5)
    return {"task runs": found}


def import_open() -> Figures:
    """The orders that SCM has not decided: they are what a poll asks for."""
    return _imported(import_orders.fn(statuses=sorted(OPEN_AT_SCM - {OrderStatus.SUBMITTED}), fetch_certificates=False))


def close_all() -> Figures:
    """Take open orders out of the repository, so that a poll finds nothing to do."""
    with open_services() as svc, svc.store.transaction() as session:
        done = session.execute(
            update(CertificateOrder).where(col(CertificateOrder.status).in_(OPEN_AT_SCM)).values(deleted_at=svc.clock())
        )
    return {"orders": done.rowcount}


def poll(named: str = "") -> Figures:
    """Whatever is open, or one order. Tells which reports were asked for, so that the limit can ask for the same."""
    with _reports() as reports:
        summary = poll_orders.fn(orders=[named] if named else [])
    return {
        "calls": summary.calls, "orders": summary.orders_checked, "changed": summary.orders_changed, "certificates": summary.certificates_fetched,
        "reports": reports,
    }


@contextmanager
def _reports() -> Iterator[list[dict[str, Any]]]:
    """The bodies of the requests for reports."""
    found: list[dict[str, Any]] = []
    exchange = Calls._exchange

    def seen(calls: Calls, call: Call, *others: Any) -> Any:
        if call.path.startswith("/report/"):
            found.append(dict(call.body or {}))
        return exchange(calls, call, *others)

    with mock.patch.object(Calls, "_exchange", seen):
        yield found


def order_calls() -> Figures:
    """Calls of one order up to the one that orders, just after the reference data were read."""
    sync_reference_data.fn()
    enroll, before = ScmClient.enroll, [0, 0]

    def counted(client: ScmClient, *given: Any) -> Any:
        made = enroll(client, *given)
        before[1] = client.calls
        return made

    with open_services() as svc, mock.patch.object(ScmClient, "enroll", counted):
        before[0] = svc.calls("default")
        order_certificate.fn(
            "benchmark.example.com", organization="Example University", certificate_profile="OV Multi-Domain", key_algorithm="EC",
            request_id="benchmark",
        )
    return {"calls": before[1] - before[0]}


def due() -> Figures:
    """What must be renewed now."""
    return {"orders": len(choosing.due("default", None).order_ids)}


def counts() -> Figures:
    """How many orders stand in each status at each organization."""
    with open_services() as svc, svc.store.reading() as session:
        return {"orders": sum(number for *_, number in inventory.counts(session, _all()))}


def page() -> Figures:
    """The orders that end first."""
    with open_services() as svc, svc.store.reading() as session:
        return {"orders": len(inventory.ending(session, _all(), most=PAGE))}


def csv() -> Figures:
    """The whole inventory as a file."""
    _file, tally = writing.write(_all())
    return {"orders": tally.lines}


def _all() -> Any:
    return looking.chosen(InventoryParameters())


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


MEASURED: dict[str, Callable[..., Figures]] = {
    one.__name__: one for one in (
        import_everything, import_rows, import_rows_as_flow, sweep, task_runs, import_open, close_all, poll, order_calls, due, counts, page, csv,
        order_many, renew_many, check_renewed,
    )
}


def main() -> None:
    """Open the services first: what is measured is the work, not the making of tables."""
    with open_services() as svc:
        svc.account_entry("default")
    idle, began, busy = peak_mb(), time.perf_counter(), time.process_time()
    figures = MEASURED[sys.argv[1]](*sys.argv[2:])
    figures |= {"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy, "megabytes": peak_mb() - idle, "idle": idle}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
