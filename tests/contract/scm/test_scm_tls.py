"""TLS to SCM: client certificates from memory, and whom not to trust (contract 1, RULES S1)."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from models.errors import AmbiguousError, SetupError
from models.records import EnrollRequest
from tasks.adapters.scm import ScmClient, credentials_from

ISSUED = b'{"id": 7, "status": "Issued"}'
REQUEST = EnrollRequest(organization_id=1, profile_id=2, term_days=90, csr="csr")

Serve = Callable[..., Any]


class Authority:
    """A certification authority for the loopback."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed("Test CA", self.key.public_key(), ca=True)

    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issued(self, name: str) -> tuple[str, str]:
        """A certificate and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        return self._signed(name, key.public_key(), ca=False).public_bytes(serialization.Encoding.PEM).decode(), text

    def _signed(self, name: str, key: Any, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
        builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])).issuer_name(issuer)
        builder = builder.public_key(key).serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        builder = builder.not_valid_after(now + timedelta(days=1)).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def secured(serve: Serve, authority: Authority, folder: Path, *, wants_certificate: bool) -> Any:
    """A TLS server for `localhost`, which may demand a client certificate."""
    files = {name: folder / name for name in ("server.pem", "ca.pem")}
    files["server.pem"].write_text("".join(authority.issued("localhost")))
    files["ca.pem"].write_text(authority.pem())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["server.pem"])
    if wants_certificate:
        context.load_verify_locations(files["ca.pem"])
        context.verify_mode = ssl.CERT_REQUIRED
    return serve(ISSUED, tls=context)


def with_certificate(port: int, pair: tuple[str, str]) -> ScmClient:
    login = {"base_url": f"https://localhost:{port}/api", "customer_uri": "example", "login": "api"}
    return ScmClient(credentials_from({**login, "client_certificate": pair[0], "client_key": pair[1]}), timeout=(2, 2), deadline=0.3)


def with_password(port: int) -> ScmClient:
    login = {"base_url": f"https://localhost:{port}/api", "customer_uri": "example", "login": "api", "password": "Tr0ub4dor"}
    return ScmClient(credentials_from(login), timeout=(2, 2), deadline=0.3)


def test_a_client_certificate_logs_in_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    """contract 1, DESIGN 7"""
    authority = Authority()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    wire = secured(serve, authority, tmp_path, wants_certificate=True)
    with with_certificate(wire.port, authority.issued("api")) as scm:
        assert scm.details(7).ssl_id == 7
        head = wire.heard[0].lower()
    assert head.startswith(b"get /private/api/ssl/v1/7 ")
    assert b"login: api" in head
    assert b"password" not in head


def test_a_client_certificate_that_scm_does_not_know_needs_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    """RULES S1"""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    wire = secured(serve, Authority(), tmp_path, wants_certificate=True)
    refused = pytest.raises(SetupError, match="does not accept the account's client certificate")
    with with_certificate(wire.port, Authority().issued("api")) as scm, refused:
        scm.details(7)


def test_a_server_whose_certificate_cannot_be_verified_needs_a_person(tmp_path: Path, serve: Serve) -> None:
    """RULES S1"""
    wire = secured(serve, Authority(), tmp_path, wants_certificate=False)
    with with_password(wire.port) as scm:
        with pytest.raises(SetupError, match="REQUESTS_CA_BUNDLE"):
            scm.details(7)
        with pytest.raises(AmbiguousError):
            scm.enroll(REQUEST)


def test_a_ca_bundle_that_is_not_there_needs_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN 4"""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with with_password(443) as scm, pytest.raises(SetupError, match="REQUESTS_CA_BUNDLE"):
        scm.details(7)
