"""Runway: will the renewals that lie ahead succeed as things stand? (RULES R7). Pure: facts in, answers out.

What counts is the day on which a certificate will be renewed, not a fixed number of days: on that day its domains must be validated, its
organization allowed to order, its profile offered. How long validations and terms last is read, never known here (RULES R3).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from models.choosing import orders_ssl, path
from models.names import domain_of, registrable
from models.policy import jitter_of, renewal_day
from models.reference import CertificateProfile, Domain, Organization

DOMAIN_OWNER = "domain owner"
ADMINISTRATOR = "SCM administrator"
KEY_HOLDER = "whoever holds the key"

WEEKS = 52
EXAMPLES = 3
_WEEK = timedelta(days=7)
_ANY_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - only differences are taken


@dataclass(frozen=True, kw_only=True, slots=True)
class Ahead:
    """A certificate that will need renewal: the newest of its order, living, served from `live/`."""

    order_id: UUID
    name: str
    names: Sequence[str]
    organization_id: int | None
    profile_id: int | None
    not_before: datetime
    not_after: datetime
    own_csr: bool = False

    def renewal_day(self, now: datetime) -> datetime:
        """When it will be renewed: the day that the policy names, now if that has passed (RULES R2)."""
        return max(renewal_day(self.not_before, self.not_after, jitter=jitter_of(self.order_id)), now)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a renewal will fail: what stands in the way, why, and who can mend it."""

    what: str
    why: str
    mended_by: str


class Runway:
    """What the reference data say of a day ahead. A kind of which nothing is known stands against nothing.

    `private_profiles` are names or ids of profiles without domain validation (RULES C3).
    """

    def __init__(
        self, *, organizations: Sequence[Organization], domains: Sequence[Domain], profiles: Sequence[CertificateProfile],
        private_profiles: Iterable[str] = (),
    ) -> None:
        self._organizations = {one.id: one for one in organizations}
        self._profiles = {one.id: one for one in profiles}
        self._domains = {one.name: one for one in domains if one.vanished_at is None}
        self._vanished = {one.name: one for one in domains if one.vanished_at is not None}
        private = {text.casefold() for text in private_profiles}
        self._private = {one.id for one in profiles if {one.name.casefold(), str(one.id)} & private}
        self._known: dict[tuple[int | None, int | None], tuple[Obstacle, ...]] = {}

    def obstacles(self, one: Ahead, day: date) -> Iterator[Obstacle]:
        """What stands against renewing it on that day, each thing once."""
        if one.own_csr:
            yield Obstacle("a CSR of the customer", "the key is not in our Vault: the renewal needs a new CSR", KEY_HOLDER)
        whom = (one.organization_id, one.profile_id)
        if whom not in self._known:
            self._known[whom] = (*self._of_organization(one.organization_id), *self._of_profile(*whom))
        yield from self._known[whom]
        if one.profile_id not in self._private:
            yield from dict.fromkeys(self._of_domains(one.names, day))

    def longest_term(self, profile_id: int | None) -> int | None:
        """The longest term in days that the profile offers today; None when it is not offered or names none."""
        profile = self._profiles.get(profile_id or 0)
        return None if profile is None or profile.vanished_at else max((days for days in profile.terms if days > 0), default=None)

    def _of_organization(self, id_: int | None) -> Iterator[Obstacle]:
        if id_ is None or not self._organizations:
            return
        found = self._organizations.get(id_)
        if found is None:
            yield Obstacle(f"organization {id_}", "SCM does not show it to this login", ADMINISTRATOR)
            return
        what = f"organization {path(found)} ({id_})"
        if found.vanished_at:
            yield Obstacle(what, f"SCM shows it no more since {found.vanished_at:%Y-%m-%d}", ADMINISTRATOR)
        elif found.api_allowed is False:
            yield Obstacle(what, "it does not allow orders by API", ADMINISTRATOR)
        elif not orders_ssl(found):
            yield Obstacle(what, "it has no SSL certificates of its own", ADMINISTRATOR)

    def _of_profile(self, organization_id: int | None, id_: int | None) -> Iterator[Obstacle]:
        if id_ is None or not self._profiles:
            return
        found = self._profiles.get(id_)
        what = f"profile {found.name} ({id_})" if found else f"profile {id_}"
        if found is None or found.vanished_at:
            since = f" since {found.vanished_at:%Y-%m-%d}" if found and found.vanished_at else ""
            yield Obstacle(what, f"SCM offers it no more{since}", ADMINISTRATOR)
        elif organization_id is not None and organization_id not in found.organization_ids:
            organization = self._organizations.get(organization_id)
            whom = f"{path(organization)} ({organization_id})" if organization else str(organization_id)
            yield Obstacle(what, f"it is not offered to organization {whom}", ADMINISTRATOR)

    def _of_domains(self, names: Sequence[str], day: date) -> Iterator[Obstacle]:
        if not self._domains and not self._vanished:
            return
        for name in names:
            found = domain_of(name, self._domains)
            if found is not None:
                why = _not_validated(self._domains[found], day)
                if why:
                    yield Obstacle(f"domain {found}", why, DOMAIN_OWNER)
            elif gone := domain_of(name, self._vanished):
                yield Obstacle(f"domain {gone}", f"SCM shows it no more since {self._vanished[gone].vanished_at:%Y-%m-%d}", ADMINISTRATOR)
            else:
                yield Obstacle(f"names below {registrable(name)}", "no registered domain covers them", ADMINISTRATOR)


