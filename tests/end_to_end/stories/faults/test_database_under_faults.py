"""Every flow times every trouble of the database: a sentence, nothing lost, nothing done twice; and the same flow works when the trouble is over."""

import contextlib
import os
import shlex
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from flows.cancel_orders import cancel_orders
from flows.check_account import check_account
from flows.delete_orders import delete_orders
from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from flows.report_inventory import report_inventory
from flows.revoke import revoke
from flows.sync_reference_data import sync_reference_data
from models.errors import BatchError, CertflowError, SetupError, TransientError
from models.orders import CertificateOrder
from tasks import services
from tasks.adapters.scm import ScmClient

WISH = {"organization": "Example University", "certificate_profile": "OV Multi-Domain", "key_algorithm": "EC"}
CLAIMED = ("enroll", "renew_by_id", "replace", "revoke")
"""Calls that are written down before they are made. A cancelled order is declined first: SCM's details tell, whoever asks again."""

FLOWS: dict[str, Callable[[dict[str, str]], Any]] = {
    "check": lambda _: check_account.fn(),
    "sync": lambda _: sync_reference_data.fn(),
    "import": lambda _: import_orders.fn(fetch_certificates=False),
    "order": lambda _: order_certificate.fn(common_name="new.example.com", request_id="order", **WISH),
    "poll": lambda _: poll_orders.fn(),
    "renew": lambda there: renew_or_reissue.fn(action="renew", orders=[there["renewed"]], request_id="renew"),
    "reissue": lambda there: renew_or_reissue.fn(action="reissue", orders=[there["reissued"]], request_id="reissue"),
    "revoke": lambda there: revoke.fn(orders=[there["revoked"]], reason_code="superseded", reason="new one"),
    "cancel": lambda there: cancel_orders.fn(orders=[there["waiting"]], message="not wanted"),
    "delete": lambda there: delete_orders.fn(orders=[there["deleted"]]),
    "inventory": lambda _: report_inventory.fn(),
}


@contextmanager
def locked(world: Any) -> Iterator[None]:
    """Another program writes for longer than we wait."""
    other = sqlite3.connect(world.home / "certflow.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def full(world: Any) -> Iterator[None]:
    """A disk of a few megabytes, and a file that fills it. A reader keeps the log of the database from being used from its beginning again."""
    assert world.home.is_mount()    # no other disk is filled
    reader = sqlite3.connect(world.home / "certflow.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM account_state").fetchall()
    filler = world.home / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as out:
        while out.write(b"x" * 4096):
            pass
    try:
        yield
    finally:
        filler.unlink()
        reader.close()


def revision(world: Any, number: str | None) -> str:
    with sqlite3.connect(world.home / "certflow.db") as connection:
        [[before]] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        if number:
            connection.execute("UPDATE alembic_version SET version_num = ?", [number])
    connection.close()
    return str(before)


@contextmanager
def ahead(world: Any) -> Iterator[None]:
    """A newer Certflow has written it; whoever opens it now is an older one."""
    before = revision(world, "9999")
    world.restart()
    yield
    revision(world, before)
    world.restart()


@contextmanager
def no_database(world: Any) -> Iterator[None]:
    """Something else lies where it was."""
    world.restart()
    file = world.home / "certflow.db"
    kept = file.read_bytes()
    file.write_bytes(b"not a database" * 1000)
    yield
    file.write_bytes(kept)
    world.restart()


FINE = (type(None),)
TROUBLES: dict[str, tuple[Callable[[Any], Any], tuple[type, ...], dict[str, tuple[type, ...]]]] = {
    # what is wrong    how            what a flow ends with                  what ends otherwise
    "locked":         (locked,       (TransientError, BatchError),          {"inventory": FINE}),
    "disk full":      (full,         (SetupError, BatchError),              {}),
    "ahead of us":    (ahead,        (SetupError,),                         {}),
    "no database":    (no_database,  (SetupError,),                         {}),
}


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, world: Any) -> Iterator[None]:
    """The home on a disk of 8 MB, for the trouble that needs one."""
    if request.node.callspec.params["trouble"] != "disk full":
        yield
        return
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", world.home], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield
    world.restart()
    subprocess.run(["umount", world.home], check=True)


