"""The SQLModel store: engine and transactions, migrations, and the queries of each table. Every query takes the session of a transaction."""

from sqlmodel import Session

from tasks.adapters.store.engine import Store
from tasks.adapters.store.schema import migrate, open_store

__all__ = ["Session", "Store", "migrate", "open_store"]