def _not_validated(domain: Domain, day: date) -> str | None:
    """Why its validation does not reach to that day; a domain of which SCM shows no validation needs none."""
    if domain.validation_status == "not_validated":
        return "it is not validated (DCV)"
    ends = domain.validation_expires_on
    if domain.validation_status == "expired":
        return "its validation (DCV) has expired"
    return f"its validation (DCV) ends on {ends}" if ends is not None and ends < day else None


@dataclass(kw_only=True, slots=True)
class WillFail:
    """How many renewals an obstacle stops, the first day on which it does, and some of the names."""

    obstacle: Obstacle
    first: date
    certificates: int = 0
    names: list[str] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class Outlook:
    """What lies ahead: how many certificates will need renewal, which will fail, and the renewals of each of the next 52 weeks."""

    certificates: int = 0
    will_fail: int = 0
    found: list[WillFail] = field(default_factory=list)
    """The first to fail comes first."""
    weeks: list[int] = field(default_factory=lambda: [0] * WEEKS)


def outlook(ahead: Iterable[Ahead], runway: Runway, now: datetime) -> Outlook:
    """Look ahead over all certificates, one after the other: what is kept does not grow with them."""
    seen, found = Outlook(), dict[Obstacle, WillFail]()
    for one in ahead:
        when = one.renewal_day(now)
        seen.certificates += 1
        stopped = False
        for obstacle in runway.obstacles(one, when.date()):
            stopped = True
            known = found.get(obstacle) or found.setdefault(obstacle, WillFail(obstacle=obstacle, first=when.date()))
            known.certificates += 1
            known.first = min(known.first, when.date())
            if len(known.names) < EXAMPLES:
                known.names.append(one.name)
        seen.will_fail += stopped
        for week in weeks_of_renewal(one, when, term_days=runway.longest_term(one.profile_id), now=now):
            seen.weeks[week] += 1
    seen.found = sorted(found.values(), key=lambda each: (each.first, -each.certificates, each.obstacle.what))
    return seen


def weeks_of_renewal(one: Ahead, when: datetime, *, term_days: int | None, now: datetime, weeks: int = WEEKS) -> Iterator[int]:
    """In which of the next weeks it is renewed, from 0, under today's terms: at `when` for `term_days`, and again when that is due.

    Without a term it keeps its own lifetime.
    """
    lifetime = timedelta(days=term_days) if term_days else one.not_after - one.not_before
    lives, end = _days_until_due(lifetime, jitter_of(one.order_id)), now + weeks * _WEEK
    while when < end:
        yield (when - now) // _WEEK
        if lives <= timedelta(0):    # a certificate that ends before it begins would be renewed for ever
            return
        when += lives


@lru_cache(maxsize=100_000)
def _days_until_due(lifetime: timedelta, jitter: float) -> timedelta:
    return renewal_day(_ANY_DAY, _ANY_DAY + lifetime, jitter=jitter) - _ANY_DAY
