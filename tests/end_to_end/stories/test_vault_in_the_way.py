"""The real Vault instead of the pretended one, sealed at every step (RULES E1, D1, D5)."""

from contextlib import suppress

import hvac
import pytest

from flows.delete_orders import delete_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.revoke import revoke
from flows.sync_reference_data import sync_reference_data
from models.errors import BatchError, CertflowError
from tasks.adapters.scm import ScmClient
from tasks.adapters.vault import Vault

WISH = {
    "organization": "Example University", "certificate_profile": "OV Multi-Domain", "key_algorithm": "EC",
}


@pytest.fixture
def really(world, real_vault, monkeypatch, tmp_path):
    """The world on the real Vault, below a prefix of its own."""
    prefix = f"stories/{tmp_path.name.lower()}"
    for name, value in {"VAULT_ADDR": real_vault.address, "VAULT_TOKEN": real_vault.token, "CERTFLOW_VAULT_PREFIX": prefix}.items():
        monkeypatch.setenv(name, value)
    client = hvac.Client(url=real_vault.address, token=real_vault.token)
    client.secrets.kv.v2.create_or_update_secret(
        f"{prefix}/accounts/default", secret={"base_url": world.sandbox.line["scm"], **world.sandbox.line["account"]})
    world.restart()
    sync_reference_data.fn()
    yield world, lambda path: client.secrets.kv.v2.read_secret_version(f"{prefix}/{path}", raise_on_deleted_version=True)["data"]
    client.adapter.close()


@pytest.mark.parametrize("method", ["read", "create", "write"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_vault_that_is_sealed_in_the_middle_costs_no_order_and_no_key(really, real_vault, monkeypatch, method, number) -> None:
    """RULES E1, D1: sealed at the n-th read or write of an order and its first polls, unsealed later"""
    world, entry = really
    real = getattr(Vault, method)
    passed = []

    def act(self, *given, **more):
        passed.append(given[0])
        if len(passed) == number:
            real_vault.seal()
        return real(self, *given, **more)
    monkeypatch.setattr(Vault, method, act)
    name = f"{method}{number}.example.com"
    for flow in (lambda: order_certificate.fn(common_name=name, request_id=name, **WISH), poll_orders.fn, poll_orders.fn):
        with suppress(CertflowError):
            flow()
    real_vault.unseal()
    order_certificate.fn(common_name=name, request_id=name, **WISH)
    world.poll_until(lambda: real_vault.unseal() is None and (found := world.certificate_or_none(name)) and found.delivered_at)
    assert len(world.sandbox.orders(name)) == 1
    live = entry(f"live/{name}")
    assert live["metadata"]["version"] == 1
    assert live["data"]["private_key"] == entry(f"keys/{world.submission(name).id}")["data"]["private_key"]


@pytest.mark.parametrize("method", ["read", "write", "versions", "read_version", "destroy_versions"])
def test_a_vault_that_is_sealed_in_a_removal_loses_the_key_all_the_same(really, real_vault, monkeypatch, method) -> None:
    """RULES D5: sealed after SCM has revoked, unsealed later; the next poll goes on"""
    world, entry = really
    name = f"{method.replace('_', '-')}.example.com"
    order_certificate.fn(common_name=name, **WISH)
    world.deliver(name)
    real, revoked = getattr(Vault, method), ScmClient.revoke

    def act(self, *given, **more):
        monkeypatch.setattr(Vault, method, real)
        real_vault.seal()
        return real(self, *given, **more)

    def revoke_at_scm(self, *given, **more):
        revoked(self, *given, **more)
        monkeypatch.setattr(Vault, method, act)
    monkeypatch.setattr(ScmClient, "revoke", revoke_at_scm)
    with pytest.raises(BatchError, match="its key is not taken out"):
        revoke.fn(orders=[name], reason_code="superseded", reason="x", confirm=[name], delete_from_repository=True)
    real_vault.unseal()
    assert poll_orders.fn().revoked == 1
    live = entry(f"live/{name}")
    assert (live["metadata"]["version"], live["data"]["status"], live["data"]["private_key"]) == (2, "revoked", "")
    assert world.certificate(name).removed_at
    delete_orders.fn(orders=[name], destroy_key=True)
    with pytest.raises(hvac.exceptions.InvalidPath):
        entry(f"keys/{world.submission(name).id}")
