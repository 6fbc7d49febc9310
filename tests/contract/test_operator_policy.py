"""The operator's policy, against the real Vault: connects accounts, and reads neither their logins nor anything else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.errors import CertflowError, SetupError
from tasks.adapters.vault import Entry, Vault

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "deployments" / "vault-policies" / "operator.hcl"


@pytest.fixture
def operator(real_vault: Any, prefix: str) -> str:
    """A token with the policy as we ship it, for this test's prefix."""
    real_vault.policy(f"operator-{prefix}", POLICY.read_text().replace("certflow", prefix))
    return str(real_vault.new_token(f"operator-{prefix}"))


def test_an_operator_connects_and_replaces_an_account(real_vault: Any, root: Vault, operator: str, prefix: str, tmp_path: Path) -> None:
    """SECURITY: a stolen operator's token"""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "VAULT_", "PREFECT_"))} | {
        "VAULT_ADDR": real_vault.address, "VAULT_TOKEN": operator, "CERTFLOW_VAULT_PREFIX": prefix, "CERTFLOW_HOME": str(tmp_path),
    }
    for password, more in (("first-Value", ()), ("second-Value", ("--replace",))):
        data = {"base_url": "http://127.0.0.1:9/customer/acme", "login": "api", "password": password}
        done = subprocess.run(
            [sys.executable, "-m", "deployments", "connect", "default", "--from", "-", "--no-proof", *more], input=json.dumps(data), cwd=ROOT,
            env=env, capture_output=True, text=True, check=False, timeout=180)
        assert (done.returncode, done.stderr) == (0, "")
    entry = root.read("accounts/default")
    assert entry is not None
    assert (entry.version, entry.data["password"]) == (2, "second-Value")


def test_an_operator_reads_nothing(real_vault: Any, new_vault: Any, root: Vault, operator: str, prefix: str) -> None:
    """SECURITY: a stolen operator's token"""
    paths = ("accounts/default", "keys/1", "passwords/shop", "live/www.example.com")
    for path in paths:
        root.create(path, {"n": "1"})
    vault = new_vault(real_vault.address, token=operator, prefix=prefix)
    for path in paths:
        for act in (vault.read, vault.delete_all, lambda where: vault.destroy_versions(where, [1])):
            with pytest.raises(SetupError, match="policy lacks"):
                act(path)
        if not path.startswith("accounts/"):
            with pytest.raises(CertflowError):
                vault.write(path, {"n": "2"}, cas=1)
            with pytest.raises(SetupError):
                vault.list(path.split("/")[0])
        assert root.read(path) == Entry({"n": "1"}, 1)
