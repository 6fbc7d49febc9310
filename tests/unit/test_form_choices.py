"""What the order form of an account offers."""

from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest

from models.checks import ReferenceFacts
from models.choosing import choose_organization, choose_profile
from models.order_form import MOST_CHOICES, TEXT_MAX, fitting, order_form
from models.reference import CertificateProfile, CustomField, Organization

NOW = datetime(2026, 11, 25, tzinfo=UTC)

SCHEMA: dict[str, Any] = {
    "title": "Parameters", "type": "object", "required": ["common_name", "organization", "certificate_profile"],
    "properties": {
        "common_name": {"title": "common_name", "position": 0, "type": "string", "description": "A name."},
        "organization": {"title": "organization", "position": 1, "type": "string", "maxLength": 256, "description": "An organization."},
        "certificate_profile": {"title": "certificate_profile", "position": 2, "type": "string", "maxLength": 256, "description": "A profile."},
        "term_days": {
            "title": "term_days", "position": 3, "anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None,
            "description": "Days.",
        },
        "keystore_type": {"title": "keystore_type", "position": 4, "type": "string", "enum": ["PKCS12", "JKS"], "description": "One."},
        "custom_fields": {
            "title": "custom_fields", "position": 5, "type": "object", "additionalProperties": {"type": "string"}, "default": {},
            "description": "Fields.",
        },
        "account": {"title": "account", "position": 6, "type": "string", "default": "default", "description": "An account."},
    },
}
"""As Prefect makes it of the flow's signature."""


def organization(id_: int, name: str, parent: Organization | None = None) -> Organization:
    return Organization(
        account="default", id=id_, name=name, parent_id=parent.id if parent else None, parent_name=parent.name if parent else None, changed_at=NOW)


def profile(id_: int, name: str, terms: list[int]) -> CertificateProfile:
    return CertificateProfile(account="default", id=id_, name=name, terms=terms, key_types={}, organization_ids=[], changed_at=NOW)


def custom_field(id_: int, name: str, input_type: str = "TEXT_SINGLE_LINE", *, mandatory: bool = False, options: tuple[str, ...] = ()) -> CustomField:
    return CustomField(account="default", id=id_, name=name, input_type=input_type, mandatory=mandatory, options=list(options), changed_at=NOW)


UNIVERSITY = organization(3100, "Example University")
IT = organization(3101, "IT", UNIVERSITY)
OV, EV = profile(501, "OV Multi-Domain", [199, 90]), profile(502, "EV", [199])
FIELDS = (
    custom_field(1, "Owner"), custom_field(2, "Cost centre", "TEXT_OPTION", mandatory=True, options=("A-100", "B-200")),
    custom_field(3, "Review", "DATE"),
)


def form(
    *, organizations: Any = (UNIVERSITY, IT), profiles: Any = (OV, EV), custom_fields: Any = (), account: str = "default",
) -> dict[str, Any]:
    known = ReferenceFacts(organizations=organizations, domains=(), profiles=profiles, custom_fields=custom_fields)
    return order_form(SCHEMA, known, account=account)


