"""An account's data: what people paste and what files hold, before anything goes to Vault."""

import json
from pathlib import Path

import pytest

from deployments import account_data
from models.errors import InputError

HEADER_LOGIN = {"base_url": "https://scm.example.com/api", "customer_uri": "acme", "login": "api", "password": "s3cret-Value"}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(("pasted", "understood"), [
    ("https://cert-manager.com/customer/acme", ("https://cert-manager.com/api", "acme")),
    ("https://cert-manager.com/customer/acme/", ("https://cert-manager.com/api", "acme")),
    ("https://cert-manager.com/customer/acme/ssl/list?page=2#top", ("https://cert-manager.com/api", "acme")),
    (" cert-manager.com/customer/acme ", ("https://cert-manager.com/api", "acme")),
    ("https://scm.example.com:8443/customer/acme", ("https://scm.example.com:8443/api", "acme")),
    ("https://cert-manager.com/api", ("https://cert-manager.com/api", "")),
    ("cert-manager.com", ("https://cert-manager.com", "")),
    ("http://127.0.0.1:8080/api", ("http://127.0.0.1:8080/api", "")),
])
def test_the_address_of_the_portal_is_understood(pasted: str, understood: tuple[str, str]) -> None:
    """Contract 1: the customer URI is the last part of the portal's login address."""
    assert account_data.portal(pasted) == understood


def test_the_portals_address_gives_the_customer_uri_unless_one_is_given() -> None:
    """Contract 1"""
    pasted = {**HEADER_LOGIN, "base_url": "https://cert-manager.com/customer/acme"}
    given = account_data.prepared(pasted)
    assert (given["base_url"], given["customer_uri"]) == ("https://cert-manager.com/api", "acme")
    del pasted["customer_uri"]
    assert account_data.prepared(pasted)["customer_uri"] == "acme"


def test_certificate_and_key_may_be_files_or_texts(tmp_path: Path) -> None:
    """DESIGN 4: Vault holds PEM texts, never paths."""
    certificate = tmp_path / "client.pem"
    certificate.write_text(CERTIFICATE)
    prepared = account_data.prepared({"client_certificate": str(certificate), "client_key": KEY})
    assert prepared == {"client_certificate": CERTIFICATE, "client_key": KEY}


@pytest.mark.parametrize(("content", "words"), [
    (b"not PEM", "holds no PEM text"),
    (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n", "is encrypted"),
    (b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END RSA PRIVATE KEY-----\n", "is encrypted"),
    (b"\xff\xfe\x00", "cannot be read as a text file"),
])
def test_a_file_that_cannot_be_the_key_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    """A wrong file is noticed now, not at the first order."""
    file = tmp_path / "client.key"
    file.write_bytes(content)
    with pytest.raises(InputError, match=words):
        account_data.pem(file, "client_key")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """An error says what is wrong."""
    with pytest.raises(InputError, match=r"client_key: .*nowhere"):
        account_data.pem(tmp_path / "nowhere", "client_key")


@pytest.mark.parametrize("text", ["", "not json", "[]", "null", '"text"', "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    """Hostile and broken input end in a sentence."""
    file = tmp_path / "account.json"
    file.write_text(text)
    with pytest.raises(InputError, match="JSON"):
        account_data.read(str(file))


def test_an_unknown_field_is_named_and_no_value_is_shown(tmp_path: Path) -> None:
    """DESIGN 6: messages hold names, never secrets."""
    file = tmp_path / "account.json"
    file.write_text(json.dumps({**HEADER_LOGIN, "pasword": "s3cret-Other"}))
    with pytest.raises(InputError) as caught:
        account_data.read(str(file))
    assert "pasword" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("defaults", [
    [], "text", {"comments": "no"}, {"external_requester_emails": "a@example.com"}, {"external_requester_emails": ["nobody"]},
    {"custom_fields": ["x"]}, {"custom_fields": {"Cost centre": 12}},
])
def test_defaults_that_no_order_could_use_are_refused(defaults: object) -> None:
    """RULES C4"""
    with pytest.raises(InputError, match="defaults"):
        account_data.prepared({**HEADER_LOGIN, "defaults": defaults})


def test_good_defaults_are_kept() -> None:
    """RULES C4"""
    defaults = {"external_requester_emails": ["pki@example.com"], "custom_fields": {"Cost centre": "12"}}
    assert account_data.prepared({**HEADER_LOGIN, "defaults": defaults})["defaults"] == defaults


def test_empty_answers_are_left_out() -> None:
    """Vault's entry holds only what the account has (DESIGN 4)."""
    assert account_data.prepared({**HEADER_LOGIN, "client_key": "", "token_url": None, "defaults": {}}) == HEADER_LOGIN
