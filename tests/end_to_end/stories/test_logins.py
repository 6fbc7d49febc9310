"""All ways to log in, and what a refused login stops (RULES S1)."""

from contextlib import suppress
from pathlib import Path

import pytest

from flows.check_account import check_account
from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from flows.sync_reference_data import sync_reference_data
from models.errors import BatchError, CertflowError, LoginError
from tasks import accounts


def connect(world, **account):
    world.vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret=account)


@pytest.fixture
def oauth2(world):
    """The account by OAuth2, with reference data."""
    connect(world, base_url=world.sandbox.line["scm_admin"], **world.sandbox.line["client"])
    sync_reference_data.fn()
    return world


def test_an_account_with_oauth2_orders_and_delivers(oauth2, order) -> None:
    """DESIGN 1.1"""
    assert check_account.fn().healthy
    order("oauth.example.com")
    oauth2.deliver("oauth.example.com")
    assert import_orders.fn(fetch_certificates=False).orders_seen >= 200


def test_an_account_with_a_client_certificate_orders_and_delivers(world, order, monkeypatch) -> None:
    """DESIGN 1.1"""
    line = world.sandbox.line
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", line["tls"]["ca"])
    account = {name: line["account"][name] for name in ("login", "customer_uri")}
    files = {name: Path(line["tls"][name]).read_text() for name in ("client_certificate", "client_key")}
    connect(world, base_url=line["scm_tls"], **account, **files)
    sync_reference_data.fn()
    order("mutual.example.com")
    world.deliver("mutual.example.com")


def test_a_token_that_ends_in_the_middle_costs_no_order(oauth2, order) -> None:
    """RULES S1: an enroll is not repeated but planned again; no stop"""
    oauth2.sandbox.control("PUT", "client", {"forget_tokens": True})
    assert order("token.example.com").status == "planned"
    oauth2.deliver("token.example.com")
    assert len(oauth2.sandbox.orders("token.example.com")) == 1


def test_a_client_that_the_token_server_refuses_leaves_the_order_planned(oauth2, order, monkeypatch) -> None:
    """RULES E2, S1: RFC 6749 lets it answer 400; SCM never saw the order"""
    from tasks.adapters.scm import ScmClient
    real = ScmClient.enroll

    def enroll(*_given):
        monkeypatch.setattr(ScmClient, "enroll", real)
        raise LoginError("the token server refused the client (HTTP 400)", status=400)
    monkeypatch.setattr(ScmClient, "enroll", enroll)
    with pytest.raises(LoginError):
        order("client.example.com")
    assert oauth2.order("client.example.com").status == "planned"
    check_account.fn()
    oauth2.deliver("client.example.com")


def everything():
    return [poll_orders.fn, import_orders.fn, sync_reference_data.fn]


def test_after_a_refused_login_no_flow_calls_scm_until_the_secret_changes(synced, order) -> None:
    """RULES S1"""
    order("open.example.com")
    account = synced.entry("accounts/default")
    connect(synced, **account | {"password": "not this one"})
    synced.sandbox.forget_calls()
    with pytest.raises(LoginError):
        poll_orders.fn()
    assert synced.calls() == 1
    synced.restart()    # another process
    for flow in everything():
        with pytest.raises(LoginError, match="stopped since"):
            flow()
    with pytest.raises(LoginError, match="stopped since"):
        order("stopped.example.com", term_days=91)    # a refusal is looked up live
    assert synced.calls() == 1
    assert "not this one" not in str(accounts.check("default", by_hand=False))
    assert synced.calls() == 1
    connect(synced, **account)
    synced.deliver("open.example.com")


def test_a_check_by_hand_tries_a_stopped_account_and_lifts_the_stop(synced) -> None:
    """RULES S1, S2"""
    synced.sandbox.control("PUT", "account", {"password": "changed elsewhere"})
    with pytest.raises(LoginError):
        import_orders.fn()
    synced.sandbox.forget_calls()
    with pytest.raises(BatchError) as caught:
        check_account.fn()
    assert synced.calls() == 1
    assert [finding.code for finding in caught.value.summary.findings if finding.severity == "error"]
    with pytest.raises(LoginError, match="stopped"):
        import_orders.fn()
    assert synced.calls() == 1
    synced.sandbox.control("PUT", "account", {"password": synced.sandbox.line["account"]["password"]})
    assert check_account.fn().healthy
    assert import_orders.fn(fetch_certificates=False).orders_seen


def test_a_stop_that_another_process_lifted_holds_nobody_up(synced) -> None:
    """RULES S1: a long-lived process sees it too"""
    synced.sandbox.control("PUT", "account", {"password": "changed elsewhere"})
    with pytest.raises(LoginError):
        import_orders.fn()
    synced.sandbox.control("PUT", "account", {"password": synced.sandbox.line["account"]["password"]})
    from models.orders import AccountState
    with synced.changed(AccountState, "default") as state:
        state.stopped_at = state.stopped_version = state.stopped_because = None
    assert import_orders.fn(fetch_certificates=False).orders_seen


@pytest.mark.parametrize("fault", [
    {"kind": "too_many", "seconds": 0}, {"kind": "html"}, {"kind": "truncate"}, {"kind": "drop"}, {"kind": "empty"},
    {"kind": "status", "status": 503, "body": "down", "content_type": "text/html"},
])
def test_a_storm_of_bad_answers_costs_no_order_and_no_certificate(synced, order, fault) -> None:
    """RULES E2, E3, E4: a third of all calls, then calm"""
    synced.sandbox.fault(**fault, probability=0.34, count=12)
    names = [f"storm{number}.example.com" for number in range(3)]
    for name in names:
        with suppress(CertflowError):
            order(name, request_id=name)
    synced.sandbox.clear()
    for name in names:
        order(name, request_id=name)
    synced.deliver(*names)
    assert {name: len(synced.sandbox.orders(name)) for name in names} == dict.fromkeys(names, 1)
