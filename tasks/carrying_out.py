"""Carry out one revocation, at SCM and in Vault, and judge what became of it (RULES V1, D5). Nothing is written into our database here."""

from dataclasses import dataclass, replace
from typing import Literal

from models.errors import CertflowError, LoginError, RightsError, SetupError, TransientError
from models.orders import Certificate, CertificateOrder, Revocation
from models.parameters import KEY_COMPROMISE, reason_word
from models.records import OrderRecord
from models.status import OPEN, OrderStatus, order_status
from tasks import removal
from tasks.adapters.scm import ScmClient
from tasks.services import Services

NOT_ISSUED, ALREADY_REVOKED = -102, -159
"""SCM's answers to a second revocation (contract 5.12)."""


@dataclass(frozen=True)
class Job:
    """A revocation with its order and certificate, as they stand in our books."""

    row: Revocation
    order: CertificateOrder
    certificate: Certificate | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one revocation, in words; `planned` tries again, `refused` is final. `record` is what SCM's details say."""

    status: Literal["done", "planned", "refused"]
    said: str
    record: OrderRecord | None = None
    removed: bool = False


def carry_out_one(svc: Services, scm: ScmClient, job: Job) -> Verdict:
    """Revoke, read the details, take the key out; may run in a thread. Raises: LoginError; SetupError."""
    row, ssl_id, refused = job.row, job.order.ssl_id, None
    assert ssl_id is not None  # noqa: S101 - only what SCM knows is planned
    if job.order.status != OrderStatus.REVOKED:
        try:
            if row.serial_number is not None:
                scm.revoke_serial(row.serial_number, reason_code=row.reason_code, reason=row.reason)
            else:
                scm.revoke(ssl_id, reason_code=row.reason_code, reason=row.reason)
        except (LoginError, SetupError):
            raise
        except CertflowError as error:
            refused = error
    try:
        record = scm.details(ssl_id)
    except (LoginError, SetupError):
        raise
    except CertflowError as error:
        return Verdict(status="planned", said=f"{refused or 'SCM took it'}; what became of it is not known: {error}")
    verdict = _judged(job, refused, record)
    if verdict.status != "done":
        return verdict
    if row.remove and job.certificate is None:
        return replace(verdict, said=f"{verdict.said}; the repository does not hold it")
    if not row.remove or job.certificate is None:
        return replace(verdict, said=verdict.said + removal.still_served(svc, job.order, job.certificate))
    try:
        taken = removal.take_out(svc, job.order, job.certificate)
    except CertflowError as error:    # SCM has revoked it; the rest can wait for the next poll
        said = f"it is revoked at SCM, but its key is not taken out of live/{job.order.live_name} yet: {error}"
        return replace(verdict, status="planned", said=said)
    return replace(verdict, said=f"{verdict.said}; taken out of the repository, {taken}", removed=True)


def _judged(job: Job, refused: CertflowError | None, record: OrderRecord) -> Verdict:
    """SCM's details decide (RULES V1). Of a certificate before a reissue they say nothing: there SCM's answer decides."""
    row, status = job.row, order_status(record.status_word)
    newest = row.serial_number in {None, record.serial_number or job.order.serial_number}
    again = refused is not None and (refused.code == ALREADY_REVOKED or (refused.code == NOT_ISSUED and status == OrderStatus.ISSUED))
    if status == OrderStatus.REVOKED if newest else refused is None or again:
        early = refused is not None or job.order.status == OrderStatus.REVOKED
        return Verdict(status="done", said=f"revoked{' already' if early else ''}, reason {reason_word(row.reason_code)}", record=record)
    if refused is None:
        return Verdict(status="planned", said=f"SCM took the revocation and still shows {record.status_word}", record=record)
    if isinstance(refused, TransientError) or status in OPEN or _right_may_come(row, refused):
        return Verdict(status="planned", said=f"{refused}; SCM shows {record.status_word}", record=record)
    if status == OrderStatus.EXPIRED and row.due_at != row.created_at:    # planned ahead, and it has ended by itself
        return Verdict(status="done", said="it has ended by itself: nothing was left to revoke", record=record)
    return Verdict(status="refused", said=f"{refused}; SCM shows {record.status_word}", record=record)


def _right_may_come(row: Revocation, refused: CertflowError) -> bool:
    """A login without the right was turned away; a compromised key must not live on for want of one (RULES V3)."""
    return isinstance(refused, RightsError) and (refused.status == 403 or row.reason_code == KEY_COMPROMISE)
