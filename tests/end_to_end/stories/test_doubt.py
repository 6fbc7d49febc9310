"""Orders in doubt: what is found, what stays with a person, and answers that come when others have settled the matter already."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from models.errors import AmbiguousError, CertflowError, InputError
from models.orders import Certificate, CertificateOrder, OrderEvent
from tasks import events, services, settling
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import orders


def while_sending(monkeypatch, act):
    """Do something when SCM has taken the order and its answer is not written down yet."""
    real = ScmClient.enroll

    def enroll(self, request):
        answer = real(self, request)
        act()
        return answer
    monkeypatch.setattr(ScmClient, "enroll", enroll)


def test_a_report_that_cannot_be_read_does_not_keep_an_order_in_doubt(synced, order) -> None:
    """RULES E3: report, then list"""
    synced.sandbox.lose_next_answer("enroll")
    order("noreport.example.com")
    synced.sandbox.fault("status", route="report", status=400, body={"code": -3, "description": "not authorized"})
    assert poll_orders.fn(orders=["noreport.example.com"]).settled == 1
    assert synced.order("noreport.example.com").ssl_id == synced.sandbox.orders("noreport.example.com")[0]["ssl_id"]


def test_without_the_report_nothing_is_surely_absent(synced, order) -> None:
    """RULES E4: absent in report and list"""
    synced.sandbox.fault("drop", route="enroll", count=1)
    order("unseen.example.com")
    synced.sandbox.fault("status", route="report", status=400, body={"code": -3, "description": "not authorized"})
    for _ in range(3):
        assert poll_orders.fn().in_doubt == 1
    assert synced.order("unseen.example.com").status == "submitting"
    assert synced.sandbox.orders("unseen.example.com") == []


def test_of_two_matches_a_person_adopts_one(synced, order) -> None:
    """RULES E3, E7"""
    synced.sandbox.lose_next_answer("enroll")
    order("double.example.com")
    sent = synced.submission("double.example.com")
    [first] = synced.sandbox.orders("double.example.com")
    twin = next(one for one in synced.sandbox.orders() if one["status"] == "Applied")
    synced.sandbox.change_order(twin["ssl_id"], common_name="double.example.com", comments=f"certflow:{sent.id}", requested=first["requested"])
    summary = poll_orders.fn()
    assert summary.in_doubt == 1
    assert summary.settled == 0
    assert str(first["ssl_id"]) in summary.problems[0]
    assert str(twin["ssl_id"]) in summary.problems[0]
    settling.decide("double.example.com", adopt=first["ssl_id"])
    synced.deliver("double.example.com")
    assert synced.order("double.example.com").ssl_id == first["ssl_id"]


def test_an_unexplained_order_alike_is_left_to_a_person_and_delivered_with_its_key(synced, order) -> None:
    """RULES E4, E7: an import meanwhile fetched its certificate unchecked"""
    synced.sandbox.fault("lose_comments", route="enroll", count=1)
    synced.sandbox.lose_next_answer("enroll")
    order("stripped.example.com")
    [true] = synced.sandbox.orders("stripped.example.com")
    for _ in range(3):
        assert poll_orders.fn().in_doubt == 1
    synced.sandbox.change_order(true["ssl_id"], status="Issued")
    import_orders.fn()
    assert [row.ssl_id for row in synced.rows(CertificateOrder) if row.origin == "imported" and row.common_name == "stripped.example.com"]
    settling.decide(str(synced.submission("stripped.example.com").order_id), adopt=true["ssl_id"])
    synced.deliver("stripped.example.com")
    entry = synced.entry("live/stripped.example.com")
    assert entry["private_key"] == synced.entry(f"keys/{synced.submission('stripped.example.com').id}")["private_key"]
    assert len([row for row in synced.rows(Certificate) if "stripped.example.com" in row.names]) == 1


def test_an_order_known_before_the_claim_explains_itself(synced, order) -> None:
    """RULES E4: since the claim"""
    alike = next(one for one in synced.sandbox.orders() if one["status"] == "Issued")
    first = order("before.example.com", live_name="first")
    template = synced.sandbox.orders("before.example.com")[0]
    synced.sandbox.change_order(
        alike["ssl_id"], common_name="before.example.com", comments="by hand", requested=datetime.now(UTC).isoformat(),
        **{name: template[name] for name in ("org_id", "profile_id") if name in template},
    )
    import_orders.fn(fetch_certificates=False)
    assert first.ssl_id
    synced.sandbox.fault("drop", route="enroll", count=1)
    order("before.example.com", live_name="second")
    synced.poll_until(lambda: len(synced.sandbox.orders("before.example.com")) == 2)


def test_an_answer_that_comes_after_a_poll_settled_it_is_no_failure(synced, order, monkeypatch) -> None:
    """RULES E1, E3: a poll beside a slow answer"""
    while_sending(monkeypatch, poll_orders.fn)
    answer = order("slow.example.com")
    row = synced.order("slow.example.com")
    assert answer.ssl_id == row.ssl_id == synced.sandbox.orders("slow.example.com")[0]["ssl_id"]
    assert row.renew_id


def test_an_import_that_saw_the_order_first_gives_way(synced, order, monkeypatch) -> None:
    """RULES E1: SCM lost the comments, so the import took it for a stranger"""
    synced.sandbox.fault("lose_comments", route="enroll", count=1)
    while_sending(monkeypatch, lambda: import_orders.fn(fetch_certificates=False))
    assert order("raced.example.com").ssl_id
    assert [row.origin for row in synced.rows(CertificateOrder) if row.common_name == "raced.example.com"] == ["ordered"]
    synced.deliver("raced.example.com")


def test_what_scm_took_after_a_person_withdrew_it_is_not_lost(synced, order, monkeypatch) -> None:
    """RULES E1, E7: it is in the history, and other programs are told"""
    told = []
    monkeypatch.setattr(events, "emit", lambda event, order, **facts: told.append((event, order.common_name, facts["to_do"])))
    while_sending(monkeypatch, lambda: settling.decide("late.example.com", withdraw=True))
    with pytest.raises(AmbiguousError) as caught:
        order("late.example.com")
    ssl_id = synced.sandbox.orders("late.example.com")[0]["ssl_id"]
    assert str(ssl_id) in str(caught.value)
    assert [event for event in synced.rows(OrderEvent) if str(ssl_id) in event.detail and event.kind == "needs attention"]
    assert told == [("certflow.order.needs-attention", "late.example.com", f"look at {ssl_id} in SCM.")]


def test_our_marker_on_an_order_that_is_too_old_is_no_absence(synced, order) -> None:
    """RULES E3, E4: a clock that is wrong by days must not order twice"""
    synced.sandbox.lose_next_answer("enroll")
    order("oldclock.example.com")
    [true] = synced.sandbox.orders("oldclock.example.com")
    synced.sandbox.change_order(true["ssl_id"], requested=(datetime.now(UTC) - timedelta(days=3)).isoformat())
    for _ in range(3):
        summary = poll_orders.fn()
        assert summary.in_doubt == 1
        assert str(true["ssl_id"]) in summary.problems[0]
    assert len(synced.sandbox.orders("oldclock.example.com")) == 1
    settling.decide("oldclock.example.com", adopt=true["ssl_id"])
    assert synced.order("oldclock.example.com").ssl_id == true["ssl_id"]


def test_one_of_a_batch_in_doubt_that_cannot_be_looked_up_stops_no_other(synced, order) -> None:
    """RULES E3"""
    for name in ("one.example.com", "two.example.com"):
        synced.sandbox.lose_next_answer("enroll")
        order(name)
        assert synced.order(name).status == "submitting"
    hidden = synced.sandbox.orders("one.example.com")[0]["ssl_id"]
    synced.sandbox.fault("hide", route="report", ssl_id=hidden)
    synced.sandbox.fault("status", path=rf"/ssl/v1/{hidden}$", status=400, body={"code": -9999, "description": "Never heard of it"})
    summary = poll_orders.fn(orders=["one.example.com", "two.example.com"])
    assert (summary.settled, summary.in_doubt) == (1, 1)


@pytest.mark.parametrize("decision", [{"withdraw": True}, {"send_again": True}, {"adopt": 1}])
@pytest.mark.usefixtures("synced")
def test_what_is_decided_already_cannot_be_decided_again(order, decision) -> None:
    """RULES E7"""
    order("decided.example.com")
    with pytest.raises(InputError, match="nothing to settle"):
        settling.decide("decided.example.com", **decision)
    with pytest.raises(InputError, match="no held certificate"):
        settling.decide("decided.example.com", accept=True)


def test_adopting_a_strangers_order_is_refused(synced, order) -> None:
    """RULES E7: another name, another order of ours, no such order"""
    taken = order("taken.example.com").ssl_id
    synced.sandbox.fault("drop", route="enroll", count=1)
    order("doubt.example.com")
    stranger = next(one["ssl_id"] for one in synced.sandbox.orders() if one["common_name"] not in {"taken.example.com"})
    with pytest.raises(InputError, match="another order of ours"):
        settling.decide("doubt.example.com", adopt=taken)
    with pytest.raises(InputError, match="cannot be it"):
        settling.decide("doubt.example.com", adopt=stranger)
    with pytest.raises(CertflowError):
        settling.decide("doubt.example.com", adopt=2**31 - 2)
    assert synced.order("doubt.example.com").status == "submitting"


def test_adopting_works_from_planned_too(synced, order) -> None:
    """RULES E7: after three vain attempts somebody finds it at SCM"""
    synced.sandbox.fault("status", route="enroll", status=403, body={"code": -3, "description": "no"}, count=1)
    with pytest.raises(CertflowError):
        order("planned.example.com")
    alike = next(one for one in synced.sandbox.orders() if one["status"] == "Applied")
    synced.sandbox.change_order(alike["ssl_id"], common_name="planned.example.com")
    settling.decide("planned.example.com", adopt=alike["ssl_id"])
    with services.open_services() as svc, svc.store.reading() as session:
        assert [row.ssl_id for row in orders.named(session, "default", "planned.example.com")] == [alike["ssl_id"]]
