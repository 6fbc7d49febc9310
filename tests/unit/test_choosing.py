"""Which organization and which profile a text means."""

from datetime import UTC, datetime

import pytest

from models.choosing import as_id, as_serial_number, choose_organization, choose_profile, departments, orders_ssl, path
from models.errors import InputError
from models.reference import CertificateProfile, Organization

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def organization(id_: int, name: str, parent: Organization | None = None, types: list[str] | None = None) -> Organization:
    return Organization(
        account="default", id=id_, name=name, parent_id=parent.id if parent else None, parent_name=parent.name if parent else None,
        certificate_types=types, changed_at=NOW,
    )


UNIVERSITY = organization(1, "Example University")
COLLEGE = organization(2, "Example College (North)")
IT = organization(11, "IT", UNIVERSITY)
IT_NORTH = organization(21, "IT", COLLEGE)
NUMBER = organization(31, "11")
RIGHTS = organization(41, "Law (12)")
ALL = [UNIVERSITY, COLLEGE, IT, IT_NORTH, RIGHTS]


@pytest.mark.parametrize(("text", "meant"), [
    ("Example University", UNIVERSITY), ("example university", UNIVERSITY), ("1", UNIVERSITY), (" 1 ", UNIVERSITY),
    ("Example University (1)", UNIVERSITY),
    ("Example College (North)", COLLEGE), ("Example College (North) (2)", COLLEGE), ("Example University / IT", IT), ("example university/it", IT),
    ("Example University / IT (11)", IT), ("IT (21)", IT_NORTH), ("11", IT), ("Law (12)", RIGHTS),
])
def test_name_id_path_and_what_a_drop_down_shows_are_understood(text: str, meant: Organization) -> None:
    """RULES N5, DESIGN 4"""
    assert choose_organization(text, ALL) is meant


def test_a_bare_name_that_occurs_twice_is_refused_with_the_ids() -> None:
    """RULES N5"""
    with pytest.raises(InputError) as refused:
        choose_organization("IT", ALL)
    assert str(refused.value) == (
        "organization 'IT' is not unique: give one of Example College (North) / IT (21); Example University / IT (11)"
    )


def test_a_name_comes_before_an_id() -> None:
    """RULES N5: an organization may be called 11."""
    assert choose_organization("11", [*ALL, NUMBER]) is NUMBER


@pytest.mark.parametrize("text", [
    "Nobody", "99", "Example University (2)", "IT (1)", "²", "٣", "9" * 5000, "-1", "1.0", "", "/", "()", "(1)", "IT ()",
])
def test_what_fits_nothing_is_refused_with_the_choices(text: str) -> None:
    """RULES N5, C1"""
    with pytest.raises(InputError, match="is unknown: choose one of Example College"):
        choose_organization(text, ALL)


def test_many_choices_are_counted_and_none_names_the_sync() -> None:
    """RULES C1"""
    with pytest.raises(InputError, match=r"; .* and 170 more$"):
        choose_organization("x", [organization(number, f"Organization {number}") for number in range(100, 300)])
    with pytest.raises(InputError, match="run sync-reference-data"):
        choose_organization("x", [])


def test_a_choice_that_a_form_still_showed_is_told_what_became_of_it() -> None:
    """RULES N5, C1: renamed, or gone since."""
    with pytest.raises(InputError, match=r"is unknown: choose one of .*; 2 is now Example College \(North\) \(2\)$"):
        choose_organization("Example College (2)", ALL)
    with pytest.raises(InputError, match=r"is unknown: choose one of .*; 3400 is not, or no longer, among them$"):
        choose_organization("Example Archive (3400)", ALL)
    with pytest.raises(InputError, match=r"is unknown: choose one of .*; 9 is not, or no longer, among them$"):
        choose_profile("Legacy (9)", [profile(7, "DV")])


def profile(id_: int, name: str) -> CertificateProfile:
    return CertificateProfile(account="default", id=id_, name=name, terms=[199], key_types={}, organization_ids=[1], changed_at=NOW)


def test_a_profile_is_meant_by_name_or_id() -> None:
    """DESIGN 4"""
    profiles = [profile(5, "OV / Multi"), profile(6, "EV (new)"), profile(7, "DV"), profile(8, "dv")]
    for text, id_ in (("ov / multi", 5), ("5", 5), ("EV (new)", 6), ("EV (new) (6)", 6), ("DV (7)", 7), ("8", 8)):
        assert choose_profile(text, profiles).id == id_
    with pytest.raises(InputError, match=r"not unique: give one of DV \(7\); dv \(8\)"):
        choose_profile("DV", profiles)
    with pytest.raises(InputError, match=r"is unknown: choose one of DV \(7\)"):
        choose_profile("OV", profiles)


@pytest.mark.parametrize(("text", "id_"), [
    ("7", 7), (" 7 ", 7), ("1099511627776", 2**40), ("9" * 18, 10**18 - 1), ("9" * 19, None), ("-7", None), ("7.0", None), ("²", None), ("٣", None),
    ("", None),
])
def test_an_id_is_a_number_that_a_column_holds(text: str, id_: int | None) -> None:
    """DESIGN 8.8"""
    assert as_id(text) == id_


def test_departments_belong_to_their_organization() -> None:
    """RULES N5"""
    assert departments(UNIVERSITY, ALL) == [IT]
    assert (path(IT), path(UNIVERSITY)) == ("Example University / IT", "Example University")


@pytest.mark.parametrize(("types", "may"), [(None, True), (["SSL", "SMIME"], True), (["SMIME"], False), ([], False)])
def test_an_organization_without_ssl_orders_through_its_departments(types: list[str] | None, may: bool) -> None:
    """RULES N5, contract 9.14"""
    assert orders_ssl(organization(1, "Example", types=types)) is may


@pytest.mark.parametrize(("text", "serial"), [
    ("00:AB:0C", "ab0c"), ("0:ab", "ab"), (" 0AB0C0000000 ", "ab0c0000000"), ("41001000000", "41001000000"), ("f" * 32, "f" * 32), ("00:00", "0"),
    ("4100100000", None), ("abcdef", None), ("www.example.com", None), ("2001:db8::1", None), ("00:ABC", None), ("AB", None), ("", None),
    ("0f8fad5b-d9cb-469f-a165-70867728950e", None), ("\u0663" * 12, None),
])
def test_a_serial_number_has_colons_or_more_than_ten_digits(text: str, serial: str | None) -> None:
    """DESIGN 4, contract 3: as our tables hold it; a UUID has hyphens"""
    assert as_serial_number(text) == serial
