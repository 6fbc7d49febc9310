"""What each failed answer means (contract 4, RULES E2), generated from the contract's table."""

import itertools
import pickle

import pytest
import responses

from models.errors import (
    AmbiguousError,
    CertflowError,
    LoginError,
    NotFoundError,
    NotReadyError,
    RejectedError,
    RightsError,
    SetupError,
    ThrottledError,
    TransientError,
)
from models.records import EnrollRequest
from tasks.adapters.scm import ScmClient, credentials_from
from tasks.adapters.scm.failures import MEANINGS

API = "https://scm.example.com/api"
PASSWORD = "Tr0ub4dor-and-3"
REQUEST = EnrollRequest(organization_id=1, profile_id=2, term_days=90, csr="csr")

ROWS: dict[type[CertflowError], list[int]] = {
    LoginError: [-16, -970, -410],
    RightsError: [-3, -25, -37, -226, -738, -1021, -1032],
    RejectedError: [
        -429, -993, -7306, -7, -36, -39, -111, -62, -64, -135, -639, -1023, -1601, -1002, -306, -9, -10, -138, -11, -13, -141, -194, -78, -170,
        -1138, -107, -737, -1137, -724, -1603, -715, -727, -1010, -732, -843, -164, -1608, -102, -159, -110, -130, -1112, -180, -1148, -1144,
        -3114, -3115, -700, -740, -1140, -126, -1450,
    ],
    NotFoundError: [-124, -5101, -123, -1117],
    NotReadyError: [0, -183, -1400, -103, -109, -1113, -169],
    TransientError: [-1, -2, -14, -65, -129, -140, -195, -196, -618, -105],
}
CODES = [(code, kind) for kind, codes in ROWS.items() for code in codes]


LOGIN = {"base_url": API, "customer_uri": "example", "login": "api", "password": PASSWORD}


def client() -> ScmClient:
    """A client whose clock runs only while it sleeps."""
    ticks = [0.0]
    return ScmClient(
        credentials_from(LOGIN), clock=lambda: ticks[0], sleep=lambda seconds: ticks.__setitem__(0, ticks[0] + seconds), deadline=10,
    )


@responses.activate
@pytest.mark.parametrize(("code", "kind"), CODES)
def test_a_code_of_a_call_that_reads_has_its_class(code: int, kind: type[CertflowError]) -> None:
    """contract 4"""
    answer = responses.get(f"{API}/ssl/v1/collect/7", status=400, json={"code": code, "description": "SCM's own words"})
    with pytest.raises(CertflowError) as caught:
        client().collect(7)
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status) == (code, 400)
    assert f"{code} SCM's own words (HTTP 400)" in str(caught.value)
    assert answer.call_count == 1


@responses.activate
@pytest.mark.parametrize(("code", "kind"), CODES)
def test_a_code_of_an_order_says_whether_it_was_taken(code: int, kind: type[CertflowError]) -> None:
    """RULES E2"""
    responses.post(f"{API}/ssl/v1/enroll", status=400, json={"code": code, "description": "SCM's own words"})
    with pytest.raises(CertflowError) as caught:
        client().enroll(REQUEST)
    expected = AmbiguousError if kind in {TransientError, NotReadyError} else kind
    assert type(caught.value) is expected
    assert caught.value.code == code


def test_the_codes_that_have_a_meaning_are_those_of_the_contract() -> None:
    """contract 4; any other leaves an order in doubt (RULES E2)"""
    assert set(MEANINGS) == {code for code, _ in CODES}


BODIES = {
    "none": b"", "html": b"<html>Bad gateway</html>", "unknown code": b'{"code": -99999, "description": "new"}',
    "no code": b'{"description": "refused"}', "a list": b"[]", "deep": b"[" * 100_000, "not utf-8": b"\xff\xfe\xfa",
    "code is text": b'{"code": "minus one"}',
}
NOT_TAKEN = {401: LoginError, 403: RightsError, 404: NotFoundError, 429: ThrottledError}


