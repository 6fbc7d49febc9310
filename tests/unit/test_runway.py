"""Will the renewals ahead succeed, and how many come in which week?"""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.reference import CertificateProfile, Domain, Organization
from models.runway import WEEKS, Ahead, Obstacle, Outlook, Runway, outlook

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
WITHOUT_JITTER = UUID(int=0)
RENEWED = date(2026, 5, 1)
"""When `ahead()` is renewed: 90 days that end in 60, a third of them left on the thirtieth."""


def ahead(*names: str, **facts: Any) -> Ahead:
    return Ahead(**{
        "order_id": WITHOUT_JITTER, "name": "www.example.org", "names": names or ("www.example.org",), "organization_id": 1, "profile_id": 5,
        "not_before": NOW - timedelta(days=30), "not_after": NOW + timedelta(days=60), **facts,
    })


def organization(**facts: Any) -> Organization:
    return Organization(**{"account": "default", "id": 1, "name": "Example University", "changed_at": NOW, "api_allowed": True, **facts})


def domain(name: str = "example.org", **facts: Any) -> Domain:
    return Domain(**{
        "account": "default", "id": abs(hash(name)), "name": name, "validation_status": "validated", "checked_at": NOW, "changed_at": NOW, **facts,
    })


def profile(**facts: Any) -> CertificateProfile:
    return CertificateProfile(**{
        "account": "default", "id": 5, "name": "OV", "terms": [90, 199], "key_types": {}, "organization_ids": [1], "changed_at": NOW, **facts,
    })


def runway(**facts: Any) -> Runway:
    return Runway(**{"organizations": [organization()], "domains": [domain()], "profiles": [profile()], **facts})


def said(one: Ahead, on: Runway) -> list[str]:
    return [f"{each.what}: {each.why}; {each.mended_by}" for each in on.obstacles(one, RENEWED)]


UNIVERSITY = "organization Example University (1)"

