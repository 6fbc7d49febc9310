"""Delete orders here and nowhere else: a tombstone, by which no later import brings them back, and their keys if that is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from models.errors import CertflowError, ConflictError, SetupError
from models.orders import CertificateOrder
from models.parameters import DeleteParameters
from models.status import DECLINABLE, OPEN, OPEN_AT_SCM, OrderStatus
from models.summaries import OrderResult
from tasks.adapters.store import certificates, orders, revocations, submissions
from tasks.meaning import Meant
from tasks.removal import REVOKED
from tasks.retry import step
from tasks.runs import log, this_run
from tasks.services import Services, open_services

BATCH = 100


@dataclass(kw_only=True)
class Deleted:
    """What became of orders that were to be deleted."""

    done: list[OrderResult] = field(default_factory=list)
    failed: list[OrderResult] = field(default_factory=list)


def delete(wish: DeleteParameters, meant: Sequence[Meant]) -> Deleted:
    """Delete orders, batch by batch. One that must stay stops no other."""
    total = Deleted()
    for first in range(0, len(meant), BATCH):
        batch = delete_batch(wish, [one.order_id for one in meant[first:first + BATCH]])
        total.done += batch.done
        total.failed += batch.failed
    return total


@step
def delete_batch(wish: DeleteParameters, order_ids: Sequence[UUID]) -> Deleted:
    """Delete some orders; one that is deleted already is done, and loses its keys now if that is asked. Raises: SetupError without Vault."""
    result = Deleted()
    with open_services() as svc:
        for id_ in order_ids:
            with svc.store.reading() as session:
                order = orders.order(session, id_)
            try:
                said = _delete(svc, order, wish)
            except SetupError:
                raise
            except CertflowError as error:
                result.failed.append(OrderResult(order_id=order.id, ssl_id=order.ssl_id, reason=str(error)))
            else:
                log().info("order %s (%s): %s", order.ssl_id or order.id, order.common_name, said)
                result.done.append(OrderResult(order_id=order.id, ssl_id=order.ssl_id, reason=said))
    return result


def _delete(svc: Services, order: CertificateOrder, wish: DeleteParameters) -> str:
    """Delete one order; what was done, in words. First the tombstone, then the keys: a second call goes on. Raises: ConflictError."""
    served = _serves(svc, order)
    said = ["it was deleted before"] if order.deleted_at else ["deleted here; SCM keeps it"]
    if order.deleted_at is None:
        with svc.store.reading() as session:
            unsettled = any(one.status in submissions.UNSETTLED for one in submissions.of_order(session, order.id))
        if why := _why_not(order, unsettled=unsettled, served=served, confirm=wish.confirm):
            raise ConflictError(why)
        try:
            with svc.store.transaction() as session:
                orders.delete_here(session, order.id, now=svc.clock(), run=this_run())
        except ConflictError:
            with svc.store.reading() as session:
                if orders.order(session, order.id).deleted_at is None:
                    raise
            said = ["another run was faster and deleted it"]
    if served:
        said.append(f"live/{order.live_name} keeps it with its key, and nobody renews it any more")
    if wish.destroy_key:
        said.append(_destroy_keys(svc, order))
    with svc.store.reading() as session:
        if any(one.status == revocations.PLANNED for one in revocations.of_order(session, order.id)):
            said.append("its planned revocation is carried out all the same")
    return "; ".join(said)


def _why_not(order: CertificateOrder, *, unsettled: bool, served: bool, confirm: Sequence[str]) -> str:
    """What stands against it, with what to do; nothing when it may go."""
    if order.status == OrderStatus.SUBMITTING:
        return "it is in doubt: poll-orders finds out whether SCM took it, or `python -m deployments settle ORDER --withdraw` gives it up"
    if unsettled and order.status not in OPEN:
        return f"it is {order.status} and its reissue is planned or in doubt: cancel-orders withdraws what is planned, poll-orders settles the rest"
    if order.status == OrderStatus.PLANNED:
        return "it is planned: cancel-orders withdraws it, then delete it"
    if order.status in OPEN_AT_SCM:
        instead = "cancel-orders declines it" if order.status in DECLINABLE else "wait until it is issued, and revoke it"
        return f"it is {order.status} at SCM: {instead}"
    if served and order.live_name not in {name.removeprefix("live/") for name in confirm}:
        return (f"live/{order.live_name} serves it, and it would not be renewed any more: revoke it instead, "
                f"or give {order.live_name} in confirm to delete it all the same")
    return ""


def _serves(svc: Services, order: CertificateOrder) -> bool:
    """Whether `live/` serves a certificate of the order."""
    entry = svc.vault.read(f"live/{order.live_name}") if order.live_name else None
    if entry is None or entry.data.get("status") == REVOKED:
        return False
    with svc.store.reading() as session:
        hashes = {one.sha256 for one in certificates.of_order(session, order.id)}
    return entry.data.get("order") == str(order.id) or entry.data.get("sha256") in hashes


def _destroy_keys(svc: Services, order: CertificateOrder) -> str:
    """Remove the keys of all its submissions from Vault with all versions, save those that another order uses; what was done, in words."""
    with svc.store.reading() as session:
        own = [one.id for one in submissions.of_order(session, order.id) if not one.own_csr]
        shared = submissions.sharing_keys(session, order.id)
    gone = [id_ for id_ in own if id_ not in shared]
    for id_ in gone:
        svc.vault.delete_all(f"keys/{id_}")
    if gone:
        with svc.store.transaction() as session:
            orders.record_event(session, order.id, "keys destroyed", ", ".join(str(id_) for id_ in gone), now=svc.clock(), run=this_run())
    kept = f"{len(shared & set(own))} kept, since another order uses the same key" if shared & set(own) else ""
    done = f"{len(gone)} destroyed in Vault" if gone else ""
    return "keys: " + (", ".join(part for part in (done, kept) if part) or "none of ours")
