"""Find out what became of a submission in doubt, and decide what no program can (RULES E3, E4, E7)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from models.errors import CertflowError, ConflictError, InputError, LoginError, NotFoundError
from models.marker import marked_by
from models.orders import CertificateOrder, Submission
from models.records import OrderRecord, ReportWindow
from models.status import SubmissionStatus, order_status
from tasks import delivery
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import certificates, orders, submissions
from tasks.retry import step
from tasks.runs import log, this_run
from tasks.services import Services, open_services

DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """How many were found at SCM, how many went back to planned, and why the others stay in doubt."""

    adopted: int = 0
    absent: int = 0
    in_doubt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """What SCM reported, from when on it was asked, and why not all of it could be read, if so."""

    began: datetime
    reported: dict[int, OrderRecord]
    unread: str


@step
def settle(account: str, order_ids: Sequence[UUID] | None = None) -> Settled:
    """Look for every submission in doubt: report of its request date, then list by common name and details (RULES E3).

    One match is adopted, several are named. Surely absent (E4) goes back to planned. No call when nothing is in doubt.
    """
    with open_services() as svc:
        with svc.store.reading() as session:
            doubtful = submissions.unsettled(session, account, SubmissionStatus.SUBMITTING, order_ids)
        if not doubtful:
            return Settled()
        with svc.scm(account) as scm:
            looked_at = svc.clock()    # before SCM is asked: what is sent meanwhile may be missing in its answers
            found, unread = _reported(scm, doubtful)
            outcomes = [_outcome(svc, scm, one, Look(looked_at, found, unread)) for one in doubtful]
    stay = tuple(text for kind, text in outcomes if kind == "in doubt")
    for text in stay:
        log().warning(text)
    return Settled(
        adopted=sum(kind == "adopted" for kind, _ in outcomes), absent=sum(kind == "absent" for kind, _ in outcomes), in_doubt=stay,
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


def _outcome(svc: Services, scm: ScmClient, doubtful: Submission, at_scm: Look) -> tuple[str, str]:
    """What became of one submission: adopted, absent, in doubt with a sentence, or settled by somebody else meanwhile."""
    try:
        return _look(svc, scm, doubtful, at_scm)
    except ConflictError:
        return "settled meanwhile", ""
    except LoginError:
        raise
    except CertflowError as error:
        return "in doubt", f"order {doubtful.order_id} stays in doubt: {error}"


def _look(svc: Services, scm: ScmClient, doubtful: Submission, at_scm: Look) -> tuple[str, str]:
    with svc.store.reading() as session:
        order = orders.order(session, doubtful.order_id)
    assert doubtful.claimed_at is not None  # noqa: S101 - a claim has its moment
    candidates = dict(at_scm.reported)
    if not _marked(svc, doubtful, candidates.values()):
        candidates |= _listed(svc, scm, order, doubtful.claimed_at, known=candidates)
    marked = _marked(svc, doubtful, candidates.values())
    matches = [row for row in marked if _since_claim(row, doubtful)]
    if len(matches) == 1:
        _adopt(svc, doubtful, matches[0], how="found again by its marker")
        return "adopted", ""
    if matches:
        return _doubt(svc, doubtful, f"SCM holds it {len(matches)} times, as {', '.join(str(row.ssl_id) for row in matches)}: decline or revoke "
                      f"all but one there, then `python -m deployments settle {order.id} --adopt SSL_ID`")
    if marked:
        return _doubt(svc, doubtful, f"SCM holds {', '.join(str(row.ssl_id) for row in marked)} with our marker, but requested long before it was "
                      f"sent: look there, then `python -m deployments settle {order.id} --adopt SSL_ID`, or `--send-again` if that is not it")
    unexplained = _unexplained(svc, order, doubtful, candidates.values())
    if unexplained:
        return _doubt(svc, doubtful, f"SCM holds {', '.join(str(id_) for id_ in unexplained)} of the same name, organization and profile without a "
                      f"marker: `python -m deployments settle {order.id} --adopt SSL_ID`, or `--send-again` if that is not it")
    if at_scm.unread:
        return _doubt(svc, doubtful, f"SCM's list does not show it, and its report cannot be read: {at_scm.unread}")
    return _absent(svc, order, doubtful, at_scm.began)


def _listed(svc: Services, scm: ScmClient, order: CertificateOrder, claimed_at: datetime, *, known: dict[int, OrderRecord]) -> dict[int, OrderRecord]:
    """Details of the orders of that name which the report did not hold and which may be new."""
    ids = [item.ssl_id for item in scm.listed(common_name=order.common_name) if item.ssl_id not in known]
    with svc.store.reading() as session:
        explained = submissions.linked_ssl_ids(session, order.account, ids)
        older = {
            id_ for id_, row in orders.by_ssl_ids(session, order.account, ids).items()
            if row.requested_at is not None and row.requested_at < claimed_at - DAY
        }
    return {id_: scm.details(id_) for id_ in ids if id_ not in explained | older}


def _marked(svc: Services, doubtful: Submission, rows: Iterable[OrderRecord]) -> list[OrderRecord]:
    """Orders with the marker that are not linked to another submission (RULES E3)."""
    marked = [row for row in rows if marked_by(row.comments) == doubtful.id]
    with svc.store.reading() as session:
        linked = submissions.linked_ssl_ids(session, doubtful.account, [row.ssl_id for row in marked])
    return [row for row in marked if row.ssl_id not in linked]


def _unexplained(svc: Services, order: CertificateOrder, doubtful: Submission, rows: Iterable[OrderRecord]) -> list[int]:
    """Orders like ours since the claim that carry nobody's marker and belong to no submission (RULES E4).

    One that an import knew before ours was even planned explains itself.
    """
    alike = [
        row.ssl_id for row in rows
        if (row.common_name or "").lower() == order.common_name and row.organization_id in {order.organization_id, None}
        and row.profile_id in {order.certificate_profile_id, None} and marked_by(row.comments) is None and _since_claim(row, doubtful)
    ]
    with svc.store.reading() as session:
        earlier = {id_ for id_, row in orders.by_ssl_ids(session, order.account, alike).items() if row.created_at < order.created_at}
        return sorted(set(alike) - earlier - submissions.linked_ssl_ids(session, order.account, alike))


def _since_claim(row: OrderRecord, doubtful: Submission) -> bool:
    assert doubtful.claimed_at is not None  # noqa: S101 - a claim has its moment
    return row.requested_at is None or row.requested_at >= doubtful.claimed_at - DAY


def _adopt(svc: Services, doubtful: Submission, row: OrderRecord, *, how: str, by: str = "") -> None:
    with svc.store.transaction() as session:
        orders.give_way(session, doubtful.account, row.ssl_id, to=doubtful.order_id)
        submissions.submitted(
            session, doubtful.id, ssl_id=row.ssl_id, renew_id=None, now=svc.clock(), run=this_run(), how=f"{how}: {row.ssl_id}", by=by,
        )
        order = orders.order(session, doubtful.order_id)
        event = orders.update_from(order, row, order_status(row.status_word), now=svc.clock(), run=this_run())
        if event:
            orders.record_event(session, order.id, event["kind"], event["detail"], now=svc.clock(), run=this_run())
    log().info("order %s is %s at SCM (%s)", doubtful.order_id, row.ssl_id, how)


def _doubt(svc: Services, doubtful: Submission, why: str) -> tuple[str, str]:
    text = f"order {doubtful.order_id} stays in doubt: {why}"
    with svc.store.transaction() as session:
        submissions.still_in_doubt(session, doubtful.id, why=why)
    return "in doubt", text


def _absent(svc: Services, order: CertificateOrder, doubtful: Submission, looked_at: datetime) -> tuple[str, str]:
    """Absent twice, with the grace time between, is surely absent (RULES E4)."""
    looks = [*doubtful.absent_at[:1], looked_at.isoformat()]
    waited = (looked_at - datetime.fromisoformat(looks[0])).total_seconds()
    with svc.store.transaction() as session:
        if len(looks) == 2 and waited >= svc.settings.grace_seconds:
            submissions.back_to_planned(
                session, doubtful.id, attempt=doubtful.attempts, counted=True, now=svc.clock(), run=this_run(),
                why=f"surely not at SCM: absent on {looks[0][:16]} and {looks[1][:16]} UTC",
            )
            return "absent", ""
        submissions.seen_absent(session, doubtful.id, looks, attempt=doubtful.attempts)
    left = max(0, round(svc.settings.grace_seconds - waited))
    return "in doubt", f"order {order.id} ({order.common_name}) is not at SCM so far; it counts as lost after another look in {left} s or more"


def decide(
    order: str, *, adopt: int | None = None, send_again: bool = False, withdraw: bool = False, accept: bool = False, account: str | None = None
) -> str:
    """What a person decides about an order that no program can settle (RULES E7); a sentence that says what was done.

    Raises: InputError when the order does not stand where the decision makes sense; as the SCM client for `adopt`.
    """
    if sum([adopt is not None, send_again, withdraw, accept]) != 1:
        raise InputError("say exactly one of --adopt SSL_ID, --send-again, --withdraw, --accept")
    with open_services() as svc:
        row = _order_meant(svc, order, account)
        if accept:
            return delivery.accept(svc, row)
        with svc.store.reading() as session:
            open_ones = [one for one in submissions.of_order(session, row.id) if one.status in submissions.UNSETTLED]
        if not open_ones:
            raise InputError(f"order {row.id} ({row.common_name}) is {row.status}: there is nothing to settle")
        sent = open_ones[-1]
        if adopt is not None:
            return _adopt_by_hand(svc, row, sent, adopt)
        with svc.store.transaction() as session:
            now, by = svc.clock(), "settle"
            if withdraw:
                submissions.withdrawn(session, sent.id, SubmissionStatus(sent.status), why="withdrawn by hand", now=now, run=None, by=by)
                return f"order {row.id} ({row.common_name}) is withdrawn; nothing will be sent for it"
            if sent.status == SubmissionStatus.SUBMITTING:
                submissions.back_to_planned(
                    session, sent.id, attempt=sent.attempts, why="sent again by hand", counted=True, now=now, run=None,
                )
            submissions.start_over(session, sent.id)
            return f"order {row.id} ({row.common_name}) is planned again; the next poll-orders sends it"


def _adopt_by_hand(svc: Services, row: CertificateOrder, sent: Submission, ssl_id: int) -> str:
    with svc.store.reading() as session:
        if submissions.linked_ssl_ids(session, row.account, [ssl_id]):
            raise InputError(f"{ssl_id} belongs to another order of ours")
    with svc.scm(row.account) as scm:
        record = scm.details(ssl_id)
    if (record.common_name or "").lower() != row.common_name:
        raise InputError(f"{ssl_id} is for {record.common_name!r}, the order for {row.common_name!r}: this cannot be it")
    if sent.status == SubmissionStatus.PLANNED:
        with svc.store.transaction() as session:
            submissions.claim(session, sent.id, now=svc.clock(), run=None, by="settle")
    _adopt(svc, sent, record, how="adopted by hand", by="settle")
    return f"order {row.id} ({row.common_name}) is {ssl_id} at SCM; the next poll-orders goes on with it"


def _order_meant(svc: Services, text: str, account: str | None) -> CertificateOrder:
    with svc.store.reading() as session:
        found = [row for name in ([account] if account else svc.settings.accounts) for row in orders.named(session, name, text)]
        waiting = [row for row in found if row.status in submissions.UNSETTLED or certificates.held_of(session, row.id)]
    choice = waiting or found
    if not choice:
        raise NotFoundError(f"there is no order {text!r} in the accounts of CERTFLOW_ACCOUNTS")
    if len(choice) > 1:
        raise InputError(f"{text!r} means several orders, name one by its id: " + ", ".join(f"{row.id} ({row.status})" for row in choice))
    return choice[0]
