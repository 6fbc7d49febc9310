"""What revoke, cancel_orders and delete_orders answer: a sentence and pages, by order when they are few."""

from collections.abc import Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from models.errors import CertflowError
from models.summaries import OrderResult, RevokeSummary, Summary
from tasks import pages
from tasks.adapters.store import orders
from tasks.before_revoking import Target
from tasks.retry import step
from tasks.runs import counted, reported
from tasks.services import open_services

S = TypeVar("S", bound=CertflowError)

FEW = 10
"""Up to so many orders each get their own page."""

SAID = 3
"""Up to so many orders are named in a sentence, each with what was done."""


@step
def names(results: Sequence[OrderResult]) -> dict[UUID, str]:
    """How a sentence names the orders: `www.example.com (41003)`."""
    with open_services() as svc, svc.store.reading() as session:
        found = orders.by_ids(session, {one.order_id for one in results if one.order_id})
    return {id_: f"{row.common_name} ({row.ssl_id or row.id})" for id_, row in found.items()}


def sentence(what: str, done: Sequence[OrderResult]) -> str:
    """What was done: order by order when they are few, else how many."""
    return listed(done) if 0 < len(done) <= SAID else f"{counted(len(done), 'order') if done else 'no order'} {what}"


def listed(results: Sequence[OrderResult]) -> str:
    """The first orders with what was done or why not."""
    said = [f"{label}: {reason}" for label, reason in labelled(results[:FEW])]
    return "; ".join([*said, *([f"and {len(results) - FEW:,} more"] if len(results) > FEW else [])])


def labelled(results: Sequence[OrderResult]) -> list[tuple[str, str]]:
    """Each order as a sentence names it, with what was done or why not."""
    known = names(results) if results else {}
    return [(known[one.order_id] if one.order_id in known else str(one.ssl_id), one.reason) for one in results]


def shown(account: str, what: str, done: Sequence[OrderResult], failed: Sequence[OrderResult]) -> dict[str, str]:
    """The pages of the orders when they are few, else one page for the batch."""
    every = [one.order_id for one in (*failed, *done) if one.order_id]
    if len(set(every)) <= FEW:
        return {f"order-{id_}": pages.order_page(id_) for id_ in dict.fromkeys(every)}
    return {f"{what}-{account}": pages.batch_page(f"Orders of account {account}: {what}", {"Failed": labelled(failed), "Done": labelled(done)})}


def _would(one: Target) -> str:
    """What a revocation would do, and what else the key serves."""
    parts = [one.against or (f"serial number {one.serial_number} would be revoked" if one.serial_number else "would be revoked")]
    if one.served_as and not one.against:
        parts.append(f"live/{one.served_as} serves it")
    if one.key_serves:
        parts.append("the same key serves " + ", ".join(one.key_serves))
    return "; ".join(parts)


def also_planned(later: Sequence[OrderResult]) -> str:
    """What else is revoked since its key is compromised (RULES V3)."""
    return f"; planned, since the same key is compromised: {listed(later)}" if later else ""


def dry_run(account: str, targets: Iterable[Target]) -> RevokeSummary:
    """End a dry run: nothing was sent or written."""
    told = [(one, OrderResult(order_id=one.order_id, ssl_id=one.ssl_id, reason=_would(one))) for one in targets]
    would, refused = [result for one, result in told if not one.against], [result for one, result in told if one.against]
    summary = RevokeSummary(done=tuple(would), failed=tuple(refused))
    parts = {"Would be refused": labelled(refused), "Would be revoked": labelled(would)}
    page = pages.batch_page(f"What a revocation in account {account} would do", parts)
    said = sentence("would be revoked", would) + (f"; would be refused: {listed(refused)}" if refused else "")
    return reported(summary, f"nothing was sent: {said}", pages={f"revoke-dry-run-{account}": page})


def stopped(error: S, summary: Summary) -> S:
    """The error that ends a run before everything was tried, with what was done until then."""
    error.summary = summary
    return error
