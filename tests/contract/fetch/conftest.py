"""A live name in the pretend Vault, its versions, and `python -m deployments fetch` for it."""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deployments.__main__ import main
from tasks.adapters import pki
from tasks.adapters.vault import Vault
from tasks.services import forget_services

ROOT = Path(__file__).resolve().parents[3]
NAME = "www.example.com"
PASSWORD = "Kp7x-W9-example"
ALL_FILES = (
    "cert.pem", "chain.pem", "fullchain.pem", "privkey.pem", "keystore.p12", "keystore.jks", "keystore.pem", "keystore.password",
)

Data = dict[str, Any]


class Live:
    """The live entry of www.example.com."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault

    def serve(self, data: Data) -> None:
        """A new version."""
        path = f"live/{NAME}"
        self.vault.write(path, data, cas=self.vault.version(path) or 0)

    @staticmethod
    def issue(kind: str = "PKCS12", *, own_csr: bool = False, days: int = 199) -> Data:
        """An entry as a delivery writes it, with a new key and a new issuing CA (RULES D1)."""
        ca, key = ec.generate_private_key(ec.SECP256R1()), pki.new_key("EC", "P-256")
        issuing, root = ("Issuing CA", "Root CA")
        chain = _certificate(issuing, root, ca, ca_key=ec.generate_private_key(ec.SECP256R1()), is_ca=True, days=3650)
        leaf = _certificate(NAME, issuing, key, ca_key=ca, is_ca=False, days=days)
        pem, chain_pem = (one.public_bytes(serialization.Encoding.PEM).decode() for one in (leaf, chain))
        entry: Data = {
            "certificate": pem, "chain": chain_pem, "fullchain": pem + chain_pem, "private_key": "", "keystore": "", "keystore_type": "",
            "keystore_password": "", "serial_number": f"{leaf.serial_number:x}", "sha256": leaf.fingerprint(hashes.SHA256()).hex(),
            "names": [NAME, "api.example.com"], "not_after": leaf.not_valid_after_utc.isoformat(), "order": "", "account": "default",
            "status": "issued",
        }
        if own_csr:
            return entry
        keystore = pki.make_keystore(kind, key=key, certificate=pem, chain=chain_pem, alias=NAME, password=PASSWORD)
        return entry | {
            "private_key": pki.key_to_pem(key), "keystore": base64.b64encode(keystore).decode(), "keystore_type": kind,
            "keystore_password": PASSWORD,
        }

    @staticmethod
    def files(data: Data) -> dict[str, bytes]:
        """The files that a folder must hold for this entry, and no others of ours."""
        files = {"cert.pem": data["certificate"], "chain.pem": data["chain"], "fullchain.pem": data["fullchain"]}
        found = {name: text.encode() for name, text in files.items()}
        if data["private_key"]:
            extension = {"PKCS12": "p12", "JKS": "jks", "PEM": "pem"}[data["keystore_type"]]
            found["privkey.pem"] = data["private_key"].encode()
            found[f"keystore.{extension}"] = base64.b64decode(data["keystore"])
            found["keystore.password"] = data["keystore_password"].encode()
        return found

    @staticmethod
    def seen(folder: Path) -> dict[str, bytes]:
        """What a program finds in the folder under the names that we give."""
        found = {}
        for name in ALL_FILES:
            with suppress(FileNotFoundError):
                found[name] = (folder / name).read_bytes()
        return found


def _certificate(name: str, by: str, key: Any, *, ca_key: Any, is_ca: bool, days: int) -> x509.Certificate:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10)
    names = [x509.DNSName(name), x509.DNSName("api.example.com")] if not is_ca else [x509.DNSName("ca.example.com")]
    return (
        x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)])).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False).sign(ca_key, hashes.SHA256())
    )


@pytest.fixture
def consumer(pretend_vault: Any, prefix: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a host that only reads certificates: no database that it could reach, nothing of Certflow in its home."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "VAULT_", "PREFECT_"))}
    (tmp_path / "home").mkdir()
    return {
        **mine, "VAULT_ADDR": pretend_vault.address, "VAULT_TOKEN": pretend_vault.token, "CERTFLOW_VAULT_PREFIX": prefix,
        "HOME": str(tmp_path / "home"), "CERTFLOW_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def live(pretend_vault: Any, new_vault: Any, prefix: str) -> Live:
    """The live entry, empty at first."""
    return Live(new_vault(pretend_vault.address, token=pretend_vault.token, prefix=prefix))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files shall be; not there yet."""
    return tmp_path / "tls" / NAME


@pytest.fixture
def fetch(consumer: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """fetch(*options, name=..., into=...): run the command in this process; its status."""
    for name in os.environ:
        if name.startswith(("CERTFLOW_", "VAULT_")):
            monkeypatch.delenv(name)
    for name, value in consumer.items():
        monkeypatch.setenv(name, value)
    forget_services()

    def run(*options: str, name: str = NAME, into: Path = folder) -> int:
        return main(["fetch", name, str(into), *options])

    yield run
    forget_services()


@pytest.fixture
def typed(consumer: dict[str, str], folder: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """typed(*options, before=..., more=...): the command as a process of its own, after words such as a limit and with more variables."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, before: tuple[str, ...] = (), more: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        started.append(subprocess.Popen(
            [*before, sys.executable, "-m", "deployments", "fetch", NAME, str(folder), *options], cwd=ROOT, env={**consumer, **(more or {})},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=120)
