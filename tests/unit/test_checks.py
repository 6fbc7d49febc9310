"""Would this order be issued? Each rule as a case: what the account offers, what is asked, what is said."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from models.checks import CheckedOrder, ReferenceFacts, check_order
from models.parameters import OrderParameters
from models.reference import CertificateProfile, CustomField, Domain, Organization

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
ALLOWED = ["DOMAIN", "SUBDOMAIN", "WILDCARD_1ST_LEVEL", "WILDCARD_2ND_LEVEL"]


def organization(id_: int = 1, name: str = "Example University", **facts: Any) -> Organization:
    return Organization(**{
        "account": "default", "id": id_, "name": name, "api_allowed": True, "certificate_types": ["SSL"], "changed_at": NOW, **facts,
    })


def delegation(organization_id: int = 1, **facts: Any) -> dict[str, Any]:
    return {"organization_id": organization_id, "certificate_types": ["SSL"], "privileges": ALLOWED, "active": True, **facts}


def domain(name: str = "example.com", id_: int = 1, **facts: Any) -> Domain:
    return Domain(**{
        "account": "default", "id": id_, "name": name, "delegation_active": True, "suspended": False, "validation_status": "validated",
        "validation_expires_on": date(2026, 9, 1), "delegations": [delegation()], "checked_at": NOW, "changed_at": NOW, **facts,
    })


def profile(id_: int = 5, name: str = "OV", **facts: Any) -> CertificateProfile:
    return CertificateProfile(**{
        "account": "default", "id": id_, "name": name, "terms": [199, 90], "key_types": {"RSA": ["2048", "3072"], "EC": ["P-256"]},
        "organization_ids": [1], "changed_at": NOW, **facts,
    })


def custom(id_: int = 1, name: str = "Cost", **facts: Any) -> CustomField:
    return CustomField(**{
        "account": "default", "id": id_, "name": name, "mandatory": False, "active": True, "input_type": "TEXT_SINGLE_LINE", "options": [],
        "changed_at": NOW, **facts,
    })


WORLD: dict[str, Any] = {"organizations": [organization()], "domains": [domain()], "profiles": [profile()], "custom_fields": []}


def check(
    world: dict[str, Any] | None = None, *, defaults: dict[str, Any] | None = None, private: tuple[str, ...] = (),
    csr_key: tuple[str, str] | None = None, **asked: Any,
) -> CheckedOrder:
    wish = OrderParameters(**{"common_name": "www.example.com", "organization": "Example University", "certificate_profile": "OV", **asked})
    return check_order(
        wish, ReferenceFacts(**{**WORLD, **(world or {})}), defaults=defaults or {}, private_profiles=private, today=NOW.date(), csr_key=csr_key,
    )


def said(checked: CheckedOrder) -> list[tuple[str, str]]:
    return [(problem.level, problem.text) for problem in checked.problems]


def test_an_order_that_would_be_issued_has_no_problem() -> None:
    """RULES C1"""
    checked = check()
    assert said(checked) == []
    assert (checked.organization_id, checked.profile_id, checked.term_days, checked.domain_ids) == (1, 5, 199, frozenset({1}))


CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    # Of domains (RULES N4)
    ("a name without a registered domain", {}, {"common_name": "www.example.org"},
     [("refuse", "no registered domain covers www.example.org: register and delegate it in SCM")]),
    ("the longest registered ancestor decides", {"domains": [domain(), domain("b.example.com", 2, validation_status="expired")]},
     {"common_name": "a.b.example.com"},
     [("refuse", "the validation (DCV) of domain b.example.com has expired: validate it in SCM, then order a.b.example.com")]),
    ("the wildcard is a domain of its own", {"domains": [domain(), domain("*.example.com", 2, delegations=[])]}, {"common_name": "*.example.com"},
     [("refuse", "domain *.example.com is not delegated to Example University (1): delegate it in SCM")]),
    ("names of one domain are told in one sentence", {"domains": [domain(validation_status="not_validated")]},
     {"subject_alternative_names": [f"{letter}.example.com" for letter in "abcdef"]},
     [("refuse", "the validation (DCV) of domain example.com is missing: validate it in SCM, then order www.example.com, a.example.com, "
       "b.example.com, c.example.com, d.example.com and 2 more")]),
    ("a suspended domain warns", {"domains": [domain(suspended=True)]}, {},
     [("warn", "domain example.com is suspended in SCM; www.example.com may not be issued")]),
    ("a delegation that SCM has not approved warns", {"domains": [domain(delegation_active=False)]}, {},
     [("warn", "the delegation of domain example.com waits for approval in SCM")]),
    ("our own delegation waits for approval", {"domains": [domain(delegations=[delegation(active=False)])]}, {},
     [("warn", "the delegation of domain example.com to Example University (1) waits for approval")]),
    ("delegated, but not for SSL", {"domains": [domain(delegations=[delegation(certificate_types=["SMIME"])])]}, {},
     [("refuse", "domain example.com is delegated to Example University (1), but not for SSL")]),
    ("privileges warn only", {"domains": [domain(delegations=[delegation(privileges=["DOMAIN", "SUBDOMAIN"])])]},
     {"common_name": "example.com", "subject_alternative_names": ["www.example.com", "*.example.com", "*.a.example.com"]},
     [("warn", f"Example University has only DOMAIN, SUBDOMAIN on domain example.com; SCM may refuse {name}")
      for name in ("*.example.com", "*.a.example.com")]),
    ("a wildcard privilege is none for a single name", {"domains": [domain(delegations=[delegation(privileges=["WILDCARD_1ST_LEVEL"])])]}, {},
     [("warn", "Example University has only WILDCARD_1ST_LEVEL on domain example.com; SCM may refuse www.example.com")]),
    ("SCM named no privileges and no types", {"domains": [domain(delegations=[delegation(privileges=[], certificate_types=[])])]}, {}, []),
    ("a validation that ended yesterday", {"domains": [domain(validation_expires_on=date(2026, 3, 31))]}, {},
     [("refuse", "the validation (DCV) of domain example.com ended on 2026-03-31: validate it in SCM, then order www.example.com")]),
    ("a validation that ends today still holds", {"domains": [domain(validation_expires_on=date(2026, 4, 1))]}, {}, []),
    ("the customer has no DCV at all", {"domains": [domain(validation_status=None, validation_expires_on=None, delegations=None)]}, {}, []),
    # Of organizations (RULES N5)
    ("an unknown organization", {}, {"organization": "Nobody"},
     [("never", "organization 'Nobody' is unknown: choose one of Example University (1)")]),
    ("an id that we do not know could be sent", {}, {"organization": "77"},
     [("refuse", "organization '77' is unknown: choose one of Example University (1)")]),
    ("digits that are no id", {}, {"organization": "²"}, [("never", "organization '²' is unknown: choose one of Example University (1)")]),
    ("the API is off", {"organizations": [organization(api_allowed=False)]}, {},
     [("refuse", "organization Example University (1) does not allow orders by API: an SCM administrator must enable it there")]),
    ("SCM did not say whether the API is on", {"organizations": [organization(api_allowed=None, certificate_types=None)]}, {}, []),
    ("without SSL of its own it names its departments",
     {"organizations": [organization(certificate_types=["SMIME"]), organization(11, "IT", parent_id=1, parent_name="Example University")]}, {},
     [("refuse", "organization Example University (1) has no SSL certificates of its own: order for a department: Example University / IT (11)")]),
    ("a department whose organization has the domain",
     {"organizations": [organization(), organization(11, "IT", parent_id=1, parent_name="Example University")],
      "profiles": [profile(organization_ids=[11])]},
     {"organization": "IT"},
     [("warn", "domain example.com is not delegated to Example University / IT (11), only to its organization: delegate it in SCM")]),
    # Of profiles and terms (RULES C1)
    ("a profile of another organization", {"profiles": [profile(), profile(6, "EV", organization_ids=[2])]},
     {"certificate_profile": "EV", "term_days": 90},
     [("never", "certificate profile 'EV' is not offered for organization Example University (1): choose one of OV (5)")]),
    ("the same by its id could be sent", {"profiles": [profile(), profile(6, "EV", organization_ids=[2])]}, {"certificate_profile": "6"},
     [("refuse", "certificate profile '6' is not offered for organization Example University (1): choose one of OV (5)")]),
    ("a profile id that nobody knows needs a term", {}, {"certificate_profile": "77"},
     [("refuse", "certificate profile '77' is not offered for organization Example University (1): choose one of OV (5)"),
      ("never", "term_days is needed, since the profile and its terms are not known")]),
    ("a term that the profile lacks", {}, {"term_days": 398}, [("refuse", "profile OV has no term of 398 days: choose one of 90, 199")]),
    ("no term anywhere", {"profiles": [profile(terms=[])]}, {}, [("never", "profile OV names no term: give term_days")]),
    ("the profile names no terms, the order does", {"profiles": [profile(terms=[])]}, {"term_days": 90}, []),
    # Of keys (RULES K1)
    ("a size that the profile lacks", {}, {"key_size": "4096"}, [("refuse", "profile OV has no RSA keys of size 4096: choose one of 2048, 3072")]),
    ("no EC at all warns", {"profiles": [profile(key_types={"RSA": ["2048"]})]}, {"key_algorithm": "EC"},
     [("warn", "profile OV names no EC keys, only RSA; SCM may refuse the order")]),
    ("no RSA refuses", {"profiles": [profile(key_types={"ECDSA": ["P-256"]})]}, {},
     [("refuse", "profile OV names no RSA keys, only EC; SCM may refuse the order")]),
    ("an algorithm without sizes", {"profiles": [profile(key_types={"RSA": []})]}, {"key_size": "4096"}, []),
    ("a curve that the profile lacks", {}, {"key_algorithm": "EC", "key_size": "P-384"},
     [("refuse", "profile OV has no EC keys of size P-384: choose one of P-256")]),
    ("a curve in words that we do not know warns", {"profiles": [profile(key_types={"EC": ["brainpool"]})]}, {"key_algorithm": "EC"},
     [("warn", "profile OV has no EC keys of size P-256: choose one of brainpool")]),
    # Of names (RULES N1, C3)
    ("a second rule, an internal name", {}, {"subject_alternative_names": ["intranet"]},
     [("refuse", '"intranet" is a single label, so an internal name; no public certificate is issued for it. If this profile belongs '
       "to a private CA, name it in CERTFLOW_PRIVATE_PROFILES or order with send_anyway.")]),
]


@pytest.mark.parametrize(("world", "asked", "problems"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_stands_against_an_order_is_said(world: dict[str, Any], asked: dict[str, Any], problems: list[tuple[str, str]]) -> None:
    """RULES N1, N4, N5, C1, C3, K1"""
    assert said(check(world, **asked)) == problems


@pytest.mark.parametrize("word", ["EC", "ecc", "ECDSA", " Ec "])
@pytest.mark.parametrize("curve", ["P-256", "p256", "secp256r1", "prime256v1", "256", "SECP256R1"])
def test_scms_words_for_keys_are_compared_without_case_and_spelling(word: str, curve: str) -> None:
    """RULES K1"""
    world = {"profiles": [profile(key_types={"rsa": ["2048"], word: [curve]})]}
    assert said(check(world, key_algorithm="EC")) == []
    assert said(check(world, key_algorithm="RSA")) == []


def test_a_customers_own_csr_is_judged_by_its_own_key() -> None:
    """RULES K2"""
    assert said(check(csr="x", csr_key=("RSA", "4096"))) == [("refuse", "profile OV has no RSA keys of size 4096: choose one of 2048, 3072")]


@pytest.mark.parametrize("named", ["ov", "5"])
def test_a_private_profile_may_hold_internal_names_and_domains_warn_only(named: str) -> None:
    """RULES C3"""
    world = {"domains": [domain(validation_status="expired", delegations=[])]}
    checked = check(world, private=(named,), subject_alternative_names=["intranet", "10.0.0.1"])
    assert checked.private
    assert {level for level, _ in said(checked)} == {"warn"}
    assert [text for _, text in said(checked)] == [
        "the validation (DCV) of domain example.com has expired: validate it in SCM, then order www.example.com",
        "domain example.com is not delegated to Example University (1): delegate it in SCM",
        "no registered domain covers intranet, 10.0.0.1: register and delegate it in SCM",
    ]
    assert not check(world).private


def test_send_anyway_turns_refusals_into_warnings_but_not_what_cannot_be_sent() -> None:
    """RULES C1"""
    checked = check(organization="Nobody", common_name="www.example.org", key_size="4096")
    never, other = checked.problems[0].text, [problem.text for problem in checked.problems[1:]]
    assert (checked.against(send_anyway=False), checked.said(send_anyway=False)) == ([never, *other], [])
    assert (checked.against(send_anyway=True), checked.said(send_anyway=True)) == ([never], other)
    assert len(other) == 2


def test_names_that_cannot_be_read_are_all_named_and_never_sent() -> None:
    """RULES N1, C1"""
    checked = check(common_name="a_b.example.com", subject_alternative_names=["-x.example.com"], key_size="4096")
    assert [level for level, _ in said(checked)] == ["never", "never", "refuse"]
    assert checked.names is None


FIELDS = [
    custom(1, "Cost", mandatory=True), custom(2, "Kind", input_type="TEXT_OPTION", options=["web", "mail"]), custom(3, "Until", input_type="DATE"),
    custom(4, "Count", input_type="NUMBER"), custom(5, "Old", mandatory=True, active=False), custom(6, "4"),
]


@pytest.mark.parametrize(("given", "problems"), [
    ({"Cost": "1"}, []),
    ({"cost": "1", "2": "web", "3": "2026-03-31", "Count": "-1.5"}, []),
    ({}, [("refuse", "custom field 'Cost' is mandatory: give it, or a default for the account")]),
    ({"1": ""}, [("refuse", "custom field 'Cost' is mandatory: give it, or a default for the account")]),
    ({"Cost": "1", "Kind": "Web"}, [("refuse", "custom field 'Kind' must be one of web, mail")]),
    ({"Cost": "1", "Until": "31.03.2026"}, [("refuse", "custom field 'Until' must be a date such as 2026-03-31")]),
    ({"Cost": "1", "Until": "2026-02-30"}, [("refuse", "custom field 'Until' must be a date such as 2026-03-31")]),
    ({"Cost": "1", "Until": "2026-3-1"}, [("refuse", "custom field 'Until' must be a date such as 2026-03-31")]),
    ({"Cost": "1", "Until": "20260301"}, [("refuse", "custom field 'Until' must be a date such as 2026-03-31")]),
    ({"Cost": "1", "Count": "٣"}, [("refuse", "custom field 'Count' must be a number")]),
    ({"Cost": "1", "Color": "red"},
     [("refuse", "custom_fields: there is no custom field 'Color'; the account has 4, Cost, Count, Kind, Old, Until")]),
])
def test_custom_fields_are_checked_by_name_or_id(given: dict[str, str], problems: list[tuple[str, str]]) -> None:
    """RULES C4"""
    assert said(check({"custom_fields": FIELDS}, custom_fields=given)) == problems


def test_a_field_that_is_called_like_an_id_is_meant_by_its_name() -> None:
    """RULES C4"""
    assert check({"custom_fields": FIELDS}, custom_fields={"Cost": "1", "4": "text"}).custom_fields == (("Cost", "1"), ("4", "text"))


def test_the_accounts_defaults_fill_what_was_left_out() -> None:
    """RULES C4, contract 9.15: so that a field made mandatory later does not break renewals."""
    defaults = {"custom_fields": {"1": 12, "Kind": "nonsense", "Until": None}, "external_requester_emails": ["team@example.com"]}
    checked = check({"custom_fields": FIELDS}, defaults=defaults, custom_fields={"Kind": "web"})
    assert (said(checked), checked.custom_fields) == ([], (("Cost", "12"), ("Kind", "web")))
    assert checked.external_requester_emails == ("team@example.com",)
    assert check(defaults=defaults, external_requester_emails=["own@example.com"]).external_requester_emails == ("own@example.com",)


@pytest.mark.parametrize(("default", "emails"), [
    ("a@example.com, b@example.com", ("a@example.com", "b@example.com")), ("", ()), (None, ()), ([], ()),
])
def test_default_requesters_may_be_one_text_with_commas(default: Any, emails: tuple[str, ...]) -> None:
    """RULES C4: as SCM itself writes them."""
    assert check(defaults={"external_requester_emails": default}).external_requester_emails == emails


@pytest.mark.parametrize("defaults", [
    {"external_requester_emails": ["a" * 300 + "@example.com"] * 2}, {"custom_fields": "Cost=1"}, {"custom_fields": {"Cost": "x" * 257}},
])
def test_defaults_that_scm_cannot_read_are_never_sent(defaults: dict[str, Any]) -> None:
    """RULES C4"""
    [(level, _)] = said(check({"custom_fields": [custom()]}, defaults=defaults))
    assert level == "never"


def test_a_longer_common_name_is_moved_and_that_is_said() -> None:
    """RULES N2"""
    [(level, text)] = said(check(common_name=f"{'a' * 60}.example.com", subject_alternative_names=["www.example.com"]))
    assert level == "warn"
    assert "serves as common name" in text