@responses.activate
@pytest.mark.parametrize(("status", "body"), list(itertools.product([300, 302, 307, 400, 405, 409, 413, 422, 500, 502, 503, 504], BODIES)))
def test_an_order_whose_answer_does_not_tell_is_in_doubt(status: int, body: str) -> None:
    """RULES E2"""
    sent = responses.post(f"{API}/ssl/v1/enroll", status=status, body=BODIES[body], headers={"Location": f"{API}/ssl/v1/enroll"})
    with pytest.raises(AmbiguousError):
        client().enroll(REQUEST)
    assert sent.call_count == 1


@responses.activate
@pytest.mark.parametrize(("status", "body"), list(itertools.product(NOT_TAKEN, [*BODIES, "temporary code"])))
def test_an_order_refused_by_status_was_not_taken_whatever_the_body(status: int, body: str) -> None:
    """RULES E2"""
    content = BODIES.get(body, b'{"code": -1, "description": "internal"}')
    sent = responses.post(f"{API}/ssl/v1/enroll", status=status, body=content, headers={"Retry-After": "7"})
    with pytest.raises(CertflowError) as caught:
        client().enroll(REQUEST)
    assert type(caught.value) is NOT_TAKEN[status]
    assert caught.value.status == status
    assert sent.call_count == 1


@responses.activate
@pytest.mark.parametrize("body", [b"", b"<html/>", b"[]", b"{}", b'{"sslId": null}', b'{"sslId": 0}', b'{"sslId": true}', b'{"sslId": 1', b"null"])
def test_an_order_taken_with_an_answer_that_cannot_be_read_is_in_doubt(body: bytes) -> None:
    """RULES E2"""
    responses.post(f"{API}/ssl/v1/enroll", status=200, body=body)
    with pytest.raises(AmbiguousError, match="not known whether SCM took the order"):
        client().enroll(REQUEST)


@responses.activate
@pytest.mark.parametrize(("status", "kind"), [
    (302, RejectedError), (403, RightsError), (404, NotFoundError), (405, RejectedError), (407, SetupError), (409, RejectedError),
    (408, TransientError), (429, ThrottledError), (500, TransientError), (502, TransientError), (503, TransientError), (504, TransientError),
    (520, TransientError),
])
@pytest.mark.parametrize("body", ["none", "html", "unknown code", "deep"])
def test_a_call_that_reads_fails_by_status_when_the_body_does_not_tell(status: int, kind: type[CertflowError], body: str) -> None:
    """contract 3, 4"""
    responses.get(f"{API}/ssl/v1/7", status=status, body=BODIES[body], headers={"Location": "https://portal.example.com/"})
    with pytest.raises(CertflowError) as caught:
        client().details(7)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert ("no readable body" in str(caught.value)) == (body != "unknown code")


@responses.activate
def test_a_redirect_is_not_followed_and_says_where_the_mistake_lies() -> None:
    """RULES E1, contract 7.6"""
    responses.get(f"{API}/ssl/v1/7", status=302, headers={"Location": "https://portal.example.com/"})
    elsewhere = responses.get("https://portal.example.com/", json={})
    with pytest.raises(RejectedError, match="base_url leads to a portal or a proxy"):
        client().details(7)
    assert elsewhere.call_count == 0


@responses.activate
def test_what_scm_says_is_shown_short_and_without_secrets() -> None:
    """DESIGN 8: messages hold SCM's own words, never secrets"""
    told = f"Unknown\nword \x1b[31m{PASSWORD}\x00 " + "x" * 5000
    responses.post(f"{API}/ssl/v1/enroll", status=400, json={"code": -36, "description": told})
    with pytest.raises(RejectedError) as caught:
        client().enroll(REQUEST)
    shown = str(caught.value)
    assert PASSWORD not in shown
    assert "***" in shown
    assert shown.isprintable()
    assert len(shown) < 400


