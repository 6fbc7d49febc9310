"""Send what is planned, slice by slice, alone or together with other runs on other machines (RULES E1, E4).

A run takes a slice before it makes keys and asks SCM, so that two do not do the same work; when it dies, the slice is free again after
a while. Nothing else depends on that: each submission is still claimed by itself, and only its claim lets it be sent.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from models.errors import TransientError
from models.status import SubmissionStatus
from tasks.adapters.store import slices
from tasks.batches import TOGETHER
from tasks.retry import step
from tasks.runs import log
from tasks.services import open_services
from tasks.submissions import MOST_ATTEMPTS, Sent, send_slice

TAKEN_FOR = timedelta(minutes=3)
"""After that a slice of a run that died is free again; with a rate, longer by the calls of a slice."""

CALLS_EACH = 4
LOOK_AGAIN = 2.0
QUIET_SECONDS = 30.0
"""A run that helps ends when nothing was planned for so long: whoever plans the work may need a while for the next slice."""


def send_all(submission_ids: Sequence[UUID], *, sleep: Callable[[float], None] = time.sleep) -> Sent:
    """Make the keys of planned submissions, then send them. Returns when each is sent, by whomever, or was tried here in vain.

    Up to one slice is sent at once. More are shared with the runs that send too: what one of them has taken is waited for, and done here
    when that one has died.
    """
    if len(submission_ids) <= TOGETHER:
        return send_slice(submission_ids)
    tried: set[UUID] = set()
    sent = Sent()
    left = list(submission_ids)
    while left:
        before = len(tried)
        sent = sent.with_more(_share(left, tried))
        left = _not_done([id_ for id_ in left if id_ not in tried])
        if left and len(tried) == before:
            sleep(LOOK_AGAIN)
    return sent.with_more(_by_others([id_ for id_ in submission_ids if id_ not in tried]))


def send_planned(account: str, order_ids: Sequence[UUID] | None = None) -> Sent:
    """Make the keys of what is planned and send it (RULES E1, E4), save what another run has taken; a refused login ends it (S1).

    What was sent three times without trace is left to a person.
    """
    planned = _free(account, order_ids)
    return send_slice(planned) if len(planned) <= TOGETHER else _share(planned, set())


def help_sending(account: str, *, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic) -> Sent:
    """Send what others plan, until nothing was planned for a while. Each submission is tried once."""
    tried: set[UUID] = set()
    sent, quiet_since = Sent(), clock()
    while clock() - quiet_since < QUIET_SECONDS:
        before = len(tried)
        sent = sent.with_more(_share([id_ for id_ in _free(account) if id_ not in tried], tried))
        if len(tried) > before:
            quiet_since = clock()
        else:
            sleep(LOOK_AGAIN)
    return sent


def _share(submission_ids: Sequence[UUID], tried: set[UUID]) -> Sent:
    """Take slice after slice as far as they are free, and send each; what was taken is added to `tried`."""
    sent = Sent()
    for first in range(0, len(submission_ids), TOGETHER):
        mine, until = take(submission_ids[first:first + TOGETHER])
        if not mine:
            continue
        tried.update(mine)
        try:
            sent = sent.with_more(send_slice(mine))
        finally:
            _give_back(mine, until)
        log().info("%s sent here, %s failed so far", f"{sent.taken:,}", len(sent.failed))
    return sent


@step
def take(submission_ids: Sequence[UUID]) -> tuple[list[UUID], datetime]:
    """Those that are planned and that no run has taken: they are this run's until then."""
    with open_services() as svc:
        rate, now = svc.settings.scm_rate, svc.clock()
        until = now + TAKEN_FOR + timedelta(seconds=CALLS_EACH * TOGETHER * svc.settings.runs / rate if rate else 0)
        with svc.store.transaction() as session:
            return slices.take(session, submission_ids, now=now, until=until), until


def _give_back(submission_ids: Sequence[UUID], until: datetime) -> None:
    """While the database is away, time gives them back."""
    with suppress(TransientError), open_services() as svc, svc.store.transaction() as session:
        slices.give_back(session, submission_ids, until=until)


def _free(account: str, order_ids: Sequence[UUID] | None = None) -> list[UUID]:
    with open_services() as svc, svc.store.reading() as session:
        return slices.free(session, account, now=svc.clock(), below_attempts=MOST_ATTEMPTS, order_ids=order_ids)


def _not_done(submission_ids: Sequence[UUID]) -> list[UUID]:
    with open_services() as svc, svc.store.reading() as session:
        return slices.under_way(session, submission_ids, claimed_since=svc.clock() - TAKEN_FOR)


def _by_others(submission_ids: Sequence[UUID]) -> Sent:
    """What other runs made of these. In doubt is no failure: it is settled."""
    with open_services() as svc, svc.store.reading() as session:
        found = slices.outcomes(session, submission_ids)
    lost = {SubmissionStatus.REFUSED, SubmissionStatus.WITHDRAWN}
    return Sent(
        taken=sum(status in {SubmissionStatus.SUBMITTED, SubmissionStatus.DONE} for status, _ in found.values()),
        failed=tuple((id_, error or status) for id_, (status, error) in found.items() if status in lost),
    )
