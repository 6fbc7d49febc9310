"""Tell SCM that a new order took the place of a renewal, so that it stops warning about the old one (RULES R4, contract 5.14)."""

from uuid import UUID

from models.errors import RejectedError
from tasks.adapters.store import orders, renewals, submissions
from tasks.batches import each
from tasks.retry import step
from tasks.runs import this_run
from tasks.services import open_services


@step
def mark_renewed(account: str) -> tuple[str, ...]:
    """Mark at SCM what new orders renewed, once these are delivered; a sentence for each that could not be marked. No call when there is none."""
    with open_services() as svc:
        with svc.store.reading() as session:
            waiting = {sent.id: (order, old) for sent, order, old in renewals.to_mark_renewed(session, account)}
        if not waiting:
            return ()

        def mark(id_: UUID) -> None:
            order, old = waiting[id_]
            assert old.ssl_id is not None  # noqa: S101 - the query says so
            refused = ""
            try:
                scm.mark_renewed(old.ssl_id, order.ssl_id)
            except RejectedError as error:    # SCM will not: it stays unmarked, and nobody asks again
                if error.status in {401, 403}:
                    raise
                refused = str(error)
            with svc.store.transaction() as session:
                submissions.marked_renewed(session, id_, now=svc.clock())
                said = f"SCM did not mark it as renewed: {refused}" if refused else f"marked at SCM as renewed by order {order.ssl_id}"
                orders.record_event(session, old.id, "marked renewed", said, now=svc.clock(), run=this_run())

        with svc.scm(account) as scm:
            _, failed = each(mark, waiting, at_once=svc.settings.scm_concurrency)
        return tuple(f"order {waiting[id_][1].ssl_id} is not marked as renewed at SCM yet: {error}" for id_, error in failed.items())
