"""An order's way through the pretend SCM, and the certificate at its end (contract 5.8 to 5.16, 6)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

WAITS, EV, SINGLE, NO_RENEWAL, PRIVATE = 5205, 5202, 5203, 5208, 5206


def names_of(leaf: x509.Certificate) -> list[str]:
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def test_the_certificate_is_real_and_its_chain_verifies(scm: Any, csr: Callable[..., str]) -> None:
    """Contract 8: a real chain for the CSR's key"""
    key = ec.generate_private_key(ec.SECP384R1())
    request = csr("www.example.com", key, names=("not-asked-for.example.com",))
    ssl_id = scm.enroll(csr=request, subjAltNames="api.example.com, mail.example.com")
    details = scm.issued(ssl_id)
    content = scm.call("GET", f"/ssl/v1/collect/{ssl_id}?format=x509R").content
    leaf, issuing, root = x509.load_pem_x509_certificates(content)
    verified = PolicyBuilder().store(Store([root])).build_server_verifier(x509.DNSName("mail.example.com")).verify(leaf, [issuing])
    assert verified == [leaf, issuing, root]
    assert leaf.public_key() == key.public_key()
    assert names_of(leaf) == ["www.example.com", "api.example.com", "mail.example.com"]
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=90, seconds=-1)
    assert int(details["serialNumber"].replace(":", ""), 16) == leaf.serial_number
    assert details["expires"] == leaf.not_valid_after_utc.strftime("%m/%d/%Y")
    assert details["certificateDetails"]["sha1Hash"] == sha1(leaf.public_bytes(Encoding.DER), usedforsecurity=False).hexdigest().upper()


def test_all_ten_formats_hold_what_they_promise(scm: Any) -> None:
    """Contract 5.9"""
    ssl_id = scm.enroll()
    scm.issued(ssl_id)

    def read(wanted: str) -> list[x509.Certificate]:
        answer = scm.call("GET", f"/ssl/v1/collect/{ssl_id}", params={"format": wanted})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/octet-stream;charset=UTF-8"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="www_example_com.cer"'
        if wanted == "bin":
            return pkcs7.load_der_pkcs7_certificates(answer.content)
        if wanted == "base64":
            assert answer.content.startswith(b"-----BEGIN PKCS7-----")
            return pkcs7.load_pem_pkcs7_certificates(answer.content)
        return x509.load_pem_x509_certificates(answer.content)

    leaf, issuing, root = read("x509R")
    expected = {
        "x509": [root, issuing, leaf], "pem": [root, issuing, leaf], "x509CO": [leaf], "pemco": [leaf], "x509IO": [root, issuing],
        "x509IOR": [issuing, root], "pemia": [leaf, issuing],
    }
    assert {wanted: read(wanted) for wanted in expected} == expected
    for wanted in ("base64", "bin"):
        assert set(read(wanted)) == {leaf, issuing, root}
    assert scm.call("GET", f"/ssl/v1/collect/{ssl_id}").content.startswith(b"-----BEGIN PKCS7-----")
    assert scm.call("GET", f"/ssl/v1/collect/{ssl_id}/x509CO").content == leaf.public_bytes(Encoding.PEM)
    assert scm.refusal("GET", f"/ssl/v1/collect/{ssl_id}?format=pigeon") == (400, -1450)


@pytest.mark.parametrize("code", [0, -183, -1400])
def test_what_is_not_issued_yet_is_not_ready(sandbox: Any, scm: Any, code: int) -> None:
    """Contract 4, quirks 1 to 3"""
    sandbox.settings(issue_delay=60, not_ready_code=code)
    ssl_id = scm.enroll()
    details = scm.get(f"/ssl/v1/{ssl_id}")
    assert details["status"] == "Applied"
    assert details["backendCertId"]
    assert "serialNumber" not in details
    assert "issued" not in details
    assert details["expires"]
    assert scm.refusal("GET", f"/ssl/v1/collect/{ssl_id}?format=x509") == (400, code)


def test_an_order_that_waits_is_approved_by_hand(sandbox: Any, scm: Any) -> None:
    """Contract 5.10, 6.2"""
    sandbox.settings(issue_delay=0.4)
    ssl_id = scm.enroll(certType=sandbox.line["profile_that_waits"], term=199)
    assert sandbox.line["profile_that_waits"] == WAITS
    assert scm.get(f"/ssl/v1/{ssl_id}")["status"] == "Requested"
    assert "backendCertId" not in scm.get(f"/ssl/v1/{ssl_id}")
    assert scm.refusal("POST", f"/ssl/v1/approve/{ssl_id}", {"message": ""}) == (400, -1601)
    scm.done("POST", f"/ssl/v1/approve/{ssl_id}", {"message": "fine"})
    assert scm.get(f"/ssl/v1/{ssl_id}")["status"] == "Approved"
    assert scm.refusal("POST", f"/ssl/v1/approve/{ssl_id}", {"message": "again"}) == (400, -1112)
    assert scm.issued(ssl_id)["owner"] == "Api Master"


