"""Logging in, and what a refused login stops (RULES S1, contract 1)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import responses
from responses.matchers import header_matcher, urlencoded_params_matcher

from models.errors import AmbiguousError, CertflowError, LoginError, RightsError, SetupError, TransientError
from models.records import EnrollRequest
from tasks.adapters.scm import ScmClient, credentials_from

API = "https://scm.example.com/api"
TOKENS = "https://sso.example.com/token"
HEADER = {"base_url": API, "customer_uri": "example", "login": "api", "password": "Tr0ub4dor"}
OAUTH2 = {"base_url": API, "client_id": "client", "client_secret": "S3cr3t-word", "token_url": TOKENS}
REQUEST = EnrollRequest(organization_id=1, profile_id=2, term_days=90, csr="csr")
ISSUED = {"id": 7, "status": "Issued"}


class Clock:
    """Moves only when it is told to, or by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def client(secret: dict[str, str], clock: Clock | None = None) -> ScmClient:
    clock = clock or Clock()
    return ScmClient(credentials_from(secret), clock=clock, sleep=clock.sleep, deadline=10)


def token(word: str, **more: Any) -> responses.BaseResponse:
    return responses.post(TOKENS, json={"access_token": word, "token_type": "Bearer", **more})


def bearer(word: str) -> Any:
    return header_matcher({"Authorization": f"Bearer {word}"})


@responses.activate
def test_the_header_login_is_on_every_request() -> None:
    """contract 1"""
    expected = {"login": "api", "password": "Tr0ub4dor", "customerUri": "example"}
    responses.get(f"{API}/ssl/v1/7", json=ISSUED, match=[header_matcher(expected)])
    assert client(HEADER).details(7).ssl_id == 7


@responses.activate
def test_a_password_outside_ascii_reaches_scm() -> None:
    """contract 1"""
    sent = responses.get(f"{API}/ssl/v1/7", json=ISSUED)
    for password, expected in (("grün-geheim", "grün-geheim".encode("latin-1")), ("пароль-слово", "пароль-слово".encode())):
        client({**HEADER, "password": password}).details(7)
        assert sent.calls[-1].request.headers["password"] == expected


@responses.activate
def test_a_netrc_file_never_replaces_the_login(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """contract 1: only the given login is sent"""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine scm.example.com login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    sent = responses.get(f"{API}/ssl/v1/7", json=ISSUED)
    client(HEADER).details(7)
    assert "Authorization" not in sent.calls[0].request.headers


@responses.activate
def test_cookies_are_not_kept() -> None:
    """contract 1: each request stands alone"""
    sent = responses.get(f"{API}/ssl/v1/7", json=ISSUED, headers={"Set-Cookie": "JSESSIONID=1; Path=/"})
    scm = client(HEADER)
    scm.details(7)
    scm.details(7)
    assert "Cookie" not in sent.calls[1].request.headers


@responses.activate
def test_a_refused_login_stops_all_further_calls() -> None:
    """RULES S1"""
    refused = responses.get(f"{API}/ssl/v1/7", status=401, json={"code": -16, "description": "Unknown user"})
    scm = client(HEADER)
    with pytest.raises(LoginError, match="-16 Unknown user"):
        scm.details(7)
    for call in (lambda: scm.details(7), lambda: scm.enroll(REQUEST), scm.organizations, lambda: scm.revoke(7, reason_code=0, reason="x")):
        with pytest.raises(LoginError, match="-16 Unknown user"):
            call()
    assert refused.call_count == 1
    assert scm.calls == 1


@responses.activate
def test_many_threads_send_a_wrong_password_once() -> None:
    """RULES S1: header logins can be locked"""
    refused = responses.get(f"{API}/ssl/v1/7", status=401)
    scm = client(HEADER)
    start = threading.Barrier(8)

    def ask(_: int) -> type[BaseException] | None:
        start.wait(timeout=60)
        try:
            scm.details(7)
        except CertflowError as error:
            return type(error)
        return None

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(ask, range(8)))
    assert outcomes == [LoginError] * 8
    assert refused.call_count == 1


@responses.activate
def test_a_token_serves_until_shortly_before_its_end() -> None:
    """contract 1: a new token before `expires_in` ends"""
    clock = Clock()
    form = urlencoded_params_matcher({"grant_type": "client_credentials", "client_id": "client", "client_secret": "S3cr3t-word"})
    first = responses.post(TOKENS, json={"access_token": "one", "expires_in": 300}, match=[form])
    responses.get(f"{API}/ssl/v1/7", json=ISSUED, match=[bearer("one")])
    scm = client(OAUTH2, clock)
    scm.details(7)
    clock.now += 239
    scm.details(7)
    assert first.call_count == 1
    clock.now += 2
    scm.details(7)
    assert first.call_count == 2
    assert scm.calls == 3


