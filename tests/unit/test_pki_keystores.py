"""Keystores, read back by the programs that will read them: openssl and keytool."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import jks
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BadCertificateError, InputError
from tasks.adapters.pki import (
    PrivateKey,
    check_keystore_password,
    key_to_pem,
    make_keystore,
    new_key,
    new_keystore_password,
    public_key_sha256,
)

PASSWORD = "Kp7 x'\"$&;\\zW9"    # every printable character is allowed, quotes and blanks too
KEY_KINDS = [("RSA", "2048"), ("EC", "P-256"), ("EC", "P-384")]


def program(name: str, word: str) -> str:
    """The program's path; without it the test is skipped, or fails where CERTFLOW_TEST_REQUIRE names it."""
    path = shutil.which(name)
    if path is None:
        if word in os.environ.get("CERTFLOW_TEST_REQUIRE", "").replace(",", " ").split():
            pytest.fail(f"{name} is not installed, and CERTFLOW_TEST_REQUIRE names {word}")
        pytest.skip(f"{name} is not installed")
    return path


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


@cache
def issued(algorithm: str, size: str) -> tuple[PrivateKey, str, str]:
    """A key, its certificate and a chain of two."""
    keys = [new_key(algorithm, size), new_key("EC", "P-256"), new_key("EC", "P-256")]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("www.example.com", "Issuing CA", "Policy CA", "Root CA")]
    start = datetime(2026, 4, 1, tzinfo=UTC)
    pems = [
        x509.CertificateBuilder().subject_name(names[at]).issuer_name(names[at + 1]).public_key(keys[at].public_key())
        .serial_number(at + 1).not_valid_before(start).not_valid_after(start + timedelta(days=199))
        .add_extension(x509.BasicConstraints(ca=at > 0, path_length=None), critical=True)
        .sign(keys[min(at + 1, 2)], hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        for at in range(3)
    ]
    return keys[0], pems[0], pems[1] + pems[2]


def keystore(kind: str, algorithm: str, size: str) -> bytes:
    key, certificate, chain = issued(algorithm, size)
    return make_keystore(kind, key=key, certificate=certificate, chain=chain, alias="Www.Example.com", password=PASSWORD)


@pytest.mark.parametrize(("algorithm", "size"), KEY_KINDS)
@pytest.mark.parametrize(("kind", "legacy", "marks"), [
    ("PKCS12", [], ["MAC: sha256", "PBES2", "AES-256-CBC", "hmacWithSHA256"]),
    ("PKCS12_LEGACY", ["-legacy"], ["MAC: sha1", "pbeWithSHA1And3-KeyTripleDES-CBC"]),
])
def test_openssl_reads_the_key_and_the_whole_chain(
    kind: str, legacy: list[str], marks: list[str], algorithm: str, size: str, tmp_path: Path
) -> None:
    """RULES K4"""
    openssl = program("openssl", "openssl")
    file, secret = tmp_path / "keystore.p12", tmp_path / "password"
    file.write_bytes(keystore(kind, algorithm, size))
    secret.write_text(PASSWORD)
    said = run(openssl, "pkcs12", *legacy, "-in", str(file), "-passin", f"file:{secret}", "-nodes", "-info")
    for mark in marks:
        assert mark in said
    assert "friendlyName: www.example.com" in said
    key, certificate, chain = issued(algorithm, size)
    assert x509.load_pem_x509_certificates(said.encode()) == x509.load_pem_x509_certificates((certificate + chain).encode())
    found = re.search(r"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----", said, re.DOTALL)
    assert found is not None
    assert serialization.load_pem_private_key(found.group().encode(), None).private_numbers() == key.private_numbers()    # type: ignore[union-attr]


@pytest.mark.parametrize(("algorithm", "size"), KEY_KINDS)
@pytest.mark.parametrize("kind", ["PKCS12", "PKCS12_LEGACY", "JKS"])
def test_keytool_lists_one_key_entry_with_the_whole_chain_leaf_first(kind: str, algorithm: str, size: str, tmp_path: Path) -> None:
    """RULES K4"""
    keytool = program("keytool", "java")
    file, secret = tmp_path / "keystore", tmp_path / "password"
    file.write_bytes(keystore(kind, algorithm, size))
    secret.write_text(PASSWORD)
    said = run(keytool, "-J-Duser.language=en", "-list", "-v", "-keystore", str(file), "-storepass:file", str(secret))
    assert "Your keystore contains 1 entry" in said
    assert "Alias name: www.example.com" in said
    assert "Entry type: PrivateKeyEntry" in said
    assert "Certificate chain length: 3" in said
    assert re.findall(r"Owner: CN=(.*)", said) == ["www.example.com", "Issuing CA", "Policy CA"]
    assert f"Keystore type: {'JKS' if kind == 'JKS' else 'PKCS12'}" in said


@pytest.mark.parametrize(("algorithm", "size"), KEY_KINDS)
def test_java_opens_the_key_of_a_jks_with_the_password_of_the_store(algorithm: str, size: str, tmp_path: Path) -> None:
    """RULES K3"""
    keytool, openssl = program("keytool", "java"), program("openssl", "openssl")
    source, target, secret = tmp_path / "in.jks", tmp_path / "out.p12", tmp_path / "password"
    source.write_bytes(keystore("JKS", algorithm, size))
    secret.write_text(PASSWORD)
    run(keytool, "-importkeystore", "-noprompt", "-srckeystore", str(source), "-srcstoretype", "JKS", "-srcstorepass:file", str(secret),
        "-destkeystore", str(target), "-deststoretype", "PKCS12", "-deststorepass:file", str(secret))
    said = run(openssl, "pkcs12", "-in", str(target), "-passin", f"file:{secret}", "-nodes", "-nocerts")
    found = re.search(r"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----", said, re.DOTALL)
    assert found is not None
    key = issued(algorithm, size)[0]
    assert serialization.load_pem_private_key(found.group().encode(), None).private_numbers() == key.private_numbers()    # type: ignore[union-attr]


@pytest.mark.parametrize(("algorithm", "size"), KEY_KINDS)
def test_the_pem_keystore_holds_an_encrypted_key_and_the_full_chain(algorithm: str, size: str, tmp_path: Path) -> None:
    """RULES K4"""
    text = keystore("PEM", algorithm, size)
    key, certificate, chain = issued(algorithm, size)
    assert text.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert text.endswith((certificate + chain).encode())
    openssl = program("openssl", "openssl")
    file, secret = tmp_path / "keystore.pem", tmp_path / "password"
    file.write_bytes(text)
    secret.write_text(PASSWORD)
    plain = run(openssl, "pkey", "-in", str(file), "-passin", f"file:{secret}")
    assert serialization.load_pem_private_key(plain.encode(), None).private_numbers() == key.private_numbers()    # type: ignore[union-attr]


@settings(max_examples=15, deadline=None)    # deriving a key takes its time, by design
@given(st.text([chr(code) for code in range(0x20, 0x7F)], min_size=8, max_size=64), st.sampled_from(["PKCS12", "PKCS12_LEGACY", "JKS", "PEM"]))
def test_every_allowed_password_opens_what_it_closed(password: str, kind: str) -> None:
    """RULES K3"""
    check_keystore_password(password)
    key, certificate, chain = issued("EC", "P-256")
    data = make_keystore(kind, key=key, certificate=certificate, chain=chain, alias="a", password=password)
    if kind == "JKS":
        entry = jks.KeyStore.loads(data, password).private_keys["a"]
        opened = serialization.load_der_private_key(entry.pkey_pkcs8, None)
        assert len(entry.cert_chain) == 3
    elif kind == "PEM":
        opened = serialization.load_pem_private_key(data, password.encode())
    else:
        store = pkcs12.load_pkcs12(data, password.encode())
        assert store.cert is not None
        assert store.cert.certificate == x509.load_pem_x509_certificate(certificate.encode())
        assert store.key is not None
        opened = store.key    # type: ignore[assignment]
        assert len(store.additional_certs) == 2
    assert public_key_sha256(opened) == public_key_sha256(key)    # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["PKCS12", "PKCS12_LEGACY", "JKS", "PEM"])
def test_a_certificate_without_chain_makes_a_keystore_too(kind: str) -> None:
    """RULES K4"""
    key, certificate, _ = issued("EC", "P-256")
    assert make_keystore(kind, key=key, certificate=certificate, chain="", alias="a", password=PASSWORD)


@pytest.mark.parametrize("kind", ["PKCS12", "PKCS12_LEGACY", "JKS", "PEM"])
def test_no_keystore_holds_the_key_in_the_clear(kind: str) -> None:
    """RULES K1, K4"""
    key = issued("RSA", "2048")[0]
    data = keystore(kind, "RSA", "2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    prime = key.private_numbers().p
    assert prime.to_bytes((prime.bit_length() + 7) // 8, "big") not in data
    assert key_to_pem(key).splitlines()[-3].encode() not in data


def test_a_key_that_is_not_the_certificates_makes_no_keystore() -> None:
    """RULES D3"""
    _, certificate, chain = issued("EC", "P-256")
    with pytest.raises(BadCertificateError, match="not for this key"):
        make_keystore("PKCS12", key=new_key("EC", "P-256"), certificate=certificate, chain=chain, alias="a", password=PASSWORD)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    """RULES K4"""
    key, certificate, chain = issued("EC", "P-256")
    with pytest.raises(InputError, match="PKCS12, PKCS12_LEGACY, JKS, PEM"):
        make_keystore("PFX", key=key, certificate=certificate, chain=chain, alias="a", password=PASSWORD)


def test_a_new_password_has_32_letters_and_digits_and_is_allowed() -> None:
    """RULES K3"""
    first, second = new_keystore_password(), new_keystore_password()
    assert re.fullmatch("[A-Za-z0-9]{32}", first)
    assert first != second
    check_keystore_password(first)


def test_a_new_password_favours_no_letter() -> None:
    """RULES K3"""
    bytes_given = iter([bytes([255] * 32), bytes(range(32)), bytes([250] * 32)])
    assert new_keystore_password(lambda _: next(bytes_given)) == "abcdefghijklmnopqrstuvwxyzABCDEF"


@pytest.mark.parametrize("password", ["", "short77", "x" * 65, "pässwort1", "with\ttab99", "line break\n", "null\x00byte"])
def test_a_password_that_keytool_would_refuse_is_refused_without_an_echo(password: str) -> None:
    """RULES K3"""
    key, certificate, chain = issued("EC", "P-256")
    for attempt in (
        lambda: check_keystore_password(password),
        lambda: make_keystore("JKS", key=key, certificate=certificate, chain=chain, alias="a", password=password),
    ):
        with pytest.raises(InputError) as caught:
            attempt()
        assert not password or password not in str(caught.value)


@pytest.mark.parametrize("password", ["x" * 8, "x" * 64, " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"])
def test_the_limits_of_a_password_are_8_and_64_printable_characters(password: str) -> None:
    """RULES K3"""
    check_keystore_password(password)
    assert 8 <= len(password) <= 64
