"""Alembic's way into our tables. Started by `tasks.adapters.store` with a connection, or by the alembic command with its own."""

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

import models.orders
import models.reference
from tasks.adapters.store.engine import open_engine
from tasks.settings import settings

TABLES = SQLModel.metadata
assert models.orders.CertificateOrder.metadata is TABLES  # noqa: S101 - a second metadata would migrate nothing


def run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=TABLES, compare_type=True, render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with open_engine(settings().database).connect() as opened:
        run(opened)
        opened.commit()
