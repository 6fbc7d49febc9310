"""Which orders a renewal or a reissue is about: those that somebody named, or those that are due (RULES R1, R2, R6, N6)."""

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from models.parameters import RenewParameters
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
    """Orders of ours that are served, not followed by another, and due now, the one that ends first in front; with `within_days` those
    that end so soon."""
    with open_services() as svc, svc.store.reading() as session:
        now = svc.clock()
        day: renewals.Day = "renewal_from" if within_days is None else "served_until"
        ahead = timedelta(days=within_days or 0)
        found = renewals.served_orders(session, account, day, until=now + ahead)
        later = renewals.served_orders(session, account, day, after=now + ahead, until=now + ahead + SHOWN_AHEAD, most=MOST_AHEAD)
    return Chosen(
        order_ids=tuple(one.order_id for one in sorted(found, key=lambda one: one.served_until)),
        later=tuple((one.order_id, (getattr(one, day) - ahead).date()) for one in later),
    )
