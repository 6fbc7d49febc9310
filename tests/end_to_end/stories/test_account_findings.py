"""check_account against accounts with something wrong (RULES S2), and sync_reference_data against an account that changes."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.check_account import check_account
from flows.sync_reference_data import sync_reference_data
from models.errors import BatchError, CertflowError
from models.reference import CustomField, Domain, Organization


def findings(world, **account):
    """What a check says of the account changed like this: severity by code, and whether it ended well."""
    if account:
        world.sandbox.control("PUT", "account", account)
    try:
        summary, ended = check_account.fn(), "Completed"
    except BatchError as error:
        summary, ended = error.summary, "Failed"
    assert summary.healthy == (ended == "Completed")
    assert summary.healthy == (not any(one.severity == "error" for one in summary.findings))
    return {one.code: one.severity for one in summary.findings}, summary.healthy


def in_days(days):
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


@pytest.mark.parametrize(("account", "code", "severity"), [
    ({"roles": [["RAO_SSL", 3100]]}, "not-mrao", "warning"),
    ({"privileges": ["sslRenew"]}, "privileges-missing", "error"),
    ({"privileges": ["sslRequest", "sslRenew", "sslReplace"]}, "privileges-missing", "warning"),
    ({"password_state": "EXPIRED"}, "login-refused", "error"),
    ({"password_expires": in_days(12)}, "password-ends-soon", "warning"),
    ({"suspended": True}, "login-refused", "error"),
])
def test_what_is_wrong_with_the_login_is_said(world, account, code, severity) -> None:
    """RULES S2"""
    said, healthy = findings(world, **account)
    assert said.get(code, "nothing") == severity, said
    assert healthy == (severity != "error")


def test_a_report_that_is_refused_is_an_error(world) -> None:
    """RULES S2: healthy means can read the report"""
    world.sandbox.fault("status", route="report", status=403, body={"code": -3, "description": "not authorized"})
    said, healthy = findings(world)
    assert (said["report-refused"], healthy) == ("error", False)


def test_without_any_validated_domain_the_account_cannot_order(world) -> None:
    """RULES S2"""
    for one in world.sandbox.control("GET", "reference/domains"):
        world.sandbox.control("PUT", f"reference/domains/{one['id']}", {"validation": "Expired"})
    said, healthy = findings(world)
    assert (said["no-validated-domain"], healthy) == ("error", False)


def test_without_any_organization_that_allows_the_api_the_account_cannot_order(world) -> None:
    """RULES S2"""
    for one in world.sandbox.control("GET", "reference/organizations"):
        world.sandbox.control("PUT", f"reference/organizations/{one['id']}", {"api_enabled": False})
    said, healthy = findings(world)
    assert (said["nobody-may-order"], healthy) == ("error", False)


def test_what_cannot_be_asked_is_unknown_not_wrong(world) -> None:
    """RULES S2: only what stands against ordering is an error"""
    for route in ("admins", "password_state"):
        world.sandbox.fault("status", path="/admin/v1", status=403, body={"code": -3, "description": f"no {route}"})
    said, healthy = findings(world)
    assert healthy
    assert "unknown" in said.values()


def test_what_vanishes_is_marked_and_what_returns_is_new_again(world) -> None:
    """DESIGN 1.2"""
    first = sync_reference_data.fn()
    assert first.domains.new == first.domains.seen == 15
    gone = next(one for one in world.sandbox.control("GET", "reference/domains") if one["id"] == 6014)
    world.sandbox.control("DELETE", "reference/domains/6014")
    second = sync_reference_data.fn()
    assert (second.domains.vanished, second.domains.seen, second.organizations.changed) == (1, 14, 0)
    assert [row.id for row in world.rows(Domain) if row.vanished_at] == [6014]
    world.sandbox.control("PUT", "reference/domains/6014", {"name": gone["name"], "delegations": [{"org_id": 3100}]})
    third = sync_reference_data.fn(kinds=["domains"])
    assert (third.domains.changed, third.domains.vanished) == (1, 0)
    assert [row.id for row in world.rows(Domain) if row.vanished_at] == []


def test_only_the_kinds_that_were_chosen_are_read(world) -> None:
    """DESIGN 4"""
    summary = sync_reference_data.fn(kinds=["custom_fields"])
    assert summary.custom_fields.seen == len(world.rows(CustomField)) > 0
    assert summary.organizations.seen == len(world.rows(Organization)) == 0


def test_a_kind_that_fails_in_the_middle_keeps_what_it_had_and_the_others_are_read(synced) -> None:
    """DESIGN 4: a batch does all it can, everything else stored"""
    before = {row.id: row.vanished_at for row in synced.rows(Domain)}
    synced.sandbox.control("PUT", "reference/custom_fields/82", {"name": "Change"})
    synced.sandbox.fault("status", path=r"/domain/v1/6009$", status=400, body={"code": -9999, "description": "Never heard of it"})
    with pytest.raises(CertflowError, match="Never heard of it") as caught:
        sync_reference_data.fn()
    assert {row.id: row.vanished_at for row in synced.rows(Domain)} == before
    assert "Change" in {row.name for row in synced.rows(CustomField)}
    assert caught.value.summary.custom_fields.changed == 1
    assert caught.value.summary.organizations.seen > 0
