"""Bring the reference data of an account to what SCM shows: whole kinds, or single items before they decide about an order."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from models.checks import ReferenceFacts
from models.choosing import choose_organization, departments
from models.errors import CertflowError, InputError, LoginError, NotFoundError, SetupError
from models.names import domain_of, normalise
from models.parameters import Kind
from models.records import DomainRecord, OrganizationRecord, ProfileRecord
from models.reference import CertificateProfile, CustomField, Domain, Organization
from models.summaries import Counted
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import Session
from tasks.adapters.store import reference as stored
from tasks.retry import step
from tasks.services import Services, open_services

T = TypeVar("T")
R = TypeVar("R")


def sync_all(account: str, kinds: Iterable[Kind]) -> tuple[dict[Kind, Counted], list[str]]:
    """Read these kinds, and a sentence for each reason why some failed: they keep what they had, and stop no other. A refused login ends
    all (RULES S1)."""
    counted: dict[Kind, Counted] = {}
    failed: dict[str, list[str]] = {}
    for kind in kinds:
        try:
            counted[kind] = sync(account, kind)
        except (LoginError, SetupError):
            raise
        except CertflowError as error:
            failed.setdefault(str(error), []).append(kind.replace("_", " "))
    return counted, [f"{', '.join(which)} could not be read: {why}" for why, which in failed.items()]


@step
def sync(account: str, kind: Kind) -> Counted:
    """Read one kind whole and store it; what vanished in SCM is marked, not lost. One transaction for the kind.

    Raises: as the SCM client; nothing is stored then.
    """
    with open_services() as svc:
        with svc.scm(account) as scm:
            rows = READ[kind](svc, scm, account)
        with svc.store.transaction() as session:
            counted = WRITE[kind](session, account, rows, svc.clock())
            stored.account_state(session, account).synced_at = svc.clock()
        return counted


def facts(session: Session, account: str) -> ReferenceFacts:
    """The account's reference data as it is stored."""
    return ReferenceFacts(
        organizations=stored.rows(session, Organization, account), domains=stored.rows(session, Domain, account),
        profiles=stored.rows(session, CertificateProfile, account), custom_fields=stored.rows(session, CustomField, account),
    )


def organization_ids(texts: Iterable[str], known: Sequence[Organization]) -> tuple[int, ...]:
    """The ids of the organizations that texts mean, with their departments. Raises: InputError; a bare id needs no reference data."""
    ids: set[int] = set()
    for text in texts:
        if not known and text.isdigit():
            ids.add(int(text))
            continue
        if not known:
            raise InputError(f"organization {text!r} cannot be looked up before sync-reference-data has run: give its id, or sync first")
        chosen = choose_organization(text, known)
        ids |= {chosen.id, *(one.id for one in departments(chosen, known))}
    return tuple(sorted(ids))


def refresh(svc: Services, account: str, *, organization: str, names: Sequence[str], domain_ids: Iterable[int]) -> None:
    """Read live what decides about one order: the organization, its profiles, its domains, the custom fields (RULES C2).

    An organization or a name's domain that the last sync did not see is looked for in SCM's lists.
    """
    with svc.store.reading() as session:
        known = facts(session, account)
    with svc.scm(account) as scm:
        chosen = _organization_meant(organization, known.organizations) or _organization_meant(
            organization, [Organization(account=account, changed_at=svc.clock(), **_organization(one)) for one in scm.organizations()])
        detailed = _details(scm, chosen) if chosen else None
        profiles = scm.profiles(chosen.id) if chosen and detailed else []
        domains = _all(svc, scm.domain, {*domain_ids, *_registered_since(scm, known, names)})
        custom_fields = scm.custom_fields()
    now = svc.clock()
    with svc.store.transaction() as session:
        if chosen and detailed:
            stored.apply(session, Organization, account, [_organization(detailed, chosen)], now=now, whole=False)
            _apply_profiles_of(session, account, chosen.id, profiles, now)
        elif chosen and (gone := session.get(Organization, (account, chosen.id))):
            gone.vanished_at = gone.changed_at = now
        stored.apply(session, Domain, account, [_domain(one, now) for one in domains], now=now, whole=False)
        _write_custom_fields(session, account, [asdict(one) | {"options": list(one.options)} for one in custom_fields], now)


def refresh_domains(svc: Services, scm: ScmClient, account: str, *, names: Sequence[str], domain_ids: Iterable[int]) -> None:
    """Read live the domains that decide about names; a name's domain that the last sync did not see is looked for in SCM's list (RULES C2)."""
    with svc.store.reading() as session:
        known = facts(session, account)
    domains = _all(svc, scm.domain, {*domain_ids, *_registered_since(scm, known, names)})
    now = svc.clock()
    with svc.store.transaction() as session:
        stored.apply(session, Domain, account, [_domain(one, now) for one in domains], now=now, whole=False)


def _details(scm: ScmClient, organization: Organization) -> OrganizationRecord | None:
    """What SCM says of the organization now; None when it has vanished since the last sync."""
    try:
        return scm.organization(organization.id)
    except NotFoundError:
        return None


def _organization_meant(text: str, organizations: Sequence[Organization]) -> Organization | None:
    try:
        return choose_organization(text, organizations)
    except InputError:
        return None


