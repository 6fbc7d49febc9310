"""order_certificate and poll_orders against the sandbox: exactly one order, the key only in Vault, delivery to one path."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from flows.poll_orders import poll_orders
from models.errors import BatchError, InputError, LoginError, RejectedError
from tasks import services, settling


def statuses(sandbox, name):
    return [order["status"] for order in sandbox.orders(name)]


def deliver(world, *names):
    """Poll until these are delivered."""
    deadline = datetime.now(UTC) + timedelta(seconds=120)
    while datetime.now(UTC) < deadline:
        poll_orders.fn()
        if all(world.certificate_or_none(name) and world.certificate_or_none(name).delivered_at for name in names):
            return
    raise AssertionError(f"{names} were not delivered")


def test_an_order_is_issued_checked_and_delivered_to_its_live_path(synced, order) -> None:
    """RULES E1, D1, D2"""
    answer = order("www.example.com", subject_alternative_names=["api.example.com"], requested_by="web team")
    assert answer.ssl_id
    deliver(synced, "www.example.com")
    entry = synced.entry("live/www.example.com")
    leaf = x509.load_pem_x509_certificate(entry["certificate"].encode())
    key, certificate, chain = pkcs12.load_key_and_certificates(base64.b64decode(entry["keystore"]), entry["keystore_password"].encode())
    assert set(entry["names"]) == {"www.example.com", "api.example.com"}
    assert certificate == leaf
    assert len(chain) >= 1
    assert key.public_key() == leaf.public_key()
    assert entry["order"] == str(answer.order_id)
    assert entry["fullchain"] == entry["certificate"] + entry["chain"]
    assert synced.submission("www.example.com").status == "done"
    assert synced.events("www.example.com")[:3] == ["planned", "submitting", "submitted"]
    assert len(synced.sandbox.orders("www.example.com")) == 1


def test_a_lost_answer_is_settled_not_ordered_again(synced, order) -> None:
    """RULES E3"""
    synced.sandbox.lose_next_answer("enroll")
    assert order("lost.example.com").status == "submitting"
    poll_orders.fn()
    assert len(synced.sandbox.orders("lost.example.com")) == 1
    assert synced.order("lost.example.com").ssl_id == synced.sandbox.orders("lost.example.com")[0]["ssl_id"]
    deliver(synced, "lost.example.com")


def test_an_order_that_never_arrived_is_sent_again_after_the_grace_time(synced, order) -> None:
    """RULES E4"""
    synced.sandbox.fault("drop", route="enroll", count=1)
    assert order("dropped.example.com").status == "submitting"
    assert synced.sandbox.orders("dropped.example.com") == []
    deliver(synced, "dropped.example.com")
    assert len(synced.sandbox.orders("dropped.example.com")) == 1
    assert synced.submission("dropped.example.com").attempts == 2


def test_before_the_grace_time_is_over_nothing_is_sent_again(synced, order, monkeypatch) -> None:
    """RULES E4"""
    monkeypatch.setenv("CERTFLOW_GRACE_SECONDS", "3600")
    services.forget_services()
    synced.sandbox.fault("drop", route="enroll", count=1)
    order("patient.example.com")
    for _ in range(3):
        assert poll_orders.fn().in_doubt == 1
    assert synced.sandbox.orders("patient.example.com") == []
    assert synced.order("patient.example.com").status == "submitting"


def test_after_three_attempts_a_person_decides(synced, order) -> None:
    """RULES E4, E7"""
    synced.sandbox.fault("drop", route="enroll", count=3)
    order("hopeless.example.com")
    for _ in range(12):
        poll_orders.fn()
    assert synced.order("hopeless.example.com").status == "planned"
    assert synced.sandbox.orders("hopeless.example.com") == []
    settling.decide("hopeless.example.com", send_again=True)
    deliver(synced, "hopeless.example.com")
    assert len(synced.sandbox.orders("hopeless.example.com")) == 1


def test_an_order_in_doubt_can_be_withdrawn(synced, order) -> None:
    """RULES E7"""
    synced.sandbox.fault("drop", route="enroll", count=1)
    order("withdrawn.example.com")
    settling.decide("withdrawn.example.com", withdraw=True)
    poll_orders.fn()
    assert synced.order("withdrawn.example.com").status == "withdrawn"
    assert synced.sandbox.orders("withdrawn.example.com") == []
    with pytest.raises(InputError, match="nothing to settle"):
        settling.decide("withdrawn.example.com", send_again=True)


def test_the_same_request_id_orders_once(synced, order) -> None:
    """RULES E6"""
    first = order("once.example.com", request_id="change-17")
    second = order("once.example.com", request_id="change-17", requested_by="somebody else", wait_minutes=0)
    assert first.order_id == second.order_id
    assert len(synced.sandbox.orders("once.example.com")) == 1
    with pytest.raises(InputError, match="used before with other parameters"):
        order("twice.example.com", request_id="change-17")


def test_a_refused_order_is_final_and_says_what_scm_said(synced, order) -> None:
    """RULES E2, E6"""
    synced.sandbox.fault("status", route="enroll", status=400, body={"code": -111, "description": "Profile is gone"}, count=1)
    with pytest.raises(RejectedError, match="Profile is gone") as caught:
        order("refused.example.com", request_id="r-1")
    assert caught.value.summary.status == "refused"
    assert caught.value.summary.order_id == synced.order("refused.example.com").id
    with pytest.raises(RejectedError, match="refused this request before"):
        order("refused.example.com", request_id="r-1")
    assert order("refused.example.com", request_id="r-2").ssl_id


@pytest.mark.parametrize("status", [401, 403, 429])
def test_what_scm_turned_away_at_the_door_is_sent_by_the_next_poll(synced, order, status) -> None:
    """RULES E2, S1"""
    synced.sandbox.fault("status", route="enroll", status=status, body={"code": -16, "description": "not now"}, count=1)
    name = f"door{status}.example.com"
    if status == 429:
        assert order(name).status == "planned"
    else:
        with pytest.raises(RejectedError):
            order(name)
    assert synced.order(name).status == "planned"
    if status == 401:
        before = synced.calls()
        with pytest.raises(LoginError, match="stopped"):
            poll_orders.fn()
        assert synced.calls() == before
        from flows.check_account import check_account
        assert check_account.fn().healthy
    deliver(synced, name)
    assert len(synced.sandbox.orders(name)) == 1


def test_all_problems_of_an_order_are_told_at_once_and_nothing_is_sent(synced, order) -> None:
    """RULES C1"""
    before = synced.sandbox.calls().get("POST enroll", 0)
    with pytest.raises(InputError) as caught:
        order("www.unknown-domain.example.com.invalid-top", term_days=7, custom_fields={"No such field": "x"})
    said = str(caught.value)
    assert "term of 7 days" in said
    assert "No such field" in said
    assert "internal name" in said
    assert synced.sandbox.calls().get("POST enroll", 0) == before
    assert caught.value.summary.status == "refused"


def test_check_only_sends_and_writes_nothing(synced, order) -> None:
    """RULES C1"""
    answer = order("check.example.com", check_only=True)
    assert (answer.order_id, answer.ssl_id, answer.status) == (None, None, "checked")
    assert synced.sandbox.orders("check.example.com") == []
    assert [row for row in synced.keys_or_none()] == []


@pytest.mark.usefixtures("synced")
def test_a_live_name_that_a_living_order_holds_is_refused_with_the_way_out(order) -> None:
    """RULES D2"""
    order("held.example.com")
    with pytest.raises(InputError, match="renew that order, or give another live_name"):
        order("held.example.com")
    assert order("held.example.com", live_name="held-two").ssl_id


@pytest.mark.usefixtures("world")
def test_without_reference_data_an_order_is_refused_with_what_to_do(order) -> None:
    """RULES C2"""
    with pytest.raises(InputError, match="sync-reference-data"):
        order("www.example.com")


def test_a_certificate_for_a_wrong_key_is_never_delivered(synced, order) -> None:
    """RULES D3"""
    synced.sandbox.fault("wrong_key", route="collect", count=1)
    order("wrong.example.com")
    summary = poll_until_fetched(synced, "wrong.example.com")
    assert summary
    assert synced.certificate("wrong.example.com").delivered_at is None


def test_a_certificate_that_lacks_a_name_is_held_until_a_person_accepts(synced, order) -> None:
    """RULES D3, E7"""
    synced.sandbox.fault("missing_san", route="enroll", count=1)
    order("short.example.com", subject_alternative_names=["dropped-name.example.com"])
    poll_until_fetched(synced, "short.example.com")
    held = synced.certificate("short.example.com")
    assert "lacks" in held.held_because
    assert held.delivered_at is None
    said = settling.decide("short.example.com", accept=True)
    assert "delivered" in said
    assert synced.entry("live/short.example.com")["sha256"] == held.sha256


def poll_until_fetched(world, name):
    deadline = datetime.now(UTC) + timedelta(seconds=120)
    while datetime.now(UTC) < deadline:
        try:
            poll_orders.fn()
        except BatchError as error:    # a batch that failed still fetched
            last = error
        if world.certificate_or_none(name):
            return True
    raise AssertionError(f"{name} was not fetched: {last}")
