"""revoke: what is meant, what stands against it, and what SCM makes of it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from flows.poll_orders import poll_orders
from flows.revoke import revoke
from models.errors import BatchError, CertflowError, InputError, LoginError
from models.orders import CertificateOrder, OrderEvent, Revocation
from tasks import events, services
from tasks.adapters.store import revocations

TEXT = {"reason_code": "superseded", "reason": "moved to another server"}


def status_at_scm(world, ssl_id):
    return next(one["status"] for one in world.sandbox.orders() if one["ssl_id"] == ssl_id)


def row_of(world, order_id):
    return next(row for row in world.rows(CertificateOrder) if row.id == order_id)


@pytest.mark.parametrize("way", ["ssl_id", "uuid", "name", "serial", "serial with colons"])
def test_a_certificate_is_revoked_however_it_is_named(on_either, way) -> None:
    """DESIGN 4, RULES V1, N6: a serial number by its own call only"""
    [row] = on_either.living()
    pairs = row.serial_number.zfill(len(row.serial_number) + len(row.serial_number) % 2).upper()
    text = {
        "ssl_id": row.ssl_id, "uuid": str(row.id), "name": row.common_name, "serial": row.serial_number.upper(),
        "serial with colons": ":".join(pairs[at:at + 2] for at in range(0, len(pairs), 2)),
    }[way]
    on_either.sandbox.forget_calls()
    summary = revoke.fn(orders=[text], requested_by="web team", **TEXT)
    assert [(one.order_id, one.ssl_id) for one in summary.done] == [(row.id, row.ssl_id)]
    assert "superseded (4)" in summary.done[0].reason
    assert (summary.failed, summary.calls) == ((), 2)
    assert status_at_scm(on_either, row.ssl_id) == "Revoked"
    assert row_of(on_either, row.id).status == "revoked"
    assert set(on_either.sandbox.calls()) == {"POST revoke_serial" if "serial" in way else "POST revoke", "GET details"}
    [event] = [one for one in on_either.rows(OrderEvent) if one.order_id == row.id and one.kind == "revoked"]
    assert event.requested_by == "web team"
    assert "moved to another server" in event.detail
    [planned] = on_either.rows(Revocation)
    assert planned.status == "done"


@pytest.mark.parametrize("code", ["superseded", "4", 4, "unspecified", 0, "cessationOfOperation", "affiliationChanged"])
def test_scm_gets_the_number_of_the_reason(world, code) -> None:
    """RULES V1"""
    [row] = world.living()
    revoke.fn(orders=[row.ssl_id], reason_code=code, reason="x")
    told = next(one["reason_code"] for one in world.sandbox.orders() if one["ssl_id"] == row.ssl_id)
    assert told == {"superseded": 4, "4": 4, 4: 4, "unspecified": 0, 0: 0, "cessationOfOperation": 5, "affiliationChanged": 3}[code]


def test_already_revoked_is_done(world) -> None:
    """RULES V1: by us, by somebody else since, and by somebody else before the last import"""
    ours, theirs = world.living(2)
    revoke.fn(orders=[ours.ssl_id], **TEXT)
    world.sandbox.change_order(theirs.ssl_id, status="Revoked")
    summary = revoke.fn(orders=[ours.ssl_id, theirs.ssl_id], **TEXT)
    assert [one.reason for one in summary.done] == ["revoked already, reason superseded (4)"] * 2
    assert row_of(world, theirs.id).status == "revoked"
    again = revoke.fn(orders=[theirs.serial_number], **TEXT)
    assert "revoked already" in again.done[0].reason


def test_an_answer_that_is_lost_is_decided_by_the_details(world) -> None:
    """RULES V1"""
    [row] = world.living()
    world.sandbox.lose_next_answer("revoke")
    assert len(revoke.fn(orders=[row.ssl_id], **TEXT).done) == 1
    assert world.sandbox.calls()["POST revoke"] == 1


def test_nothing_is_sent_when_one_text_means_nothing_or_several(world) -> None:
    """RULES N6: also predecessor and successor that both live"""
    one, two, three = world.living(3)
    with world.changed(CertificateOrder, two.id) as row:
        row.common_name, row.predecessor_id = one.common_name, one.id
    with world.changed(CertificateOrder, three.id) as row:
        row.serial_number = one.serial_number
    world.sandbox.forget_calls()
    texts = [two.ssl_id, one.common_name, one.serial_number, "00:11:22:33", "f" * 32, uuid4(), "nobody.example.com", "9999999999"]
    with pytest.raises(InputError) as caught:
        revoke.fn(orders=[str(text) for text in texts], **TEXT)
    assert len(caught.value.problems) == 7
    assert f"{one.ssl_id} (" in caught.value.problems[0]
    assert f"{two.ssl_id} (" in caught.value.problems[0]
    assert "no certificate of account default has the serial number '00:11:22:33'" in str(caught.value)
    assert world.calls() == 0
    assert world.rows(Revocation) == []


@pytest.mark.parametrize(("wrong", "said"), [
    ({"orders": []}, "orders must not be empty"), ({"reason": ""}, "reason must not be empty"), ({"reason": "x" * 513}, "at most 512"),
    ({"reason_code": "2"}, "reason_code"), ({"reason_code": True}, "reason_code"),
])
def test_what_no_revocation_needs_is_refused(world, wrong, said) -> None:
    """RULES V1"""
    with pytest.raises(InputError, match=said):
        revoke.fn(**{"orders": ["41001"], **TEXT, **wrong})
    assert world.calls() == 0


def test_who_asked_is_demanded_where_that_is_set(world, monkeypatch) -> None:
    """DESIGN 4: CERTFLOW_REQUIRE_REQUESTED_BY"""
    [row] = world.living()
    monkeypatch.setenv("CERTFLOW_REQUIRE_REQUESTED_BY", "true")
    world.restart()
    with pytest.raises(InputError, match="requested_by is required"):
        revoke.fn(orders=[row.ssl_id], **TEXT)
    assert revoke.fn(orders=[row.ssl_id], requested_by="web team", **TEXT).done


def test_what_has_no_certificate_says_what_to_do_instead(synced, order) -> None:
    """RULES V1: whatever else is in the list is revoked"""
    [good] = synced.living()
    waiting = order("wait.example.com", certificate_profile="OV Multi-Domain (approval)")
    synced.sandbox.lose_next_answer("enroll")
    order("doubt.example.com")
    with pytest.raises(BatchError) as caught:
        revoke.fn(orders=[waiting.ssl_id, "doubt.example.com", good.ssl_id], **TEXT)
    summary = caught.value.summary
    assert [one.ssl_id for one in summary.done] == [good.ssl_id]
    assert "cancel-orders declines" in summary.failed[0].reason
    assert "in doubt" in summary.failed[1].reason
    with pytest.raises(InputError, match="cancel-orders declines") as refused:
        revoke.fn(orders=[waiting.ssl_id], **TEXT)
    assert refused.value.summary.failed[0].ssl_id == waiting.ssl_id


def test_our_old_word_of_an_order_does_not_decide(synced, order) -> None:
    """RULES V1: issued meanwhile"""
    waiting = order("wait.example.com", certificate_profile="OV Multi-Domain (approval)")
    synced.sandbox.change_order(waiting.ssl_id, status="Issued")
    assert revoke.fn(orders=["wait.example.com"], **TEXT).done
    assert status_at_scm(synced, waiting.ssl_id) == "Revoked"


def test_a_served_certificate_needs_its_live_name(synced, order) -> None:
    """RULES V2"""
    order("www.example.com")
    order("*.shop.example.com")
    synced.deliver("www.example.com", "*.shop.example.com")
    with pytest.raises(InputError, match=r"live/www\.example\.com serves it"):
        revoke.fn(orders=["www.example.com"], **TEXT)
    with pytest.raises(BatchError, match=r"give _wildcard\.shop\.example\.com in confirm"):
        revoke.fn(orders=["www.example.com", "*.shop.example.com"], confirm=["live/www.example.com"], **TEXT)
    assert synced.order("www.example.com").status == "revoked"
    assert synced.order("*.shop.example.com").status == "issued"
    [done] = revoke.fn(orders=["*.shop.example.com"], confirm=["_wildcard.shop.example.com"], **TEXT).done
    assert "live/_wildcard.shop.example.com still serves it" in done.reason
    assert synced.entry("live/_wildcard.shop.example.com")["status"] == "issued"


def test_a_refusal_for_good_says_scms_words_and_stops_no_other(world) -> None:
    """RULES V1: the row is closed, and no poll tries again"""
    bad, good = world.living(2)
    world.sandbox.fault("status", path=rf"/revoke/{bad.ssl_id}$", status=400, body={"code": -3, "description": "You are not authorized"})
    with pytest.raises(BatchError, match="You are not authorized") as caught:
        revoke.fn(orders=[bad.ssl_id, good.ssl_id], **TEXT)
    assert [one.ssl_id for one in caught.value.summary.done] == [good.ssl_id]
    assert [one.ssl_id for one in caught.value.summary.failed] == [bad.ssl_id]
    assert sorted(one.status for one in world.rows(Revocation)) == ["done", "refused"]
    assert "revocation refused" in [one.kind for one in world.rows(OrderEvent) if one.order_id == bad.id]
    world.sandbox.forget_calls()
    poll_orders.fn(orders=[str(good.ssl_id)])
    assert "POST revoke" not in world.sandbox.calls()


@pytest.mark.parametrize("trouble", [{"kind": "status", "status": 503}, {"kind": "too_many"}, {"kind": "drop"}, {"kind": "status", "status": 403}])
def test_what_could_not_be_sent_stays_planned_and_the_next_poll_does_it(world, trouble) -> None:
    """RULES V1"""
    [row] = world.living()
    world.sandbox.fault(**trouble, route="revoke")
    with pytest.raises(BatchError, match="poll-orders tries again"):
        revoke.fn(orders=[row.ssl_id], **TEXT)
    assert [one.status for one in world.rows(Revocation)] == ["planned"]
    world.sandbox.clear()
    assert poll_orders.fn(orders=[str(row.ssl_id)]).revoked == 1
    assert status_at_scm(world, row.ssl_id) == "Revoked"


def test_a_refused_login_ends_the_run_and_later_polls_do_the_rest(world) -> None:
    """RULES S1: one call with the wrong password, and every order is named"""
    from flows.check_account import check_account

    rows = world.living(5)
    world.sandbox.forget_calls()
    world.sandbox.fault("status", route="revoke", status=401, body={"code": -16, "description": "Unknown user"})
    with pytest.raises(LoginError) as caught:
        revoke.fn(orders=[row.ssl_id for row in rows], **TEXT)
    assert sorted(one.ssl_id for one in caught.value.summary.failed) == sorted(row.ssl_id for row in rows)
    assert world.calls() == world.sandbox.calls()["POST revoke"]
    assert {one.status for one in world.rows(Revocation)} == {"planned"}
    world.sandbox.clear()
    with pytest.raises(LoginError):
        poll_orders.fn()
    check_account.fn()
    assert poll_orders.fn(orders=[str(row.ssl_id) for row in rows]).revoked == 5


def test_two_revocations_of_the_same_order_at_once_do_it_once(on_either, at_once) -> None:
    """DESIGN 8.5: both say that it is done"""
    rows = on_either.living(3)
    texts = [str(row.ssl_id) for row in rows]
    answers = at_once(*[lambda: revoke.fn(orders=texts, **TEXT)] * 3)
    assert [one for one in answers if isinstance(one, Exception)] == []
    assert all(len(one.done) == 3 for one in answers)
    for row in rows:
        assert [one.kind for one in on_either.rows(OrderEvent) if one.order_id == row.id].count("status") == 1
        assert not [one for one in on_either.rows(Revocation) if one.order_id == row.id and one.status != "done"]


@pytest.mark.parametrize("again", ["Revoked", "Expired"])
def test_what_ended_by_itself_before_it_was_due_is_done(world, again) -> None:
    """RULES R5"""
    [row] = world.living()
    now = datetime.now(UTC)
    with services.open_services() as svc, svc.store.transaction() as session:
        revocations.plan(session, Revocation(
            account="default", order_id=row.id, reason_code=4, reason="renewed", due_at=now, created_at=now - timedelta(days=30)))
    world.sandbox.change_order(row.ssl_id, status=again)
    assert poll_orders.fn(orders=[str(row.ssl_id)]).revoked == 1
    assert row_of(world, row.id).status == again.lower()


def test_programs_are_told_of_a_revocation_once(world, monkeypatch) -> None:
    """DESIGN 4: events"""
    told = []
    monkeypatch.setattr(events, "emit", lambda event, order, **facts: told.append((event, order.ssl_id, order.status, facts["reason_code"])))
    [row] = world.living()
    for _ in range(2):
        revoke.fn(orders=[row.ssl_id], **TEXT)
    assert told == [("certflow.certificate.revoked", row.ssl_id, "revoked", 4)]


def test_a_thousand_revocations_are_a_few_tasks_and_two_calls_each(world, monkeypatch) -> None:
    """DESIGN 5, 6: by batches of a hundred, some at once"""
    from tasks import revoking

    rows = world.living(60)
    monkeypatch.setattr(revoking, "TOGETHER", 25)
    batches = []
    real = revoking.carry_out_batch
    monkeypatch.setattr(revoking, "carry_out_batch", lambda account, ids: (batches.append(len(ids)), real(account, ids))[1])
    summary = revoke.fn(orders=[row.ssl_id for row in rows], **TEXT)
    assert (len(summary.done), batches, summary.calls) == (60, [25, 25, 10], 120)


def test_an_unknown_word_of_scm_keeps_the_revocation_planned(world) -> None:
    """RULES S4"""
    [row] = world.living()
    world.sandbox.fault("unknown_status", route="details", word="Quarantined", count=1)
    with pytest.raises(CertflowError, match="Quarantined"):
        revoke.fn(orders=[row.ssl_id], **TEXT)
    assert poll_orders.fn(orders=[str(row.ssl_id)]).revoked == 1
