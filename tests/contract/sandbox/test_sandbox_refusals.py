"""What the pretend SCM refuses, with the documented codes, and that nothing is left of it (contract 4, 5.8, 8)."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

NOT_REGISTERED = "www.nobody.example.edu"

REFUSED: dict[str, tuple[dict[str, Any], int]] = {
    "no organization": ({"orgId": None}, -7),
    "an unknown organization": ({"orgId": 1999999999}, -1023),
    "an organization as a text": ({"orgId": "3100"}, -1002),
    "an organization that may not use the API": ({"orgId": 3400}, -1032),
    "an organization that orders through its departments": ({"orgId": 3300}, -1021),
    "an organization that is not validated": ({"orgId": 3500}, -843),
    "an empty CSR": ({"csr": ""}, -7),
    "a CSR that is no text": ({"csr": ["x"]}, -1601),
    "a CSR with other characters": ({"csr": "-----BEGIN CERTIFICATE REQUEST-----\n<<<>>>\n-----END CERTIFICATE REQUEST-----"}, -9),
    "a CSR of odd length": ({"csr": "MIIBA"}, -9),
    "a CSR that is cut": ({"csr": "MIIB"}, -10),
    "no CSR": ({"csr": None}, -7),
    "a CSR that is none": ({"csr": b64encode(b"this is no request").decode()}, -10),
    "a CSR that is too long": ({"csr": "A" * 32768}, -1601),
    "no profile": ({"certType": None}, -7),
    "an unknown profile": ({"certType": 1}, -111),
    "a profile of another organization": ({"certType": 5202, "orgId": 3101}, -111),
    "no term": ({"term": None}, -7),
    "a term that is not offered": ({"term": 91}, -36),
    "a term of no days": ({"term": 0}, -36),
    "names as an array": ({"subjAltNames": ["www.example.com"]}, -1002),
    "an empty name": ({"subjAltNames": "www.example.com,,api.example.com"}, -1601),
    "a name with an underscore": ({"subjAltNames": "a_b.example.com"}, -732),
    "a name with a blank": ({"subjAltNames": "a b.example.com"}, -732),
    "an address": ({"subjAltNames": "192.0.2.1"}, -732),
    "an internal name": ({"subjAltNames": "server.local"}, -164),
    "a single label": ({"subjAltNames": "server"}, -164),
    "a domain that is not registered": ({"subjAltNames": NOT_REGISTERED}, -727),
    "a domain that is not validated": ({"subjAltNames": "new.example.org"}, -737),
    "a validation that has ended": ({"subjAltNames": "www.expired.example"}, -737),
    "a domain of another organization": ({"subjAltNames": "www.example.net"}, -1010),
    "a delegation without subdomains": ({"subjAltNames": "www.names-only.example"}, -1010),
    "comments that are too long": ({"comments": "c" * 1025}, -1601),
    "a requester without an address": ({"externalRequester": "nobody"}, -1601),
    "a second requester without an address": ({"externalRequester": "a@example.com, b"}, -1601),
    "requesters that are too long": ({"externalRequester": ", ".join(["someone.long@example.com"] * 20)}, -1601),
    "an unknown way of validation": ({"dcvMode": "PIGEON"}, -1601),
    "validation by mail without an address": ({"dcvMode": "EMAIL"}, -1601),
    "an unknown custom field": ({"customFields": [{"name": "Nothing", "value": "x"}]}, -64),
    "a custom field that is inactive": ({"customFields": [{"name": "Former field", "value": "x"}]}, -64),
    "an option that is not offered": ({"customFields": [{"name": "Cost centre", "value": "Z-999"}]}, -135),
    "a value that is too long": ({"customFields": [{"name": "Ticket", "value": "x" * 257}]}, -1601),
    "a day that is none": ({"customFields": [{"name": "Review", "value": "31.01.2027"}]}, -135),
    "custom fields as an object": ({"customFields": {"Ticket": "x"}}, -1002),
}


@pytest.mark.parametrize("why", REFUSED)
def test_an_order_is_refused_for(sandbox: Any, scm: Any, body: Callable[..., Any], why: str) -> None:
    """Contract 4, 5.8"""
    more, code = REFUSED[why]
    before = len(sandbox.orders())
    assert scm.refusal("POST", "/ssl/v1/enroll", body(**more)) == (400, code)
    assert len(sandbox.orders()) == before


@pytest.mark.parametrize(("key", "profile", "term", "code"), [
    (rsa.generate_private_key(65537, 1024), 5201, 90, -194),  # noqa: S505 - this weakness is the subject
    (ec.generate_private_key(ec.SECP521R1()), 5201, 90, -194),
    (ec.generate_private_key(ec.SECP256R1()), 5203, 90, -170),
    (rsa.generate_private_key(65537, 2048), 5207, 6, -11),
])
def test_a_csr_is_refused_for_its_key(
    scm: Any, body: Callable[..., Any], csr: Callable[..., str], key: Any, profile: int, term: int, code: int,
) -> None:
    """Contract 4: input, CSR and key"""
    wish = body(certType=profile, term=term, csr=csr("www.example.com", key))
    assert scm.refusal("POST", "/ssl/v1/enroll", wish) == (400, code)


def test_a_changed_csr_is_refused_for_its_signature(scm: Any, body: Callable[..., Any], csr: Callable[..., str]) -> None:
    """Contract 4"""
    lines = csr("www.example.com").splitlines()
    place = len(lines[-2]) // 2
    lines[-2] = lines[-2][:place] + ("A" if lines[-2][place] != "A" else "B") + lines[-2][place + 1:]
    assert scm.refusal("POST", "/ssl/v1/enroll", body(csr="\n".join(lines)))[1] in {-10, -138}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe", b'{"orgId": NaN}', b"[" * 5000])
def test_a_body_that_cannot_be_read_is_refused(scm: Any, content: bytes) -> None:
    """Contract 4: -1002"""
    assert scm.refusal("POST", "/ssl/v1/enroll", data=content, headers={"Content-Type": "application/json"}) == (400, -1002)


def test_mandatory_custom_fields_are_demanded(sandbox: Any, scm: Any, body: Callable[..., Any]) -> None:
    """Contract 5.5, 5.8"""
    sandbox.control("PUT", "reference/custom_fields/81", {"mandatory": True})
    assert scm.refusal("POST", "/ssl/v1/enroll", body()) == (400, -62)
    assert scm.enroll(customFields=[{"name": "Cost centre", "value": "A-100"}])
    assert next(one for one in scm.get("/customField/v2", certType="SSL") if one["id"] == 81)["mandatories"] == ["REST_API", "WEB_FORM"]


def test_names_are_taken_as_far_as_domain_and_delegation_go(scm: Any) -> None:
    """Contract 5.2, 9 quirks 16 and 19"""
    scm.enroll("*.example.com", subjAltNames="*.deep.example.com, example.com, a.b.c.example.org")
    scm.enroll("www.suspended.example")
    scm.enroll("names-only.example")
    scm.enroll("WWW.Example.COM")


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/ssl/v1/{}", 404), ("GET", "/ssl/v1/collect/{}", 404), ("GET", "/ssl/v1/{}/dcv", 404), ("DELETE", "/ssl/v1/{}", 404),
    ("POST", "/ssl/v1/approve/{}", 400), ("POST", "/ssl/v1/decline/{}", 400), ("POST", "/ssl/v1/revoke/{}", 400),
    ("POST", "/ssl/v1/replace/{}", 400), ("POST", "/ssl/v1/renewById/{}", 400), ("POST", "/ssl/v1/renew/manual/{}", 400),
])
def test_an_unknown_number_is_said_so(scm: Any, method: str, path: str, status: int) -> None:
    """Contract 8"""
    assert scm.refusal(method, path.format(1999999999), {"message": "x"}) == (status, -124)
    assert scm.refusal(method, path.format("4711x"), {"message": "x"}) == (400, -1601)


@pytest.mark.parametrize("query", [
    "size=201", "size=-1", "size=x", "position=-1", "status=issued", "status=SA Approved", "requestedVia=REST API", "orgId=x",
    "renewalStatus=Scheduled", "size=99999999999999999999",
])
def test_a_wrong_filter_is_refused(scm: Any, query: str) -> None:
    """Contract 3, 5.6, 8"""
    assert scm.refusal("GET", f"/ssl/v1?{query}") == (400, -1601)


def test_what_the_other_host_documents_is_not_here(scm: Any, admin_host: Any) -> None:
    """Contract 2"""
    for method, path in (
        ("GET", "/ssl/v2"), ("POST", "/ssl/v2/enroll"), ("GET", "/dcv/v2/validation"), ("GET", "/organization/v1/managed-by/MRAO"),
    ):
        assert scm.call(method, path, {}).status_code == 404, path
    for method, path in (("HEAD", "/ssl/v1"), ("GET", "/domain/v1/count"), ("GET", "/dcv/v1/validation")):
        assert admin_host.call(method, path).status_code in {400, 404}, path