def test_a_declined_order_can_be_edited_and_waits_again(sandbox: Any, scm: Any, csr: Callable[..., str]) -> None:
    """Contract 5.10, 5.11, 8"""
    ssl_id = scm.enroll(certType=WAITS, term=199)
    scm.done("POST", f"/ssl/v1/decline/{ssl_id}", {"message": "not needed"})
    assert scm.get(f"/ssl/v1/{ssl_id}")["declined"]
    assert scm.refusal("POST", f"/ssl/v1/approve/{ssl_id}", {"message": "x"}) == (400, -1112)
    assert scm.refusal("POST", f"/ssl/v1/revoke/{ssl_id}", {"reasonCode": 4, "reason": "x"}) == (400, -102)
    assert scm.refusal("GET", f"/ssl/v1/collect/{ssl_id}?format=x509") == (400, -183)
    key = ec.generate_private_key(ec.SECP256R1())
    edited = {"sslId": ssl_id, "csr": csr("new.example.com", key), "subjectAlternativeNames": ["two.example.com"], "comments": "edited"}
    shown = scm.call("PUT", "/ssl/v1", edited).json()
    assert (shown["status"], shown["commonName"], shown["comments"]) == ("Requested", "new.example.com", "edited")
    scm.done("POST", f"/ssl/v1/approve/{ssl_id}", {"message": "now"})
    scm.issued(ssl_id)
    assert scm.leaf(ssl_id).public_key() == key.public_key()
    assert sandbox.orders("www.example.com") == []
    assert [one["ssl_id"] for one in sandbox.orders("new.example.com")] == [ssl_id]


def test_nobody_approves_an_ev_order_of_ones_own(scm: Any, csr: Callable[..., str], rsa_key: Any) -> None:
    """Contract 4: four eyes"""
    ssl_id = scm.enroll(certType=EV, term=199, csr=csr("www.example.com", rsa_key))
    assert scm.get(f"/ssl/v1/{ssl_id}")["status"] == "Requested"
    assert scm.refusal("POST", f"/ssl/v1/approve/{ssl_id}", {"message": "mine"}) == (400, -1140)


def test_without_the_privilege_to_approve_ones_own_orders_they_wait(sandbox: Any, scm: Any) -> None:
    """Contract 5.10"""
    sandbox.control("PUT", "account", {"privileges": ["sslRequest"]})
    assert scm.get(f"/ssl/v1/{scm.enroll()}")["status"] == "Requested"


def test_a_renewal_is_a_new_order_with_the_longest_term(sandbox: Any, scm: Any, csr: Callable[..., str]) -> None:
    """Contract 5.13, 6.4"""
    old = scm.enroll(comments="marker", subjAltNames="api.example.com")
    scm.issued(old)
    key = ec.generate_private_key(ec.SECP256R1())
    answer = scm.call("POST", f"/ssl/v1/renewById/{old}", {"csr": csr("www.example.com", key)}).json()
    assert set(answer) == {"sslId"}
    new = answer["sslId"]
    details = scm.issued(new)
    assert (details["term"], details["comments"], details["subjectAlternativeNames"]) == (199, "marker", ["api.example.com"])
    assert scm.leaf(new).public_key() == key.public_key()
    before = scm.get(f"/ssl/v1/{old}")
    assert (before["status"], before["renewed"], bool(before["renewedDate"])) == ("Issued", True, True)
    assert len(sandbox.orders("www.example.com")) == 2


def test_a_renewal_without_a_csr_keeps_the_key_and_one_by_renew_id_tells_no_number(scm: Any, body: Callable[..., Any]) -> None:
    """Contract 5.13"""
    answer = scm.call("POST", "/ssl/v1/enroll", body()).json()
    scm.issued(answer["sslId"])
    assert len(answer["renewId"]) == 20
    scm.done("POST", f"/ssl/v1/renew/{answer['renewId']}", {})
    new = max(one["sslId"] for one in scm.get("/ssl/v1", commonName="www.example.com"))
    assert new > answer["sslId"]
    scm.issued(new)
    assert scm.leaf(new).public_key() == scm.leaf(answer["sslId"]).public_key()
    assert scm.leaf(new).serial_number != scm.leaf(answer["sslId"]).serial_number
    assert scm.refusal("POST", "/ssl/v1/renew/nothing-of-that-kind", {}) == (400, -123)
    wrong = answer["renewId"][:-1] + ("A" if answer["renewId"][-1] != "A" else "B")
    assert scm.refusal("POST", f"/ssl/v1/renew/{wrong}", {}) == (400, -123)


