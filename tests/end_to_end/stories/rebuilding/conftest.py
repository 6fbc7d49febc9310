"""A database that is lost, and what other versions of the program left at SCM and in Vault."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlmodel import SQLModel, update

from flows.sync_reference_data import sync_reference_data
from models.orders import Certificate, CertificateOrder, Submission
from tasks import services
from tasks.adapters import pki
from tasks.adapters.vault import Vault

COMES_BACK = (
    "id", "status", "common_name", "subject_alternative_names", "organization_id", "certificate_profile_id", "term_days", "key_algorithm",
    "key_size", "origin", "live_name", "comments", "predecessor_id", "serial_number", "custom_fields", "external_requester_emails",
)


@dataclass
class Lost:
    """Loses the database; tells what it holds of an order, by SCM's id; renews and reissues without it."""

    world: Any

    def lose(self) -> None:
        """An empty database takes its place, with reference data."""
        with services.open_services() as svc, svc.store.transaction() as session:
            session.execute(update(CertificateOrder).values(predecessor_id=None))
            for table in reversed(SQLModel.metadata.sorted_tables):
                session.execute(table.delete())
        self.world.restart()
        sync_reference_data.fn()

    def row(self, ssl_id: int) -> CertificateOrder:
        [row] = [one for one in self.world.rows(CertificateOrder) if one.ssl_id == ssl_id]
        return row

    def certificate(self, ssl_id: int) -> Certificate:
        id_ = self.row(ssl_id).id
        [found] = [one for one in self.world.rows(Certificate) if one.order_id == id_]
        return found

    def sent(self, ssl_id: int) -> list[Submission]:
        """The order's submissions, the oldest first."""
        id_ = self.row(ssl_id).id
        return sorted((one for one in self.world.rows(Submission) if one.order_id == id_), key=lambda one: one.created_at)

    def facts(self, ssl_id: int) -> dict[str, Any]:
        """What must come back."""
        row = self.row(ssl_id)
        return {name: getattr(row, name) for name in COMES_BACK}

    def issue(self, ssl_id: int) -> None:
        self.world.sandbox.change_order(ssl_id, status="Issued")

    def new_key(self, name: str) -> tuple[UUID, str]:
        """A key in Vault that no submission knows; its id and the CSR."""
        key, id_ = pki.new_key("EC", "P-256"), uuid4()
        csr = pki.make_csr(key, name)
        with services.open_services() as svc:
            svc.vault.create(f"keys/{id_}", {"private_key": pki.key_to_pem(key), "csr": csr})
        return id_, csr

    def renew(self, ssl_id: int, *, keep_comments: bool = True) -> tuple[UUID, int]:
        """A renewal at SCM with a new key; the key's id and the new sslId."""
        id_, csr = self.new_key(self.row(ssl_id).common_name)
        with services.open_services() as svc, svc.scm("default") as scm:
            new = scm.renew_by_id(ssl_id, csr=csr).ssl_id
        if not keep_comments:
            self.world.sandbox.change_order(new, comments="")
        return id_, new

    def reissue(self, ssl_id: int) -> UUID:
        """A reissue at SCM with a new key; the key's id."""
        id_, csr = self.new_key(self.row(ssl_id).common_name)
        with services.open_services() as svc, svc.scm("default") as scm:
            scm.replace(ssl_id, csr=csr, reason="new key")
        return id_


@pytest.fixture
def lost(on_either: Any) -> Lost:
    """The world with reference data, whose database may be lost."""
    return Lost(on_either)


@pytest.fixture
def vault_reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is read in Vault from here on, but for accounts."""
    asked: list[tuple[str, str]] = []

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def act(self: Vault, path: str, *more: Any) -> Any:
            if not path.startswith("accounts/"):
                asked.append((name, path))
            return real(self, path, *more)
        return act

    for name in ("read", "read_version", "versions", "list"):
        monkeypatch.setattr(Vault, name, watched(name, getattr(Vault, name)))
    return asked
