"""Queries of the reference data and of what we remember of an account."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import text
from sqlmodel import Session, col, select

from models.orders import AccountState
from models.reference import CertificateProfile, CustomField, Domain, Organization
from models.summaries import Counted

Row = TypeVar("Row", Organization, Domain, CertificateProfile, CustomField)

_NOT_A_CHANGE = frozenset({"checked_at", "changed_at", "vanished_at"})


def account_state(session: Session, account: str) -> AccountState:
    """What we remember of the account; a new row for one not seen before."""
    state = session.get(AccountState, account)
    if state is None:    # two flows may meet a new account at once
        session.execute(text("INSERT INTO account_state (account) VALUES (:account) ON CONFLICT DO NOTHING"), {"account": account})
        state = session.get_one(AccountState, account)
    return state


def apply(session: Session, table: type[Row], account: str, rows: Sequence[dict[str, Any]], *, now: datetime, whole: bool = True) -> Counted:
    """Write what SCM showed of one kind. With `whole`, what is not among `rows` is marked as vanished, not removed.

    A row that vanished and is back counts as changed. Of two rows with one id, as overlapping pages hold them, the last counts.
    """
    rows = list({facts["id"]: facts for facts in rows}.values())
    known = {row.id: row for row in session.exec(select(table).where(col(table.account) == account))}
    new = changed = vanished = 0
    for facts in rows:
        row = known.get(facts["id"])
        if row is None:
            session.add(table(account=account, changed_at=now, **facts))
            new += 1
            continue
        differs = row.vanished_at is not None or any(
            getattr(row, name) != value for name, value in facts.items() if name not in _NOT_A_CHANGE
        )
        for name, value in facts.items():
            setattr(row, name, value)
        if differs:
            row.vanished_at, row.changed_at = None, now
            changed += 1
    if whole:
        seen = {facts["id"] for facts in rows}
        for row in known.values():
            if row.id not in seen and row.vanished_at is None:
                row.vanished_at = row.changed_at = now
                vanished += 1
    return Counted(seen=len(rows), new=new, changed=changed, vanished=vanished)


def rows(session: Session, table: type[Row], account: str, *, vanished: bool = False) -> list[Row]:
    """The account's rows of one kind, by id; vanished ones only if asked for."""
    query = select(table).where(col(table.account) == account).order_by(col(table.id))
    if not vanished:
        query = query.where(col(table.vanished_at).is_(None))
    return list(session.exec(query))
