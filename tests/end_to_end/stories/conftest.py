"""A world for stories: sandbox SCM, pretend Vault, an empty SQLite database, the account connected. Flows run as plain functions."""

import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import hvac
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
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

    def poll_until(self, ready: Callable[[], bool], seconds: float = 20) -> None:
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
def own_csr() -> Callable[..., str]:
    """A customer's CSR, for a new key unless one is given; nobody else has the key."""

    def make(common_name: str, key: ec.EllipticCurvePrivateKey | None = None) -> str:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject)
        return request.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    return make


@pytest.fixture(scope="session")
def postgres_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server for the whole session, without fsync; the address of its first database."""
    found = shutil.which("pg_config")
    programs = Path(subprocess.run([found, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()) if found else None
    if programs is None or not (programs / "initdb").exists():
        if "postgres" in os.environ.get("CERTFLOW_TEST_REQUIRE", "").split(","):
            pytest.fail("CERTFLOW_TEST_REQUIRE names postgres, but its server programs are not where `pg_config --bindir` says")
        pytest.skip("needs PostgreSQL's server programs, where `pg_config --bindir` says")
    folder = Path(tempfile.mkdtemp(prefix="certflow-stories-"))    # PostgreSQL refuses to run as root, and pytest's folders are closed to others
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *options: str) -> None:
        with (tmp_path_factory.getbasetemp() / f"{program}.out").open("wb") as output:    # a pipe would stay open while the server runs
            subprocess.run([*user, str(programs / program), *options], stdout=output, stderr=output, cwd=folder, timeout=120, check=True)

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "certflow", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    run("pg_ctl", "start", "-w", "-D", data, "-l", str(folder / "log"), "-o", f"-F -h 127.0.0.1 -p {port} -k {folder}")
    yield f"postgresql://certflow@127.0.0.1:{port}/postgres"
    run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def on_either(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world with reference data, once on SQLite, once on an empty PostgreSQL."""
    if request.param == "postgres":
        address = request.getfixturevalue("postgres_address")
        name = f"certflow_{uuid4().hex[:12]}"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        monkeypatch.setenv("CERTFLOW_DATABASE_URL", address.removesuffix("postgres") + name)
        services.forget_services()
        services.migrate()
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
            barrier.wait(30)
            try:
                answers.put((number, function()))
            except CertflowError as error:
                answers.put((number, error))

        processes = [fork.Process(target=one, args=given) for given in enumerate(functions)]
        for process in processes:
            process.start()
        found = dict(answers.get() for _ in processes)
        for process in processes:
            process.join(30)
        return [found[number] for number in range(len(functions))]
    return act
