"""The three ways to log in, as Vault holds them (contract 1, DESIGN 4)."""

from typing import Any

import pytest

from models.errors import SetupError
from tasks.adapters.scm import ClientCertificate, HeaderLogin, OAuth2Client, ScmClient, credentials_from

HEADER = {"base_url": "https://scm.example.com/api", "customer_uri": "uri-4711", "login": "login-4711", "password": "Tr0ub4dor"}
CERTIFICATE = {
    "base_url": "https://scm.example.com/api", "customer_uri": "uri-4711", "login": "login-4711", "client_certificate": "PEM-C",
    "client_key": "PEM-K",
}
OAUTH2 = {
    "base_url": "https://admin.example.com/api", "client_id": "id-4711", "client_secret": "S3cr3t-word", "token_url": "https://sso.example.com/token",
}


@pytest.mark.parametrize(("secret", "kind"), [(HEADER, HeaderLogin), (CERTIFICATE, ClientCertificate), (OAUTH2, OAuth2Client)])
def test_each_way_to_log_in_is_known_by_its_fields(secret: dict[str, Any], kind: type) -> None:
    """contract 1"""
    assert isinstance(credentials_from({**secret, "defaults": {"custom_fields": {}}}), kind)


@pytest.mark.parametrize("secret", [HEADER, CERTIFICATE, OAUTH2])
def test_a_missing_field_is_named_and_no_value_is(secret: dict[str, str]) -> None:
    """DESIGN 8"""
    for field in secret:
        with pytest.raises(SetupError) as caught:
            credentials_from({**secret, field: ""})
        assert field in str(caught.value)
        assert not any(value in str(caught.value) for name, value in secret.items() if name != field)


@pytest.mark.parametrize("secret", [HEADER, CERTIFICATE, OAUTH2])
def test_the_text_form_of_a_login_hides_its_secrets(secret: dict[str, str]) -> None:
    """DESIGN 6"""
    shown = repr(credentials_from(secret))
    assert not any(secret[field] in shown for field in ("password", "client_key", "client_secret") if field in secret)


@pytest.mark.parametrize(("given", "kept"), [
    ("https://scm.example.com", "https://scm.example.com/api"),
    ("https://scm.example.com/api/", "https://scm.example.com/api"),
    (" https://scm.example.com/api ", "https://scm.example.com/api"),
    ("http://127.0.0.1:8080/api", "http://127.0.0.1:8080/api"),
    ("http://[::1]:8080", "http://[::1]:8080/api"),
    ("http://localhost/", "http://localhost/api"),
])
def test_an_address_is_brought_to_its_api(given: str, kept: str) -> None:
    """contract 1"""
    assert credentials_from({**HEADER, "base_url": given}).base_url == kept


@pytest.mark.parametrize(("given", "kept"), [
    ("https://scm.example.com", "https://scm.example.com/private/api"),
    ("https://scm.example.com/api/", "https://scm.example.com/private/api"),
    ("https://scm.example.com/private/api", "https://scm.example.com/private/api"),
    ("https://scm.example.com/private", "https://scm.example.com/private/api"),
])
def test_a_client_certificate_uses_the_private_api(given: str, kept: str) -> None:
    """contract 1"""
    assert credentials_from({**CERTIFICATE, "base_url": given}).base_url == kept


@pytest.mark.parametrize("given", [
    "http://scm.example.com/api", "ftp://scm.example.com", "scm.example.com", "https://", "https://scm.example.com:x/api", "https://[::1/api",
    "https://user:word@scm.example.com/api", "https://scm.example.com/api?x=1", "http://127.0.0.1.example.com/api",
])
@pytest.mark.parametrize("field", ["base_url", "token_url"])
def test_an_address_must_be_https_except_on_the_loopback(given: str, field: str) -> None:
    """DESIGN 4"""
    with pytest.raises(SetupError, match=field):
        credentials_from({**OAUTH2, field: given})


def test_two_ways_at_once_are_refused() -> None:
    """DESIGN 4"""
    with pytest.raises(SetupError, match="mixes"):
        credentials_from({**HEADER, **OAUTH2})


@pytest.mark.parametrize("value", ["word\r\nX-Other: 1", 12, ["a"], {"a": 1}])
def test_a_field_that_cannot_be_a_header_is_refused(value: object) -> None:
    """DESIGN 8"""
    with pytest.raises(SetupError, match="password"):
        credentials_from({**HEADER, "password": value})


def test_a_client_certificate_that_is_no_pem_is_refused_without_showing_it() -> None:
    """DESIGN 7"""
    with pytest.raises(SetupError, match="client_certificate") as caught:
        ScmClient(credentials_from(CERTIFICATE))
    assert "PEM-K" not in str(caught.value)