def _registered_since(scm: ScmClient, known: ReferenceFacts, names: Sequence[str]) -> set[int]:
    """The domains of names for which the last sync saw none."""
    stored_names = {row.name for row in known.domains}
    missing = [name for name in names if domain_of(name, stored_names) is None]
    if not missing:
        return set()
    listed = {_spelled(name): id_ for id_, name in scm.domains()}
    return {listed[found] for name in missing if (found := domain_of(name, listed)) is not None}


def _read_organizations(svc: Services, scm: ScmClient, _account: str) -> list[dict[str, Any]]:
    listed = scm.organizations()
    details = {one.id: one for one in _all(svc, scm.organization, [one.id for one in listed])}
    return [
        _organization(details.get(one.id, one)) | {"parent_id": one.parent_id, "parent_name": one.parent_name} for one in listed
    ]


def _read_domains(svc: Services, scm: ScmClient, _account: str) -> list[dict[str, Any]]:
    now = svc.clock()
    return [_domain(one, now) for one in _all(svc, scm.domain, [id_ for id_, _ in scm.domains()])]


def _read_profiles(svc: Services, scm: ScmClient, account: str) -> list[dict[str, Any]]:
    """Profiles are read per organization and department (RULES N5); whose they are is kept with them."""
    with svc.store.reading() as session:
        ids = [row.id for row in stored.rows(session, Organization, account)]
    ids = ids or [one.id for one in scm.organizations()]
    merged: dict[int, dict[str, Any]] = {}
    for organization_id, profiles in zip(ids, _all(svc, scm.profiles, ids), strict=True):
        for one in profiles:
            merged.setdefault(one.id, _profile(one))["organization_ids"].append(organization_id)
    return list(merged.values())


def _read_custom_fields(_svc: Services, scm: ScmClient, _account: str) -> list[dict[str, Any]]:
    return [asdict(one) | {"options": list(one.options)} for one in scm.custom_fields()]


def _write_organizations(session: Session, account: str, rows: list[dict[str, Any]], now: datetime) -> Counted:
    return stored.apply(session, Organization, account, rows, now=now)


def _write_domains(session: Session, account: str, rows: list[dict[str, Any]], now: datetime) -> Counted:
    return stored.apply(session, Domain, account, rows, now=now)


def _write_profiles(session: Session, account: str, rows: list[dict[str, Any]], now: datetime) -> Counted:
    return stored.apply(session, CertificateProfile, account, rows, now=now)


def _write_custom_fields(session: Session, account: str, rows: list[dict[str, Any]], now: datetime) -> Counted:
    return stored.apply(session, CustomField, account, rows, now=now)


Reader = Callable[[Services, ScmClient, str], list[dict[str, Any]]]
READ: dict[Kind, Reader] = {
    "organizations": _read_organizations, "domains": _read_domains, "certificate_profiles": _read_profiles, "custom_fields": _read_custom_fields,
}
WRITE: dict[Kind, Callable[[Session, str, list[dict[str, Any]], datetime], Counted]] = {
    "organizations": _write_organizations, "domains": _write_domains, "certificate_profiles": _write_profiles,
    "custom_fields": _write_custom_fields,
}


def _apply_profiles_of(session: Session, account: str, organization_id: int, profiles: list[ProfileRecord], now: datetime) -> None:
    """The profiles that one organization has now; other organizations keep theirs."""
    known = {row.id: row for row in stored.rows(session, CertificateProfile, account, vanished=True)}
    rows = []
    for one in profiles:
        before = known[one.id].organization_ids if one.id in known else []
        rows.append(_profile(one) | {"organization_ids": sorted({*before, organization_id})})
    stored.apply(session, CertificateProfile, account, rows, now=now, whole=False)
    offered = {one.id for one in profiles}
    for row in known.values():
        if row.id not in offered and organization_id in row.organization_ids:
            row.organization_ids = [id_ for id_ in row.organization_ids if id_ != organization_id]


def _all(svc: Services, read: Callable[[int], R], ids: Iterable[int]) -> list[R]:
    """Many small reads over the pooled session, in the order of `ids`."""
    with ThreadPoolExecutor(svc.settings.scm_concurrency) as pool:
        return list(pool.map(read, ids))


def _organization(one: OrganizationRecord, known: Organization | None = None) -> dict[str, Any]:
    return {
        "id": one.id, "name": one.name,
        "parent_id": one.parent_id if one.parent_id is not None or known is None else known.parent_id,
        "parent_name": one.parent_name if one.parent_name is not None or known is None else known.parent_name,
        "api_allowed": one.api_allowed,
        "certificate_types": list(one.certificate_types) if one.certificate_types is not None else None,
    }


def _domain(one: DomainRecord, now: datetime) -> dict[str, Any]:
    delegations = None if one.delegations is None else [
        {"organization_id": given.organization_id, "certificate_types": list(given.certificate_types),
         "privileges": list(given.privileges), "active": given.active}
        for given in one.delegations
    ]
    return asdict(one) | {"delegations": delegations, "checked_at": now, "name": _spelled(one.name)}


def _spelled(name: str) -> str:
    """The domain in the spelling of the names that it is compared with; as SCM writes it where that is no name."""
    try:
        return normalise(name)
    except InputError:
        return name.lower()


def _profile(one: ProfileRecord) -> dict[str, Any]:
    return {
        "id": one.id, "name": one.name, "description": one.description, "terms": list(one.terms),
        "key_types": {word: list(sizes) for word, sizes in one.key_types.items()}, "organization_ids": [],
    }
