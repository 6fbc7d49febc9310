"""The key of a submission: made in memory, written only to Vault, before anything is sent (RULES E1, K1)."""

from uuid import UUID

from models.errors import ConflictError, SetupError
from models.names import requested_names
from models.status import SubmissionStatus
from tasks.adapters import pki
from tasks.adapters.store import orders, submissions
from tasks.retry import step
from tasks.services import open_services


@step
def create(submission_id: UUID) -> None:
    """Make key and CSR of a submission and put them into Vault; those that are there already are used.

    Nothing to do for a customer's own CSR. May run twice, even at once: Vault's check-and-set lets one key win. Raises: SetupError when
    the key that we made before is no longer there: an order for it could never be delivered.
    """
    with open_services() as svc:
        with svc.store.reading() as session:
            planned = submissions.submission(session, submission_id)
            order = orders.order(session, planned.order_id)
        if planned.own_csr or planned.status != SubmissionStatus.PLANNED:
            return
        path = f"keys/{submission_id}"
        entry = svc.vault.read(path)
        if entry is None and planned.csr:
            raise SetupError(f"the key at {path} is gone from Vault: restore it there, or withdraw order {order.id} and order anew")
        if entry is None:
            key = pki.new_key(order.key_algorithm or "RSA", order.key_size or "2048")
            names = requested_names(order.common_name, order.subject_alternative_names)
            request = {"private_key": pki.key_to_pem(key), "csr": pki.make_csr(key, names.common_name, names.names)}
            try:
                svc.vault.create(path, request)
            except ConflictError:
                entry = svc.vault.read(path)
                if entry is None:
                    raise SetupError(f"the key at {path} in Vault was deleted: withdraw the order and order anew") from None
                request = dict(entry.data)
        else:
            request = dict(entry.data)
        facts = pki.read_csr(request["csr"])
        with svc.store.transaction() as session:
            submissions.keep_key(session, submission_id, csr=request["csr"], public_key_sha256=facts.public_key_sha256)
