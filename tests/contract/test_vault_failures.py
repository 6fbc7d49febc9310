"""What goes wrong between Certflow and Vault, and the sentence that comes of it."""

import json
import pickle
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from models.errors import CertflowError, SetupError, TransientError
from tasks.adapters.vault import Vault

LIVE = "live/www.example.com"
SECRET = "never-show-this"
JSON = {"Content-Type": "application/json"}


def said(*errors: str) -> bytes:
    return json.dumps({"errors": errors}).encode()


@pytest.mark.parametrize(("answer", "kind", "sentence"), [
    ((503, JSON, said("Vault is sealed")), TransientError, "is sealed: an operator must unseal it"),
    ((503, {}, b""), TransientError, "answered 503"),
    ((500, JSON, said("local node not active but active cluster node not found")), TransientError, "answered 500"),
    ((502, {"Content-Type": "text/html"}, b"<html>"), TransientError, "answered 502"),
    ((429, JSON, said("rate limit quota exceeded")), TransientError, "rate limit"),
    ((412, JSON, said("required index state not present")), TransientError, "not caught up"),
    ((400, JSON, said("Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period")),
     TransientError, "is upgrading the mount"),
    ((501, JSON, said("Vault is not initialized")), SetupError, "vault operator init"),
    ((307, {"Location": "https://user:pw@active.example.com:8200/v1/x"}, b""), SetupError, "redirects to https://active.example.com:8200"),
    ((301, {"Location": "http://[broken"}, b""), SetupError, "redirects to another address"),
    ((404, JSON, said('no handler for route "secret/data/x". route entry not found.')), SetupError, "CERTFLOW_VAULT_MOUNT"),
    ((404, {"Content-Type": "text/html"}, b"<html>Not found</html>"), SetupError, "does not answer like Vault"),
    ((200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"), SetupError, "does not answer like Vault"),
    ((200, JSON, b'{"data": {"data": '), SetupError, "does not answer like Vault"),
    ((200, JSON, b"[]"), SetupError, "does not answer like Vault"),
    ((200, JSON, b"[" * 100_000), SetupError, "does not answer like Vault"),
    ((200, {**JSON, "Content-Encoding": "gzip"}, b"not gzip"), TransientError, "could not be read to its end"),
    ((401, JSON, b"{}"), SetupError, "does not answer like Vault"),
    ((200, JSON, b'{"data": {"login": "x"}}'), SetupError, "version 2"),
    ((200, JSON, b'{"data": {"data": "x", "metadata": {"version": 1}}}'), SetupError, "version 2"),
    ((200, JSON, b'{"data": {"data": {}, "metadata": {"version": true}}}'), SetupError, "version 2"),
    ((404, JSON, said("namespace not found")), SetupError, "namespace not found"),
    ((405, JSON, said("unsupported operation")), SetupError, "does not answer like Vault"),
])
def test_every_failure_of_a_read_is_a_sentence(neighbour: Any, new_vault: Any, answer: Any, kind: type, sentence: str) -> None:
    near = neighbour()
    mount = json.dumps({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}}).encode()
    near.spoil = lambda _method, path: (200, JSON, mount) if "/mounts/" in path else answer
    vault = new_vault(near.address, token=SECRET)
    with pytest.raises(kind, match=sentence) as caught:
        vault.read(LIVE)
    assert SECRET not in str(caught.value)
    assert "user:pw" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own bytes, as Prefect stores them


def test_a_version_that_will_be_deleted_later_is_still_kept(neighbour: Any, new_vault: Any) -> None:
    """RULES D5"""
    near, now = neighbour(), datetime(2026, 5, 1, 12, tzinfo=UTC)
    facts = {
        str(number): {"destroyed": destroyed, "deletion_time": at}
        for number, destroyed, at in (
            (10, False, "2026-05-01T12:00:01.123456789Z"), (9, False, "2026-05-01T11:59:59.123456789Z"), (2, True, ""), (11, False, ""),
        )
    }
    answer = (200, JSON, json.dumps({"data": {"versions": facts, "current_version": 11}}).encode())
    near.spoil = lambda _method, path: (403, JSON, said("no")) if "/mounts/" in path else answer
    vault = new_vault(near.address, token="x", clock=lambda: now)
    assert {number: state.value for number, state in vault.versions(LIVE).items()} == {
        2: "destroyed", 9: "deleted", 10: "kept", 11: "kept",
    }


@pytest.mark.parametrize("versions", [b"[]", b'{"x": {}}', b'{"1": {}}', b'{"1": null}', b'{"1": {"destroyed": false, "deletion_time": "soon"}}'])
def test_version_facts_that_cannot_be_read_are_an_error(neighbour: Any, new_vault: Any, versions: bytes) -> None:
    near = neighbour()
    near.spoil = lambda _method, path: (403, JSON, said("no")) if "/mounts/" in path else (200, JSON, b'{"data": {"versions": %b}}' % versions)
    with pytest.raises(SetupError, match="cannot be read"):
        new_vault(near.address, token="x").versions(LIVE)


def test_nobody_listening_is_told_and_leaves_no_doubt(new_vault: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))    # bound, not listening: nobody else gets this port
        vault = new_vault(f"http://127.0.0.1:{taken.getsockname()[1]}", token=SECRET)
        for call in (lambda: vault.read(LIVE), lambda: vault.create(LIVE, {}), vault.check):
            with pytest.raises(TransientError, match="cannot be reached"):
                call()