@responses.activate
@pytest.mark.parametrize("lifetime", [{}, {"expires_in": 0}, {"expires_in": "soon"}, {"expires_in": None}])
def test_a_token_without_a_lifetime_counts_five_minutes(lifetime: dict[str, Any]) -> None:
    """contract 1"""
    clock = Clock()
    fetched = token("one", **lifetime)
    responses.get(f"{API}/ssl/v1/7", json=ISSUED)
    scm = client(OAUTH2, clock)
    scm.details(7)
    clock.now += 200
    scm.details(7)
    assert fetched.call_count == 1


@responses.activate
def test_a_token_that_scm_refuses_is_replaced_once() -> None:
    """contract 1, RULES S1"""
    token("old")
    token("new")
    responses.get(f"{API}/ssl/v1/7", status=401, match=[bearer("old")])
    responses.get(f"{API}/ssl/v1/7", json=ISSUED, match=[bearer("new")])
    assert client(OAUTH2).details(7).ssl_id == 7


@responses.activate
def test_a_second_refused_token_stops_all_further_calls() -> None:
    """RULES S1"""
    token("one")
    token("two")
    refused = responses.get(f"{API}/ssl/v1/7", status=401)
    scm = client(OAUTH2)
    for _ in range(2):
        with pytest.raises(LoginError):
            scm.details(7)
    assert refused.call_count == 2


@responses.activate
def test_an_order_is_not_repeated_with_a_new_token_but_the_next_call_has_one() -> None:
    """RULES S1: it goes back to planned, and the account is not stopped"""
    token("old")
    responses.get(f"{API}/ssl/v1/7", json=ISSUED)
    sent = responses.post(f"{API}/ssl/v1/enroll", status=401)
    scm = client(OAUTH2)
    scm.details(7)
    with pytest.raises(TransientError, match="nothing was taken") as caught:
        scm.enroll(REQUEST)
    assert caught.value.status == 401
    assert sent.call_count == 1
    token("new")
    assert scm.details(7).ssl_id == 7


@responses.activate
def test_an_order_refused_with_a_token_that_never_worked_stops_the_account() -> None:
    """RULES S1"""
    token("one")
    sent = responses.post(f"{API}/ssl/v1/enroll", status=401)
    scm = client(OAUTH2)
    for _ in range(2):
        with pytest.raises(LoginError):
            scm.enroll(REQUEST)
    assert sent.call_count == 1


@responses.activate
@pytest.mark.parametrize(("status", "body", "kind"), [
    (401, {"error": "unauthorized_client"}, LoginError), (400, {"error": "invalid_client"}, LoginError), (403, {}, RightsError),
    (404, {}, SetupError), (302, {}, SetupError), (200, {"token": "x"}, SetupError), (200, {"access_token": "two words"}, SetupError),
    (200, {"access_token": 5}, SetupError), (503, {}, TransientError),
])
def test_a_token_server_that_gives_no_token_is_told_from_scm(status: int, body: dict[str, str], kind: type[CertflowError]) -> None:
    """RULES S1"""
    responses.post(TOKENS, status=status, json=body)
    scm = client(OAUTH2)
    with pytest.raises(CertflowError, match=r"sso\.example\.com") as caught:
        scm.details(7)
    assert type(caught.value) is kind
    assert scm.calls == 0


@responses.activate
@pytest.mark.parametrize("status", [302, 403, 404, 500])
def test_an_order_that_found_no_token_was_surely_not_taken(status: int) -> None:
    """RULES E2"""
    responses.post(TOKENS, status=status)
    with pytest.raises(TransientError, match="the order was not sent"):
        client(OAUTH2).enroll(REQUEST)


@responses.activate
def test_a_lost_answer_to_an_order_is_in_doubt() -> None:
    """RULES E2"""
    token("one")
    responses.post(f"{API}/ssl/v1/enroll", body=ConnectionError("gone"))
    with pytest.raises(AmbiguousError):
        client(OAUTH2).enroll(REQUEST)


@responses.activate
def test_what_only_an_administrator_has_is_none_with_oauth2() -> None:
    """contract 5.18"""
    scm = client(OAUTH2)
    assert scm.own_admin() is None
    assert scm.password_state() is None