@pytest.fixture
def there(world: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The account's orders, and by what each flow acts on: SCM's ids."""
    monkeypatch.setattr("tasks.adapters.store.engine.BUSY_TIMEOUT_MS", 50)
    world.restart()
    sync_reference_data.fn()
    import_orders.fn(fetch_certificates=False)
    order_certificate.fn(common_name="open.example.com", **WISH)
    rows = world.sandbox.orders()
    names = [row["common_name"] for row in rows]
    issued = [
        str(row["ssl_id"]) for row in rows
        if row["status"] == "Issued" and row["common_name"].endswith(".example.com") and row["profile_id"] == 5201 and not row["renewed"]
        and row["auto_renew"] == "Not scheduled" and row["org_id"] != 3300 and names.count(row["common_name"]) == 1
    ]
    waiting = next(str(row["ssl_id"]) for row in rows if row["status"] == "Requested")
    return {"waiting": waiting, **dict(zip(["renewed", "reissued", "revoked", "deleted"], issued, strict=False))}


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("flow", FLOWS)
def test_a_flow_in_trouble_with_the_database_says_so_and_works_again_afterwards(
    flow: str, trouble: str, world: Any, there: dict[str, str], is_for_a_person: Any,
) -> None:
    """DESIGN 8.2, 8.5; RULES E1: what could not be written down before is not sent"""
    how, expected, otherwise = TROUBLES[trouble]
    world.sandbox.forget_calls()
    caught: CertflowError | None = None
    with how(world):
        try:
            FLOWS[flow](there)
        except CertflowError as error:
            caught = error
    assert isinstance(caught, otherwise.get(flow, expected)), caught
    if caught is not None:
        is_for_a_person(caught)
    assert not [route for route in CLAIMED if world.sandbox.calls().get(f"POST {route}")]
    FLOWS[flow](there)
    assert len(world.sandbox.orders("new.example.com")) == (flow == "order")
    assert all(world.sandbox.calls().get(f"POST {route}", 0) <= 1 for route in (*CLAIMED, "decline"))


@pytest.fixture
def on_postgres(world: Any, postgres_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The world on an empty PostgreSQL, and its server to stop and start."""
    name = f"certflow_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        [[data]] = connection.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'").fetchall()
    program = Path(subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()) / "pg_ctl"

    [_, *options] = shlex.split((Path(data) / "postmaster.opts").read_text())

    def control(act: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        how = ["-m", "immediate"] if act != "start" else ["-o", shlex.join(options)]
        with (Path(data).parent / "log-of-pg_ctl").open("wb") as output:    # a pipe would stay open while the server runs
            subprocess.run(
                [*user, program, act, "-w", "-D", data, "-l", f"{data}.log", *how], stdout=output, stderr=output, cwd="/", timeout=60, check=True)

    monkeypatch.setenv("CERTFLOW_DATABASE_URL", postgres_address.removesuffix("postgres") + name)
    services.forget_services()
    services.migrate()
    world.restart()
    sync_reference_data.fn()
    world.control = control
    yield world
    with contextlib.suppress(SetupError):
        world.restart()
    services.forget_services()


@pytest.mark.postgres
@pytest.mark.parametrize(("kind", "method"), [("enroll", "enroll"), ("renew", "renew_by_id"), ("reissue", "replace")])
def test_an_answer_of_scm_is_not_lost_when_postgresql_restarts_before_it_is_written_down(
    kind: str, method: str, on_postgres: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RULES E1: the numbers exist only here and at SCM"""
    world, real = on_postgres, getattr(ScmClient, method)
    import_orders.fn(fetch_certificates=False)

    def act(self: ScmClient, *given: Any, **more: Any) -> Any:
        answer = real(self, *given, **more)
        world.control("restart")
        return answer

    stranger = world.stranger()
    monkeypatch.setattr(ScmClient, method, act)
    if kind == "enroll":
        assert order_certificate.fn(common_name="restarted.example.com", **WISH).status != "submitting"
        [sent] = [row for row in world.rows(CertificateOrder) if row.common_name == "restarted.example.com"]
        assert [sent.ssl_id] == [row["ssl_id"] for row in world.sandbox.orders("restarted.example.com")]
        return
    done = renew_or_reissue.fn(action=kind, orders=[str(stranger["ssl_id"])])
    assert not done.failed
    ids = [row["ssl_id"] for row in world.sandbox.orders(stranger["common_name"])]
    assert [one.ssl_id for one in done.orders] == [max(ids)]
    assert len(ids) == (2 if kind == "renew" else 1)
    assert world.sandbox.calls()[f"POST {method}"] == 1


@pytest.mark.postgres
@pytest.mark.parametrize("flow", ["sync", "import", "order", "poll", "inventory", "check"])
def test_a_flow_finds_postgresql_away_and_then_there_again(flow: str, on_postgres: Any, is_for_a_person: Any) -> None:
    """DESIGN 8.2"""
    order_certificate.fn(common_name="open.example.com", **WISH)
    on_postgres.sandbox.forget_calls()
    on_postgres.control("stop")
    try:
        with pytest.raises(CertflowError) as caught:
            FLOWS[flow]({})
    finally:
        on_postgres.control("start")
    assert isinstance(caught.value, TransientError | BatchError)
    is_for_a_person(caught.value)
    assert not on_postgres.sandbox.calls().get("POST enroll")
    FLOWS[flow]({})


@pytest.mark.postgres
@pytest.mark.parametrize("flow", FLOWS)
def test_a_postgresql_behind_its_migrations_is_used_by_no_flow(flow: str, on_postgres: Any, is_for_a_person: Any) -> None:
    """DESIGN 4: only `migrate` brings it up"""
    with services.open_services() as svc, svc.store.transaction() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    on_postgres.restart()
    on_postgres.sandbox.forget_calls()
    with pytest.raises(SetupError, match="run `python -m deployments migrate`") as caught:
        FLOWS[flow](dict.fromkeys(["renewed", "reissued", "revoked", "waiting", "deleted"], "41001"))
    is_for_a_person(caught.value)
    assert on_postgres.sandbox.calls() == {}
