"""renew_or_reissue with action renew, against the sandbox: one successor, a new key, the same live entry."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from flows.import_orders import import_orders
from flows.renew_or_reissue import renew_or_reissue
from models.errors import BatchError, InputError
from models.orders import CertificateOrder, OrderEvent, Submission
from tasks import services, settling
from tasks.adapters.scm import ScmClient
from tasks.settling import decide


def belongs_together(entry):
    leaf = x509.load_pem_x509_certificate(entry["certificate"].encode())
    key, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(entry["keystore"]), entry["keystore_password"].encode())
    return certificate == leaf and key.public_key() == leaf.public_key()


def test_what_is_due_is_renewed_by_itself_with_a_new_key_under_the_same_live_name(aged) -> None:
    """RULES R1, R2, K3, D1, D2"""
    world = aged("due.example.com")
    before = world.entry("live/due.example.com")
    answer = renew_or_reissue.fn("renew")
    assert [(one.status in {"applied", "submitted"}, one.predecessor_ssl_id) for one in answer.orders] == [(True, int(before_id(world)))]
    after = world.deliver_successor("due.example.com")
    assert after["sha256"] != before["sha256"]
    assert after["private_key"] != before["private_key"]
    assert {name: after[name] for name in ("keystore_type", "keystore_password", "names", "account")} == {
        name: before[name] for name in ("keystore_type", "keystore_password", "names", "account")}
    assert belongs_together(after)
    successor = world.successor("due.example.com")
    assert (after["order"], successor.live_name, successor.origin) == (str(successor.id), "due.example.com", "ordered")
    assert len(world.at_scm("due.example.com")) == 2
    assert [row["renewed"] for row in world.sandbox.orders("due.example.com")] == [True, False]


def before_id(world):
    return next(row.ssl_id for row in world.rows(CertificateOrder) if row.live_name and row.predecessor_id is None)


def test_nothing_is_due_twice(aged) -> None:
    """RULES R1, E5"""
    world = aged("once.example.com")
    renew_or_reissue.fn("renew")
    assert renew_or_reissue.fn("renew").orders == ()
    world.deliver_successor("once.example.com")
    assert renew_or_reissue.fn("renew").orders == ()
    assert len(world.at_scm("once.example.com")) == 2


def test_a_young_certificate_is_left_alone_and_a_dry_run_says_when(synced, order) -> None:
    """RULES R2"""
    order("young.example.com")
    synced.deliver("young.example.com")
    assert renew_or_reissue.fn("renew") .orders == ()
    assert renew_or_reissue.fn("renew", expiring_within_days=250, dry_run=True).orders[0].status == "would be sent"
    assert len(synced.at_scm("young.example.com")) == 1


def test_a_dry_run_sends_and_writes_nothing(aged) -> None:
    """RULES R1"""
    world = aged("dry.example.com")
    world.sandbox.forget_calls()
    answer = renew_or_reissue.fn("renew", dry_run=True)
    assert [one.status for one in answer.orders] == ["would be sent"]
    assert world.sandbox.calls() == {}
    assert world.successors("dry.example.com") == []


def test_a_second_request_returns_the_successor_that_is_under_way(aged) -> None:
    """RULES E5, E6"""
    world = aged("again.example.com")
    first = renew_or_reissue.fn("renew", ["again.example.com"]).orders[0]
    old = next(row for row in world.rows(CertificateOrder) if row.predecessor_id is None and row.live_name)
    second = renew_or_reissue.fn("renew", [str(old.id)]).orders[0]
    assert second.order_id == first.order_id
    assert len(world.at_scm("again.example.com")) == 2


def test_the_same_request_id_acts_once_and_other_parameters_under_it_are_refused(aged) -> None:
    """RULES E6"""
    world = aged("id.example.com")
    old = str(next(row.id for row in world.rows(CertificateOrder) if row.live_name))
    first = renew_or_reissue.fn("renew", [old], request_id="change-7")
    world.deliver_successor("id.example.com")
    again = renew_or_reissue.fn("renew", [old], request_id="change-7")
    assert again.orders[0].order_id == first.orders[0].order_id
    with pytest.raises(BatchError, match="used before with other parameters"):
        renew_or_reissue.fn("renew", [old], request_id="change-7", reuse_key=True)
    assert len(world.at_scm("id.example.com")) == 2


def test_a_lost_answer_to_a_renewal_is_settled_by_the_new_id(aged) -> None:
    """RULES E5"""
    world = aged("lost.example.com")
    world.sandbox.lose_next_answer("renew_by_id")
    assert renew_or_reissue.fn("renew").orders[0].status == "submitting"
    world.deliver_successor("lost.example.com")
    assert world.at_scm("lost.example.com") == sorted([before_id(world), world.successor("lost.example.com").ssl_id])


def test_a_lost_renewal_that_an_import_found_first_is_settled_all_the_same(aged) -> None:
    """RULES E3, E5"""
    world = aged("import.example.com")
    world.sandbox.lose_next_answer("renew_by_id")
    renew_or_reissue.fn("renew")
    with services.open_services() as svc:    # as an older import would have left it: a row of its own
        from tasks.adapters.store import orders
        with svc.scm("default") as scm:
            record = scm.details(world.at_scm("import.example.com")[1])
        with svc.store.transaction() as session:
            orders.upsert(session, "default", [record], now=svc.clock(), run=None)
    world.deliver_successor("import.example.com")
    rows = [row for row in world.rows(CertificateOrder) if row.common_name == "import.example.com"]
    assert len(rows) == len(world.at_scm("import.example.com")) == 2


def test_a_renewal_that_never_arrived_is_sent_again_after_the_grace_time(aged) -> None:
    """RULES E4, E5"""
    world = aged("dropped.example.com")
    world.sandbox.fault("drop", route="renew_by_id", count=1)
    assert renew_or_reissue.fn("renew").orders[0].status == "submitting"
    world.deliver_successor("dropped.example.com")
    assert len(world.at_scm("dropped.example.com")) == 2


def test_several_new_orders_of_that_name_are_named_and_a_person_decides(aged) -> None:
    """RULES E5, E7"""
    world = aged("many.example.com")
    world.sandbox.lose_next_answer("renew_by_id")
    renew_or_reissue.fn("renew")
    with services.open_services() as svc, svc.scm("default") as scm:
        other = scm.renew_by_id(before_id(world), csr=None).ssl_id    # somebody renews it in SCM at the same moment
    with services.open_services() as svc:
        said = settling.settle("default").in_doubt
    assert len(said) == 1
    assert str(other) in said[0]
    ours = next(id_ for id_ in world.at_scm("many.example.com") if id_ not in {other, before_id(world)})
    decide(str(world.successor("many.example.com").id), adopt=ours)
    world.deliver_successor("many.example.com")
    assert world.successor("many.example.com").ssl_id == ours


def test_an_imported_order_that_somebody_names_gets_our_key_and_gives_its_name_over(synced) -> None:
    """RULES R1, D2"""
    name = synced.stranger()["common_name"]
    import_orders.fn()
    assert renew_or_reissue.fn("renew").orders == ()
    renew_or_reissue.fn("renew", [name])
    synced.poll_until(lambda: (rows := synced.successors(name)) and synced.delivered(rows[0]))
    successor = synced.successors(name)[0]
    entry = synced.entry(f"live/{successor.live_name}")
    assert entry["order"] == str(successor.id)
    assert entry["private_key"]
    assert belongs_together(entry)


def test_where_the_profile_allows_no_renewal_a_new_order_takes_its_place_and_scm_is_told(aged) -> None:
    """RULES R4"""
    world = aged("legacy.example.com", comments="for the old server")
    world.sandbox.control("PUT", "reference/profiles/5201", {"renewable": False})
    with pytest.raises(BatchError) as found:
        renew_or_reissue.fn("renew")
    by_itself = found.value
    assert "-180" in str(by_itself)
    assert len(world.at_scm("legacy.example.com")) == 1
    renew_or_reissue.fn("renew", [str(next(row.id for row in world.rows(CertificateOrder) if row.live_name and row.predecessor_id is None))])
    assert [row["renewed"] for row in world.sandbox.orders("legacy.example.com")] == [False, False]
    world.poll_until(lambda: any(world.delivered(row) for row in world.successors("legacy.example.com")))
    world.poll_until(lambda: world.sandbox.orders("legacy.example.com")[0]["renewed"])
    assert world.entry("live/legacy.example.com")["order"] == str(next(row.id for row in world.successors("legacy.example.com") if row.ssl_id))
    assert len(world.at_scm("legacy.example.com")) == 2


def test_the_old_key_is_used_again_only_on_wish_and_only_where_we_hold_it(aged) -> None:
    """Issue: reuse_key"""
    world = aged("reuse.example.com")
    before = world.entry("live/reuse.example.com")
    renew_or_reissue.fn("renew", ["reuse.example.com"], reuse_key=True)
    after = world.deliver_successor("reuse.example.com")
    assert after["sha256"] != before["sha256"]
    assert after["private_key"] == before["private_key"]


def test_a_csr_of_ones_own_leaves_no_key_in_vault_and_the_next_renewal_asks_for_a_new_one(aged, own_csr) -> None:
    """RULES K2"""
    world = aged("own.example.com")
    keys = set(world.keys())
    renew_or_reissue.fn("renew", ["own.example.com"], csr=own_csr("own.example.com"))
    entry = world.deliver_successor("own.example.com")
    assert (entry["private_key"], entry["keystore"]) == ("", "")
    assert set(world.keys()) == keys
    successor = world.successor("own.example.com")
    with pytest.raises(BatchError) as found:
        renew_or_reissue.fn("renew", [str(successor.id)], reuse_key=True)
    refused = found.value
    assert "not in our Vault" in str(refused)


def test_a_name_that_fits_several_orders_is_refused_with_the_candidates(synced) -> None:
    """RULES N6"""
    one = synced.stranger()
    with services.open_services() as svc, svc.scm("default") as scm:
        other = scm.renew_by_id(one["ssl_id"], csr=None).ssl_id
    import_orders.fn(fetch_certificates=False)
    with pytest.raises(InputError) as refused:
        renew_or_reissue.fn("renew", [one["common_name"]])
    assert all(str(id_) in str(refused.value) for id_ in (one["ssl_id"], other))


def test_what_was_renewed_here_while_scm_was_asked_is_not_taken_for_somebody_elses(aged, monkeypatch) -> None:
    """RULES E5, E6: SCM's details may show a renewal that another run wrote down after this one had looked."""
    world = aged("overtaken.example.com")
    old = str(next(row.id for row in world.rows(CertificateOrder) if row.live_name))
    faster: list[Any] = []
    details = ScmClient.details

    def overtaken(scm: ScmClient, ssl_id: int, **more: Any) -> Any:
        if not faster:
            faster.append(None)
            faster[0] = renew_or_reissue.fn("renew", [old], request_id="the faster one")
        return details(scm, ssl_id, **more)

    monkeypatch.setattr(ScmClient, "details", overtaken)
    slower = renew_or_reissue.fn("renew", [old], request_id="the slower one")
    assert slower.orders[0].order_id == faster[0].orders[0].order_id
    assert len(world.at_scm("overtaken.example.com")) == 2


