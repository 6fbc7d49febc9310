"""Ask SCM about orders one by one, some at the same time, and keep what it says of them."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from models.errors import CertflowError, LoginError, SetupError
from models.records import OrderRecord
from tasks.adapters.store import Session, orders
from tasks.runs import log, this_run
from tasks.services import Services

T = TypeVar("T")
R = TypeVar("R")


def together(svc: Services, act: Callable[[T], R], items: Sequence[T]) -> list[R | CertflowError]:
    """What `act` answers to each item, in their order, at most `CERTFLOW_SCM_CONCURRENCY` at once. An error of ours is an answer too, so
    that one failure stops nobody else. `act` runs in threads: it asks, and writes nothing into our database."""

    def answered(item: T) -> R | CertflowError:
        try:
            return act(item)
        except CertflowError as error:
            return error

    with ThreadPoolExecutor(svc.settings.scm_concurrency) as pool:
        return list(pool.map(answered, items))


def stop_in(answers: Iterable[object]) -> LoginError | SetupError | None:
    """The first answer after which nothing more can be done for the account (RULES S1)."""
    return next((one for one in answers if isinstance(one, LoginError | SetupError)), None)


def keep(session: Session, svc: Services, account: str, record: OrderRecord) -> None:
    """Write down what SCM's details say of an order. A status that we do not know is said, and keeps the old one (RULES S4)."""
    for text in orders.upsert(session, account, [record], now=svc.clock(), run=this_run()).unreadable:
        log().warning(text)
