"""A reissue in doubt: the same id, so serial number and public key tell whether SCM took it (RULES E5)."""

from datetime import time

from models.errors import BadCertificateError, NotReadyError
from models.orders import CertificateOrder, Submission
from models.records import OrderRecord
from models.status import OPEN_AT_SCM, OrderStatus, order_status
from tasks.adapters import pki
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import submissions
from tasks.runs import this_run
from tasks.services import Services
from tasks.settling.outcome import ABSENT, DAY, Look, Outcome, absent, adopt, doubt


def look_for_reissue(svc: Services, scm: ScmClient, order: CertificateOrder, doubtful: Submission, at_scm: Look) -> Outcome:
    """Taken when SCM works on it, says that it was replaced since, or hands out a certificate for the new key."""
    assert order.ssl_id is not None  # noqa: S101 - only what SCM knows is reissued
    record = scm.details(order.ssl_id)
    status = order_status(record.status_word)
    if status in OPEN_AT_SCM:
        return adopt(svc, doubtful, record, how=f"SCM works on it ({record.status_word})")
    if status != OrderStatus.ISSUED:
        return _ended(svc, doubtful, record)
    if _replaced_since(doubtful, record):
        return adopt(svc, doubtful, record, how="SCM replaced it since")
    try:
        issued = pki.assemble(scm.collect(order.ssl_id), None)
    except NotReadyError as error:
        return doubt(svc, doubtful, f"SCM hands out no certificate at the moment ({error})")
    except BadCertificateError as error:
        return doubt(svc, doubtful, f"what SCM hands out cannot be read ({error})")
    if issued.serial_number == doubtful.known_serial_number:
        return absent(svc, order, doubtful, at_scm.began)
    if issued.public_key_sha256 == doubtful.public_key_sha256:
        return adopt(svc, doubtful, record, how="SCM hands out a certificate for its key")
    return doubt(svc, doubtful, f"SCM hands out another certificate (serial number {issued.serial_number}) for a key that is not ours: somebody else "
                 f"reissued it. `python -m deployments settle {order.id} --send-again` reissues it with our key, `--withdraw` gives it up")


def _ended(svc: Services, doubtful: Submission, record: OrderRecord) -> Outcome:
    with svc.store.transaction() as session:
        submissions.refused(
            session, doubtful.id, attempt=doubtful.attempts, why=f"SCM says that the order is {record.status_word}", now=svc.clock(), run=this_run(),
        )
    return Outcome(ABSENT)


def _replaced_since(doubtful: Submission, record: OrderRecord) -> bool:
    """Whether SCM names a replacement since the claim that it did not name before.

    A date without a time, as details have it, says nothing new about a moment that is at most a day away, as the report has it
    (contract 3): then serial number and key decide.
    """
    said, known = record.replaced_at, doubtful.known_replaced_at
    if said is None or doubtful.claimed_at is None or said < doubtful.claimed_at - DAY:
        return False
    if known is not None and time() in {said.time(), known.time()}:
        return said - known > DAY
    return said != known
