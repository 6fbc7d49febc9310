"""The names that a renewal or a reissue asks for, and what stands against them (RULES N, C1 to C3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from models.checks import FRESH_FOR, Problem, ReferenceFacts, check_names, is_private
from models.errors import InputError
from models.names import normalise, requested_names
from models.orders import CertificateOrder
from models.parameters import REISSUE, RenewParameters
from models.policy import RenewalFacts
from tasks.adapters.scm import ScmClient
from tasks.reference import facts as stored_facts
from tasks.reference import refresh_domains
from tasks.services import Services


@dataclass(frozen=True, kw_only=True)
class Names:
    """All names, the common name first; whether they change; and why they cannot be had, if so."""

    texts: list[str]
    change: bool = False
    problem: str = ""


def names_asked(facts: RenewalFacts, wish: RenewParameters) -> Names:
    """The order's own names; for a reissue with names added and removed."""
    order = facts.order
    own = [order.common_name, *order.subject_alternative_names]
    try:
        have = list(requested_names(own[0], own).names)
        if wish.does != REISSUE or not (wish.add_names or wish.remove_names):
            return Names(texts=have)
        gone = {normalise(name) for name in wish.remove_names}
        if missing := sorted(gone - set(have)):
            return Names(texts=have, problem=f"it has no name {', '.join(missing)} to remove; it has {', '.join(have)}")
        left = [name for name in [*have, *(normalise(name) for name in wish.add_names)] if name not in gone]
        if not left:
            return Names(texts=have, problem="no name would be left")
        wanted = list(requested_names(left[0], left).names)
    except InputError as error:
        return Names(texts=[name.lower() for name in own], problem=str(error))
    return Names(texts=wanted, change=set(wanted) != set(have) or wanted[0] != have[0])


def stand_against(
    svc: Services, scm: ScmClient | None, account: str, facts: Mapping[UUID, RenewalFacts], asked: Mapping[UUID, Names]
) -> dict[UUID, list[str]]:
    """For each order why its names cannot be had: domains that are not validated or not delegated any more.

    Domains that decide and were read more than a day ago, or that would refuse, are read live, once for all orders; not without `scm`.
    Nothing is said before the first sync.
    """
    known = _reference(svc, account)
    if not known.domains:
        return {id_: [names.problem] if names.problem else [] for id_, names in asked.items()}
    judged = {id_: _judged(svc, known, facts[id_].order, names) for id_, names in asked.items()}
    if scm is not None and (stale := _stale(svc, known, asked, judged)):
        refresh_domains(svc, scm, account, names=stale[0], domain_ids=stale[1])
        known = _reference(svc, account)
        judged = {id_: _judged(svc, known, facts[id_].order, names) for id_, names in asked.items()}
    return {
        id_: [*([asked[id_].problem] if asked[id_].problem else []), *(one.text for one in problems if one.level != "warn")]
        for id_, (problems, _) in judged.items()
    }


def _reference(svc: Services, account: str) -> ReferenceFacts:
    with svc.store.reading() as session:
        return stored_facts(session, account)


def _judged(svc: Services, known: ReferenceFacts, order: CertificateOrder, names: Names) -> tuple[list[Problem], set[int]]:
    used: set[int] = set()
    organization = next((one for one in known.organizations if one.id == order.organization_id), None)
    profile = next((one for one in known.profiles if one.id == order.certificate_profile_id), None)
    private = is_private(profile, svc.settings.private_profiles)
    problems = list(check_names(names.texts, known, organization, used=used, private=private, today=svc.clock().date()))
    return problems, used


def _stale(
    svc: Services, known: ReferenceFacts, asked: Mapping[UUID, Names], judged: Mapping[UUID, tuple[Sequence[Problem], set[int]]]
) -> tuple[list[str], set[int]] | None:
    """Names and domains to be read live before they decide (RULES C2)."""
    refusing = {id_ for id_, (problems, _) in judged.items() if any(one.level == "refuse" for one in problems)}
    old = {one.id for one in known.domains if svc.clock() - one.checked_at > FRESH_FOR}
    ids = {id_ for order_id, (_, used) in judged.items() for id_ in used if id_ in old or order_id in refusing}
    names = [name for order_id in refusing for name in asked[order_id].texts]
    return (names, ids) if names or ids else None
