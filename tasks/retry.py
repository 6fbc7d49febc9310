"""@step: a Prefect task with the one retry policy.

Only `TransientError` is tried again, with a growing pause, until a deadline: nothing happened, or nothing that a repeat could double.
A step that sends what cannot be taken back never raises TransientError after sending (RULES E1), so it is never repeated by this.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext

from models.errors import NotReadyError, TransientError

P = ParamSpec("P")
R = TypeVar("R")

DEADLINE = timedelta(minutes=10)
PAUSES = [2.0, 5.0, 15.0, 30.0, 60.0]
"""Seconds between tries; the last one repeats. Prefect adds up to half of it at random."""

MORE = int(DEADLINE.total_seconds() // PAUSES[-1])
"""So many of the longest pauses fit before the deadline, which ends it."""


async def _worth_repeating(_task: Any, run: TaskRun, state: State[Any]) -> bool:
    started = run.start_time or run.expected_start_time or datetime.now(UTC)
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, TransientError) and not isinstance(error, NotReadyError) and datetime.now(UTC) - started < DEADLINE


def step(function: Callable[P, R]) -> Callable[P, R]:
    """The task named as module and function, for example keys-create. Persisted nowhere: our own database decides what is done.

    Outside of a flow run it is the plain function, so that commands need no Prefect server.
    """
    made = task(
        name=f"{function.__module__.rpartition('.')[2]}-{function.__name__}".replace("_", "-"),
        persist_result=False,
        cache_policy=NO_CACHE,
        retries=len(PAUSES) + MORE,
        retry_delay_seconds=[*PAUSES, *[PAUSES[-1]] * MORE],
        retry_jitter_factor=0.5,
        retry_condition_fn=_worth_repeating,
    )(function)

    @wraps(function)
    def act(*args: P.args, **kwargs: P.kwargs) -> R:
        return made(*args, **kwargs) if FlowRunContext.get() else function(*args, **kwargs)

    return act
