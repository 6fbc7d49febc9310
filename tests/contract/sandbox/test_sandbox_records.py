"""What becomes of issued certificates in the pretend SCM's records: revoked, marked, imported, deleted (contract 5.12 to 5.16)."""

import base64
import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

WAITS, EV, SINGLE, NO_RENEWAL, PRIVATE = 5205, 5202, 5203, 5208, 5206


@pytest.mark.parametrize("code", [0, 1, 3, 4, 5, "4"])
def test_a_revoked_certificate_is_shown_so_and_not_given_out(scm: Any, code: int | str) -> None:
    """Contract 5.12, 6.3"""
    ssl_id = scm.enroll()
    scm.issued(ssl_id)
    for wrong in ({"reasonCode": 2, "reason": "x"}, {"reason": "x"}, {"reasonCode": 4, "reason": ""}, {"reasonCode": True, "reason": "x"}):
        assert scm.refusal("POST", f"/ssl/v1/revoke/{ssl_id}", wrong) == (400, -1601)
    scm.done("POST", f"/ssl/v1/revoke/{ssl_id}", {"reasonCode": code, "reason": "test"})
    details = scm.get(f"/ssl/v1/{ssl_id}")
    assert (details["status"], details["reasonCode"], bool(details["revoked"])) == ("Revoked", int(code), True)
    assert scm.refusal("POST", f"/ssl/v1/revoke/{ssl_id}", {"reasonCode": 4, "reason": "again"}) == (400, -102)
    assert scm.refusal("GET", f"/ssl/v1/collect/{ssl_id}?format=x509") == (400, -110)


def test_revoking_by_serial_number_and_by_hand(scm: Any) -> None:
    """Contract 5.12"""
    first, second = scm.enroll(), scm.enroll("two.example.com")
    details = scm.issued(first)
    scm.done("POST", f"/ssl/v1/revoke/serial/{details['serialNumber']}", {"reasonCode": 4, "reason": "x"})
    assert scm.get(f"/ssl/v1/{first}")["status"] == "Revoked"
    assert scm.refusal("POST", "/ssl/v1/revoke/serial/00:11:22", {"reasonCode": 4, "reason": "x"}) == (400, -5101)
    other = scm.issued(second)
    assert scm.refusal("POST", "/ssl/v1/revoke/manual", {"reasonCode": 4, "serialNumber": other["serialNumber"]}) == (400, -7)
    by_serial = {"serialNumber": other["serialNumber"], "issuer": other["certificateDetails"]["issuer"], "reasonCode": 5}
    scm.done("POST", "/ssl/v1/revoke/manual", {**by_serial, "revokeDate": "2026-04-10T07:30:00.000+00:00"})
    assert scm.get(f"/ssl/v1/{second}", dateFormat="ISO_HMS")["revoked"] == "2026-04-10T07:30:00.000Z"


def test_marking_as_renewed_orders_nothing(sandbox: Any, scm: Any) -> None:
    """Contract 5.14"""
    ssl_id = scm.enroll()
    scm.issued(ssl_id)
    before = len(sandbox.orders())
    scm.done("POST", f"/ssl/v1/renew/manual/{ssl_id}", {})
    assert scm.get(f"/ssl/v1/{ssl_id}")["renewed"] is True
    assert scm.refusal("POST", f"/ssl/v1/renew/manual/{ssl_id}", {"id": 1999999999}) == (400, -124)
    assert len(sandbox.orders()) == before


def test_only_what_was_imported_can_be_deleted(sandbox: Any, scm: Any) -> None:
    """Contract 5.16"""
    ordered = scm.enroll()
    scm.issued(ordered)
    assert scm.refusal("DELETE", f"/ssl/v1/{ordered}") == (400, -3)
    imported = next(one for one in sandbox.orders() if one["requested_via"] == "Imported")
    scm.done("DELETE", f"/ssl/v1/{imported['ssl_id']}")
    assert scm.refusal("DELETE", f"/ssl/v1/{imported['ssl_id']}") == (404, -124)
    assert imported["ssl_id"] not in scm.report()


def test_import_takes_each_certificate_once(scm: Any) -> None:
    """Contract 5.16"""
    foreign = base64.b64encode(scm.leaf(scm.issued(scm.enroll())["sslId"]).public_bytes(Encoding.DER)).decode()
    wishes = [{"orgID": 3100, "cert": foreign}, {"orgID": 1, "cert": foreign}, {"orgID": 3100, "cert": "AAAA"}]
    answer = scm.call("POST", "/ssl/v2/import", wishes)
    known, unknown_org, broken = answer.json()
    assert (known["created"], list(unknown_org), list(broken)) == (False, ["errorMessage"], ["errorMessage"])
    assert scm.refusal("POST", "/ssl/v2/import", []) == (400, -1601)
    assert scm.refusal("POST", "/ssl/v2/import", {"orgID": 3100}) == (400, -1002)


def test_a_file_of_certificates_is_imported_and_each_can_be_deleted(sandbox: Any, scm: Any, own_certificate: x509.Certificate) -> None:
    """Contract 5.16"""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("own.cer", own_certificate.public_bytes(Encoding.PEM))
        archive.writestr("own.der", own_certificate.public_bytes(Encoding.DER))
        archive.writestr("readme.txt", "no certificate")

    def send(content: bytes) -> requests.Response:
        return scm.http.post(f"{scm.base}/ssl/v1/import?orgId=3100", files={"file": ("all.zip", content, "application/zip")}, timeout=120)

    answer = send(packed.getvalue()).json()
    assert answer["processedCount"] == 3
    assert answer["errors"] == [
        "[own.der] - SSL certificate already exists. Order number: N/A", "[readme.txt] - Not a certificate."]
    [found] = sandbox.orders("own.example.com")
    details = scm.get(f"/ssl/v1/{found['ssl_id']}")
    assert (details["status"], details["requestedVia"], "requested" in details) == ("Issued", "Imported", False)
    assert scm.leaf(found["ssl_id"]) == own_certificate
    scm.done("DELETE", f"/ssl/v1/{found['ssl_id']}")
    assert send(b"no archive").json()["code"] == -1601
    assert scm.refusal("POST", "/ssl/v1/import?orgId=3100", {}) == (400, -7)


@pytest.fixture
def own_certificate() -> x509.Certificate:
    """A certificate that SCM has not issued."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own.example.com")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=30))
    return builder.sign(key, hashes.SHA256())
