"""What we send about orders, and what comes back (contract 5.8 to 5.15)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from responses.matchers import json_params_matcher, query_param_matcher

from models.errors import AmbiguousError, NotReadyError, RejectedError, TransientError
from models.records import Enrolled, EnrollRequest
from tasks.adapters.scm import ScmClient, credentials_from

API = "https://scm.example.com/api"
PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
FULL = EnrollRequest(
    organization_id=3100, profile_id=5201, term_days=199, csr="csr", names=("www.example.com", "api.example.com"), comments="order 1",
    external_requester_emails=("a@example.com", "b@example.com"), custom_fields=(("Cost centre", "A"),),
)


def client() -> ScmClient:
    login = {"base_url": API, "customer_uri": "example", "login": "api", "password": "Tr0ub4dor"}
    return ScmClient(credentials_from(login), sleep=lambda _: None)


def admin_client() -> ScmClient:
    responses.post("https://sso.example.com/token", json={"access_token": "one"})
    secret = {"base_url": API, "client_id": "client", "client_secret": "S3cr3t-word", "token_url": "https://sso.example.com/token"}
    return ScmClient(credentials_from(secret), sleep=lambda _: None)


@responses.activate
def test_an_order_is_sent_with_all_it_holds() -> None:
    """contract 5.8, 9.10: names as one text; RULES N3"""
    sent = responses.post(f"{API}/ssl/v1/enroll", json={"sslId": 41001, "renewId": "Zk4Qp9"}, match=[json_params_matcher({
        "orgId": 3100, "csr": "csr", "certType": 5201, "term": 199, "subjAltNames": "www.example.com,api.example.com", "comments": "order 1",
        "externalRequester": "a@example.com, b@example.com", "customFields": [{"name": "Cost centre", "value": "A"}],
    })])
    assert client().enroll(FULL) == Enrolled(ssl_id=41001, renew_id="Zk4Qp9")
    assert sent.calls[0].request.headers["Content-Type"] == "application/json;charset=UTF-8"


@responses.activate
def test_a_bare_order_sends_no_empty_field() -> None:
    """contract 3: absent is left out"""
    body = {"orgId": 1, "csr": "csr", "certType": 2, "term": 90}
    responses.post(f"{API}/ssl/v1/enroll", json={"sslId": "41001"}, match=[json_params_matcher(body)])
    assert client().enroll(EnrollRequest(organization_id=1, profile_id=2, term_days=90, csr="csr")) == Enrolled(ssl_id=41001)


@responses.activate
@pytest.mark.parametrize(("csr", "body"), [(None, {}), ("csr", {"csr": "csr"})])
def test_a_renewal_always_has_a_body(csr: str | None, body: dict[str, Any]) -> None:
    """contract 9.9"""
    responses.post(f"{API}/ssl/v1/renewById/7", json={"sslId": 8}, match=[json_params_matcher(body)])
    assert client().renew_by_id(7, csr=csr) == Enrolled(ssl_id=8)


@responses.activate
def test_a_renewal_that_names_the_old_order_is_in_doubt() -> None:
    """contract 5.13, RULES E2"""
    responses.post(f"{API}/ssl/v1/renewById/7", json={"sslId": 7})
    with pytest.raises(AmbiguousError):
        client().renew_by_id(7, csr="csr")


@responses.activate
def test_a_reissue_sends_its_names_as_an_array() -> None:
    """contract 5.15, 5.11"""
    body = {"csr": "csr", "reason": "names", "commonName": "a.example.com", "subjectAlternativeNames": ["a.example.com", "b.example.com"]}
    responses.post(f"{API}/ssl/v1/replace/7", status=204, match=[json_params_matcher(body)])
    client().replace(7, csr="csr", reason="names", common_name="a.example.com", names=("a.example.com", "b.example.com"))


@responses.activate
@pytest.mark.parametrize("status", [200, 202])
def test_a_reissue_that_scm_does_not_confirm_is_in_doubt(status: int) -> None:
    """contract 5.15, DESIGN 8.8: a proxy's empty 200 is not SCM's 204"""
    responses.post(f"{API}/ssl/v1/replace/7", status=status, body=b"")
    with pytest.raises(AmbiguousError):
        client().replace(7, csr="csr", reason="x")


UNSAFE: dict[str, Callable[[ScmClient], object]] = {
    "enroll": lambda scm: scm.enroll(FULL),
    "renewById/7": lambda scm: scm.renew_by_id(7, csr=None),
    "replace/7": lambda scm: scm.replace(7, csr="csr", reason="x"),
}


@responses.activate
@pytest.mark.parametrize("path", UNSAFE)
@pytest.mark.parametrize("fault", [
    {"status": 503}, {"status": 500, "body": "<html>"}, {"status": 200, "body": "<html>"}, {"body": ConnectionError()}, {"body": TimeoutError()},
])
def test_what_makes_something_new_is_sent_once_and_then_in_doubt(path: str, fault: dict[str, Any]) -> None:
    """RULES E1, E2"""
    sent = responses.post(f"{API}/ssl/v1/{path}", **fault)
    with pytest.raises(AmbiguousError):
        UNSAFE[path](client())
    assert sent.call_count == 1


@responses.activate
def test_the_certificate_comes_with_its_chain() -> None:
    """contract 5.9"""
    responses.get(f"{API}/ssl/v1/collect/7", body=PEM * 3, match=[query_param_matcher({"format": "x509"})])
    assert client().collect(7) == PEM * 3


@responses.activate
@pytest.mark.parametrize("body", [b"", b"\n"])
def test_an_empty_certificate_is_not_ready(body: bytes) -> None:
    """contract 9.4"""
    responses.get(f"{API}/ssl/v1/collect/7", body=body)
    with pytest.raises(NotReadyError):
        client().collect(7)


@responses.activate
@pytest.mark.parametrize("body", [
    b"<html>Sign in</html>", b'{"code": 0}', b"-----BEGIN PKCS7-----\nMII=\n-----END PKCS7-----", b"-----BEGIN CERTIFICATE-----\nMII",
])
def test_a_page_in_place_of_a_certificate_is_an_error_that_names_its_type(body: bytes) -> None:
    """contract 5.9"""
    responses.get(f"{API}/ssl/v1/collect/7", body=body, content_type="text/html")
    with pytest.raises(TransientError, match="no PEM certificate in it, text/html") as caught:
        client().collect(7)
    assert type(caught.value) is TransientError


@responses.activate
def test_a_code_that_nobody_knows_is_an_error_and_never_pending() -> None:
    """DESIGN 8.8"""
    responses.get(f"{API}/ssl/v1/collect/7", status=400, json={"code": -4711, "description": "new"})
    with pytest.raises(RejectedError):
        client().collect(7)


@responses.activate
def test_a_revocation_sends_code_and_reason() -> None:
    """contract 5.12; the admin host wants the code as a text (contract 2)"""
    responses.post(f"{API}/ssl/v1/revoke/7", status=204, match=[json_params_matcher({"reasonCode": 4, "reason": "superseded"})])
    responses.post(f"{API}/ssl/v1/revoke/7", status=204, match=[json_params_matcher({"reasonCode": "1", "reason": "stolen"})])
    client().revoke(7, reason_code=4, reason="superseded")
    admin_client().revoke(7, reason_code=1, reason="stolen")


@responses.activate
@pytest.mark.parametrize(("given", "path"), [("abbcc", "0A:BB:CC"), ("0A:BB:CC", "0A:BB:CC"), ("aabb", "AA:BB")])
def test_a_serial_number_is_sent_as_scm_writes_it(given: str, path: str) -> None:
    """contract 3, 5.12"""
    sent = responses.post(f"{API}/ssl/v1/revoke/serial/{path}", status=204)
    client().revoke_serial(given, reason_code=0, reason="x")
    assert sent.call_count == 1


@responses.activate
@pytest.mark.parametrize("code", [-102, -159])
def test_a_second_revocation_is_refused_with_its_code(code: int) -> None:
    """contract 4, RULES V1: the details decide"""
    responses.post(f"{API}/ssl/v1/revoke/7", status=400, json={"code": code, "description": "Only issued certificates could be revoked."})
    with pytest.raises(RejectedError) as caught:
        client().revoke(7, reason_code=0, reason="x")
    assert caught.value.code == code


@responses.activate
def test_approving_declining_and_marking_send_their_words() -> None:
    """contract 5.10, 5.14"""
    sent = [responses.post(f"{API}/ssl/v1/{path}", status=204) for path in ("approve/7", "decline/7", "renew/manual/7", "renew/manual/8")]
    scm = client()
    scm.approve(7, message="yes")
    scm.decline(7, message="no")
    scm.mark_renewed(7, 9)
    scm.mark_renewed(8)
    assert [json.loads(one.calls[0].request.body) for one in sent] == [{"message": "yes"}, {"message": "no"}, {"id": 9}, {}]


@responses.activate
def test_a_page_with_status_200_is_not_taken_for_consent() -> None:
    """DESIGN 8.8"""
    responses.post(f"{API}/ssl/v1/revoke/7", body="<html>Sign in</html>")
    with pytest.raises(TransientError):
        client().revoke(7, reason_code=0, reason="x")
