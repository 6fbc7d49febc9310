"""A world for stories: sandbox SCM, pretend Vault, an empty SQLite database, the account connected. Flows run as plain functions."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import hvac
import psycopg
import pytest
from sqlmodel import select

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from flows.sync_reference_data import sync_reference_data
from models.errors import CertflowError
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

    def poll_until(self, ready: Callable[[], bool], seconds: float = 120) -> None:
        """Poll, whatever it says, until it is so."""
        deadline = datetime.now(UTC) + timedelta(seconds=seconds)
        said: object = "nothing"
        while datetime.now(UTC) < deadline:
            try:
                said = poll_orders.fn()
            except CertflowError as error:
                said = error
            if ready():
                return
        raise AssertionError(f"it did not happen, the last poll said: {said}")

    def deliver(self, *names: str) -> None:
        """Poll until these are delivered."""
        self.poll_until(lambda: all((found := self.certificate_or_none(name)) and found.delivered_at for name in names))

    def events(self, common_name: str) -> list[str]:
        order = self.order(common_name)
        return [row.kind for row in self.rows(OrderEvent) if row.order_id == order.id]

    def successors(self, common_name: str) -> list[CertificateOrder]:
        """Orders that renew one of that name."""
        return [row for row in self.rows(CertificateOrder) if row.common_name == common_name and row.predecessor_id is not None]

    def successor(self, common_name: str) -> CertificateOrder:
        """The successor of our first order for a name."""
        rows = self.rows(CertificateOrder)
        first = next(row for row in rows if row.common_name == common_name and row.predecessor_id is None and row.live_name)
        return next(row for row in rows if row.predecessor_id == first.id)

    def delivered(self, row: CertificateOrder) -> Certificate | None:
        """The newest delivered certificate of an order."""
        return next((one for one in reversed(self.rows(Certificate)) if one.order_id == row.id and one.delivered_at), None)

    def deliver_successor(self, common_name: str) -> dict[str, Any]:
        """Poll until the successor is delivered; the live entry."""
        self.poll_until(lambda: bool(self.successors(common_name)) and self.delivered(self.successor(common_name)) is not None)
        return self.entry(f"live/{common_name}")

    def at_scm(self, common_name: str) -> list[int]:
        """SCM's ids of the orders for a name."""
        return sorted(row["ssl_id"] for row in self.sandbox.orders(common_name))

    def stranger(self) -> dict[str, Any]:
        """An issued order at SCM that nobody placed here, whose name no other order has."""
        return next(
            row for row in self.sandbox.orders()
            if row["status"] == "Issued" and row["common_name"].endswith(".example.com") and row["profile_id"] == 5201 and not row["renewed"]
            and len(self.sandbox.orders(row["common_name"])) == 1 and row["auto_renew"] == "Not scheduled"
        )

    def living(self, number: int = 1) -> list[CertificateOrder]:
        """So many issued orders that an import found, each with a name of its own and its certificate here."""
        import_orders.fn()
        held = {one.order_id for one in self.rows(Certificate)}
        rows = self.rows(CertificateOrder)
        names = [row.common_name for row in rows]
        return [row for row in rows if row.status == "issued" and row.id in held and names.count(row.common_name) == 1][:number]

    def twin_key(self, *rows: CertificateOrder) -> str:
        """Give the certificates of these orders the public key of the first; its hash."""
        first, *others = [next(one for one in self.rows(Certificate) if one.order_id == row.id) for row in rows]
        for other in others:
            with self.changed(Certificate, other.id) as certificate:
                certificate.public_key_sha256 = first.public_key_sha256
        return str(first.public_key_sha256)

    def versions(self, name: str) -> dict[int, Any]:
        """The versions of a live entry: what each holds, None for destroyed ones."""
        kv, path = self.vault.secrets.kv.v2, f"certflow/live/{name}"
        return {
            int(number): None if facts["destroyed"] else kv.read_secret_version(
                path, version=int(number), raise_on_deleted_version=True)["data"]["data"]
            for number, facts in kv.read_secret_metadata(path)["data"]["versions"].items()
        }

    def password(self, path: str, word: str) -> str:
        """Put a keystore password into Vault; its path."""
        name, _, field = path.partition("#")
        self.vault.secrets.kv.v2.create_or_update_secret(f"certflow/passwords/{name}", secret={field: word})
        return path

    def forget_password(self, name: str) -> None:
        self.vault.secrets.kv.v2.delete_metadata_and_all_versions(f"certflow/passwords/{name}")

    @contextmanager
    def changed(self, table: type, id_: Any) -> Iterator[Any]:
        """A row of ours, to be changed behind the program's back."""
        with services.open_services() as svc, svc.store.transaction() as session:
            yield session.get(table, id_)

    def restart(self) -> None:
        """Close the database and read the settings again."""
        with services.open_services() as svc:
            svc.store.engine.dispose()
        services.forget_services()

    def empty_vault(self) -> None:
        """Nothing of ours is in Vault."""
        for folder in ("accounts", "keys", "live", "passwords"):
            with suppress(hvac.exceptions.InvalidPath):
                for name in self.vault.secrets.kv.v2.list_secrets(f"certflow/{folder}")["data"]["keys"]:
                    self.vault.secrets.kv.v2.delete_metadata_and_all_versions(f"certflow/{folder}/{name}")

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
    world = World(sandbox=sandbox, vault=vault, home=tmp_path)
    world.empty_vault()
    account = {"base_url": line["scm"], **line["account"]}
    vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret=account)
    services.forget_services()
    yield world
    services.forget_services()


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


@pytest.fixture
def aged(synced: World, order: Callable[..., Any]) -> Callable[..., World]:
    """Certificates of ours that are delivered and due: of 199 days 49 are left."""

    def act(*names: str, **more: Any) -> World:
        synced.sandbox.settings(clock_offset=-timedelta(days=150).total_seconds())
        for name in names:
            order(name, **more)
        synced.deliver(*names)
        synced.sandbox.settings(clock_offset=0)
        return synced
    return act


@pytest.fixture
def on_postgres(world: World, postgres_address: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world on a PostgreSQL database of its own, brought to the newest migration."""
    name = f"certflow_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    monkeypatch.setenv("CERTFLOW_DATABASE_URL", postgres_address.removesuffix("postgres") + name)
    services.forget_services()
    services.migrate()
    return world


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def on_either(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world with reference data, once on SQLite, once on an empty PostgreSQL."""
    if request.param == "postgres":
        request.getfixturevalue("on_postgres")
    monkeypatch.setenv("CERTFLOW_GRACE_SECONDS", "1")    # longer than any call takes here
    world.restart()
    sync_reference_data.fn()
    yield world
    world.restart()


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Run functions in processes of their own that start together; their answers, or their errors as text."""
    fork = multiprocessing.get_context("fork")

    def act(*functions: Callable[[], Any]) -> list[Any]:
        with services.open_services() as svc:
            svc.store.engine.dispose()    # a connection must not be shared by processes
        barrier, answers = fork.Barrier(len(functions)), fork.SimpleQueue()

        def one(number: int, function: Callable[[], Any]) -> None:
            services.forget_services()
            barrier.wait(120)
            try:
                answers.put((number, function()))
            except CertflowError as error:
                answers.put((number, error))

        processes = [fork.Process(target=one, args=given) for given in enumerate(functions)]
        for process in processes:
            process.start()
        found = dict(answers.get() for _ in processes)
        for process in processes:
            process.join(120)
        return [found[number] for number in range(len(functions))]
    return act