def refused(wish: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    return [error.json_path for error in jsonschema.Draft202012Validator(schema).iter_errors(wish)]


def test_organizations_departments_profiles_and_terms_are_offered_in_order() -> None:
    """DESIGN 1, line 4: ids at the end tell namesakes apart."""
    fields = form()["properties"]
    assert fields["organization"]["enum"] == ["Example University (3100)", "Example University / IT (3101)"]
    assert fields["certificate_profile"]["enum"] == ["EV (502)", "OV Multi-Domain (501)"]
    assert fields["term_days"]["enum"] == [90, 199]
    assert fields["keystore_type"]["enum"] == ["PKCS12", "JKS"]


def test_whatever_is_offered_is_understood_by_the_flow() -> None:
    """RULES N5: the longest names too, which as a parameter may have 256 characters."""
    parent = organization(1, "P" * 200)
    organizations = [parent, organization(2, "D" * 200, parent), organization(3, "N" * 400), organization(4, "Law (12)")]
    profiles = [profile(5, "Q" * 300, [1]), profile(6, "EV (new)", [1])]
    fields = form(organizations=organizations, profiles=profiles)["properties"]
    assert [choose_organization(text, organizations).id for text in fields["organization"]["enum"]] == [3, 2, 4, 1]
    assert [choose_profile(text, profiles).id for text in fields["certificate_profile"]["enum"]] == [5, 6]
    assert all(len(text) <= TEXT_MAX for name in ("organization", "certificate_profile") for text in fields[name]["enum"])


def test_what_is_optional_is_a_plain_field_that_may_be_left_out() -> None:
    """With null among its types Prefect's UI asks for the type before it shows a field."""
    schema = form()
    assert schema["properties"]["term_days"]["type"] == "integer"
    wish = {"common_name": "www.example.com", "organization": "Example University (3100)", "certificate_profile": "EV (502)"}
    assert refused(wish, schema) == []
    assert refused({**wish, "term_days": 90}, schema) == []


@pytest.mark.parametrize(("name", "value"), [
    ("organization", "Example University"), ("certificate_profile", "EV"), ("term_days", 91), ("account", "second"),
    ("custom_fields", {"Shoe size": "44"}), ("custom_fields", {"Cost centre": "C-300"}), ("comon_name", "www.example.com"),
])
def test_what_is_not_offered_does_not_fit(name: str, value: Any) -> None:
    """DESIGN 6: the API refuses it with 409, an unknown parameter too."""
    wish = {"common_name": "www.example.com", "organization": "Example University (3100)", "certificate_profile": "EV (502)", name: value}
    assert refused(wish, form(custom_fields=FIELDS)) != []


def test_the_form_is_for_one_account() -> None:
    """With several accounts there is a form for each, since their choices differ."""
    account = form(account="second")["properties"]["account"]
    assert (account["enum"], account["default"]) == (["second"], "second")


def test_custom_fields_are_asked_for_by_name_the_mandatory_ones_first() -> None:
    """RULES C4"""
    own = form(custom_fields=FIELDS)["properties"]["custom_fields"]["properties"]
    assert sorted(own, key=lambda name: own[name]["position"]) == ["Cost centre", "Owner", "Review"]
    assert own["Cost centre"]["enum"] == ["A-100", "B-200"]
    assert own["Cost centre"]["description"].startswith("Mandatory")
    assert "2026-03-31" in own["Review"]["description"]


def test_custom_fields_of_one_name_stay_an_object_of_texts() -> None:
    """RULES C4: by id they can still be told apart."""
    field = form(custom_fields=(custom_field(1, "Owner"), custom_field(2, "Owner")))["properties"]["custom_fields"]
    assert field == SCHEMA["properties"]["custom_fields"]


def test_before_the_first_sync_the_fields_are_texts_and_say_what_to_do() -> None:
    """The form is there from the start, and works."""
    fields = form(organizations=(), profiles=())["properties"]
    for name in ("organization", "certificate_profile", "term_days"):
        assert "enum" not in fields[name]
        assert "run sync-reference-data" in fields[name]["description"]


def test_too_many_choices_stay_a_text_that_says_so() -> None:
    """1,000 are offered; above that the list of all deployments would grow beyond reason."""
    many = [organization(number, f"Organization {number}") for number in range(MOST_CHOICES + 1)]
    assert len(form(organizations=many[1:])["properties"]["organization"]["enum"]) == MOST_CHOICES
    field = form(organizations=many)["properties"]["organization"]
    assert "enum" not in field
    assert "1,001" in field["description"]
    assert field["maxLength"] == 256


def test_a_preset_that_is_not_offered_any_more_is_dropped() -> None:
    """Prefect refuses a form whose presets contradict it; then no sync would ever reach the form again."""
    presets = {"organization": "Example Archive (3400)", "certificate_profile": "EV (502)", "common_name": "www.example.com", "gone": "since 0.1"}
    assert fitting(presets, form()) == {"certificate_profile": "EV (502)", "common_name": "www.example.com"}


def test_a_deployment_of_another_release_gets_no_parameter_that_its_flow_lacks() -> None:
    """A deployment that is not deployed anew must not make each sync fail."""
    older = {**SCHEMA, "properties": {"common_name": SCHEMA["properties"]["common_name"]}}
    nothing = ReferenceFacts(organizations=(UNIVERSITY,), domains=(), profiles=(), custom_fields=FIELDS)
    assert order_form(older, nothing, account="default")["properties"] == older["properties"]
    assert order_form({}, nothing, account="default")["properties"] == {}


def test_the_flows_own_schema_is_left_as_it_was() -> None:
    """The deployment for programs keeps its free texts."""
    before = repr(SCHEMA)
    form(custom_fields=FIELDS)
    assert repr(SCHEMA) == before
