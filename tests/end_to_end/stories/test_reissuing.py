"""renew_or_reissue with action reissue: the same id, a new key, maybe other names; told by serial number and key (RULES E5)."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from models.errors import BatchError
from models.orders import Certificate, Submission
from tasks import services, settling


def reissue(name, **more):
    return renew_or_reissue.fn("reissue", [name], **more)


def sent(world):
    return [row for row in world.rows(Submission) if row.kind == "reissue"]


def deliver(world, name):
    """Poll until the reissue is delivered; the live entry."""
    world.poll_until(lambda: sent(world)[-1].status == "done")
    return world.entry(f"live/{name}")


@pytest.fixture
def issued(synced, order):
    """A delivered certificate for shop.example.com and www.shop.example.com."""
    order("shop.example.com", subject_alternative_names=["www.shop.example.com"])
    synced.deliver("shop.example.com")
    return synced


def test_a_reissue_keeps_the_id_and_brings_a_new_key_to_the_same_live_entry(issued) -> None:
    """RULES E5, K3, D1"""
    before = issued.entry("live/shop.example.com")
    answer = reissue("shop.example.com", reason="the key was on a lost laptop", requested_by="web team")
    assert [(one.action, one.ssl_id, one.predecessor_ssl_id) for one in answer.orders] == [("reissue", issued.order("shop.example.com").ssl_id, None)]
    after = deliver(issued, "shop.example.com")
    assert (after["sha256"] != before["sha256"], after["private_key"] != before["private_key"]) == (True, True)
    assert (after["order"], after["keystore_password"], after["names"]) == (before["order"], before["keystore_password"], before["names"])
    assert after["not_after"] == before["not_after"]
    assert len(issued.sandbox.orders("shop.example.com")) == 1
    assert [row.removed_at for row in issued.rows(Certificate)] == [None, None]


def test_names_may_be_added_and_removed(issued) -> None:
    """RULES N3: names are sent, not taken from the CSR"""
    reissue("shop.example.com", add_names=["api.shop.example.com"], remove_names=["www.shop.example.com"])
    assert set(deliver(issued, "shop.example.com")["names"]) == {"shop.example.com", "api.shop.example.com"}
    assert issued.order("shop.example.com").subject_alternative_names == ["shop.example.com", "api.shop.example.com"]


def test_when_the_common_name_goes_the_next_name_takes_its_place_and_the_live_name_stays(issued) -> None:
    """RULES N2, D2"""
    reissue("shop.example.com", remove_names=["shop.example.com"])
    issued.poll_until(lambda: sent(issued)[-1].status == "done")
    entry = issued.entry("live/shop.example.com")
    assert entry["names"] == ["www.shop.example.com"]
    assert issued.sandbox.orders("www.shop.example.com")[0]["ssl_id"] == issued.order("www.shop.example.com").ssl_id


@pytest.mark.parametrize(("more", "says"), [
    ({"remove_names": ["else.example.com"]}, "no name else.example.com to remove"),
    ({"remove_names": ["shop.example.com", "www.shop.example.com"]}, "no name would be left"),
    ({"add_names": ["shop.expired.example"]}, "validation"),
    ({"add_names": ["shop.nowhere.example"]}, "no registered domain covers"),
    ({"add_names": ["not a name"]}, "cannot be used"),
])
def test_names_that_cannot_be_had_are_refused_before_anything_is_sent(issued, more, says) -> None:
    """RULES C1, N1, N4"""
    issued.sandbox.forget_calls()
    with pytest.raises(BatchError, match=says):
        reissue("shop.example.com", **more)
    assert "POST replace" not in issued.sandbox.calls()
    assert sent(issued) == []


def test_while_scm_hands_out_the_old_certificate_nothing_is_delivered(issued) -> None:
    """RULES E5: SCM may show the order as issued all the time and answer with the old certificate for a while"""
    before = issued.entry("live/shop.example.com")
    ssl_id = issued.order("shop.example.com").ssl_id
    issued.sandbox.settings(issue_delay=3600)
    reissue("shop.example.com")
    old = issued.certificate("shop.example.com")
    issued.sandbox.fault("field", route="details", field="status", value="Issued")
    issued.sandbox.fault("field", route="details", field="serialNumber", value=old.serial_number)
    issued.sandbox.fault("status", route="collect", status=200, body=old.pem + old.chain_pem, content_type="application/octet-stream")
    for _ in range(2):
        poll_orders.fn()
    assert issued.entry("live/shop.example.com") == before
    assert "still hands out the certificate before it" in issued.order("shop.example.com").waiting_because
    issued.sandbox.clear()
    issued.sandbox.change_order(ssl_id, status="Issued")
    assert deliver(issued, "shop.example.com")["sha256"] != before["sha256"]
    assert issued.order("shop.example.com").waiting_because is None


def test_a_lost_answer_to_a_reissue_is_settled_not_sent_again(issued) -> None:
    """RULES E5"""
    issued.sandbox.lose_next_answer("replace")
    issued.sandbox.forget_calls()
    assert reissue("shop.example.com").orders[0].status in {"issued", "applied"}    # SCM's word, which is not ours to foresee
    assert sent(issued)[0].status == "submitting"
    deliver(issued, "shop.example.com")
    assert issued.sandbox.calls()["POST replace"] == 1


def test_a_lost_reissue_is_known_by_its_key_when_nothing_else_tells(issued) -> None:
    """RULES E5: serial number and public key"""
    issued.sandbox.lose_next_answer("replace")
    reissue("shop.example.com")
    issued.poll_until(lambda: issued.sandbox.orders("shop.example.com")[0]["status"] == "Issued")
    issued.sandbox.fault("field", route="details", field="replaced")
    deliver(issued, "shop.example.com")


def test_a_reissue_that_never_arrived_is_sent_again_after_the_grace_time(issued) -> None:
    """RULES E4, E5"""
    issued.sandbox.fault("drop", route="replace", count=1)
    reissue("shop.example.com")
    deliver(issued, "shop.example.com")
    assert len(issued.rows(Certificate)) == 2


def test_a_second_reissue_that_never_arrived_is_not_taken_for_the_first(issued) -> None:
    """RULES E5, contract 3: the report names the moment of the first replacement, details only its day"""
    reissue("shop.example.com")
    deliver(issued, "shop.example.com")
    import_orders.fn()
    issued.sandbox.fault("drop", route="replace", count=1)
    reissue("shop.example.com", reason="again")
    deliver(issued, "shop.example.com")
    assert len(issued.sandbox.orders("shop.example.com")[0]["old_serials"]) == 2


def test_a_replacement_by_somebody_else_is_no_answer_to_ours(issued, own_csr) -> None:
    """RULES E5, E7"""
    issued.sandbox.fault("drop", route="replace", count=1)
    reissue("shop.example.com")
    ssl_id = issued.order("shop.example.com").ssl_id
    with services.open_services() as svc, svc.scm("default") as scm:
        scm.replace(ssl_id, csr=own_csr("shop.example.com"), reason="by hand in SCM")
    issued.sandbox.change_order(ssl_id, status="Issued")
    issued.sandbox.fault("field", route="details", field="replaced")
    said = settling.settle("default").in_doubt
    assert len(said) == 1
    assert "somebody else reissued it" in said[0]
    issued.sandbox.clear()
    assert "reissue" in settling.decide(str(sent(issued)[0].order_id), withdraw=True)
    assert sent(issued)[0].status == "withdrawn"


def test_a_csr_with_the_key_of_before_is_told_by_its_serial_number(issued, own_csr) -> None:
    """RULES E5, K2"""
    key = ec.generate_private_key(ec.SECP256R1())
    reissue("shop.example.com", csr=own_csr("shop.example.com", key))
    first = deliver(issued, "shop.example.com")
    reissue("shop.example.com", csr=own_csr("shop.example.com", key), request_id="again")
    second = deliver(issued, "shop.example.com")
    assert first["sha256"] != second["sha256"]
    assert second["private_key"] == ""


def test_a_second_reissue_while_one_is_under_way_returns_it_or_is_refused(issued) -> None:
    """RULES E6"""
    issued.sandbox.settings(issue_delay=3600)
    reissue("shop.example.com")
    poll_orders.fn()
    with pytest.raises(BatchError, match=r"not issued yet|being reissued"):
        reissue("shop.example.com", add_names=["api.shop.example.com"])
    assert len(sent(issued)) == 1


def test_an_imported_order_that_is_reissued_is_ours_from_then_on(synced) -> None:
    """RULES D2"""
    row = synced.stranger()
    import_orders.fn()
    reissue(str(row["ssl_id"]))
    synced.poll_until(lambda: sent(synced)[-1].status == "done")
    order = synced.order(row["common_name"])
    assert (order.ssl_id, order.live_name) == (row["ssl_id"], row["common_name"])
    assert synced.entry(f"live/{order.live_name}")["private_key"]


def test_a_reissue_before_the_first_certificate_was_fetched_leaves_nothing_open(synced, order) -> None:
    """RULES E5, contract 6.4: SCM hands out the first one no more"""
    synced.sandbox.fault("not_ready", route="collect")
    order("hasty.example.com")
    synced.poll_until(lambda: synced.order("hasty.example.com").status == "issued")
    reissue("hasty.example.com")
    synced.sandbox.clear()
    deliver(synced, "hasty.example.com")
    assert [(row.kind, row.status) for row in synced.rows(Submission)] == [("enroll", "done"), ("reissue", "done")]


def test_two_reissues_at_once_send_one(issued, at_once) -> None:
    """RULES E5, E6"""
    issued.sandbox.forget_calls()
    at_once(*[lambda number=number: reissue("shop.example.com", request_id=f"r{number}") for number in range(3)])
    services.forget_services()
    assert issued.sandbox.calls()["POST replace"] == 1
    assert len([row for row in sent(issued) if row.status != "withdrawn"]) == 1


def test_what_scm_refuses_leaves_the_order_as_it_is(issued) -> None:
    """RULES E2"""
    issued.sandbox.change_order(issued.order("shop.example.com").ssl_id, auto_renew="Started")
    with pytest.raises(BatchError, match="-1148"):
        reissue("shop.example.com")
    assert (sent(issued)[0].status, issued.order("shop.example.com").status) == ("refused", "issued")
