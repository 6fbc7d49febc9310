"""Many small deeds of one task: as many at once as SCM may be asked, and one that fails stops no other."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from models.errors import CertflowError, LoginError, SetupError

T = TypeVar("T")
R = TypeVar("R")

TOGETHER = 100
"""Records that one task handles: Prefect keeps some 20 KB of each task."""


def together(act: Callable[[T], R], items: Iterable[T], *, at_once: int) -> list[R | CertflowError]:
    """What `act` answers to each item, in their order. An error of ours is an answer too; after a refused login it is that of all that had
    not begun (RULES S1)."""
    refused: list[LoginError] = []

    def answered(item: T) -> R | CertflowError:
        if refused:
            return refused[0]
        try:
            return act(item)
        except LoginError as error:
            refused.append(error)
            return error
        except CertflowError as error:
            return error

    with ThreadPoolExecutor(at_once) as pool:    # a thread knows its run only by a copy of our context
        under_way = [pool.submit(copy_context().run, answered, item) for item in items]
    return [one.result() for one in under_way]


def in_turn(act: Callable[[T], R], items: Iterable[T], *, at_once: int) -> Iterator[R]:
    """What `act` answers to each item, one after the other in their order; so many are under way ahead of the reader, and no more."""
    with ThreadPoolExecutor(at_once) as pool:
        ahead: deque[Future[R]] = deque()
        for item in items:
            ahead.append(pool.submit(copy_context().run, act, item))
            if len(ahead) > at_once:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def each(act: Callable[[T], R], items: Iterable[T], *, at_once: int) -> tuple[dict[T, R], dict[T, CertflowError]]:
    """The same by item, what failed apart. Raises: LoginError, after all that was under way (RULES S1)."""
    given = list(items)
    answers = dict(zip(given, together(act, given, at_once=at_once), strict=True))
    failed = {item: one for item, one in answers.items() if isinstance(one, CertflowError)}
    for error in failed.values():
        if isinstance(error, LoginError):
            raise error
    return {item: one for item, one in answers.items() if not isinstance(one, CertflowError)}, failed


def stop_in(answers: Iterable[object]) -> LoginError | SetupError | None:
    """The first answer after which nothing more can be done for the account (RULES S1)."""
    return next((one for one in answers if isinstance(one, LoginError | SetupError)), None)
