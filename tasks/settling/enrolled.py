"""A new order in doubt: it is known by the marker in its comments (RULES E3)."""

from collections.abc import Iterable
from datetime import datetime

from models.marker import marked_by
from models.orders import CertificateOrder, Submission
from models.records import OrderRecord
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import orders, submissions
from tasks.services import Services
from tasks.settling.outcome import DAY, Look, Outcome, absent, adopt, doubt, since_claim


def look_for_order(svc: Services, scm: ScmClient, order: CertificateOrder, doubtful: Submission, at_scm: Look) -> Outcome:
    """One match is adopted, several are named; what nobody's marker explains keeps it in doubt (RULES E3, E4)."""
    assert doubtful.claimed_at is not None  # noqa: S101 - a claim has its moment
    candidates = dict(at_scm.reported)
    if not _marked(svc, doubtful, candidates.values()):
        candidates |= listed_details(svc, scm, order, doubtful.claimed_at, known=candidates)
    marked = _marked(svc, doubtful, candidates.values())
    matches = [row for row in marked if since_claim(row, doubtful)]
    if len(matches) == 1:
        return adopt(svc, doubtful, matches[0], how="found again by its marker")
    if matches:
        return doubt(svc, doubtful, f"SCM holds it {len(matches)} times, as {', '.join(str(row.ssl_id) for row in matches)}: decline or revoke "
                     f"all but one there, then `python -m deployments settle {order.id} --adopt SSL_ID`")
    if marked:
        return doubt(svc, doubtful, f"SCM holds {', '.join(str(row.ssl_id) for row in marked)} with our marker, but requested long before it was "
                     f"sent: look there, then `python -m deployments settle {order.id} --adopt SSL_ID`, or `--send-again` if that is not it")
    unexplained = _unexplained(svc, order, doubtful, candidates.values())
    if unexplained:
        return doubt(svc, doubtful, f"SCM holds {', '.join(str(id_) for id_ in unexplained)} of the same name, organization and profile without a "
                     f"marker: `python -m deployments settle {order.id} --adopt SSL_ID`, or `--send-again` if that is not it")
    if at_scm.unread:
        return doubt(svc, doubtful, f"SCM's list does not show it, and its report cannot be read: {at_scm.unread}")
    return absent(svc, order, doubtful, at_scm.began)


def listed_details(
    svc: Services, scm: ScmClient, order: CertificateOrder, claimed_at: datetime, *, known: Iterable[int]
) -> dict[int, OrderRecord]:
    """Details of the orders of that name which are not `known` and may be new."""
    seen = set(known)
    ids = [item.ssl_id for item in scm.listed(common_name=order.common_name) if item.ssl_id not in seen]
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


def alike(row: OrderRecord, order: CertificateOrder, doubtful: Submission) -> bool:
    """Of the same name, organization and profile, as far as SCM says, and not requested before the claim."""
    return (
        (row.common_name or "").lower() == order.common_name.lower() and _same(row.organization_id, order.organization_id)
        and _same(row.profile_id, order.certificate_profile_id) and since_claim(row, doubtful)
    )


def _same(theirs: int | None, ours: int | None) -> bool:
    return theirs is None or ours is None or theirs == ours


def _unexplained(svc: Services, order: CertificateOrder, doubtful: Submission, rows: Iterable[OrderRecord]) -> list[int]:
    """Orders like ours since the claim that carry nobody's marker and belong to no submission (RULES E4).

    One that an import knew before ours was even planned explains itself.
    """
    strangers = [row.ssl_id for row in rows if alike(row, order, doubtful) and marked_by(row.comments) is None]
    with svc.store.reading() as session:
        earlier = {id_ for id_, row in orders.by_ssl_ids(session, order.account, strangers).items() if row.created_at < order.created_at}
        return sorted(set(strangers) - earlier - submissions.linked_ssl_ids(session, order.account, strangers))
