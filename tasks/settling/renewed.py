"""A renewal in doubt: SCM gives it a new id that was not there before, and no marker of its own (RULES E5)."""

from collections.abc import Iterable

from models.marker import marked_by
from models.orders import CertificateOrder, Submission
from models.records import OrderRecord
from models.status import LIVING
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import orders, renewals, submissions
from tasks.services import Services
from tasks.settling.enrolled import alike, listed_details
from tasks.settling.outcome import Look, Outcome, absent, adopt, doubt


def look_for_successor(svc: Services, scm: ScmClient, order: CertificateOrder, doubtful: Submission, at_scm: Look) -> Outcome:
    """The new id of that name is adopted; several are named. Surely absent only while SCM does not call the old order renewed."""
    assert doubtful.claimed_at is not None  # noqa: S101 - a claim has its moment
    before = set(doubtful.known_ssl_ids)
    candidates = {id_: row for id_, row in at_scm.reported.items() if id_ not in before}
    if not (matches := _matches(svc, order, doubtful, candidates.values())):
        candidates |= listed_details(svc, scm, order, doubtful.claimed_at, known=before | candidates.keys())
        matches = _matches(svc, order, doubtful, candidates.values())
    if len(matches) == 1:
        return adopt(svc, doubtful, matches[0], how="found again by its new id")
    if matches:
        return doubt(svc, doubtful, f"SCM has {len(matches)} new orders of that name, {', '.join(str(row.ssl_id) for row in matches)}: look there "
                     f"which one renews it, then `python -m deployments settle {order.id} --adopt SSL_ID`")
    if at_scm.unread:
        return doubt(svc, doubtful, f"SCM's list does not show it, and its report cannot be read: {at_scm.unread}")
    if _renewed(svc, scm, order):
        return doubt(svc, doubtful, "SCM calls the old order renewed but shows no new one: look there, then "
                     f"`python -m deployments settle {order.id} --adopt SSL_ID`, or `--send-again` if nothing was ordered")
    return absent(svc, order, doubtful, at_scm.began)


def _matches(svc: Services, order: CertificateOrder, doubtful: Submission, rows: Iterable[OrderRecord]) -> list[OrderRecord]:
    """New orders like ours that belong to no submission. A renewal may carry its predecessor's marker, but not that of another one in doubt."""
    like_ours = [row for row in rows if alike(row, order, doubtful)]
    with svc.store.reading() as session:
        linked = submissions.linked_ssl_ids(session, order.account, [row.ssl_id for row in like_ours])
        statuses = submissions.statuses(session, [mark for row in like_ours if (mark := marked_by(row.comments)) and mark != doubtful.id])
    theirs = {id_ for id_, status in statuses.items() if status in submissions.UNSETTLED}
    return [row for row in like_ours if row.ssl_id not in linked and marked_by(row.comments) not in theirs]


def _renewed(svc: Services, scm: ScmClient, order: CertificateOrder) -> bool:
    """Whether SCM calls the predecessor renewed, and no earlier renewal of ours that came to nothing explains it."""
    if order.predecessor_id is None:
        return False
    with svc.store.reading() as session:
        old = orders.order(session, order.predecessor_id)
        others = [one for one in renewals.successors(session, [old.id])[old.id] if one.id != order.id and one.ssl_id is not None]
    explained = any(one.status not in LIVING for one in others)
    return old.ssl_id is not None and not explained and bool(scm.details(old.ssl_id).renewed)
