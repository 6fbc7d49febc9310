"""What Certflow promises (DESIGN 1), line by line, by Prefect's API against running deployments. The README's table names these tests."""

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]
ONE = "SELECT * FROM certificate_order WHERE common_name = ? ORDER BY created_at"


def completed(*runs: dict[str, Any]) -> None:
    for run in runs:
        assert run["state"]["type"] == "COMPLETED", run["state"]["message"]


def leaf(entry: dict[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(entry["certificate"].encode())


def key_in(entry: dict[str, Any]) -> PublicKeyTypes:
    return load_pem_private_key(entry["private_key"].encode(), None).public_key()


def belongs_together(entry: dict[str, Any]) -> bool:
    """Certificate, key and PKCS12 keystore of one version."""
    key, certificate, chain = pkcs12.load_key_and_certificates(base64.b64decode(entry["keystore"]), entry["keystore_password"].encode())
    assert key is not None
    assert chain
    return certificate == leaf(entry) and key_in(entry) == leaf(entry).public_key() == key.public_key()


def test_promise_1_any_number_of_accounts_by_each_way_to_log_in_and_a_check_that_proves_them(installation: Any, synced: Any) -> None:
    """DESIGN 1, line 1; RULES S2"""
    cloud, device = installation.runs(("check-account", {"account": "cloud"}), ("check-account", {"account": "device"}))
    completed(cloud, device)
    for run in (synced["check-account"], cloud, device):
        assert run["summary"]["healthy"] is True
    assert sorted(installation.names("accounts")) == ["cloud", "default", "device"]
    assert [set(installation.entry(f"accounts/{name}") or {}) for name in ("cloud", "default", "device")] == [
        {"base_url", "client_id", "client_secret", "token_url"}, {"base_url", "customer_uri", "login", "password"},
        {"base_url", "customer_uri", "login", "client_certificate", "client_key"},
    ]


def test_promise_2_what_vanished_in_scm_is_marked_and_not_lost(installation: Any, synced: Any) -> None:
    """DESIGN 1, line 2: by a sync of chosen kinds"""
    number = 9900
    installation.sandbox.control("PUT", f"reference/custom_fields/{number}", {"name": "Soon gone", "mandatory": False})
    completed(installation.run("sync-reference-data", kinds=["custom_fields"]))
    installation.sandbox.control("DELETE", f"reference/custom_fields/{number}")
    run = installation.run("sync-reference-data", kinds=["custom_fields"])
    completed(run)
    assert run["summary"]["custom_fields"]["vanished"] == 1
    assert run["summary"]["organizations"]["seen"] == 0
    [row] = installation.rows("SELECT * FROM custom_field WHERE id = ? AND account = 'default'", number)
    assert row["vanished_at"]
    kept = {kind: installation.rows(f"SELECT count(*) AS number FROM {kind} WHERE vanished_at IS NULL AND account = 'default'")[0]["number"]  # noqa: S608
            for kind in ("organization", "domain", "certificate_profile")}
    assert kept == {kind: synced["sync-reference-data"]["summary"][f"{kind}s"]["seen"] for kind in kept}


def test_promise_3_existing_orders_are_imported_by_status_organization_and_date(installation: Any, acts: Any) -> None:
    """DESIGN 1, line 3, DESIGN 5: chosen ones are read; with nothing chosen, only what changed"""
    assert acts
    since = "2026-01-01"
    within = {row["id"] for row in installation.rows("""
        SELECT one.id FROM organization one LEFT JOIN organization above ON above.id = one.parent_id
        WHERE one.account = 'default' AND 'Example University' IN (one.name, above.name)""")}
    truth = {
        row["ssl_id"] for row in installation.sandbox.orders()
        if row["status"] == "Issued" and row["org_id"] in within and row["requested"] and row["requested"][:10] >= since
    }
    chosen = installation.run("import-orders", statuses=["issued"], organizations=["Example University"], requested_since=since)
    unchanged = installation.run("import-orders")
    completed(chosen, unchanged)
    assert truth
    assert chosen["summary"]["orders_seen"] == len(truth)
    assert unchanged["summary"]["orders_new"] == unchanged["summary"]["certificates_fetched"] == 0
    assert unchanged["summary"]["calls"] <= 5
    there = installation.rows("SELECT ssl_id, status FROM certificate_order WHERE account = 'default' AND deleted_at IS NULL AND ssl_id IS NOT NULL")
    at_scm = {row["ssl_id"]: row["status"].lower().replace(" ", "_") for row in installation.sandbox.orders()}
    assert {row["ssl_id"]: row["status"] for row in there} == {ssl_id: at_scm[ssl_id] for ssl_id in (row["ssl_id"] for row in there)}


def test_promise_4_an_order_is_sent_with_all_that_was_wished_and_once(installation: Any, ordered: Any, delivered: Any, acts: Any) -> None:
    """DESIGN 1, line 4; RULES E1, E6, K1, K2"""
    [there] = installation.sandbox.orders("shop.example.com")
    [row] = installation.rows(ONE, "shop.example.com")
    [sent] = installation.rows("SELECT * FROM submission WHERE order_id = ?", row["id"])
    assert there["ssl_id"] == ordered["summary"]["ssl_id"]
    assert there["comments"] == f"for the shop certflow:{_uuid(sent['id'])}"
    assert there["external_requester"] == "shop@example.com"
    assert there["sans"] == ["shop.example.com", "www.shop.example.com"]
    assert (row["term_days"], row["keystore_type"], row["key_algorithm"], row["key_size"]) == (there["term"], "PKCS12", "EC", "P-256")
    assert belongs_together(delivered)
    [event] = installation.rows("SELECT requested_by FROM order_event WHERE order_id = ? AND kind = 'planned'", row["id"])
    assert event["requested_by"] == "the shop's team"
    own = acts["before"]["device"]
    assert (own["private_key"], own["keystore"], own["status"]) == ("", "", "issued")


def test_promise_5_over_the_licence_limit_a_certificate_waits_and_nothing_is_lost(installation: Any, delivered: Any) -> None:
    """DESIGN 1, line 5; RULES D4"""
    assert delivered
    name = "licence.example.com"
    completed(installation.run("order-certificate", **installation.wish(name)))
    limited = installation.on_another_worker("poll-orders", {"orders": [name]}, CERTFLOW_CERTIFICATE_LIMIT="1")
    while installation.rows(ONE, name)[0]["status"] != "issued":
        limited = installation.on_another_worker("poll-orders", {"orders": [name]}, CERTFLOW_CERTIFICATE_LIMIT="1")
    completed(limited)
    assert limited["summary"]["certificates_waiting"] == 1
    assert installation.entry(f"live/{name}") is None
    assert "the limit of 1 certificates is reached" in installation.rows(ONE, name)[0]["waiting_because"]
    assert belongs_together(installation.poll_until_live(name))


@pytest.mark.parametrize(("name", "run"), [("by-hand", "renew"), ("due", "by itself")])
def test_promise_6_a_renewal_has_a_new_id_a_new_key_and_its_predecessor(installation: Any, acts: Any, name: str, run: str) -> None:
    """DESIGN 1, line 6; RULES R1, R2, D2: by hand, and by itself when a third of the lifetime is left"""
    completed(acts[run])
    assert acts["by itself"]["auto_scheduled"]
    assert acts["by itself"]["parameters"] == {"action": "renew", "account": "default"}
    old, new = installation.rows(ONE, f"{name}.example.com")
    [told] = acts[run]["summary"]["orders"]
    assert (told["order_id"], told["ssl_id"], told["predecessor_ssl_id"]) == (_uuid(new["id"]), new["ssl_id"], old["ssl_id"])
    assert new["predecessor_id"] == old["id"]
    assert [row["ssl_id"] for row in installation.sandbox.orders(f"{name}.example.com")] == [old["ssl_id"], new["ssl_id"]]
    before, after = acts["before"][name], installation.entry(f"live/{name}.example.com")
    assert key_in(before) != key_in(after)
    assert belongs_together(after)
    assert {field: after[field] for field in ("names", "keystore_type", "keystore_password")} == {
        field: before[field] for field in ("names", "keystore_type", "keystore_password")}


def test_promise_7_a_reissue_keeps_the_id_and_brings_a_new_key_and_other_names(installation: Any, acts: Any) -> None:
    """DESIGN 1, line 7; RULES E5"""
    completed(acts["reissue"])
    [row] = installation.rows(ONE, "names.example.com")
    [there] = installation.sandbox.orders("names.example.com")
    assert there["ssl_id"] == row["ssl_id"] == acts["order names"]["summary"]["ssl_id"]
    before, after = acts["before"]["names"], installation.entry("live/names.example.com")
    assert after["names"] == ["names.example.com", "more.example.com"]
    assert key_in(before) != key_in(after)
    assert before["serial_number"] != after["serial_number"] == f"{int(there['serial'], 16):x}"
    assert belongs_together(after)
    assert leaf(after).not_valid_after_utc == leaf(before).not_valid_after_utc


def test_promise_8_a_revocation_has_its_reason_and_takes_the_certificate_out_in_the_same_run(installation: Any, acts: Any) -> None:
    """DESIGN 1, line 8; RULES V1, V2, D5"""
    completed(acts["revoke"])
    [there] = installation.sandbox.orders("gone.example.com")
    assert (there["status"], there["reason_code"]) == ("Revoked", 5)
    after = installation.entry("live/gone.example.com")
    assert (after["status"], after["private_key"], after["keystore"]) == ("revoked", "", "")
    assert installation.versions("gone.example.com") == {1: None, 2: after}
    [kept] = installation.rows("SELECT removed_at FROM certificate WHERE serial_number = ?", acts["before"]["gone"]["serial_number"])
    assert kept["removed_at"]


def test_promise_9_a_deletion_is_local_and_no_import_brings_it_back_unless_asked(installation: Any, acts: Any) -> None:
    """DESIGN 1, line 9"""
    completed(acts["delete"])
    name = "old.example.com"
    assert installation.sandbox.orders(name)[0]["status"] == "Issued"
    completed(installation.run("import-orders", statuses=["issued"]))
    [row] = installation.rows(ONE, name)
    assert row["deleted_at"]
    completed(installation.run("import-orders", statuses=["issued"], include_deleted=True))
    [again] = installation.rows(ONE, name)
    assert (again["id"], again["deleted_at"]) == (row["id"], None)


def test_promise_10_an_order_that_is_not_issued_is_declined(installation: Any, acts: Any) -> None:
    """DESIGN 1, line 10"""
    completed(acts["cancel"])
    [there] = installation.sandbox.orders("waits.example.com")
    [row] = installation.rows(ONE, "waits.example.com")
    assert (there["status"], row["status"]) == ("Declined", "declined")
    assert [one["ssl_id"] for one in acts["cancel"]["summary"]["done"]] == [there["ssl_id"]]


def test_promise_11_one_path_serves_the_current_set_for_ever(installation: Any, acts: Any, tmp_path: Path) -> None:
    """DESIGN 1, line 11; RULES D1: as versions in Vault, and as files"""
    entry = installation.entry("live/due.example.com")
    assert installation.versions("due.example.com") == {1: acts["before"]["due"], 2: entry}
    assert [name for name, value in entry.items() if not value] == []
    command = [sys.executable, "-m", "deployments", "fetch", "due.example.com", str(tmp_path / "tls")]
    subprocess.run(command, cwd=ROOT, env=installation.up.env, check=True, timeout=300)
    files = {one.name: one.read_bytes() for one in (tmp_path / "tls").iterdir() if one.is_file()}
    assert files["fullchain.pem"].decode() == entry["fullchain"]
    assert files["privkey.pem"].decode() == entry["private_key"]
    assert files["keystore.p12"] == base64.b64decode(entry["keystore"])


def _uuid(text: str) -> str:
    """A UUID as summaries write it; SQLite holds it without hyphens."""
    plain = text.replace("-", "")
    return "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))
