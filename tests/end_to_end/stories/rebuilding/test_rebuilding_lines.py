"""Renewals and reissues of a database that is lost find their keys, predecessors and live names again (RULES K6)."""

import pytest

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from tasks import services

WAITING = "OV Multi-Domain (approval)"


@pytest.mark.parametrize("keep_comments", [True, False])
def test_a_renewal_goes_on_under_its_live_name(on_either, lost, order, keep_comments) -> None:
    """RULES K6, K3, D2: whether SCM copies the comments or not; password, alias and type stay"""
    on_either.sandbox.settings(issue_delay=0.0)
    first = order("www.example.com", keystore_type="JKS", live_name="shop", comments="web")
    on_either.deliver("www.example.com")
    served = on_either.entry("live/shop")
    key, new = lost.renew(first.ssl_id, keep_comments=keep_comments)
    lost.lose()
    import_orders.fn()
    old, row = lost.row(first.ssl_id), lost.row(new)
    assert old.live_name == "shop"
    assert str(old.id) == served["order"]
    assert (row.origin, row.live_name, row.predecessor_id, row.keystore_type) == ("ordered", "shop", old.id, "JKS")
    assert row.comments == ("web" if keep_comments else None)
    assert [(one.id, one.kind, one.status) for one in lost.sent(new)] == [(key, "renew", "submitted")]
    assert [one.kind for one in lost.sent(first.ssl_id)] == ["enroll"]
    on_either.poll_until(lambda: lost.certificate(new).delivered_at is not None)
    entry = on_either.entry("live/shop")
    assert entry["sha256"] == lost.certificate(new).sha256 != served["sha256"]
    assert (entry["keystore_password"], entry["keystore_type"]) == (served["keystore_password"], "JKS")
    lost.lose()
    import_orders.fn()
    assert (lost.row(new).predecessor_id, str(lost.row(new).id)) == (old.id, entry["order"])
    assert [lost.row(ssl_id).live_name for ssl_id in (first.ssl_id, new)] == ["shop", "shop"]
    assert poll_orders.fn().delivered == 0


@pytest.mark.parametrize("keep_comments", [True, False])
def test_a_renewal_that_is_open_is_delivered_once_it_is_issued(on_either, lost, order, keep_comments) -> None:
    """RULES K6: a copied marker gives it no key; its certificate does, in the poll that fetches it"""
    first = order("www.example.com", certificate_profile=WAITING, live_name="shop")
    lost.issue(first.ssl_id)
    on_either.deliver("www.example.com")
    key, new = lost.renew(first.ssl_id, keep_comments=keep_comments)
    on_either.sandbox.change_order(new, status="Requested")
    lost.lose()
    import_orders.fn()
    assert lost.row(new).origin == "imported"
    assert [one.kind for one in lost.sent(first.ssl_id)] == ["enroll"]
    assert poll_orders.fn().problems == ()
    lost.issue(new)
    answer = poll_orders.fn()
    assert (answer.delivered, answer.failed) == (1, 0)
    row = lost.row(new)
    assert (row.origin, row.live_name, row.predecessor_id) == ("ordered", "shop", lost.row(first.ssl_id).id)
    assert on_either.entry("live/shop")["private_key"] == on_either.entry(f"keys/{key}")["private_key"]


def test_the_keys_of_a_reissued_order_come_back_to_it(on_either, lost, order) -> None:
    """RULES K6: the certificate gets the key of the reissue, the marker tells the first one"""
    first = order("www.example.com")
    on_either.deliver("www.example.com")
    enrolled = on_either.submission("www.example.com").id
    key = lost.reissue(first.ssl_id)
    lost.issue(first.ssl_id)
    lost.lose()
    import_orders.fn()
    assert {(one.id, one.kind) for one in lost.sent(first.ssl_id)} == {(enrolled, "enroll"), (key, "reissue")}
    assert lost.sent(first.ssl_id)[-1].id == key
    assert lost.certificate(first.ssl_id).submission_id == key
    on_either.deliver("www.example.com")
    assert on_either.entry("live/www.example.com")["private_key"] == on_either.entry(f"keys/{key}")["private_key"]
    lost.lose()
    import_orders.fn()
    assert lost.certificate(first.ssl_id).live_version == 2


def test_a_reissue_that_is_under_way_is_delivered_too(on_either, lost, order) -> None:
    """RULES K6, D3: at first its key is nobody's"""
    on_either.sandbox.settings(issue_delay=3600.0)
    first = order("www.example.com")
    lost.issue(first.ssl_id)
    on_either.deliver("www.example.com")
    order_id = lost.row(first.ssl_id).id
    key = lost.reissue(first.ssl_id)
    lost.lose()
    import_orders.fn()
    assert (lost.row(first.ssl_id).id, lost.row(first.ssl_id).live_name) == (order_id, "www.example.com")
    lost.issue(first.ssl_id)
    assert poll_orders.fn().failed == 0
    on_either.deliver("www.example.com")
    assert on_either.entry("live/www.example.com")["private_key"] == on_either.entry(f"keys/{key}")["private_key"]


def test_a_renewal_with_the_old_key_belongs_to_its_line_and_takes_no_live_name(on_either, lost, order) -> None:
    """RULES K6: anybody at SCM can renew with the old CSR; only live/ tells that we meant it"""
    on_either.sandbox.settings(issue_delay=0.0)
    first = order("www.example.com")
    on_either.deliver("www.example.com")
    with services.open_services() as svc, svc.scm("default") as scm:
        new = scm.renew_by_id(first.ssl_id, csr=None).ssl_id
    lost.lose()
    answer = import_orders.fn()
    assert lost.sent(new)[0].reuse_of == lost.sent(first.ssl_id)[0].id
    assert (lost.row(new).predecessor_id, lost.row(new).live_name) == (first.order_id, None)
    assert str(new) in " ".join(answer.problems)
    assert poll_orders.fn().delivered == 0
