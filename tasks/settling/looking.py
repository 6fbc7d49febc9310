"""Look at SCM for every submission in doubt, each by what tells its kind (RULES E3 to E5)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

from models.errors import CertflowError, ConflictError, LoginError
from models.orders import ENROLL, REISSUE, RENEW, CertificateOrder, Submission
from models.records import OrderRecord, ReportWindow
from models.status import SubmissionStatus
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import orders, submissions
from tasks.retry import step
from tasks.runs import log
from tasks.services import Services, open_services
from tasks.settling.enrolled import look_for_order
from tasks.settling.outcome import ABSENT, ADOPTED, DAY, IN_DOUBT, MEANWHILE, Look, Outcome
from tasks.settling.reissued import look_for_reissue
from tasks.settling.renewed import look_for_successor

Looking: TypeAlias = Callable[[Services, ScmClient, CertificateOrder, Submission, Look], Outcome]
BY_KIND: Mapping[str, Looking] = MappingProxyType({ENROLL: look_for_order, RENEW: look_for_successor, REISSUE: look_for_reissue})


@dataclass(frozen=True, kw_only=True)
class Settled:
    """How many were found at SCM, how many went back to planned, and why the others stay in doubt."""

    adopted: int = 0
    absent: int = 0
    in_doubt: tuple[str, ...] = ()


@step
def settle(account: str, order_ids: Sequence[UUID] | None = None) -> Settled:
    """Look for every submission in doubt: report of its request date, then list by common name and details (RULES E3, E5).

    One match is adopted, several are named. Surely absent (E4) goes back to planned. No call when nothing is in doubt.
    """
    with open_services() as svc:
        with svc.store.reading() as session:
            doubtful = submissions.unsettled(session, account, SubmissionStatus.SUBMITTING, order_ids)
        if not doubtful:
            return Settled()
        with svc.scm(account) as scm:
            looked_at = svc.clock()    # before SCM is asked: what is sent meanwhile may be missing in its answers
            at_scm = Look(looked_at, *_reported(scm, [one for one in doubtful if one.kind != REISSUE]))
            outcomes = [_outcome(svc, scm, one, at_scm) for one in doubtful]
    stay = tuple(one.text for one in outcomes if one.kind == IN_DOUBT)
    for text in stay:
        log().warning(text)
    return Settled(
        adopted=sum(one.kind == ADOPTED for one in outcomes), absent=sum(one.kind == ABSENT for one in outcomes), in_doubt=stay,
    )


def _reported(scm: ScmClient, doubtful: Iterable[Submission]) -> tuple[dict[int, OrderRecord], str]:
    """What SCM reports of the days around the claims, and why not all of it could be read, if so; days that touch share one call."""
    days = sorted({one.claimed_at.date() for one in doubtful if one.claimed_at})
    found: dict[int, OrderRecord] = {}
    unread = ""
    while days:
        first = last = days.pop(0)
        while days and days[0] <= last + 3 * DAY:
            last = days.pop(0)
        try:
            found |= {row.ssl_id: row for row in scm.report(ReportWindow(by="request", first=first - DAY, last=last + DAY))}
        except LoginError:
            raise
        except CertflowError as error:    # the list may find it all the same
            unread = str(error)
    return found, unread


def _outcome(svc: Services, scm: ScmClient, doubtful: Submission, at_scm: Look) -> Outcome:
    """What became of one submission, or that somebody else settled it meanwhile."""
    try:
        with svc.store.reading() as session:
            order = orders.order(session, doubtful.order_id)
        return BY_KIND[doubtful.kind](svc, scm, order, doubtful, at_scm)
    except ConflictError:
        return Outcome(MEANWHILE)
    except LoginError:
        raise
    except CertflowError as error:
        return Outcome(IN_DOUBT, f"order {doubtful.order_id} stays in doubt: {error}")