def test_a_renewal_is_refused_where_it_cannot_be(sandbox: Any, scm: Any, csr: Callable[..., str], rsa_key: Any) -> None:
    """Contract 5.13, 9 quirk 9"""
    legacy = scm.enroll(certType=NO_RENEWAL, csr=csr("www.example.com", rsa_key))
    scm.issued(legacy)
    assert scm.refusal("POST", f"/ssl/v1/renewById/{legacy}", {}) == (400, -180)
    waiting = scm.enroll(certType=WAITS, term=199)
    assert scm.refusal("POST", f"/ssl/v1/renewById/{waiting}", {}) == (400, -130)
    good = scm.enroll()
    scm.issued(good)
    assert scm.refusal("POST", f"/ssl/v1/renewById/{good}", data=b"") == (400, -1002)
    assert scm.refusal("POST", f"/ssl/v1/renewById/{good}", {"csr": "<<<"}) == (400, -9)
    assert scm.refusal("POST", "/ssl/v1/renewById/1999999999", {}) == (400, -124)
    sandbox.control("PUT", "reference/profiles/5201", {"renewable": False})
    assert scm.refusal("POST", f"/ssl/v1/renewById/{good}", {}) == (400, -180)
    assert scm.get(f"/ssl/v1/{good}")["renewed"] is False


def test_a_replacement_keeps_number_and_end_and_changes_key_and_names(sandbox: Any, scm: Any, csr: Callable[..., str]) -> None:
    """Contract 5.15, 6.4, 8"""
    ssl_id = scm.enroll(subjAltNames="one.example.com")
    before, old = scm.issued(ssl_id), scm.leaf(ssl_id)
    sandbox.settings(issue_delay=60)
    key = ec.generate_private_key(ec.SECP256R1())
    wish = {"csr": csr("www.example.com", key), "reason": "new key", "subjectAlternativeNames": ["two.example.com"]}
    scm.done("POST", f"/ssl/v1/replace/{ssl_id}", wish)
    assert scm.get(f"/ssl/v1/{ssl_id}")["status"] == "Applied"
    assert scm.refusal("GET", f"/ssl/v1/collect/{ssl_id}?format=x509") == (400, 0)
    sandbox.change_order(ssl_id, status="Issued")
    after, new = scm.issued(ssl_id), scm.leaf(ssl_id)
    assert after["expires"] == before["expires"]
    assert after["replaced"]
    assert new.public_key() == key.public_key()
    assert new.not_valid_after_utc == old.not_valid_after_utc
    assert names_of(new) == ["www.example.com", "two.example.com"]
    assert new.serial_number != old.serial_number
    colons = ":".join(f"{old.serial_number:032X}"[place:place + 2] for place in range(0, 32, 2))
    scm.done("POST", f"/ssl/v1/revoke/serial/{colons}", {"reasonCode": 1, "reason": "old key was copied"})
    assert scm.get(f"/ssl/v1/{ssl_id}")["status"] == "Issued"
    assert sandbox.orders("www.example.com")[0]["revoked_serials"] == [f"{old.serial_number:x}"]


def test_a_profile_for_one_name_refuses_any_list(scm: Any, body: Callable[..., Any], csr: Callable[..., str], rsa_key: Any) -> None:
    """Contract 9, quirk 12"""
    request = csr("www.example.com", rsa_key)
    assert scm.refusal("POST", "/ssl/v1/enroll", body(certType=SINGLE, csr=request, subjAltNames="www.example.com"))[0] == 400
    ssl_id = scm.enroll(certType=SINGLE, csr=request)
    scm.issued(ssl_id)
    assert names_of(scm.leaf(ssl_id)) == ["www.example.com"]


def test_a_private_profile_takes_internal_names_and_has_another_issuer(scm: Any) -> None:
    """RULES C3"""
    private, public = scm.enroll("server.local", certType=PRIVATE, term=365), scm.enroll()
    scm.issued(private)
    scm.issued(public)
    assert scm.leaf(private).issuer != scm.leaf(public).issuer


def test_the_delay_counts_from_the_order(sandbox: Any, scm: Any) -> None:
    """Contract 8: issue after a delay, not at once"""
    sandbox.settings(issue_delay=0.5)
    began = datetime.now(UTC)
    ssl_id = scm.enroll()
    assert scm.get(f"/ssl/v1/{ssl_id}")["status"] == "Applied"
    scm.issued(ssl_id)
    assert datetime.now(UTC) - began >= timedelta(seconds=0.5)
