"""Protocols that are broken on purpose: with each of them a run must end with findings, or its silence proves nothing."""

from typing import Any

from sqlalchemy import update
from sqlmodel import col

from models.errors import AmbiguousError
from models.orders import Submission
from models.status import SubmissionStatus
from tasks import asking
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import submissions
from tasks.adapters.vault import Vault
from tasks.services import open_services


def claim() -> None:
    """The claim sets the status and compares nothing: two may send the same submission."""
    real = submissions.move

    def move(session: Any, id_: Any, old: SubmissionStatus, new: SubmissionStatus, *, attempt: int | None = None, **facts: Any) -> Any:
        if (old, new) != (SubmissionStatus.PLANNED, SubmissionStatus.SUBMITTING):
            return real(session, id_, old, new, attempt=attempt, **facts)
        session.execute(update(Submission).where(col(Submission.id) == id_).values(status=new, **facts))
        return submissions.submission(session, id_)

    submissions.move = move


def retry() -> None:
    """SCM's client sends an order again when its answer was lost."""
    real = ScmClient.enroll

    def enroll(self: Any, request: Any) -> Any:
        try:
            return real(self, request)
        except AmbiguousError:
            return real(self, request)

    ScmClient.enroll = enroll


def key() -> None:
    """The key is written to Vault after SCM has taken the order, not before it is sent."""
    real_create, real_ask = Vault.create, asking.ask
    later: dict[str, Any] = {}

    def create(self: Any, path: str, data: Any) -> int:
        if not path.startswith("keys/"):
            return real_create(self, path, data)
        later[path] = data
        return 1

    def ask(scm: Any, order: Any, claimed: Any, before: Any) -> Any:
        answer = real_ask(scm, order, claimed, before)
        path = f"keys/{claimed.id}"
        if path in later:
            with open_services() as svc:
                real_create(svc.vault, path, later.pop(path))
        return answer

    Vault.create = create
    asking.ask = ask


BREAKS = {"claim": claim, "retry": retry, "key": key}
