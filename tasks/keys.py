"""The key of a submission: made in memory, written only to Vault, before anything is sent (RULES E1, K1)."""

from collections.abc import Sequence
from uuid import UUID

from models.errors import CertflowError, ConflictError, SetupError, TransientError
from models.names import requested_names
from models.orders import CertificateOrder, Submission
from models.policy import key_like
from models.status import SubmissionStatus
from tasks.adapters import pki
from tasks.adapters.store import orders, submissions
from tasks.batches import TOGETHER, each
from tasks.retry import step
from tasks.services import Services, open_services


@step
def create(submission_id: UUID) -> None:
    """Make key and CSR of a submission and put them into Vault; those that are there already are used.

    Nothing to do for a customer's own CSR. May run twice, even at once: Vault's check-and-set lets one key win. Raises: SetupError when
    the key that we made before is no longer there: an order for it could never be delivered.
    """
    for _, error in _created([submission_id]).items():
        raise error


@step
def create_some(submission_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
    """The same for several; a sentence for each that failed. Raises: TransientError when one of them is worth another try."""
    failed = _created(submission_ids)
    for error in failed.values():
        if isinstance(error, TransientError):
            raise error
    return [(id_, str(error)) for id_, error in failed.items()]


def create_all(submission_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
    """The same for many, in tasks of 100. What Vault did not take in time stays planned, and the next poll goes on with it."""
    failed: list[tuple[UUID, str]] = []
    for first in range(0, len(submission_ids), TOGETHER):
        some = submission_ids[first:first + TOGETHER]
        try:
            failed += create_some(some)
        except TransientError as error:
            failed += [(id_, f"{error}; the next poll-orders goes on with it") for id_ in some]
    return failed


def _created(submission_ids: Sequence[UUID]) -> dict[UUID, CertflowError]:
    """Those that failed. Our books are read and written once for all of them: a key that lies in Vault already is found there again."""
    with open_services() as svc:
        with svc.store.reading() as session:
            planned = {
                id_: one for id_, one in submissions.by_ids(session, submission_ids).items()
                if not one.own_csr and one.status == SubmissionStatus.PLANNED
            }
            its = orders.by_ids(session, [one.order_id for one in planned.values()])
        made, failed = each(lambda id_: _create(svc, its[planned[id_].order_id], planned[id_]), planned, at_once=svc.settings.scm_concurrency)
        with svc.store.transaction() as session:
            submissions.keep_keys(session, made)
    return failed


def _create(svc: Services, order: CertificateOrder, planned: Submission) -> tuple[str, str]:
    """CSR and SHA-256 of the public key."""
    path = f"keys/{planned.id}"
    entry = svc.vault.read(path)
    if entry is None and planned.csr:
        raise SetupError(f"the key at {path} is gone from Vault: restore it there, or withdraw order {order.id} and order anew")
    if entry is None:
        request = _new(svc, order, planned)
        try:
            svc.vault.create(path, request)
        except ConflictError:
            entry = svc.vault.read(path)
            if entry is None:
                raise SetupError(f"the key at {path} in Vault was deleted: withdraw the order and order anew") from None
            request = dict(entry.data)
    else:
        request = dict(entry.data)
    return request["csr"], pki.read_csr(request["csr"]).public_key_sha256


def _new(svc: Services, order: CertificateOrder, planned: Submission) -> dict[str, str]:
    """A new key, or the one of the submission that is used again, with a CSR for the names that are asked for."""
    if planned.reuse_of is None:
        key = pki.new_key(*key_like(order.key_algorithm, order.key_size))
    else:
        kept = svc.vault.read(f"keys/{planned.reuse_of}")
        if kept is None:
            raise SetupError(f"the key that is to be used again is not at keys/{planned.reuse_of} in Vault: renew with a new key")
        key = pki.key_from_pem(kept.data["private_key"])
    asked = planned.names or [order.common_name, *order.subject_alternative_names]
    names = requested_names(asked[0], asked)
    return {"private_key": pki.key_to_pem(key), "csr": pki.make_csr(key, names.common_name, names.names)}