CASES: dict[str, tuple[Ahead, dict[str, Any], list[str]]] = {
    "nothing stands in the way": (ahead(), {}, []),
    "a validation that lasts until the day is enough": (ahead(), {"domains": [domain(validation_expires_on=RENEWED)]}, []),
    "a validation that ends the day before is not": (
        ahead(), {"domains": [domain(validation_expires_on=date(2026, 4, 30))]},
        ["domain example.org: its validation (DCV) ends on 2026-04-30; domain owner"]),
    "a domain that is not validated": (
        ahead(), {"domains": [domain(validation_status="not_validated")]}, ["domain example.org: it is not validated (DCV); domain owner"]),
    "a validation that has expired": (
        ahead(), {"domains": [domain(validation_status="expired")]}, ["domain example.org: its validation (DCV) has expired; domain owner"]),
    "a customer without validation needs none": (ahead(), {"domains": [domain(validation_status=None)]}, []),
    "the nearest domain answers": (
        ahead("a.www.example.org"), {"domains": [domain(), domain("www.example.org", validation_status="expired")]},
        ["domain www.example.org: its validation (DCV) has expired; domain owner"]),
    "each domain is named once": (
        ahead("a.example.org", "b.example.org"), {"domains": [domain(validation_status="expired")]},
        ["domain example.org: its validation (DCV) has expired; domain owner"]),
    "a domain that vanished": (
        ahead(), {"domains": [domain(vanished_at=NOW)]}, ["domain example.org: SCM shows it no more since 2026-04-01; SCM administrator"]),
    "a name below no domain": (
        ahead("a.b.example.co.uk"), {}, ["names below example.co.uk: no registered domain covers them; SCM administrator"]),
    "a profile without domain validation": (
        ahead("host.internal"), {"private_profiles": ["ov"], "domains": [domain(validation_status="expired")]}, []),
    "an organization that forbids the API": (
        ahead(), {"organizations": [organization(api_allowed=False)]}, [f"{UNIVERSITY}: it does not allow orders by API; SCM administrator"]),
    "an organization of which SCM does not say that": (ahead(), {"organizations": [organization(api_allowed=None)]}, []),
    "an organization that vanished": (
        ahead(), {"organizations": [organization(vanished_at=NOW)]}, [f"{UNIVERSITY}: SCM shows it no more since 2026-04-01; SCM administrator"]),
    "an organization without SSL": (
        ahead(), {"organizations": [organization(certificate_types=["SMIME"])]},
        [f"{UNIVERSITY}: it has no SSL certificates of its own; SCM administrator"]),
    "an organization that the login does not see": (
        ahead(organization_id=2), {"profiles": [profile(organization_ids=[1, 2])]},
        ["organization 2: SCM does not show it to this login; SCM administrator"]),
    "a profile that vanished": (
        ahead(), {"profiles": [profile(vanished_at=NOW)]}, ["profile OV (5): SCM offers it no more since 2026-04-01; SCM administrator"]),
    "a profile that is not known": (ahead(profile_id=6), {}, ["profile 6: SCM offers it no more; SCM administrator"]),
    "a profile of other organizations": (
        ahead(), {"profiles": [profile(organization_ids=[2])]},
        ["profile OV (5): it is not offered to organization Example University (1); SCM administrator"]),
    "a CSR of the customer": (
        ahead(own_csr=True), {}, ["a CSR of the customer: the key is not in our Vault: the renewal needs a new CSR; whoever holds the key"]),
    "before any sync nothing is known": (ahead(), {"organizations": [], "domains": [], "profiles": []}, []),
    "an order whose organization and profile are not known": (ahead(organization_id=None, profile_id=None), {}, []),
    "everything at once": (
        ahead(own_csr=True), {
            "organizations": [organization(api_allowed=False)], "profiles": [profile(vanished_at=NOW)],
            "domains": [domain(validation_status="expired")],
        }, [
            "a CSR of the customer: the key is not in our Vault: the renewal needs a new CSR; whoever holds the key",
            f"{UNIVERSITY}: it does not allow orders by API; SCM administrator",
            "profile OV (5): SCM offers it no more since 2026-04-01; SCM administrator",
            "domain example.org: its validation (DCV) has expired; domain owner",
        ]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_stands_in_the_way_is_said_with_who_can_mend_it(case: str) -> None:
    """RULES R7, K2, C3"""
    one, facts, expected = CASES[case]
    assert said(one, runway(**facts)) == expected


def test_what_counts_is_the_day_of_the_renewal_of_each_certificate() -> None:
    """RULES R7: not a fixed 30 days"""
    on = runway(domains=[domain(validation_expires_on=date(2026, 6, 1))])
    early, late = ahead(), ahead(not_before=NOW, not_after=NOW + timedelta(days=199), name="late.example.org")
    seen = outlook([early, late], on, NOW)
    assert (seen.certificates, seen.will_fail) == (2, 1)
    assert [(each.obstacle.what, each.certificates, each.first, each.names) for each in seen.found] == [
        ("domain example.org", 1, late.renewal_day(NOW).date(), ["late.example.org"]),
    ]


def test_what_fails_first_comes_first_and_some_names_stand_for_many() -> None:
    """RULES R7: what is kept does not grow with the certificates."""
    due = [ahead(own_csr=True, name=f"host{number}.example.org", not_after=NOW + timedelta(days=1)) for number in range(10)]
    seen = outlook([ahead("www.example.net"), *due], runway(), NOW)
    assert (seen.certificates, seen.will_fail) == (11, 11)
    assert [(each.certificates, each.first, each.names) for each in seen.found] == [
        (10, NOW.date(), ["host0.example.org", "host1.example.org", "host2.example.org"]), (1, RENEWED, ["www.example.org"]),
    ]


def weeks(one: Ahead, *terms: int) -> list[int]:
    seen: Outlook = outlook([one], runway(profiles=[profile(terms=list(terms))] if terms else []), NOW)
    assert len(seen.weeks) == WEEKS
    return [week for week, number in enumerate(seen.weeks) for _ in range(number)]


@pytest.mark.parametrize(("terms", "times"), [((47,), 11), ((199,), 3), ((90, 199), 3), ((398,), 2), ((6,), 112)])
def test_a_certificate_comes_again_as_often_as_its_longest_term_ends(terms: tuple[int, ...], times: int) -> None:
    """RULES R2, R3: the terms are the profile's, no year's limits are known here."""
    assert len(weeks(ahead(), *terms)) == times


def test_the_first_renewal_follows_the_certificate_s_own_dates() -> None:
    """RULES R2"""
    assert weeks(ahead(), 398)[0] == 4
    assert weeks(ahead(not_after=NOW + timedelta(days=1)), 398)[0] == 0
    assert weeks(ahead(not_after=NOW - timedelta(days=1)), 398)[0] == 0


def test_without_a_term_the_certificate_keeps_its_lifetime() -> None:
    """A profile that SCM offers no more names no term."""
    assert weeks(ahead()) == [4, 12, 21, 30, 38, 47]


def test_dates_that_make_no_sense_end() -> None:
    """A certificate that ends before it begins must not hang a run."""
    assert weeks(ahead(not_before=NOW, not_after=NOW - timedelta(days=1))) == [0]
    assert weeks(ahead(), 0, -3) == weeks(ahead())


def test_an_obstacle_is_the_same_for_all_that_it_stops() -> None:
    """Certificates are grouped by it."""
    on = runway(domains=[domain(validation_status="expired")])
    assert {*on.obstacles(ahead(), RENEWED)} == {*on.obstacles(ahead("b.example.org"), RENEWED)} == {
        Obstacle("domain example.org", "its validation (DCV) has expired", "domain owner"),
    }
