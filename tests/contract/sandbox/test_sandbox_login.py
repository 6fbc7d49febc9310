"""Logins at the three ports (contract 1, 5.18)."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

OWN = 71


def test_each_host_takes_its_own_login_only(
    sandbox: Any, scm: Any, admin_host: Any, login: dict[str, str], speak: Callable[..., Any],
) -> None:
    """Contract 1"""
    bearer = dict(admin_host.http.headers)["Authorization"]
    assert scm.call("GET", "/ssl/v1").status_code == 200
    assert admin_host.call("GET", "/ssl/v2").status_code == 200
    assert speak(sandbox.line["scm"], {"Authorization": bearer}).refusal("GET", "/ssl/v1") == (401, -16)
    turned = speak(sandbox.line["scm_admin"], login).call("GET", "/ssl/v2")
    assert turned.status_code == 401
    assert turned.headers["WWW-Authenticate"] == sandbox.line["client"]["token_url"]
    assert turned.content == b""


@pytest.mark.parametrize("path", ["/ssl/v1/1999999999", "/nowhere", "/ssl/v1/enroll", "/ssl/v1?size=9999", "/ssl/v2", "/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
def test_a_wrong_login_comes_before_all_else(
    sandbox: Any, login: dict[str, str], speak: Callable[..., Any], method: str, path: str,
) -> None:
    """Contract 8: 401 before anything else"""
    assert speak(sandbox.line["scm"], {**login, "customerUri": "nobody"}).refusal(method, path, data=b"{") == (401, -16)


@pytest.mark.parametrize("name", ["login", "password", "customerUri"])
def test_a_missing_header_is_a_wrong_login(sandbox: Any, login: dict[str, str], speak: Callable[..., Any], name: str) -> None:
    """Contract 1"""
    assert speak(sandbox.line["scm"], {one: value for one, value in login.items() if one != name}).refusal("GET", "/ssl/v1") == (401, -16)


def test_too_many_wrong_passwords_lock_the_login(sandbox: Any, scm: Any, login: dict[str, str], speak: Callable[..., Any]) -> None:
    """Contract 1: never retry on 401"""
    sandbox.settings(lock_after=3)
    wrong = speak(sandbox.line["scm"], {**login, "password": "wrong"})
    for _ in range(2):
        assert wrong.refusal("GET", "/ssl/v1")[0] == 401
    assert scm.call("GET", "/ssl/v1?size=1").status_code == 200, "a right password begins the count again"
    for _ in range(3):
        assert wrong.refusal("GET", "/ssl/v1")[0] == 401
    assert scm.refusal("GET", "/ssl/v1") == (401, -16)
    sandbox.control("PUT", "account", {"failed_attempts": 0})
    assert scm.call("GET", "/ssl/v1?size=1").status_code == 200


def test_an_expired_password_can_only_be_changed(sandbox: Any, scm: Any, login: dict[str, str], speak: Callable[..., Any]) -> None:
    """Contract 5.18"""
    sandbox.control("PUT", "account", {"password_state": "EXPIRED", "password_expires": "2026-01-01"})
    assert scm.refusal("GET", "/ssl/v1")[0] == 401
    assert scm.get("/admin/v1/password") == {"state": "EXPIRED", "expirationDate": "2026-01-01"}
    assert scm.refusal("POST", "/admin/v1/changepassword", {"newPassword": "short"}) == (400, -7306)
    scm.done("POST", "/admin/v1/changepassword", {"newPassword": "a-long-new-password"})
    assert scm.refusal("GET", "/ssl/v1")[0] == 401
    assert speak(sandbox.line["scm"], {**login, "password": "a-long-new-password"}).get("/admin/v1/password")["state"] == "ALIVE"


def test_one_finds_ones_own_record_among_similar_logins(scm: Any, login: dict[str, str]) -> None:
    """Contract 5.18: compare exactly"""
    found = scm.get("/admin/v1", login=login["login"])
    assert len(found) > 1
    own = next(one for one in found if one["login"] == login["login"])
    assert own["id"] == OWN
    record = scm.get(f"/admin/v1/{OWN}")
    assert record["credentials"] == [{"role": "MRAO"}]
    assert {"autoApproveCertificates", "sslRequest", "sslRevoke"} <= set(record["privileges"])
    assert scm.get("/ca-backend/v1")[0]["id"]


def test_a_rao_sees_its_organization_only(sandbox: Any, scm: Any, body: Callable[..., Any]) -> None:
    """Contract 5.1, 5.2, 5.18"""
    everything = scm.report()
    sandbox.control("PUT", "account", {"roles": [["RAO_SSL", 3200]]})
    seen = {3200, 3201}
    assert [one["id"] for one in scm.get("/organization/v1")] == [3200]
    assert scm.refusal("GET", "/organization/v1/3100") == (404, -1023)
    assert {row["orgId"] for row in scm.report().values()} <= seen
    assert set(scm.report()) == {ssl_id for ssl_id, row in everything.items() if row["orgId"] in seen}
    hidden = next(ssl_id for ssl_id, row in everything.items() if row["orgId"] not in seen)
    assert scm.refusal("GET", f"/ssl/v1/{hidden}") == (404, -124)
    assert int(scm.call("HEAD", "/ssl/v1").headers["X-Total-Count"]) == len(scm.report())
    assert {given["orgId"] for given in scm.get("/domain/v1/6001")["delegations"]} <= seen
    assert scm.refusal("GET", "/ca-backend/v1") == (400, -3)
    assert scm.refusal("POST", "/ssl/v1/enroll", body()) == (400, -226)


@pytest.mark.parametrize(("privilege", "method", "path"), [
    ("sslRequest", "POST", "/ssl/v1/enroll"), ("sslRenew", "POST", "/ssl/v1/renewById/{}"), ("sslReplace", "POST", "/ssl/v1/replace/{}"),
    ("sslRevoke", "POST", "/ssl/v1/revoke/{}"), ("sslApprove", "POST", "/ssl/v1/approve/{}"), ("sslManage", "PUT", "/ssl/v1"),
])
def test_a_missing_privilege_arrives_as_400(sandbox: Any, scm: Any, privilege: str, method: str, path: str) -> None:
    """Contract 9, quirk 7"""
    own = scm.get(f"/admin/v1/{OWN}")["privileges"]
    sandbox.control("PUT", "account", {"privileges": [one for one in own if one != privilege]})
    assert scm.refusal(method, path.format(sandbox.orders()[0]["ssl_id"]), {}) == (400, -3)


def test_tokens_end_and_secrets_change(sandbox: Any, admin_host: Any, new_token: Callable[..., Any]) -> None:
    """Contract 1: OAuth2"""
    assert new_token(client_secret="wrong").status_code == 401
    assert new_token(grant_type="password").status_code == 400
    sandbox.settings(token_lifetime=1)
    short = new_token().json()
    assert short["expires_in"] == 1
    assert short["token_type"] == "Bearer"
    headers = {"Authorization": f"Bearer {short['access_token']}"}
    deadline = time.monotonic() + 60
    while requests.get(f"{admin_host.base}/ssl/v1?size=1", headers=headers, timeout=60).status_code == 200:
        assert time.monotonic() < deadline
    assert admin_host.call("GET", "/ssl/v1?size=1").status_code == 200, "an older token with a longer life is still good"
    sandbox.control("PUT", "client", {"client_secret": "another", "forget_tokens": True})
    assert admin_host.call("GET", "/ssl/v1?size=1").status_code == 401
    assert new_token().status_code == 401
    assert new_token(client_secret="another").status_code == 200


def test_a_client_certificate_logs_in_without_a_password(sandbox: Any, login: dict[str, str], speak: Callable[..., Any]) -> None:
    """Contract 1: client certificate"""
    files = sandbox.line["tls"]
    headers = {name: value for name, value in login.items() if name != "password"}
    certified = speak(sandbox.line["scm_tls"], headers)
    certified.http.verify, certified.http.cert = files["ca"], (files["client_certificate"], files["client_key"])
    assert certified.get("/ssl/v1/types")
    assert certified.refusal("GET", "/ssl/v1", headers={"customerUri": "nobody"}) == (401, -16)
    assert certified.refusal("GET", "/ssl/v1", headers={"login": "registrar"}) == (401, -16)
    bare = speak(sandbox.line["scm_tls"], login)
    bare.http.verify = files["ca"]
    assert bare.refusal("GET", "/ssl/v1") == (401, -16)
    assert Path(files["client_key"]).stat().st_mode & 0o077 == 0


def test_a_client_certificate_of_another_ca_is_refused_by_tls(
    sandbox: Any, sandbox_process: Callable[..., Any], login: dict[str, str], speak: Callable[..., Any],
) -> None:
    """Contract 1: client certificate"""
    other = sandbox_process("--orders", "1").line["tls"]
    stranger = speak(sandbox.line["scm_tls"], login)
    stranger.http.verify, stranger.http.cert = sandbox.line["tls"]["ca"], (other["client_certificate"], other["client_key"])
    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError, ssl.SSLError)):
        stranger.call("GET", "/ssl/v1")
