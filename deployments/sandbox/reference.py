"""The account that the sandbox pretends to hold: organizations, domains, profiles and custom fields.

Choices: one organization may not use the API, one orders through its departments only, one is not validated, two departments
share a name, one domain is registered for each state of validation, `example.com` and `example.org` are ready to use.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import MappingProxyType

DOMAIN, SUBDOMAIN, WILDCARD_1, WILDCARD_2 = "DOMAIN", "SUBDOMAIN", "WILDCARD_1ST_LEVEL", "WILDCARD_2ND_LEVEL"
ALL_PRIVILEGES = (DOMAIN, SUBDOMAIN, WILDCARD_1, WILDCARD_2)
VALIDATED, NOT_VALIDATED, EXPIRED = "Validated", "Not validated", "Expired"
RSA = ("2048", "3072", "4096")
EC = ("P-256", "P-384")


@dataclass(kw_only=True)
class Organization:
    """An organization, or a department when it has a parent."""

    id: int
    name: str
    parent_id: int | None = None
    cert_types: tuple[str, ...] = ("SSL",)
    api_enabled: bool = True
    validated: bool = True
    secondary_name: str = ""
    city: str = "Sampletown"
    state: str = "Sample State"
    country: str = "DE"


@dataclass(kw_only=True)
class Profile:
    """A certificate profile (contract 5.4)."""

    id: int
    name: str
    description: str
    terms: tuple[int, ...]
    key_types: dict[str, tuple[str, ...]]
    organizations: tuple[int, ...] | None = None
    """Who may order it; None for everybody."""
    single_name: bool = False
    waits: bool = False
    """An order waits for approval, whatever the privileges of its requester."""
    ev: bool = False
    private: bool = False
    """Internal names, no domain validation, another issuer."""
    renewable: bool = True


@dataclass(kw_only=True)
class Delegation:
    """A domain delegated to an organization."""

    org_id: int
    privileges: tuple[str, ...] = ALL_PRIVILEGES
    cert_types: tuple[str, ...] = ("SSL",)
    active: bool = True


@dataclass(kw_only=True)
class Domain:
    """A registered domain with its validation (contract 5.2, 5.3)."""

    id: int
    name: str
    delegations: list[Delegation]
    approved: bool = True
    suspended: bool = False
    validation: str = VALIDATED
    method: str | None = "CNAME_CSR_HASH"
    validated_on: date | None = None
    expires_on: date | None = None
    order_status: str = "Not initiated"
    order_method: str | None = None
    requested: datetime | None = None


@dataclass(kw_only=True)
class CustomField:
    """A custom field of SSL orders (contract 5.5)."""

    id: int
    name: str
    kind: str = "TEXT_SINGLE_LINE"
    options: tuple[str, ...] = ()
    mandatory: bool = False
    state: str = "ACTIVE"


@dataclass
class Reference:
    """Everything that SCM knows besides orders and admins."""

    organizations: dict[int, Organization] = field(default_factory=dict)
    profiles: dict[int, Profile] = field(default_factory=dict)
    domains: dict[int, Domain] = field(default_factory=dict)
    custom_fields: dict[int, CustomField] = field(default_factory=dict)

    def departments(self, org_id: int) -> list[Organization]:
        return [one for one in self.organizations.values() if one.parent_id == org_id]

    def profiles_of(self, org_id: int) -> list[Profile]:
        return [one for one in self.profiles.values() if one.organizations is None or org_id in one.organizations]

    def domain_named(self, name: str) -> Domain | None:
        return next((one for one in self.domains.values() if one.name == name), None)

    def field_named(self, name: str) -> CustomField | None:
        return next((one for one in self.custom_fields.values() if one.name == name), None)


UNIVERSITY, COMPUTING, LIBRARY, INSTITUTE, INSTITUTE_LIBRARY = 3100, 3101, 3102, 3200, 3201
HOSPITAL, RADIOLOGY, PHARMACY, ARCHIVE, STARTUP, ARTS = 3300, 3301, 3302, 3400, 3500, 3600
WAITING_PROFILE = 5205


def start(now: datetime, mandatory: Sequence[str]) -> Reference:
    """The account as it is at the start. `mandatory` names the custom fields that an order must have."""
    return Reference(
        organizations={one.id: one for one in _organizations()}, profiles={one.id: one for one in _profiles()},
        domains={one.id: one for one in _domains(now)}, custom_fields={one.id: one for one in _custom_fields(mandatory)},
    )


def _organizations() -> list[Organization]:
    return [
        Organization(id=UNIVERSITY, name="Example University", secondary_name="Example Uni"),
        Organization(id=COMPUTING, name="Computing Centre", parent_id=UNIVERSITY),
        Organization(id=LIBRARY, name="Library", parent_id=UNIVERSITY),
        Organization(id=INSTITUTE, name="Example Institute", city="Otherville", country="AT"),
        Organization(id=INSTITUTE_LIBRARY, name="Library", parent_id=INSTITUTE, city="Otherville", country="AT"),
        Organization(id=HOSPITAL, name="Example Hospital", cert_types=()),
        Organization(id=RADIOLOGY, name="Radiology", parent_id=HOSPITAL),
        Organization(id=PHARMACY, name="Pharmacy", parent_id=HOSPITAL, api_enabled=False),
        Organization(id=ARCHIVE, name="Example Archive", api_enabled=False),
        Organization(id=STARTUP, name="Example Start-up", validated=False),
        Organization(id=ARTS, name="Beispielhochschule für Künste", cert_types=("SSL", "SMIME"), city="Königsfeld"),
    ]


def _profiles() -> list[Profile]:
    both = {"RSA": RSA, "EC": EC}
    return [
        Profile(id=5201, name="OV Multi-Domain", description="OV for servers, several names", terms=(90, 199), key_types=dict(both)),
        Profile(
            id=5202, name="EV Single Domain", description="EV, needs a second approver", terms=(199,), key_types={"RSA": ("2048", "4096")},
            single_name=True, waits=True, ev=True, organizations=(UNIVERSITY, INSTITUTE)),
        Profile(
            id=5203, name="OV Single Domain", description="OV, one name", terms=(90, 199), key_types={"RSA": RSA}, single_name=True),
        Profile(id=5204, name="OV Wildcard", description="OV with a wildcard", terms=(199,), key_types=dict(both)),
        Profile(
            id=WAITING_PROFILE, name="OV Multi-Domain (approval)", description="OV, each order is approved by hand", terms=(199,),
            key_types=dict(both), waits=True),
        Profile(
            id=5206, name="Private CA Server", description="Internal names, trusted inside only", terms=(30, 365, 730),
            key_types=dict(both), private=True, organizations=(UNIVERSITY, COMPUTING, LIBRARY, RADIOLOGY)),
        Profile(id=5207, name="OV Short-Lived", description="OV for automated servers", terms=(6, 47), key_types={"EC": EC}),
        Profile(
            id=5208, name="OV Legacy", description="OV for old servers, no renewal", terms=(90,), key_types={"RSA": ("1024", *RSA)},
            renewable=False, organizations=(UNIVERSITY, INSTITUTE, ARTS)),
    ]


def _domains(now: datetime) -> list[Domain]:
    today = now.date()

    def ready(number: int, name: str, *organizations: int, days_left: int = 150, privileges: tuple[str, ...] = ALL_PRIVILEGES) -> Domain:
        return Domain(
            id=number, name=name, delegations=[Delegation(org_id=one, privileges=privileges) for one in organizations],
            validated_on=today - timedelta(days=198 - days_left), expires_on=today + timedelta(days=days_left),
            requested=now - timedelta(days=700))

    everybody = (UNIVERSITY, COMPUTING, LIBRARY, INSTITUTE, INSTITUTE_LIBRARY, RADIOLOGY, PHARMACY, ARCHIVE, STARTUP, ARTS)
    young = now - timedelta(days=2)
    return [
        ready(6001, "example.com", *everybody),
        ready(6002, "*.example.com", *everybody),
        Domain(
            id=6003, name="new.example.org", approved=False, validation=NOT_VALIDATED, method=None, order_status="Submitted",
            order_method="CNAME", requested=young, delegations=[Delegation(org_id=UNIVERSITY, privileges=(DOMAIN,), active=False)]),
        Domain(
            id=6004, name="old.example.net", suspended=True, validation=EXPIRED, method="EMAIL", validated_on=today - timedelta(days=500),
            expires_on=today - timedelta(days=105), requested=now - timedelta(days=900),
            delegations=[Delegation(org_id=UNIVERSITY, privileges=(DOMAIN, SUBDOMAIN))]),
        ready(6005, "example.org", *everybody),
        ready(6006, "*.example.org", *everybody),
        ready(6007, "example.net", INSTITUTE, INSTITUTE_LIBRARY, days_left=120),
        Domain(
            id=6008, name="expired.example", validation=EXPIRED, validated_on=today - timedelta(days=220),
            expires_on=today - timedelta(days=22), requested=now - timedelta(days=800), delegations=[Delegation(org_id=UNIVERSITY)]),
        ready(6009, "soon.example", UNIVERSITY, COMPUTING, days_left=5),
        Domain(
            id=6010, name="suspended.example", suspended=True, validated_on=today - timedelta(days=20),
            expires_on=today + timedelta(days=178), requested=now - timedelta(days=60), delegations=[Delegation(org_id=UNIVERSITY)]),
        Domain(
            id=6011, name="rejected.example", validation=NOT_VALIDATED, method=None, order_status="Rejected", order_method="HTTP",
            requested=young, delegations=[Delegation(org_id=UNIVERSITY)]),
        Domain(
            id=6012, name="begun.example", validation=NOT_VALIDATED, method=None, order_status="Awaiting submission",
            order_method="EMAIL", requested=young, delegations=[Delegation(org_id=INSTITUTE)]),
        ready(6013, "hospital.example", RADIOLOGY, PHARMACY),
        ready(6014, "names-only.example", UNIVERSITY, privileges=(DOMAIN,)),
        ready(6015, "xn--knste-kva.example", ARTS),
    ]


def _custom_fields(mandatory: Sequence[str]) -> list[CustomField]:
    found = [
        CustomField(id=81, name="Cost centre", kind="TEXT_OPTION", options=("A-100", "B-200")),
        CustomField(id=82, name="Ticket"),
        CustomField(id=83, name="Owner", kind="EMAIL"),
        CustomField(id=84, name="Review", kind="DATE"),
        CustomField(id=85, name="Machines", kind="NUMBER"),
        CustomField(id=86, name="Former field", state="INACTIVE"),
    ]
    for one in found:
        one.mandatory = one.name in mandatory
    return found


KINDS = MappingProxyType({"organizations": Organization, "profiles": Profile, "domains": Domain, "custom_fields": CustomField})
"""The tables of `Reference`, by name: the control API changes their rows."""
