"""The whole life of certificates, from an empty installation to a database that was lost, on all that a user may have."""

import base64
import csv
import json
from datetime import timedelta
from pathlib import Path

import jks
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key, pkcs12

from deployments.__main__ import main
from flows.cancel_orders import cancel_orders
from flows.check_account import check_account
from flows.delete_orders import delete_orders
from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from flows.report_inventory import report_inventory
from flows.revoke import revoke
from flows.sync_reference_data import sync_reference_data
from models.orders import Certificate, CertificateOrder, Submission
from models.reference import Organization

WAITING = "OV Multi-Domain (approval)"
LIVE = ("due", "rsa", "ec", "device", "gone", "old")


def key_of(entry):
    return load_pem_private_key(entry["private_key"].encode(), None)


def leaf(entry):
    return x509.load_pem_x509_certificate(entry["certificate"].encode())


def read_back(entry):
    """Key and certificate of a keystore in a live entry, as its consumer reads them."""
    data, password = base64.b64decode(entry["keystore"]), entry["keystore_password"]
    if entry["keystore_type"] == "PKCS12":
        key, certificate, _ = pkcs12.load_key_and_certificates(data, password.encode())
        return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), certificate
    [(alias, held)] = jks.KeyStore.loads(data, password).private_keys.items()
    assert alias == entry["names"][0]
    return held.pkey_pkcs8, x509.load_der_x509_certificate(held.cert_chain[0][1])


def whole(entry):
    """One version is one consistent set (RULES D1)."""
    key = key_of(entry)
    assert key.public_key() == leaf(entry).public_key()
    assert read_back(entry) == (key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), leaf(entry))
    assert entry["fullchain"] == entry["certificate"] + entry["chain"]
    return True


def live(world, name):
    return world.entry(f"live/{name}.example.com")


def books(world):
    """What the database knows of the orders that were placed here and live, by SCM's id; and of the keys of their certificates."""
    orders = {row.id: row for row in world.rows(CertificateOrder) if row.origin == "ordered" and row.status == "issued" and not row.deleted_at}
    sent = {row.id: row for row in world.rows(Submission)}
    facts = ("id", "common_name", "subject_alternative_names", "live_name", "keystore_type", "predecessor_id", "key_size", "term_days")
    certificates = {
        one.serial_number: (one.sha256, one.live_version, sent[one.submission_id].id if one.submission_id else None)
        for one in world.rows(Certificate) if one.order_id in orders
    }
    found = {row.ssl_id: {name: getattr(row, name) for name in facts} for row in orders.values()}
    return found, certificates


def connect(world, path: Path) -> None:
    line = world.sandbox.line
    path.write_text(json.dumps({"base_url": line["scm"], **line["account"]}))
    assert main(["connect", "default", "--from", str(path)]) == 0
    assert check_account.fn().healthy


@pytest.mark.slow
def test_the_whole_life_of_certificates(nowhere, lose_database, order, own_csr, tmp_path, read_whole) -> None:
    """DESIGN 1, RULES K6: each line once, everything read back and compared; the worker's policy suffices for all of it, and none of its
    questions reads a whole table"""
    world = nowhere
    connect(world, tmp_path / "account.json")
    _come_to_know(world)
    _order_and_deliver(world, order, own_csr)
    before = {name: live(world, name) for name in LIVE}
    _renew_and_reissue(world, before)
    _end(world, order, before)
    known, certificates = books(world)
    assert certificates.pop(before["ec"]["serial_number"])    # SCM hands out the newest certificate of an order only
    served = {name: live(world, name) for name in ("due", "rsa", "ec", "device", "gone", "old")}
    lose_database()
    _come_to_know(world)
    found, again = books(world)
    for ssl_id, facts in known.items():
        assert found.get(ssl_id) == facts
    assert certificates.items() <= again.items()
    assert {found[ssl_id]["common_name"] for ssl_id in found.keys() - known.keys()} == {"old.example.com"}    # deletions are lost with the database
    assert poll_orders.fn().delivered == 0
    assert {name: live(world, name) for name in served} == served
    assert read_whole == set()