def test_two_renewals_at_once_make_one_successor_and_one_says_so(aged, at_once) -> None:
    """RULES E5: at most one open successor"""
    world = aged("race.example.com")
    old = str(next(row.id for row in world.rows(CertificateOrder) if row.live_name))
    answers = at_once(*[lambda number=number: renew_or_reissue.fn("renew", [old], request_id=f"r{number}") for number in range(4)])
    assert len({answer.orders[0].order_id for answer in answers}) == 1
    services.forget_services()
    world.deliver_successor("race.example.com")
    assert len(world.at_scm("race.example.com")) == 2


def test_the_difference_to_the_predecessor_is_written_down_at_delivery(aged) -> None:
    """Issue: names, issuer, extended key usage, key, term"""
    world = aged("differs.example.com")
    world.sandbox.fault("other_usage", route="renew_by_id", count=1)
    renew_or_reissue.fn("renew")
    world.deliver_successor("differs.example.com")
    successor = world.successor("differs.example.com")
    detail = next(row.detail for row in world.rows(OrderEvent) if row.order_id == successor.id and row.kind == "delivered")
    assert all(f"{what}:" in detail for what in ("names", "issuer", "usage", "key", "term"))
    assert "usage: the same" not in detail
    assert "a new EC P-256" in detail


def test_the_submission_of_a_renewal_knows_the_ids_that_were_there_before(aged) -> None:
    """RULES E5"""
    world = aged("known.example.com")
    renew_or_reissue.fn("renew")
    sent = next(row for row in world.rows(Submission) if row.kind == "renew")
    assert sent.known_ssl_ids == [before_id(world)]
