"""What a run knows of itself, and how it answers: summary, page, and a state whose message is a sentence.

Prefect's API gives a caller no result, so the summary is an artifact too. Refused input and failed batches end the run as Failed,
without a traceback where the user looks; a caller from Python gets the error with `.summary`.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast
from zoneinfo import ZoneInfo

from prefect.artifacts import Artifact, MarkdownArtifact
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from models.errors import BatchError, CertflowError
from models.summaries import Summary
from tasks.settings import settings

P = ParamSpec("P")
S = TypeVar("S", bound=Summary)

POLL_EVERY = timedelta(minutes=15)
_OUTSIDE = logging.getLogger("certflow")


def this_run() -> str | None:
    """The id of the flow run that we are in, None outside of one. A retried run keeps its id."""
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context and context.flow_run else None


def by_schedule() -> bool:
    """Whether a schedule started this run, not a person or a program."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.auto_scheduled)


def log() -> "logging.Logger | logging.LoggerAdapter[logging.Logger]":
    """The run's logger; a plain one outside of a run."""
    try:
        return get_run_logger()
    except MissingContextError:
        return _OUTSIDE


def next_look(now: datetime) -> str:
    """What happens next to an open order, as the last line of a log says it."""
    local = now.astimezone(ZoneInfo(settings().timezone))
    quarter = local.replace(minute=local.minute - local.minute % 15, second=0, microsecond=0) + POLL_EVERY
    return f"poll-orders looks again at {quarter:%H:%M}"


def story(function: Callable[P, Any]) -> Callable[P, Any]:
    """A flow's function whose refusals and failures of ours end the run as Failed with a sentence, not a traceback."""

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except CertflowError as error:
            if FlowRunContext.get() is None:
                raise
            log().error(str(error))
            if error.summary is not None:
                _leave_summary(error.summary)
            return Failed(message=str(error), data=error)

    return told


def reported(summary: S, sentence: str, *, pages: Mapping[str, str] | None = None, failed: str = "") -> S:
    """End a run: leave the summary and the pages (key -> Markdown), say the sentence.

    With `failed`, what went wrong in a batch, the run ends as Failed, everything else being stored. Raises: BatchError then.
    """
    if FlowRunContext.get() is not None:
        for key, page in (pages or {}).items():
            MarkdownArtifact(key=key, markdown=page, description=sentence[:200]).create()
    if failed:
        error = BatchError(f"{sentence}; failed: {failed}"[:2000])
        error.summary = summary
        raise error
    log().info(sentence)
    if FlowRunContext.get() is None:
        return summary
    _leave_summary(summary)
    return cast("S", Completed(message=sentence[:2000], data=summary))


def _leave_summary(summary: Summary) -> None:
    Artifact(
        type="json", key=f"summary-{this_run()}", description="Summary for programs", data=summary.model_dump(mode="json"),
    ).create()
