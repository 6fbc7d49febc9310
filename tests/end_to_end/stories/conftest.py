"""A world for stories: sandbox SCM, pretend Vault, an empty SQLite database, the account connected. Flows run as plain functions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import pytest
from sqlmodel import select

from flows.sync_reference_data import sync_reference_data
from models.orders import Certificate, CertificateOrder, OrderEvent, Submission
from tasks import services

ORGANIZATION = "Example University"
PROFILE = "OV Multi-Domain"


@dataclass
class World:
    """What a test of a flow needs: the sandbox's truth, Vault, and our own tables."""

    sandbox: Any
    vault: hvac.Client
    home: Path

    def entry(self, path: str) -> dict[str, Any]:
        return dict(self.vault.secrets.kv.v2.read_secret_version(f"certflow/{path}", raise_on_deleted_version=True)["data"]["data"])

    def keys(self) -> list[str]:
        return list(self.vault.secrets.kv.v2.list_secrets("certflow/keys")["data"]["keys"])

    def rows(self, table: type) -> list[Any]:
        with services.open_services() as svc, svc.store.reading() as session:
            return list(session.exec(select(table)))

    def order(self, common_name: str) -> CertificateOrder:
        return next(row for row in self.rows(CertificateOrder) if row.common_name == common_name and row.origin == "ordered")

    def submission(self, common_name: str) -> Submission:
        order = self.order(common_name)
        return next(row for row in self.rows(Submission) if row.order_id == order.id)

    def certificate(self, common_name: str) -> Certificate:
        order = self.order(common_name)
        return next(row for row in self.rows(Certificate) if row.order_id == order.id)

    def certificate_or_none(self, common_name: str) -> Certificate | None:
        order = self.order(common_name)
        return next((row for row in self.rows(Certificate) if row.order_id == order.id), None)

    def keys_or_none(self) -> list[str]:
        try:
            return self.keys()
        except hvac.exceptions.InvalidPath:
            return []

    def events(self, common_name: str) -> list[str]:
        order = self.order(common_name)
        return [row.kind for row in self.rows(OrderEvent) if row.order_id == order.id]

    def calls(self) -> int:
        return sum(self.sandbox.calls().values())


@pytest.fixture
def world(sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty installation beside a sandbox; grace time none, so that a second look decides."""
    line = sandbox.line
    for name, value in {
        "CERTFLOW_HOME": str(tmp_path), "VAULT_ADDR": line["vault"], "VAULT_TOKEN": line["vault_token"], "CERTFLOW_GRACE_SECONDS": "0",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("CERTFLOW_DATABASE_URL", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "CERTFLOW_CERTIFICATE_LIMIT", "CERTFLOW_PRIVATE_PROFILES"):
        monkeypatch.delenv(name, raising=False)
    vault = hvac.Client(url=line["vault"], token=line["vault_token"])
    for path in ("accounts", "keys", "live", "passwords"):
        _forget(vault, f"certflow/{path}")
    account = {"base_url": line["scm"], **line["account"]}
    vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret=account)
    services.forget_services()
    yield World(sandbox=sandbox, vault=vault, home=tmp_path)
    services.forget_services()


def _forget(vault: hvac.Client, folder: str) -> None:
    try:
        names = vault.secrets.kv.v2.list_secrets(folder)["data"]["keys"]
    except hvac.exceptions.InvalidPath:
        return
    for name in names:
        vault.secrets.kv.v2.delete_metadata_and_all_versions(f"{folder}/{name}")


@pytest.fixture
def synced(world: World) -> World:
    """The same, with reference data."""
    sync_reference_data.fn()
    return world


@pytest.fixture
def order() -> Callable[..., Any]:
    """Order with what most tests do not care about."""
    from flows.order_certificate import order_certificate

    def act(common_name: str, **more: Any) -> Any:
        return order_certificate.fn(**{
            "common_name": common_name, "organization": ORGANIZATION, "certificate_profile": PROFILE, "key_algorithm": "EC", **more,
        })
    return act
