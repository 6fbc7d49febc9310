"""The database is lost: Vault and SCM tell what was in it (RULES K6)."""

from contextlib import suppress

import pytest

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from models.errors import BatchError, InputError
from models.orders import CertificateOrder, Submission
from tasks import services
from tasks.adapters import pki

WAITING = "OV Multi-Domain (approval)"


def test_a_delivered_order_comes_back_as_it_was(on_either, lost, order) -> None:
    """RULES K6, D2, K3: id, key, live name, keystore; nothing is delivered a second time"""
    first = order(
        "www.example.com", comments="web shop", live_name="shop", keystore_type="JKS", subject_alternative_names=["api.example.com"],
        custom_fields={"Cost centre": "A-100"}, external_requester_emails=["web@example.com"],
    )
    on_either.deliver("www.example.com")
    before, entry, submission = lost.facts(first.ssl_id), on_either.entry("live/shop"), on_either.submission("www.example.com")
    lost.lose()
    answer = import_orders.fn()
    assert answer.attached == 1
    assert lost.facts(first.ssl_id) == before
    row, certificate = lost.row(first.ssl_id), lost.certificate(first.ssl_id)
    assert row.keystore_type == "JKS"
    assert (certificate.submission_id, certificate.live_version) == (submission.id, 1)
    [sent] = lost.sent(first.ssl_id)
    assert (sent.id, sent.kind, sent.status, sent.public_key_sha256) == (submission.id, "enroll", "done", submission.public_key_sha256)
    on_either.sandbox.forget_calls()
    assert poll_orders.fn().delivered == 0
    assert on_either.entry("live/shop") == entry
    with pytest.raises(InputError, match="live name shop is held"):
        order("www.example.com", live_name="shop")


def test_an_import_never_writes_to_vault(on_either, lost, order) -> None:
    """RULES D2"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    open_one = order("open.example.com", certificate_profile=WAITING)
    lost.lose()
    lost.issue(open_one.ssl_id)
    import_orders.fn()
    with services.open_services() as svc:
        assert svc.vault.version("live/www.example.com") == 1
        assert svc.vault.list("live") == ["www.example.com"]
        assert len(svc.vault.list("keys")) == 2


def test_an_open_order_comes_back_and_is_delivered_by_the_poll(on_either, lost, order) -> None:
    """RULES K6, E1: the marker and the key in Vault; it is not ordered again"""
    first = order("open.example.com", certificate_profile=WAITING, comments="soon")
    submission = on_either.submission("open.example.com")
    lost.lose()
    assert import_orders.fn().attached == 1
    row, [sent] = lost.row(first.ssl_id), lost.sent(first.ssl_id)
    assert (row.origin, row.status, row.live_name, row.comments) == ("ordered", "requested", "open.example.com", "soon")
    assert (sent.id, sent.status, sent.kind) == (submission.id, "submitted", "enroll")
    with pytest.raises(InputError, match="is held"):
        order("open.example.com")
    lost.issue(first.ssl_id)
    on_either.deliver("open.example.com")
    entry = on_either.entry("live/open.example.com")
    assert entry["private_key"] == on_either.entry(f"keys/{submission.id}")["private_key"]
    assert len(on_either.sandbox.orders("open.example.com")) == 1
    assert lost.sent(first.ssl_id)[0].status == "done"


@pytest.mark.parametrize("status", ["Expired", "Revoked"])
def test_an_order_that_has_ended_comes_back_with_key_and_live_name(on_either, lost, order, status) -> None:
    """RULES K6: its certificate is not fetched again, the live entry names its serial number"""
    first = order("www.example.com", live_name="shop")
    on_either.deliver("www.example.com")
    submission = on_either.submission("www.example.com").id
    on_either.sandbox.change_order(first.ssl_id, status=status)
    lost.lose()
    import_orders.fn()
    row = lost.row(first.ssl_id)
    assert (row.id, row.live_name, row.status, row.origin) == (first.order_id, "shop", status.lower(), "ordered")
    assert [(one.id, one.kind, one.status) for one in lost.sent(first.ssl_id)] == [(submission, "enroll", "done")]
    assert order("www.example.com", live_name="shop").ssl_id != first.ssl_id


def test_a_customers_csr_has_no_key_and_keeps_its_live_name(on_either, lost, order) -> None:
    """RULES K2, K6"""
    csr = pki.make_csr(pki.new_key("EC", "P-256"), "own.example.com")
    first = order("own.example.com", csr=csr)
    on_either.deliver("own.example.com")
    before = lost.facts(first.ssl_id)
    submission = on_either.submission("own.example.com").id
    lost.lose()
    assert import_orders.fn().attached == 1
    row, [sent] = lost.row(first.ssl_id), lost.sent(first.ssl_id)
    assert (row.id, row.live_name, row.origin, row.comments) == (before["id"], "own.example.com", "ordered", "")
    assert (sent.id, sent.own_csr, sent.status) == (submission, True, "done")
    assert lost.certificate(first.ssl_id).live_version == 1
    assert poll_orders.fn().delivered == 0


def test_a_marker_that_somebody_copied_gets_neither_key_nor_live_name(on_either, lost, order) -> None:
    """RULES K6: the public key decides, also while the stranger's order is older and open"""
    strange = {"common_name": "www.example.com", "certificate_profile": WAITING, "csr": pki.make_csr(pki.new_key("EC", "P-256"), "www.example.com")}
    older = order(**strange, live_name="a")
    ours = order("www.example.com", certificate_profile=WAITING)
    younger = order(**strange, live_name="b")
    submission = next(one for one in on_either.rows(Submission) if not one.own_csr)
    for one in (older, younger):
        on_either.sandbox.change_order(one.ssl_id, comments=f"certflow:{submission.id}")
    lost.lose()
    import_orders.fn()
    for one in (younger, older, ours):
        lost.issue(one.ssl_id)
        with suppress(BatchError):    # the stranger's key is not the one that the marker promised
            poll_orders.fn()
    on_either.poll_until(lambda: lost.certificate(ours.ssl_id).delivered_at is not None)
    entry = on_either.entry("live/www.example.com")
    assert entry["sha256"] == lost.certificate(ours.ssl_id).sha256
    assert [one.id for one in lost.sent(ours.ssl_id)] == [submission.id]
    for one in (older, younger):
        assert (lost.row(one.ssl_id).live_name, lost.sent(one.ssl_id)) == (None, [])


def test_orders_that_nobody_placed_here_stay_imported(on_either, lost, order) -> None:
    """RULES D2"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    lost.lose()
    import_orders.fn()
    assert [row.common_name for row in on_either.rows(CertificateOrder) if row.origin == "ordered" or row.live_name] == ["www.example.com"]


def test_only_the_entries_of_the_account_are_taken(on_either, lost, order) -> None:
    """RULES D2: live names are global over accounts"""
    first = order("www.example.com")
    on_either.deliver("www.example.com")
    entry = on_either.entry("live/www.example.com")
    on_either.vault.secrets.kv.v2.create_or_update_secret("certflow/live/www.example.com", secret={**entry, "account": "another"})
    lost.lose()
    answer = import_orders.fn()
    row = lost.row(first.ssl_id)
    assert (row.live_name, row.origin) == (None, "ordered")
    assert "live/www.example.com is another's" in " ".join(answer.problems)
    assert poll_orders.fn().delivered == 0