@responses.activate
def test_a_huge_error_page_is_not_read_to_its_end() -> None:
    """contract 3"""
    responses.post(f"{API}/ssl/v1/revoke/7", status=400, body=b'{"code": -102, "description": "' + b"x" * 2_000_000 + b'"}')
    with pytest.raises(RejectedError, match="no readable body"):
        client().revoke(7, reason_code=4, reason="superseded")


@responses.activate
def test_an_error_carries_no_request_along() -> None:
    """DESIGN 6: the failed run's exception is stored"""
    responses.get(f"{API}/ssl/v1/7", body=ConnectionResetError("password=" + PASSWORD))
    with pytest.raises(TransientError) as caught:
        client().details(7)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert PASSWORD.encode() not in pickle.dumps(caught.value)
    assert "ConnectionResetError" in str(caught.value)


@responses.activate
def test_a_call_that_reads_is_repeated_until_the_trouble_is_over() -> None:
    """RULES S, contract 3"""
    for status in (503, 502, 429):
        responses.get(f"{API}/ssl/v1/7", status=status)
    responses.get(f"{API}/ssl/v1/7", json={"id": 7, "status": "Issued"})
    scm = client()
    assert scm.details(7).status_word == "Issued"
    assert scm.calls == 4


@responses.activate
def test_the_pause_that_scm_asks_for_is_kept() -> None:
    """contract 3: Retry-After"""
    pauses: list[float] = []
    login = {"base_url": API, "customer_uri": "example", "login": "api", "password": PASSWORD}
    scm = ScmClient(credentials_from(login), clock=lambda: sum(pauses), sleep=pauses.append)
    responses.get(f"{API}/ssl/v1/7", status=429, headers={"Retry-After": "17"})
    responses.get(f"{API}/ssl/v1/7", json={"id": 7, "status": "Issued"})
    scm.details(7)
    assert pauses == [17.0]


@responses.activate
@pytest.mark.parametrize("asked", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_pause_beyond_the_deadline_is_left_to_the_caller(asked: str) -> None:
    """DESIGN 8.3: a deadline ends it"""
    sent = responses.get(f"{API}/ssl/v1/7", status=429, headers={"Retry-After": asked})
    with pytest.raises(ThrottledError) as caught:
        client().details(7)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 3600
    assert sent.call_count == 1


@responses.activate
def test_repeating_ends_by_the_deadline() -> None:
    """DESIGN 8.3"""
    responses.get(f"{API}/ssl/v1/7", status=503)
    scm = client()
    with pytest.raises(TransientError):
        scm.details(7)
    assert 3 < scm.calls < 20


@responses.activate
def test_one_order_of_many_is_asked_for_half_a_minute_only() -> None:
    """RULES S3: some that SCM cannot show do not hold up the others"""
    responses.get(f"{API}/ssl/v1/7", status=500)
    pauses: list[float] = []
    scm = ScmClient(credentials_from(LOGIN), clock=lambda: sum(pauses), sleep=pauses.append)
    with pytest.raises(TransientError):
        scm.details(7, patient=False)
    assert scm.calls > 3
    assert sum(pauses) <= 30
    with pytest.raises(TransientError):
        scm.details(7)
    assert sum(pauses) > 200


@responses.activate
def test_a_pause_that_scm_asks_for_is_kept_for_one_of_many_too() -> None:
    """contract 4: 429"""
    pauses: list[float] = []
    scm = ScmClient(credentials_from(LOGIN), clock=lambda: sum(pauses), sleep=pauses.append)
    responses.get(f"{API}/ssl/v1/7", status=429, headers={"Retry-After": "60"})
    responses.get(f"{API}/ssl/v1/7", json={"id": 7, "status": "Issued"})
    assert scm.details(7, patient=False).ssl_id == 7
    assert pauses == [60.0]


@responses.activate
def test_what_changes_an_order_is_sent_once_and_may_be_sent_again_by_the_caller() -> None:
    """contract 5.19"""
    sent = responses.post(f"{API}/ssl/v1/revoke/7", status=503)
    with pytest.raises(TransientError):
        client().revoke(7, reason_code=4, reason="superseded")
    assert sent.call_count == 1
