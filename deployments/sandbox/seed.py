"""Orders of an account that has been used for years: the same for the same seed and day.

Choices: about 70 in 100 are Issued and not ended, 6 of 100 were imported or discovered and have no request date, one in sixteen serial
numbers begins with a zero, one in ten records shows absent values as null or as an empty text. Each seeded name has a number in its first
label (`mail-17.example.com`), so that names without one are free.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random
from typing import TypeVar

from deployments.sandbox import orders as book
from deployments.sandbox.orders import EMPTY, LEFT_OUT, NULL, Order, end_of_term
from deployments.sandbox.reference import (
    ARCHIVE,
    ARTS,
    COMPUTING,
    HOSPITAL,
    INSTITUTE,
    INSTITUTE_LIBRARY,
    LIBRARY,
    RADIOLOGY,
    SUBDOMAIN,
    UNIVERSITY,
    VALIDATED,
    Profile,
    Reference,
)

Word = TypeVar("Word", str, int)
MANY = 10_000
FIRST_ID = 41001
SERIAL_BITS = 128
YEARS = 4 * 365
REPEATED = 0.06
"""The share of orders whose name may occur before: renewals of years past."""
OPEN_DAYS = 60
"""The oldest order that still waits for somebody."""
STATUSES = {
    book.ISSUED: 700, book.EXPIRED: 90, book.REVOKED: 70, book.REQUESTED: 30, book.APPLIED: 20, book.DECLINED: 25, book.REJECTED: 20,
    book.REPLACED: 15, book.INVALID: 10, book.APPROVED: 10, book.SA_APPROVED: 5, book.INIT: 5,
}
VIA = {
    "REST API": 60, "Enrollment Form": 10, "Client Admin": 8, "Imported": 4, "Discovery": 2, "ACME": 6, "Web API": 3, "SCEP": 1, "EST": 1,
    "MS Agent": 1, "Bulk Request": 2,
}
ORGANIZATIONS = {
    UNIVERSITY: 40, COMPUTING: 15, LIBRARY: 8, INSTITUTE: 15, INSTITUTE_LIBRARY: 4, RADIOLOGY: 8, ARTS: 6, HOSPITAL: 1, ARCHIVE: 2,
}
EVERYBODYS, WILDCARD_PROFILE = 5201, 5204
PROFILES = {EVERYBODYS: 50, 5203: 15, 5204: 8, 5205: 6, 5202: 4, 5206: 7, 5207: 5, 5208: 5}
SERVICES = ("www", "mail", "portal", "api", "vpn", "sso", "files", "git", "wiki", "db", "print", "cloud", "lab", "web", "app", "test")
REQUESTERS = ("api-mrao@example.com", "registrar@example.com", "rosa.registrar@example.com", "noc@example.com")
EXTERNAL = ("", "", "webteam@example.com", "webteam@example.com, noc@example.com", "künste@example.org")
COMMENTS = (
    "", "", "order 2f6c1d0a", "moved from the old server", "Zertifikat für die Bibliothek", "see ticket 4711; ask Rosa first",
    "line one\nline two", "<b>not markup</b> & \"quotes\"", "certflow:not-a-number",
)
FIELD_VALUES = ((), (("Cost centre", "A-100"),), (("Cost centre", "B-200"), ("Ticket", "CHG-17")), (("Review", "2027-01-31"),))


def orders(number: int, seed: int, now: datetime, reference: Reference) -> Iterator[Order]:
    """So many orders, oldest number first; their dates count from the day of `now`."""
    random = Random(f"{seed}/orders")
    today = book.start_of_day(now)
    statuses, vias = (_drawn(random, weights, number) for weights in (STATUSES, VIA))
    organizations, profiles = (_drawn(random, weights, number) for weights in (ORGANIZATIONS, PROFILES))
    domains = {one: _domains(reference, one) for one in ORGANIZATIONS}
    offered = {one: {kind.id for kind in reference.profiles_of(one)} for one in ORGANIZATIONS}
    for place in range(number):
        org = organizations[place]
        profile = reference.profiles[profiles[place] if profiles[place] in offered[org] else EVERYBODYS]
        order = Order(
            id=FIRST_ID + place, common_name="", org_id=org, profile_id=profile.id, term=0, status=_early(place) or statuses[place],
            requested_via=vias[place])
        host = f"{random.choice(SERVICES)}-{place // 16 if random.random() < REPEATED else place}"
        _name(order, profile, host, random.choice(domains[org]), random)
        _key(order, profile, random)
        _dates(order, profile, today, random)
        _texts(order, random)
        yield order


def _domains(reference: Reference, org_id: int) -> list[str]:
    """The domains below which an organization may order now, so that its orders can be renewed."""
    found = [
        one.name for one in reference.domains.values() if one.validation == VALIDATED and one.approved and not one.name.startswith("*.")
        for given in one.delegations if given.org_id == org_id and SUBDOMAIN in given.privileges
    ]
    return found or ["example.com"]


def _drawn(random: Random, weights: dict[Word, int], number: int) -> list[Word]:
    return random.choices(list(weights), cum_weights=list(accumulate(weights.values())), k=number)


def _early(place: int) -> str | None:
    """The first orders have one status each, so that a small account has all of them too."""
    return book.STATUSES[place // 2] if place < 2 * len(book.STATUSES) and place % 2 == 0 else None


def _name(order: Order, profile: Profile, host: str, domain: str, random: Random) -> None:
    if profile.private:
        domain = "intern.example.com"
    order.common_name = f"*.{host}.{domain}" if profile.id == WILDCARD_PROFILE else f"{host}.{domain}"
    if profile.single_name:
        return
    draw = random.random()
    others = 0 if draw < 0.5 else random.randint(1, 4) if draw < 0.97 else random.randint(5, 30) if draw < 0.995 else 99
    names = tuple(f"alias{one}.{host}.{domain}" for one in range(1, others + 1))
    # Details echo the request, which may or may not repeat the common name (contract 5.7).
    order.sans = (order.common_name, *names) if names or draw < 0.3 else ()




def _key(order: Order, profile: Profile, random: Random) -> None:
    algorithm = random.choice(tuple(profile.key_types))
    sizes = [one for one in profile.key_types[algorithm] if one != "1024"]
    order.key_type = f"{algorithm} - {sizes[0] if random.random() < 0.8 else random.choice(sizes)}"


def _dates(order: Order, profile: Profile, today: datetime, random: Random) -> None:
    status = order.status
    order.term = random.choice(profile.terms)
    if status == book.ISSUED:
        # At least a day is left, so that nothing ends while a test looks at it.
        order.issued = today - timedelta(seconds=random.randint(60, max(order.term - 2, 1) * 86400))
    elif status == book.EXPIRED:
        order.issued = today - timedelta(days=order.term + random.randint(1, YEARS), seconds=random.randint(60, 80_000))
    elif status in {book.REVOKED, book.REPLACED}:
        order.issued = today - timedelta(days=random.randint(3, YEARS), seconds=random.randint(60, 80_000))
    longest = OPEN_DAYS if status in book.OPEN else YEARS
    arrived = order.issued or today - timedelta(days=random.randint(1, longest), seconds=random.randint(0, 80_000))
    if order.issued is not None:
        bits = SERIAL_BITS - 4 if random.random() < 1 / 16 else SERIAL_BITS
        order.serial = random.getrandbits(bits) | 1
        order.expires = end_of_term(order.issued, order.term)
        order.renewed = status == book.ISSUED and order.expires - today < timedelta(days=order.term / 4) and random.random() < 0.5
        order.renewed_date = order.issued + timedelta(days=order.term * 3 // 4) if order.renewed else None
    else:
        order.expires = end_of_term(arrived, order.term)
        if order.requested_via in book.NOT_ORDERED:
            order.requested_via = "REST API"
    if order.requested_via in book.NOT_ORDERED:
        return _end(order, today, random)
    waited = timedelta(seconds=random.randint(20, 5000))
    order.requested = arrived - waited
    if status in {book.APPROVED, book.APPLIED, book.REJECTED} or order.issued is not None:
        order.approved = arrived - waited / 2
    if status == book.DECLINED:
        order.declined = arrived
    return _end(order, today, random)


def _end(order: Order, today: datetime, random: Random) -> None:
    if order.issued is None or order.expires is None:
        return
    last = min(order.expires, today)
    ended = order.issued + (last - order.issued) * random.random()
    if order.status == book.REVOKED:
        order.revoked, order.reason_code = ended, random.choice((0, 1, 3, 4, 4, 5))
    elif order.status == book.REPLACED:
        order.replaced = ended


def _texts(order: Order, random: Random) -> None:
    draw = random.random()
    order.blank = LEFT_OUT if draw < 0.9 else NULL if draw < 0.95 else EMPTY
    order.requester = random.choice(REQUESTERS)
    order.external_requester = random.choice(EXTERNAL)
    order.comments = random.choice(COMMENTS)
    order.custom_fields = random.choice(FIELD_VALUES)
    if order.status == book.ISSUED and draw > 0.98:
        order.auto_renew, order.auto_renew_days = "Scheduled", 30
