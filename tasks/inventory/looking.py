"""What an inventory is about, and what our books, Vault and the reference data say of it. No call to SCM."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from models.choosing import path
from models.errors import CertflowError, InputError
from models.names import normalise
from models.orders import Revocation
from models.parameters import InventoryParameters
from models.reference import CertificateProfile, Domain, Organization
from models.runway import Outlook, Runway, outlook
from tasks import attention
from tasks.adapters.store import inventory, reference, revocations
from tasks.adapters.store.chosen import Chosen, of_orders
from tasks.reference import organization_ids
from tasks.retry import step
from tasks.services import open_services

SHOWN = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRevocation:
    """A revocation that is not done: the order's number and name, `overdue` when its moment has passed."""

    number: object
    name: str
    row: Revocation
    overdue: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What our books say."""

    by_status: dict[str, int]
    by_organization: dict[str, int]
    counts: dict[str, int]
    """Of orders that need somebody; see `inventory.attention_counts`, and `held`."""
    needs: list[attention.Need]
    revocations: list[PlannedRevocation]
    ending: list[inventory.Ending]
    shared_names: int
    shared: list[tuple[str, int]]

    @property
    def orders(self) -> int:
        return sum(self.by_status.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class KeysOfNothing:
    """Keys in Vault below `keys/` that belong to no submission of any account: how many, and some; or why that is not known."""

    count: int | None
    some: tuple[str, ...] = ()
    why_not: str = ""


@step
def chosen(wish: InventoryParameters) -> Chosen:
    """What the parameters mean. Raises: InputError for an organization that is not unique or not known."""
    with open_services() as svc, svc.store.reading() as session:
        now = svc.clock()
        known = reference.rows(session, Organization, wish.account, vanished=True)
    return Chosen(
        account=wish.account, now=now, names=_spellings(wish.name) if wish.name else (), issuer=wish.issuer.lower(), statuses=wish.statuses,
        organization_ids=organization_ids([wish.organization], known) if wish.organization else None,
        ends_by=None if wish.expiring_within_days is None else now + timedelta(days=wish.expiring_within_days),
    )


def _spellings(part: str) -> tuple[str, ...]:
    """A part of a name as it was typed, and as certificates spell it when it is a name of its own (RULES N1)."""
    try:
        return tuple(dict.fromkeys((part.lower(), normalise(part))))
    except InputError:
        return (part.lower(),)


@step
def look(wanted: Chosen) -> Seen:
    """Counts, what needs somebody, what ends first, names that are shared, revocations that are not done."""
    with open_services() as svc, svc.store.reading() as session:
        counted = inventory.counts(session, wanted)
        names = {one.id: path(one) for one in reference.rows(session, Organization, wanted.account, vanished=True)}
        unknown = {id_ for _, id_, _ in counted if id_ is not None} - names.keys()
        names |= inventory.organization_names(session, wanted.account, sorted(unknown))
        fits = of_orders(session, wanted)
        needs = attention.needs(session, wanted.account, now=wanted.now, where=fits)
        counts = inventory.attention_counts(session, wanted, stuck_before=wanted.now - attention.STUCK_AFTER)
        counts["held"] = sum(one.to_do in {attention.HELD, attention.NEVER} for one in needs)
        due = {one.id for one in revocations.due(session, wanted.account, now=wanted.now)}
        shared_names, shared = inventory.shared_names(session, wanted, most=SHOWN)
        by_status: dict[str, int] = {}
        by_organization: dict[str, int] = {}
        for status, id_, number in counted:
            by_status[status] = by_status.get(status, 0) + number
            name = "not known" if id_ is None else f"{names.get(id_, '')} ({id_})".strip()
            by_organization[name] = by_organization.get(name, 0) + number
        return Seen(
            by_status=by_status, by_organization=by_organization, counts=counts, needs=needs, shared_names=shared_names, shared=shared,
            ending=inventory.ending(session, wanted, most=SHOWN), revocations=[
                PlannedRevocation(number=number, name=name, row=row, overdue=row.id in due)
                for row, number, name in inventory.revocations(session, wanted)
            ],
        )


@step
def look_ahead(wanted: Chosen) -> Outlook:
    """Which renewals will fail, and how many come in each of the next weeks (RULES R7)."""
    with open_services() as svc, svc.store.reading(streaming=True) as session:
        runway = Runway(
            organizations=reference.rows(session, Organization, wanted.account, vanished=True),
            domains=reference.rows(session, Domain, wanted.account, vanished=True),
            profiles=reference.rows(session, CertificateProfile, wanted.account, vanished=True),
            private_profiles=svc.settings.private_profiles,
        )
        return outlook(inventory.ahead(session, wanted), runway, wanted.now)


@step
def keys_of_nothing() -> KeysOfNothing:
    """Keys in Vault without a submission, whatever the account. That Vault is away ends no inventory: then it is not known."""
    with open_services() as svc:
        try:
            left = set(svc.vault.list("keys"))    # before our books are read: a submission is written before its key
        except CertflowError as error:
            return KeysOfNothing(count=None, why_not=str(error))
        with svc.store.reading(streaming=True) as session:
            for id_ in inventory.submission_ids(session):
                left.discard(str(id_))
    return KeysOfNothing(count=len(left), some=tuple(sorted(left)[:SHOWN]))


def due_since(row: Revocation, now: datetime) -> str:
    """When a planned revocation is due, as a page says it."""
    if row.due_at is not None:
        return f"due {'since' if row.due_at <= now else 'on'} {row.due_at:%Y-%m-%d %H:%M} UTC"
    return f"due {row.after_days or 0} days after its successor was delivered"
