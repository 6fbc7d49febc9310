"""The moment from which on the next call of an account may leave. Its row is locked while that moves: nobody reserves a turn twice."""

from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from models.orders import AccountState
from tasks.adapters.store.reference import account_state


def free_at(session: Session, account: str) -> datetime | None:
    """None when no call was ever counted or held up."""
    return session.exec(select(AccountState.free_at).where(col(AccountState.account) == account)).first()


def take(session: Session, account: str, length: timedelta, *, now: datetime) -> datetime:
    """Reserve so much time; when it begins."""
    state = _locked(session, account)
    begins = max(state.free_at or now, now)
    state.free_at = begins + length
    return begins


def pause(session: Session, account: str, *, until: datetime) -> None:
    """No call before `until`."""
    state = _locked(session, account)
    state.free_at = max(state.free_at or until, until)


def _locked(session: Session, account: str) -> AccountState:
    account_state(session, account)
    return session.get_one(AccountState, account, with_for_update=True, populate_existing=True)
