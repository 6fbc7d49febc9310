"""What a run knows of itself, and how it answers: summary, page, and a state whose message is a sentence.

Prefect's API gives a caller no result, so the summary is an artifact too. Refused input and failed batches end the run as Failed,
without a traceback where the user looks; a caller from Python gets the error with `.summary`.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from time import monotonic
from typing import Any, ParamSpec, TypeVar, cast, get_type_hints
from uuid import UUID
from zoneinfo import ZoneInfo

from prefect.artifacts import Artifact, MarkdownArtifact, create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from models.errors import BatchError, CertflowError, InputError
from models.orders import Run
from models.summaries import Summary
from tasks.settings import settings

P = ParamSpec("P")
S = TypeVar("S", bound=Summary)

UPDATE_SECONDS = 1.0
"""Writing a progress bar costs 11 ms."""

POLL_EVERY = timedelta(minutes=15)
_OUTSIDE = logging.getLogger("certflow")
_PRINT_TRACEBACKS = ("prefect.flow_runs", "prefect.engine")
"""Loggers by which a run's process prints, after the run has ended as Failed, the error that came with the state."""


def this_run() -> Run | None:
    """The flow run that we are in, None outside of one. A retried run keeps its id."""
    context = FlowRunContext.get()
    return Run(str(context.flow_run.id), _started_by(context.flow_run)) if context and context.flow_run else None


def run_id() -> str | None:
    """The id of the flow run that we are in."""
    run = this_run()
    return run.id if run else None


def _started_by(run: FlowRun) -> str:
    """Prefect knows no persons: only what kind of thing started a run."""
    if run.auto_scheduled:
        return "schedule"
    if run.created_by and run.created_by.type and run.created_by.type.upper() == "AUTOMATION":
        return "automation"
    return "API or UI" if run.deployment_id else "Python"


def by_schedule() -> bool:
    """Whether a schedule started this run, not a person or a program."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.auto_scheduled)


def demand_requester(requested_by: str) -> None:
    """Raises: InputError where CERTFLOW_REQUIRE_REQUESTED_BY demands that somebody is named, and nobody is; a schedule names nobody."""
    if settings().require_requested_by and not requested_by and not by_schedule():
        raise InputError("requested_by is required here (CERTFLOW_REQUIRE_REQUESTED_BY): say for whom this is done; nothing was sent")


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


def counted(number: int, thing: str) -> str:
    """A number of things, as a sentence says it: `1 order`, `2,000 orders`."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def _not_ours_again(record: logging.LogRecord) -> bool:
    """A log line passes unless it is the traceback of an error of ours: its sentence stands in the log already."""
    return not (record.exc_info and isinstance(record.exc_info[1], CertflowError))


def story(function: Callable[P, Any]) -> Callable[P, Any]:
    """A flow's function whose refusals and failures of ours end the run as Failed with a sentence, not a traceback.

    The function's return type is its summary; a run that was refused before it did anything answers with an empty one.
    """

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except CertflowError as error:
            if error.summary is None:
                error.summary = get_type_hints(function)["return"]()
            if FlowRunContext.get() is None:
                raise
            log().error(str(error))
            _leave_summary(error.summary)
            for name in _PRINT_TRACEBACKS:
                logging.getLogger(name).addFilter(_not_ours_again)
            return Failed(message=str(error), data=error)

    return told


def reported(summary: S, sentence: str, *, pages: Mapping[str, str] | None = None, failed: str = "") -> S:
    """End a run: leave the summary and the pages (key -> Markdown), say the sentence.

    With `failed`, what went wrong in a batch, the run ends as Failed, everything else being stored. Raises: BatchError then.
    """
    if FlowRunContext.get() is not None:
        for key, page in (pages or {}).items():
            MarkdownArtifact(key=page_key(key), markdown=page, description=sentence[:200]).create()
    if failed:
        error = BatchError(f"{sentence}; failed: {failed}"[:2000])
        error.summary = summary
        raise error
    log().info(sentence)
    if FlowRunContext.get() is None:
        return summary
    _leave_summary(summary)
    return cast("S", Completed(message=sentence[:2000], data=summary))


def page_key(key: str) -> str:
    """A page's key as Prefect takes it: an account may have an underscore in its name, an artifact may not."""
    return key.replace("_", "-")


def _leave_summary(summary: Summary) -> None:
    Artifact(
        type="json", key=f"summary-{run_id()}", description="Summary for programs", data=summary.model_dump(mode="json"),
    ).create()


class Progress:
    """A progress bar in the run's artifacts, up to `total`; made when there is progress to show, written at most once a second."""

    def __init__(self, what: str, total: float) -> None:
        self._what, self._total = what, max(total, 1.0)
        self._id: UUID | None = None
        self._written = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: object, _error: object, _trace: object) -> None:
        if self._id is not None and kind is None:
            update_progress_artifact(self._id, 100.0, description=self._what)

    def at(self, done: float, said: str) -> None:
        """So much of `total` is done."""
        if FlowRunContext.get() is None or monotonic() - self._written < UPDATE_SECONDS:
            return
        self._written = monotonic()
        share, text = round(100 * min(1.0, done / self._total), 1), f"{self._what}: {said}"
        if self._id is None:
            self._id = cast("UUID", create_progress_artifact(share, description=text))
        else:
            update_progress_artifact(self._id, share, description=text)
