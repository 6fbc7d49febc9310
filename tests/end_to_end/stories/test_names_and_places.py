"""Which names, for whom, with which profile: what reaches SCM, and what is refused before."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from models.errors import InputError, RejectedError
from models.reference import Domain
from tasks import services

ORG = {"university": 3100, "library": 3102, "radiology": 3301}


def at_scm(world, name):
    [found] = world.sandbox.orders(name)
    return found


def leaf_names(world, live_name):
    leaf = x509.load_pem_x509_certificate(world.entry(f"live/{live_name}")["certificate"].encode())
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def test_a_wildcard_lies_below_a_path_without_an_asterisk(synced, order) -> None:
    """RULES N1, D2"""
    order("*.WWW.example.com.", subject_alternative_names=["www.example.com"], certificate_profile="OV Wildcard")
    synced.deliver("*.www.example.com")
    assert set(leaf_names(synced, "_wildcard.www.example.com")) == {"*.www.example.com", "www.example.com"}


def test_an_internationalized_name_is_ordered_by_idna_2008(synced, order) -> None:
    """RULES N1"""
    order("Faß.example.com", subject_alternative_names=["bücher.example.com", "xn--bcher-kva.example.com"])
    synced.deliver("xn--fa-hia.example.com")
    assert set(leaf_names(synced, "xn--fa-hia.example.com")) == {"xn--fa-hia.example.com", "xn--bcher-kva.example.com"}


def test_a_hundred_names_are_ordered_and_come_back(synced, order) -> None:
    """RULES N2, N3: the common name is one of them"""
    names = [f"host{number}.example.com" for number in range(100)]
    order(names[0], subject_alternative_names=names)
    synced.deliver(names[0])
    assert set(leaf_names(synced, names[0])) == set(names)
    assert not synced.certificate(names[0]).held_because


@pytest.mark.parametrize("names", [[], ["one.example.com"], ["ONE.example.com."]])
def test_a_single_name_profile_gets_no_list_of_names(synced, order, names) -> None:
    """RULES N3"""
    assert order(
        "one.example.com", subject_alternative_names=names, certificate_profile="OV Single Domain", key_algorithm="RSA",
    ).ssl_id == at_scm(synced, "one.example.com")["ssl_id"]


def test_a_common_name_that_is_too_long_gives_way(synced, order) -> None:
    """RULES N2"""
    long = f"{'a' * 60}.example.com"
    answer = order(long, subject_alternative_names=["short.example.com"])
    assert "serves as common name" in " ".join(answer.notes)
    synced.deliver("short.example.com")
    assert set(leaf_names(synced, "short.example.com")) == {long, "short.example.com"}


@pytest.mark.parametrize(("text", "number"), [
    ("Example University / Library", ORG["library"]), ("3102", ORG["library"]), ("Library (3102)", ORG["library"]), ("Radiology", ORG["radiology"]),
    ("Example Hospital / Radiology (3301)", ORG["radiology"]),
])
def test_a_department_is_meant_by_path_or_id(synced, order, text, number) -> None:
    """RULES N5"""
    order("dept.example.com", organization=text)
    assert at_scm(synced, "dept.example.com")["org_id"] == number


@pytest.mark.parametrize(("text", "said"), [
    ("Library", "not unique.*3201.*3102"), ("Example Hospital", "order for a department: .*Radiology"),
    ("Example Archive", "does not allow orders by API"), ("Nobody", "unknown"),
])
def test_an_organization_that_cannot_order_is_refused_with_the_choice(synced, order, text, said) -> None:
    """RULES N5, C1"""
    with pytest.raises(InputError, match=said):
        order("dept.example.com", organization=text)
    assert synced.sandbox.orders("dept.example.com") == []


def test_a_private_profile_takes_internal_names_when_it_is_named(synced, order, monkeypatch) -> None:
    """RULES C3"""
    inside = {"common_name": "printer.internal", "certificate_profile": "Private CA Server"}
    with pytest.raises(InputError, match="CERTFLOW_PRIVATE_PROFILES"):
        order(**inside)
    monkeypatch.setenv("CERTFLOW_PRIVATE_PROFILES", "private ca server")
    synced.restart()
    order(**inside)
    synced.deliver("printer.internal")


def test_without_validation_at_the_customer_nothing_is_refused_for_it(world, order) -> None:
    """RULES C3: the fields are absent"""
    from flows.sync_reference_data import sync_reference_data
    world.sandbox.settings(validation=False)
    sync_reference_data.fn()
    assert order("free.example.com").ssl_id


@pytest.mark.parametrize(("name", "said"), [
    ("www.expired.example", "has expired"), ("www.rejected.example", "is missing"), ("www.nowhere.example", "no registered domain"),
    ("www.begun.example", "not delegated|is missing"),
])
def test_a_domain_that_is_not_ready_refuses_the_order(synced, order, name, said) -> None:
    """RULES N4, C1"""
    with pytest.raises(InputError, match=said):
        order(name)
    assert synced.sandbox.orders(name) == []


def test_what_was_mended_at_scm_since_the_sync_counts(synced, order) -> None:
    """RULES C2: validated, registered and delegated, allowed, offered since"""
    expires = (datetime.now(UTC) + timedelta(days=100)).date().isoformat()
    synced.sandbox.control("PUT", "reference/domains/6011", {"validation": "Validated", "expires_on": expires})
    synced.sandbox.control("PUT", "reference/domains/6999", {
        "name": "brandnew.example", "validation": "Validated", "delegations": [{"org_id": 3100}, {"org_id": 3999}]})
    synced.sandbox.control("PUT", "reference/organizations/3400", {"api_enabled": True})
    synced.sandbox.control("PUT", "reference/organizations/3999", {"name": "New Department", "parent_id": 3100})
    synced.sandbox.control("PUT", "reference/profiles/5299", {
        "name": "New Profile", "description": "", "terms": [90], "key_types": {"EC": ["P-256"]}})
    assert order("www.rejected.example").ssl_id
    assert order("www.brandnew.example").ssl_id
    assert order("archive.example.com", organization="Example Archive").ssl_id
    assert order("profile.example.com", certificate_profile="New Profile").ssl_id
    assert order("www2.brandnew.example", organization="Example University / New Department").ssl_id


def test_what_was_lost_at_scm_since_the_sync_counts_when_the_data_are_old(synced, order) -> None:
    """RULES C2: validation states older than a day"""
    synced.sandbox.control("PUT", "reference/domains/6001", {"validation": "Expired"})
    synced.sandbox.control("PUT", "reference/domains/6002", {"validation": "Expired"})
    with services.open_services() as svc, svc.store.transaction() as session:
        for id_ in (6001, 6002):
            session.get(Domain, ("default", id_)).checked_at = datetime.now(UTC) - timedelta(days=2)
    with pytest.raises(InputError, match="has expired"):
        order("www.example.com")
    assert synced.sandbox.orders("www.example.com") == []


def test_mandatory_fields_come_from_the_order_or_the_accounts_defaults(synced, order) -> None:
    """RULES C4"""
    synced.sandbox.control("PUT", "reference/custom_fields/81", {"mandatory": True})
    from flows.sync_reference_data import sync_reference_data
    sync_reference_data.fn(kinds=["custom_fields"])
    with pytest.raises(InputError, match="mandatory"):
        order("field.example.com")
    with pytest.raises(InputError, match="A-100"):
        order("field.example.com", custom_fields={"81": "C-300"})
    order("field.example.com", custom_fields={"cost CENTRE": "B-200"})
    assert dict(at_scm(synced, "field.example.com")["custom_fields"]) == {"Cost centre": "B-200"}
    account = synced.entry("accounts/default") | {"defaults": {
        "custom_fields": {"Cost centre": "A-100", "82": "CHG-1"}, "external_requester_emails": ["team@example.com"]}}
    synced.vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret=account)
    order("default.example.com", custom_fields={"Ticket": "CHG-2"})
    found = at_scm(synced, "default.example.com")
    assert dict(found["custom_fields"]) == {"Cost centre": "A-100", "Ticket": "CHG-2"}
    assert found["external_requester"] == "team@example.com"


@pytest.mark.usefixtures("synced")
def test_what_is_sent_anyway_is_left_to_scm(order) -> None:
    """RULES C1, E2: SCM's own refusal is final and says why"""
    with pytest.raises(RejectedError) as caught:
        order("www.expired.example", send_anyway=True)
    assert caught.value.summary.status == "refused"
    assert "has expired" in " ".join(caught.value.summary.notes)
