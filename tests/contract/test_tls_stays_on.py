"""TLS verification cannot be switched off by accident: no variable of the environment does it, and no line of the program."""

from pathlib import Path
from typing import Any

import pytest

from models.errors import CertflowError, SetupError
from tasks.adapters.scm import ScmClient, credentials_from
from tasks.adapters.vault import Vault, VaultSettings

ROOT = Path(__file__).resolve().parents[2]
OFF = {
    "REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", "SSL_CERT_FILE": "", "SSL_CERT_DIR": "", "PYTHONHTTPSVERIFY": "0", "VAULT_SKIP_VERIFY": "true",
    "VAULT_CACERT": "", "NODE_TLS_REJECT_UNAUTHORIZED": "0", "HTTPX_VERIFY": "false", "REQUESTS_VERIFY": "false",
}
NOT_IN_THE_PROGRAM = (
    "verify=False", "verify = False", "verify=0", "CERT_NONE", "check_hostname = False", "check_hostname=False", "disable_warnings",
    "_create_unverified_context", "InsecureRequestWarning", "assert_hostname=False", "ignore-certificate",
)


@pytest.mark.parametrize("variable", [*OFF, "all of them"])
def test_no_variable_switches_the_verification_off(variable: str, shared_sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SECURITY: a man in the middle; the sandbox's TLS port has a certificate of a CA that nobody trusts"""
    for name, value in OFF.items():
        monkeypatch.delenv(name, raising=False)
        if variable in {name, "all of them"}:
            monkeypatch.setenv(name, value)
    address = shared_sandbox.line["scm_tls"]
    header = {"base_url": address, "customer_uri": "x", "login": "api", "password": "Tr0ub4dor"}
    oauth2 = {"base_url": address, "client_id": "x", "client_secret": "S3cr3t-word", "token_url": address}
    for secret in (header, oauth2):
        with ScmClient(credentials_from(secret)) as scm, pytest.raises(SetupError, match="cannot be verified"):
            scm.organizations()
    vault = Vault(VaultSettings(address=address.removesuffix("/private/api").removesuffix("/api"), token="never-show-this"))
    with pytest.raises(SetupError, match=r"TLS connection .* failed"):
        vault.read("accounts/default")
    vault.close()


def test_a_client_certificate_does_not_switch_it_off_either(shared_sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SECURITY: a man in the middle; this way has an SSL context of its own"""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    line = shared_sandbox.line
    files = {name: Path(line["tls"][name]).read_text() for name in ("client_certificate", "client_key")}
    secret = {"base_url": line["scm_tls"], "customer_uri": "x", "login": "api", **files}
    with ScmClient(credentials_from(secret)) as scm, pytest.raises(CertflowError, match="cannot be verified"):
        scm.organizations()


def test_no_line_of_the_program_switches_it_off() -> None:
    """SECURITY: a man in the middle"""
    for folder in ("models", "tasks", "flows", "deployments"):
        for file in (ROOT / folder).rglob("*.py"):
            found = [word for word in NOT_IN_THE_PROGRAM if word in file.read_text()]
            assert not found, f"{file.relative_to(ROOT)}: {found}"