def test_a_name_that_does_not_resolve_is_told(new_vault: Any) -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        new_vault("https://vault.invalid:8200", token=SECRET).read(LIVE)


def test_a_server_that_says_nothing_is_not_waited_for(new_vault: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        vault = new_vault(f"http://127.0.0.1:{silent.getsockname()[1]}", token=SECRET, timeout=(0.5, 0.5))
        with pytest.raises(TransientError, match="did not answer in time"):
            vault.read(LIVE)


def test_tls_is_checked_against_the_given_ca(neighbour: Any, pretend_vault: Any, new_vault: Any, tmp_path: Path) -> None:
    certificate, tls = self_signed(tmp_path, "ours")
    other, _ = self_signed(tmp_path, "other")
    near = neighbour(pretend_vault.address, tls)
    good = new_vault(near.address, token=pretend_vault.token, ca_cert=str(certificate))
    assert good.read(LIVE) is None
    for ca in (None, str(other)):
        with pytest.raises(SetupError, match=r"self-signed certificate.*VAULT_CACERT"):
            new_vault(near.address, token=pretend_vault.token, ca_cert=ca).read(LIVE)
    wrong_name = near.address.replace("127.0.0.1", "localhost")
    with pytest.raises(SetupError, match=r"ostname mismatch.*VAULT_CACERT"):
        new_vault(wrong_name, token=pretend_vault.token, ca_cert=str(certificate)).read(LIVE)
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(SetupError, match="VAULT_CACERT"):
        new_vault(near.address, token=pretend_vault.token, ca_cert=str(empty)).read(LIVE)
    with pytest.raises(SetupError, match="TLS connection"):
        new_vault(pretend_vault.address.replace("http:", "https:"), token="x").read(LIVE)


@pytest.mark.parametrize(("health", "kind", "sentence"), [
    ((501, JSON, b'{"initialized": false, "sealed": true}'), SetupError, "vault operator init"),
    ((503, JSON, b'{"initialized": true, "sealed": true}'), TransientError, "is sealed"),
    ((472, JSON, b'{"initialized": true, "sealed": false}'), SetupError, "disaster recovery secondary"),
    ((200, {"Content-Type": "text/html"}, b"<html>Welcome</html>"), SetupError, "does not answer like Vault"),
])
def test_check_tells_the_state_of_the_server(near: Any, through: Vault, health: Any, kind: type[CertflowError], sentence: str) -> None:
    """RULES S2"""
    near.lose_once("GET", "/sys/health", health)
    with pytest.raises(kind, match=sentence):
        through.check()


def test_check_says_what_it_could_not_prove(near: Any, through: Vault) -> None:
    """RULES S2"""
    near.lose_once("POST", "/sys/capabilities-self", (403, JSON, said("permission denied")))
    (sentence,) = through.check()
    assert "could not be asked" in sentence


def test_a_netrc_file_and_cookies_add_nothing_to_a_call(
    neighbour: Any, pretend_vault: Any, new_vault: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate, tls = self_signed(tmp_path, "ours")
    near = neighbour(pretend_vault.address, tls)
    vault = new_vault(near.address, token=pretend_vault.token, ca_cert=str(certificate))
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login someone password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    near.lose_once("GET", "/data/", (404, {**JSON, "Set-Cookie": "a=b; Path=/"}, said()))
    for _ in range(2):
        assert vault.read(LIVE) is None
    assert len(near.calls) == 3
    assert not any({"Authorization", "Cookie"} & set(headers) for _, _, headers in near.calls)


def self_signed(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A server certificate for 127.0.0.1 only, and a context that serves it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return path, context
