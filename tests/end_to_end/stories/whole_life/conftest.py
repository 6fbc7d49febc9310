"""The world in all that a user may have: SQLite or PostgreSQL, the pretend Vault or a real one with the policy that we ship."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hvac
import psycopg
import pytest
from sqlalchemy import Engine, event

from tasks import services

LARGE = {"certificate", "certificate_order", "order_event", "submission"}
"""Tables with a row for each order of an account, maybe a million."""

WORKER_POLICY = Path(__file__).parents[4] / "deployments" / "vault-policies" / "worker.hcl"


@pytest.fixture(params=["SQLite, pretend Vault", pytest.param("PostgreSQL, real Vault", marks=[pytest.mark.postgres, pytest.mark.vault])])
def nowhere(request: pytest.FixtureRequest, world: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The world without any account. Real parts are used as in production: an AppRole with the worker's policy as we ship it, and no more."""
    if request.param.startswith("PostgreSQL"):
        request.getfixturevalue("on_postgres")
        real = request.getfixturevalue("real_vault")
        real.policy("certflow-worker", WORKER_POLICY.read_text())
        role_id, secret_id = real.new_role("certflow", "certflow-worker", secret_id_num_uses=0)
        for name, value in (("VAULT_ADDR", real.address), ("VAULT_ROLE_ID", role_id), ("VAULT_SECRET_ID", secret_id)):
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("VAULT_TOKEN")
        world.vault = hvac.Client(url=real.address, token=real.token)
    world.empty_vault()
    world.restart()
    yield world
    world.restart()
    world.empty_vault()


@pytest.fixture
def lose_database(nowhere: Any) -> Callable[[], None]:
    """The database is gone, and an empty one takes its place, as an operator makes it."""

    def act() -> None:
        nowhere.restart()
        if address := os.environ.get("CERTFLOW_DATABASE_URL"):
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")
            services.migrate()
        for file in nowhere.home.glob("certflow.db*"):
            file.unlink()
        services.forget_services()

    return act


@pytest.fixture
def read_whole() -> Iterator[set[str]]:
    """The statements for which SQLite reads one of the large tables from its beginning to its end, without any index. Not those of the tests
    themselves, which choose nothing, of the migration that numbers rows, and of who deletes keys: any submission may use one again."""
    found: set[str] = set()

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if connection.dialect.name != "sqlite" or "WHERE" not in statement or "row_number()" in statement \
                or "submission_1.reuse_of = submission.id" in statement:
            return
        plan = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters[0] if many else parameters)
        for *_, step in plan.fetchall():
            what, table, *how = step.split()
            if what == "SCAN" and not how and table.rstrip("_0123456789") in LARGE:
                found.add(f"{step}: {statement}")

    event.listen(Engine, "before_cursor_execute", explain)
    yield found
    event.remove(Engine, "before_cursor_execute", explain)
