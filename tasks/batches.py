"""Many small deeds of one task: as many at once as SCM may be asked, and one that fails stops no other."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from models.errors import CertflowError, LoginError

K = TypeVar("K")
R = TypeVar("R")

TOGETHER = 100
"""Records that one task handles: Prefect keeps some 20 KB of each task."""


def each(act: Callable[[K], R], keys: Iterable[K], *, at_once: int) -> tuple[dict[K, R], dict[K, CertflowError]]:
    """What `act` answered for each key, and what failed. Raises: LoginError, after all that was under way (RULES S1)."""

    def tried(key: K) -> R | CertflowError:
        try:
            return act(key)
        except CertflowError as error:
            return error

    with ThreadPoolExecutor(at_once) as pool:    # a thread knows its run only by a copy of our context
        under_way = {key: pool.submit(copy_context().run, tried, key) for key in keys}
    outcomes = {key: one.result() for key, one in under_way.items()}
    failed = {key: one for key, one in outcomes.items() if isinstance(one, CertflowError)}
    for error in failed.values():
        if isinstance(error, LoginError):
            raise error
    return {key: one for key, one in outcomes.items() if not isinstance(one, CertflowError)}, failed
