"""Which orders a renewal or a reissue is about: those that somebody named, or those that are due (RULES R1, R2, R6, N6)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from models.parameters import RenewParameters
from models.policy import jitter_of, renewal_day
from tasks import polling
from tasks.adapters.store import renewals
from tasks.retry import step
from tasks.services import open_services

SHOWN_AHEAD = timedelta(days=30)
"""A dry run also shows what is due in so many days."""

MOST_AHEAD = 500


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The orders to be looked at, the one that ends first in front; and what will be due soon, with the day."""

    order_ids: tuple[UUID, ...] = ()
    later: tuple[tuple[UUID, date], ...] = ()


def choose(wish: RenewParameters) -> Chosen:
    """The orders that the wish means. Raises: NotFoundError or InputError that names every text that fits no order or several."""
    return due(wish.account, wish.expiring_within_days) if wish.by_itself else Chosen(order_ids=polling.meant(wish.account, wish.orders))


@step
def due(account: str, within_days: int | None) -> Chosen:
    """Orders of ours that are served, not followed by another, and due now; with `within_days` those that end so soon."""
    with open_services() as svc:
        now = svc.clock()
        found: list[tuple[datetime, UUID]] = []
        later: list[tuple[datetime, UUID]] = []
        with svc.store.reading() as session:
            for id_, not_before, not_after in renewals.delivered_and_not_followed(session, account):
                day = renewal_day(not_before, not_after, jitter=jitter_of(id_)) if within_days is None else not_after - timedelta(days=within_days)
                if day <= now:
                    found.append((not_after, id_))
                elif day <= now + SHOWN_AHEAD:
                    later.append((day, id_))
    return Chosen(
        order_ids=tuple(id_ for _, id_ in sorted(found)), later=tuple((id_, day.date()) for day, id_ in sorted(later)[:MOST_AHEAD]),
    )
