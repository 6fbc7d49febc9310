"""What a person decides about an order that no program can settle (RULES E7)."""

from models.errors import InputError, NotFoundError
from models.orders import REISSUE, CertificateOrder, Submission
from models.status import SubmissionStatus
from tasks import delivery
from tasks.adapters.store import certificates, orders, submissions
from tasks.services import Services, open_services
from tasks.settling.outcome import adopt as adopt_at_scm

BY = "settle"


def decide(
    order: str, *, adopt: int | None = None, send_again: bool = False, withdraw: bool = False, accept: bool = False, account: str | None = None
) -> str:
    """Do what a person decided; a sentence that says what was done.

    Raises: InputError when the order does not stand where the decision makes sense; as the SCM client for `adopt`.
    """
    if sum([adopt is not None, send_again, withdraw, accept]) != 1:
        raise InputError("say exactly one of --adopt SSL_ID, --send-again, --withdraw, --accept")
    with open_services() as svc:
        row = _order_meant(svc, order, account)
        if accept:
            return delivery.accept(svc, row)
        sent = _undecided(svc, row, withdraw=withdraw)
        if adopt is not None:
            return _adopt(svc, row, sent, adopt)
        return _withdraw(svc, row, sent) if withdraw else _send_again(svc, row, sent)


def _undecided(svc: Services, row: CertificateOrder, *, withdraw: bool) -> Submission:
    """The submission that is not settled; to be withdrawn, also a reissue that SCM took and never finishes."""
    with svc.store.reading() as session:
        sent = submissions.of_order(session, row.id)
    found = [
        one for one in sent
        if one.status in submissions.UNSETTLED or (withdraw and one.kind == REISSUE and one.status == SubmissionStatus.SUBMITTED)
    ]
    if not found:
        raise InputError(f"order {row.id} ({row.common_name}) is {row.status}: there is nothing to settle")
    return found[-1]


def _withdraw(svc: Services, row: CertificateOrder, sent: Submission) -> str:
    with svc.store.transaction() as session:
        submissions.withdrawn(session, sent.id, SubmissionStatus(sent.status), why="withdrawn by hand", now=svc.clock(), run=None, by=BY)
    if sent.kind == REISSUE:
        return f"the reissue of order {row.id} ({row.common_name}) is withdrawn; the order stays as it is"
    return f"order {row.id} ({row.common_name}) is withdrawn; nothing will be sent for it"


def _send_again(svc: Services, row: CertificateOrder, sent: Submission) -> str:
    with svc.store.transaction() as session:
        if sent.status == SubmissionStatus.SUBMITTING:
            submissions.back_to_planned(
                session, sent.id, attempt=sent.attempts, why="sent again by hand", counted=True, now=svc.clock(), run=None,
            )
        submissions.start_over(session, sent.id)
    return f"order {row.id} ({row.common_name}) is planned again; the next poll-orders sends it"


def _adopt(svc: Services, row: CertificateOrder, sent: Submission, ssl_id: int) -> str:
    if sent.kind == REISSUE and ssl_id != row.ssl_id:
        raise InputError(f"a reissue keeps its number: SCM's order is {row.ssl_id}")
    if ssl_id in sent.known_ssl_ids:
        raise InputError(f"{ssl_id} was at SCM before the renewal was sent: this cannot be it")
    with svc.store.reading() as session:
        if sent.kind != REISSUE and submissions.linked_ssl_ids(session, row.account, [ssl_id]):
            raise InputError(f"{ssl_id} belongs to another order of ours")
    with svc.scm(row.account) as scm:
        record = scm.details(ssl_id)
    names = {row.common_name.lower(), *(name.lower() for name in sent.names[:1])}
    if (record.common_name or "").lower() not in names:
        raise InputError(f"{ssl_id} is for {record.common_name!r}, the order for {row.common_name!r}: this cannot be it")
    if sent.status == SubmissionStatus.PLANNED:
        with svc.store.transaction() as session:
            submissions.claim(session, sent.id, now=svc.clock(), run=None, by=BY)
    adopt_at_scm(svc, sent, record, how="adopted by hand", by=BY)
    return f"order {row.id} ({row.common_name}) is {ssl_id} at SCM; the next poll-orders goes on with it"


def _order_meant(svc: Services, text: str, account: str | None) -> CertificateOrder:
    """Of several that a text fits, the one that waits for a decision."""
    with svc.store.reading() as session:
        found = [row for name in ([account] if account else svc.settings.accounts) for row in orders.named(session, name, text)]
        waiting = [
            row for row in found
            if row.status in submissions.UNSETTLED or certificates.held_of(session, row.id)
            or any(one.status in submissions.UNSETTLED for one in submissions.of_order(session, row.id))
        ]
    choice = waiting or found
    if not choice:
        raise NotFoundError(f"there is no order {text!r} in the accounts of CERTFLOW_ACCOUNTS")
    if len(choice) > 1:
        raise InputError(f"{text!r} means several orders, name one by its id: " + ", ".join(f"{row.id} ({row.status})" for row in choice))
    return choice[0]