def _come_to_know(world) -> None:
    synced = sync_reference_data.fn()
    assert synced.organizations.seen == len(world.rows(Organization)) == len(world.sandbox.control("GET", "reference/organizations"))
    there = {row["ssl_id"]: row["status"].lower().replace(" ", "_") for row in world.sandbox.orders()}
    read = import_orders.fn()
    assert (read.orders_seen, read.unreadable, read.problems) == (len(there), 0, ())
    assert {row.ssl_id: row.status for row in world.rows(CertificateOrder)} == there


def _order_and_deliver(world, order, own_csr) -> None:
    world.sandbox.settings(clock_offset=-timedelta(days=150).total_seconds())
    order("due.example.com", keystore_type="JKS")
    world.deliver("due.example.com")
    world.sandbox.settings(clock_offset=0)
    order("rsa.example.com", key_algorithm="RSA", key_size="2048", keystore_type="JKS", subject_alternative_names=["www.rsa.example.com"])
    for name in ("ec", "gone", "old"):
        order(f"{name}.example.com")
    order("device.example.com", csr=own_csr("device.example.com"))
    world.deliver(*(f"{name}.example.com" for name in LIVE))
    assert all(whole(live(world, name)) for name in LIVE if name != "device")
    assert (live(world, "device")["private_key"], live(world, "device")["keystore"]) == ("", "")
    assert [live(world, name)["keystore_type"] for name in ("due", "rsa", "ec")] == ["JKS", "JKS", "PKCS12"]


def _renew_and_reissue(world, before) -> None:
    [renewed] = renew_or_reissue.fn("renew").orders
    [reissued] = renew_or_reissue.fn("reissue", ["ec.example.com"], add_names=["more.ec.example.com"]).orders
    assert (renewed.predecessor_ssl_id, reissued.ssl_id) == (world.at_scm("due.example.com")[0], world.at_scm("ec.example.com")[0])
    world.poll_until(lambda: all(live(world, name)["sha256"] != before[name]["sha256"] for name in ("due", "ec")))
    for name in ("due", "ec"):
        after = live(world, name)
        assert whole(after)
        assert key_of(after).public_key() != key_of(before[name]).public_key()
        assert (after["keystore_type"], after["keystore_password"]) == (before[name]["keystore_type"], before[name]["keystore_password"])
    assert live(world, "ec")["names"] == ["ec.example.com", "more.ec.example.com"]
    assert world.versions("due.example.com")[1] == before["due"]


def _end(world, order, before) -> None:
    waits = order("waits.example.com", certificate_profile=WAITING)
    assert [one.ssl_id for one in cancel_orders.fn(["waits.example.com"], "ordered by mistake").done] == [waits.ssl_id]
    assert world.sandbox.orders("waits.example.com")[0]["status"] == "Declined"
    revoke.fn(["gone.example.com"], "superseded", "moved", confirm=["gone.example.com"], delete_from_repository=True)
    assert world.sandbox.orders("gone.example.com")[0]["status"] == "Revoked"
    assert world.versions("gone.example.com") == {
        1: None, 2: {**before["gone"], "private_key": "", "keystore": "", "keystore_type": "", "status": "revoked"}}
    key, keys = str(world.submission("old.example.com").id), world.keys()
    delete_orders.fn(["old.example.com"], confirm=["old.example.com"], destroy_key=True)
    assert set(world.keys()) == set(keys) - {key} < set(keys)
    assert live(world, "old") == before["old"]
    import_orders.fn(statuses=["issued"])
    assert world.order("old.example.com").deleted_at
    assert "old.example.com" not in _listed()


def _listed() -> set[str]:
    """The common names in the inventory's file."""
    summary = report_inventory.fn()
    with Path(summary.file).open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert len({row["order_id"] for row in found}) == summary.orders
    assert {"due.example.com", "rsa.example.com", "ec.example.com", "device.example.com"} <= {row["common_name"] for row in found}
    return {row["common_name"] for row in found}
