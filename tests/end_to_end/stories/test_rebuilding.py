"""The database is lost, or an old one is put back: Vault and SCM tell what was in it (RULES K6)."""

from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlmodel import SQLModel, delete, update

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from flows.sync_reference_data import sync_reference_data
from models.errors import BatchError, InputError
from models.orders import AccountState, Certificate, CertificateOrder, OrderEvent, Submission
from tasks import rebuilding, services
from tasks.adapters import pki

WAITING = "OV Multi-Domain (approval)"


@pytest.fixture
def lose(on_either):
    """The database is lost; an empty one takes its place, with reference data."""
    def act() -> None:
        with services.open_services() as svc, svc.store.transaction() as session:
            session.execute(update(CertificateOrder).values(predecessor_id=None))
            for table in reversed(SQLModel.metadata.sorted_tables):
                session.execute(table.delete())
        on_either.restart()
        sync_reference_data.fn()
    return act


def row_of(world, ssl_id):
    [row] = [one for one in world.rows(CertificateOrder) if one.ssl_id == ssl_id]
    return row


def certificate_of(world, ssl_id):
    row = row_of(world, ssl_id)
    [found] = [one for one in world.rows(Certificate) if one.order_id == row.id]
    return found


def sent_for(world, ssl_id):
    row = row_of(world, ssl_id)
    return sorted((one for one in world.rows(Submission) if one.order_id == row.id), key=lambda one: one.created_at)


def new_key(name):
    """A key in Vault as a renewal or a reissue makes it; its submission's id and the CSR."""
    key, id_ = pki.new_key("EC", "P-256"), uuid4()
    csr = pki.make_csr(key, name)
    with services.open_services() as svc:
        svc.vault.create(f"keys/{id_}", {"private_key": pki.key_to_pem(key), "csr": csr})
    return id_, csr


def renew(world, ssl_id, *, keep_comments=True):
    """A renewal at SCM with a key of ours that no submission knows; the submission's id and the new sslId."""
    id_, csr = new_key(row_of(world, ssl_id).common_name)
    with services.open_services() as svc, svc.scm("default") as scm:
        new = scm.renew_by_id(ssl_id, csr=csr).ssl_id
    if not keep_comments:
        world.sandbox.change_order(new, comments="")
    return id_, new


def facts(world, ssl_id):
    """What must come back."""
    row = row_of(world, ssl_id)
    return {name: getattr(row, name) for name in (
        "id", "status", "common_name", "subject_alternative_names", "organization_id", "certificate_profile_id", "term_days", "key_algorithm",
        "key_size", "origin", "live_name", "comments", "predecessor_id", "serial_number",
    )}


def issue(world, ssl_id):
    world.sandbox.change_order(ssl_id, status="Issued")


def test_a_delivered_order_comes_back_as_it_was(on_either, lose, order) -> None:
    """RULES K6, D2, K3: id, key, live name, keystore; nothing is delivered a second time"""
    first = order("www.example.com", comments="web shop", live_name="shop", keystore_type="JKS", subject_alternative_names=["api.example.com"])
    on_either.deliver("www.example.com")
    before, entry, submission = facts(on_either, first.ssl_id), on_either.entry("live/shop"), on_either.submission("www.example.com")
    lose()
    answer = import_orders.fn()
    assert answer.attached == 1
    assert facts(on_either, first.ssl_id) == before
    row, certificate = row_of(on_either, first.ssl_id), certificate_of(on_either, first.ssl_id)
    assert row.keystore_type == "JKS"
    assert (certificate.submission_id, certificate.live_version) == (submission.id, 1)
    [sent] = sent_for(on_either, first.ssl_id)
    assert (sent.id, sent.kind, sent.status, sent.public_key_sha256) == (submission.id, "enroll", "done", submission.public_key_sha256)
    on_either.sandbox.forget_calls()
    assert poll_orders.fn().delivered == 0
    assert on_either.entry("live/shop") == entry
    with pytest.raises(InputError, match="live name shop is held"):
        order("www.example.com", live_name="shop")


def test_an_import_never_writes_to_vault(on_either, lose, order) -> None:
    """RULES D2"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    open_one = order("open.example.com", certificate_profile=WAITING)
    lose()
    issue(on_either, open_one.ssl_id)
    import_orders.fn()
    with services.open_services() as svc:
        assert svc.vault.version("live/www.example.com") == 1
        assert svc.vault.list("live") == ["www.example.com"]
        assert len(svc.vault.list("keys")) == 2


def test_an_open_order_comes_back_and_is_delivered_by_the_poll(on_either, lose, order) -> None:
    """RULES K6, E1: the marker and the key in Vault; it is not ordered again"""
    first = order("open.example.com", certificate_profile=WAITING, comments="soon")
    submission = on_either.submission("open.example.com")
    lose()
    assert import_orders.fn().attached == 1
    row, [sent] = row_of(on_either, first.ssl_id), sent_for(on_either, first.ssl_id)
    assert (row.origin, row.status, row.live_name, row.comments) == ("ordered", "requested", "open.example.com", "soon")
    assert (sent.id, sent.status, sent.kind) == (submission.id, "submitted", "enroll")
    with pytest.raises(InputError, match="is held"):
        order("open.example.com")
    issue(on_either, first.ssl_id)
    on_either.deliver("open.example.com")
    entry = on_either.entry("live/open.example.com")
    assert entry["private_key"] == on_either.entry(f"keys/{submission.id}")["private_key"]
    assert len(on_either.sandbox.orders("open.example.com")) == 1
    assert sent_for(on_either, first.ssl_id)[0].status == "done"


@pytest.mark.parametrize("keep_comments", [True, False])
def test_a_renewal_goes_on_under_its_live_name(on_either, lose, order, keep_comments) -> None:
    """RULES K6, K3, D2: whether SCM copies the comments or not; password, alias and type stay"""
    on_either.sandbox.settings(issue_delay=0.0)
    first = order("www.example.com", keystore_type="JKS", live_name="shop", comments="web")
    on_either.deliver("www.example.com")
    served = on_either.entry("live/shop")
    key, new = renew(on_either, first.ssl_id, keep_comments=keep_comments)
    lose()
    import_orders.fn()
    old, row = row_of(on_either, first.ssl_id), row_of(on_either, new)
    assert old.live_name == "shop"
    assert str(old.id) == served["order"]
    assert (row.origin, row.live_name, row.predecessor_id, row.keystore_type) == ("ordered", "shop", old.id, "JKS")
    assert row.comments == ("web" if keep_comments else None)
    assert [(one.id, one.kind, one.status) for one in sent_for(on_either, new)] == [(key, "renew", "submitted")]
    assert [one.kind for one in sent_for(on_either, first.ssl_id)] == ["enroll"]
    on_either.poll_until(lambda: certificate_of(on_either, new).delivered_at is not None)
    entry = on_either.entry("live/shop")
    assert entry["sha256"] == certificate_of(on_either, new).sha256 != served["sha256"]
    assert (entry["keystore_password"], entry["keystore_type"]) == (served["keystore_password"], "JKS")
    lose()
    import_orders.fn()
    assert (row_of(on_either, new).predecessor_id, str(row_of(on_either, new).id)) == (old.id, entry["order"])
    assert [row_of(on_either, ssl_id).live_name for ssl_id in (first.ssl_id, new)] == ["shop", "shop"]
    assert poll_orders.fn().delivered == 0


@pytest.mark.parametrize("keep_comments", [True, False])
def test_a_renewal_that_is_open_is_delivered_once_it_is_issued(on_either, lose, order, keep_comments) -> None:
    """RULES K6: a copied marker gives it no key; its certificate does, in the poll that fetches it"""
    first = order("www.example.com", certificate_profile=WAITING, live_name="shop")
    issue(on_either, first.ssl_id)
    on_either.deliver("www.example.com")
    key, new = renew(on_either, first.ssl_id, keep_comments=keep_comments)
    on_either.sandbox.change_order(new, status="Requested")
    lose()
    import_orders.fn()
    assert row_of(on_either, new).origin == "imported"
    assert [one.kind for one in sent_for(on_either, first.ssl_id)] == ["enroll"]
    assert poll_orders.fn().problems == ()
    issue(on_either, new)
    answer = poll_orders.fn()
    assert (answer.delivered, answer.failed) == (1, 0)
    row = row_of(on_either, new)
    assert (row.origin, row.live_name, row.predecessor_id) == ("ordered", "shop", row_of(on_either, first.ssl_id).id)
    assert on_either.entry("live/shop")["private_key"] == on_either.entry(f"keys/{key}")["private_key"]


def reissue(world, ssl_id):
    id_, csr = new_key(row_of(world, ssl_id).common_name)
    with services.open_services() as svc, svc.scm("default") as scm:
        scm.replace(ssl_id, csr=csr, reason="new key")
    return id_


def test_the_keys_of_a_reissued_order_come_back_to_it(on_either, lose, order) -> None:
    """RULES K6: the certificate gets the key of the reissue, the marker tells the first one"""
    first = order("www.example.com")
    on_either.deliver("www.example.com")
    enrolled = on_either.submission("www.example.com").id
    key = reissue(on_either, first.ssl_id)
    issue(on_either, first.ssl_id)
    lose()
    import_orders.fn()
    assert {(one.id, one.kind) for one in sent_for(on_either, first.ssl_id)} == {(enrolled, "enroll"), (key, "reissue")}
    assert sent_for(on_either, first.ssl_id)[-1].id == key
    assert certificate_of(on_either, first.ssl_id).submission_id == key
    on_either.deliver("www.example.com")
    assert on_either.entry("live/www.example.com")["private_key"] == on_either.entry(f"keys/{key}")["private_key"]
    lose()
    import_orders.fn()
    assert certificate_of(on_either, first.ssl_id).live_version == 2


def test_a_reissue_that_is_under_way_is_delivered_too(on_either, lose, order) -> None:
    """RULES K6, D3: at first its key is nobody's"""
    on_either.sandbox.settings(issue_delay=3600.0)
    first = order("www.example.com")
    issue(on_either, first.ssl_id)
    on_either.deliver("www.example.com")
    order_id = row_of(on_either, first.ssl_id).id
    key = reissue(on_either, first.ssl_id)
    lose()
    import_orders.fn()
    assert (row_of(on_either, first.ssl_id).id, row_of(on_either, first.ssl_id).live_name) == (order_id, "www.example.com")
    issue(on_either, first.ssl_id)
    assert poll_orders.fn().failed == 0
    on_either.deliver("www.example.com")
    assert on_either.entry("live/www.example.com")["private_key"] == on_either.entry(f"keys/{key}")["private_key"]


def test_a_customers_csr_has_no_key_and_keeps_its_live_name(on_either, lose, order) -> None:
    """RULES K2, K6"""
    csr = pki.make_csr(pki.new_key("EC", "P-256"), "own.example.com")
    first = order("own.example.com", csr=csr)
    on_either.deliver("own.example.com")
    before = facts(on_either, first.ssl_id)
    submission = on_either.submission("own.example.com").id
    lose()
    assert import_orders.fn().attached == 1
    row, [sent] = row_of(on_either, first.ssl_id), sent_for(on_either, first.ssl_id)
    assert (row.id, row.live_name, row.origin, row.comments) == (before["id"], "own.example.com", "ordered", "")
    assert (sent.id, sent.own_csr, sent.status) == (submission, True, "done")
    assert certificate_of(on_either, first.ssl_id).live_version == 1
    assert poll_orders.fn().delivered == 0


def test_a_marker_that_somebody_copied_gets_neither_key_nor_live_name(on_either, lose, order) -> None:
    """RULES K6: the public key decides, also while the stranger's order is older and open"""
    strange = {"common_name": "www.example.com", "certificate_profile": WAITING, "csr": pki.make_csr(pki.new_key("EC", "P-256"), "www.example.com")}
    older = order(**strange, live_name="a")
    ours = order("www.example.com", certificate_profile=WAITING)
    younger = order(**strange, live_name="b")
    submission = next(one for one in on_either.rows(Submission) if not one.own_csr)
    for one in (older, younger):
        on_either.sandbox.change_order(one.ssl_id, comments=f"certflow:{submission.id}")
    lose()
    import_orders.fn()
    for one in (younger, older, ours):
        issue(on_either, one.ssl_id)
        with suppress(BatchError):    # the stranger's key is not the one that the marker promised
            poll_orders.fn()
    on_either.poll_until(lambda: certificate_of(on_either, ours.ssl_id).delivered_at is not None)
    entry = on_either.entry("live/www.example.com")
    assert entry["sha256"] == certificate_of(on_either, ours.ssl_id).sha256
    assert [one.id for one in sent_for(on_either, ours.ssl_id)] == [submission.id]
    for one in (older, younger):
        assert (row_of(on_either, one.ssl_id).live_name, sent_for(on_either, one.ssl_id)) == (None, [])


def test_orders_that_nobody_placed_here_stay_imported(on_either, lose, order) -> None:
    """RULES D2"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    lose()
    import_orders.fn()
    assert [row.common_name for row in on_either.rows(CertificateOrder) if row.origin == "ordered" or row.live_name] == ["www.example.com"]


def reads(monkeypatch):
    """What is read in Vault from here on, but for accounts."""
    from tasks.adapters.vault import Vault

    asked = []
    for name in ("read", "read_version", "versions", "list"):
        monkeypatch.setattr(Vault, name, watched(name, getattr(Vault, name), asked))
    return asked


def watched(name, real, asked):
    def act(self, path, *more):
        if not path.startswith("accounts/"):
            asked.append((name, path))
        return real(self, path, *more)
    return act


def test_keys_that_fit_nothing_stay_and_are_not_read_again(on_either, lose, order, monkeypatch) -> None:
    """RULES K6: an unchanged account costs two lists in Vault"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    orphan, _ = new_key("orphan.example.com")
    lose()
    import_orders.fn()
    asked = reads(monkeypatch)
    assert import_orders.fn().attached == 0
    assert sorted(asked) == [("list", "keys"), ("list", "live")]
    assert on_either.entry(f"keys/{orphan}")["csr"]
    asked.clear()
    with on_either.changed(AccountState, "default") as state:
        state.full_import_at -= timedelta(days=8)
    import_orders.fn()
    assert sorted(asked) == [("list", "keys"), ("list", "live")]


def test_an_import_that_lacks_nothing_reads_no_key(on_either, order, monkeypatch) -> None:
    """RULES K6: a healthy database"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    import_orders.fn()
    asked = reads(monkeypatch)
    import_orders.fn()
    assert sorted(asked) == [("list", "keys"), ("list", "live")]
    assert on_either.rows(AccountState)[0].import_resume is None


def test_an_old_database_learns_what_came_after_it(on_either, order) -> None:
    """RULES K6: a new order, a renewal and a reissue that it does not know"""
    on_either.sandbox.settings(issue_delay=0.0)
    renewed, reissued = order("a.example.com"), order("b.example.com")
    on_either.deliver("a.example.com", "b.example.com")
    import_orders.fn()
    later = order("c.example.com")
    on_either.deliver("c.example.com")
    before = facts(on_either, later.ssl_id)
    with services.open_services() as svc, svc.store.transaction() as session:    # as if it had been written after the backup
        row = session.get(CertificateOrder, later.order_id)
        for table in (OrderEvent, Certificate, Submission):
            session.exec(delete(table).where(table.order_id == row.id))
        session.delete(row)
    key_a, new = renew(on_either, renewed.ssl_id)
    key_b = reissue(on_either, reissued.ssl_id)
    answer = import_orders.fn()
    assert answer.attached == 3
    assert answer.problems == ()
    assert facts(on_either, later.ssl_id) == before
    assert [one.id for one in sent_for(on_either, new)] == [key_a]
    assert row_of(on_either, new).predecessor_id == renewed.order_id
    assert sent_for(on_either, reissued.ssl_id)[-1].id == key_b
    on_either.poll_until(lambda: all(
        on_either.entry(f"live/{name}")["private_key"] == on_either.entry(f"keys/{key}")["private_key"]
        for name, key in (("a.example.com", key_a), ("b.example.com", key_b))
    ))


def test_an_import_that_is_killed_anywhere_goes_on(on_either, lose, order, monkeypatch) -> None:
    """RULES K6: after each transaction of the attaching once"""
    on_either.sandbox.settings(issue_delay=0.0)
    first = order("www.example.com", live_name="shop", comments="web")
    on_either.deliver("www.example.com")
    renew(on_either, first.ssl_id)
    for gap in range(60):
        lose()
        with monkeypatch.context() as patch:
            patch.setattr(rebuilding, "attach", lambda _account: rebuilding.Attached())
            import_orders.fn()
        with monkeypatch.context() as patch, services.open_services() as svc:
            patch.setattr(svc.store, "transaction", dying_after(gap, svc.store.transaction))
            try:
                rebuilding.attach("default")
                died = False
            except KeyboardInterrupt:
                died = True
        rebuilding.attach("default")
        old, new = sorted((row for row in on_either.rows(CertificateOrder) if row.common_name == "www.example.com"), key=lambda row: row.ssl_id)
        assert [(row.live_name, row.origin, row.comments) for row in (old, new)] == [("shop", "ordered", "web")] * 2
        assert (old.id, new.predecessor_id) == (first.order_id, old.id)
        assert [[one.kind for one in sent_for(on_either, row.ssl_id)] for row in (old, new)] == [["enroll"], ["renew"]]
        if not died:
            break
    assert gap > 4, "there are more transactions than that"


def dying_after(number, real):
    """Transactions of a process that is killed before it begins the one after `number` others."""
    left = iter(range(number))

    def transaction():
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real()
    return transaction


def test_two_imports_at_once_attach_each_key_once(on_either, lose, order, at_once) -> None:
    """RULES K6"""
    names = [f"host{number}.example.com" for number in range(4)]
    placed = [order(name) for name in names]
    on_either.deliver(*names)
    before = [facts(on_either, one.ssl_id) for one in placed]
    lose()
    at_once(import_orders.fn, import_orders.fn)
    import_orders.fn()
    assert [facts(on_either, one.ssl_id) for one in placed] == before
    assert all(len(sent_for(on_either, one.ssl_id)) == 1 for one in placed)
    assert poll_orders.fn().delivered == 0


def test_only_the_entries_of_the_account_are_taken(on_either, lose, order) -> None:
    """RULES D2: live names are global over accounts"""
    first = order("www.example.com")
    on_either.deliver("www.example.com")
    entry = on_either.entry("live/www.example.com")
    on_either.vault.secrets.kv.v2.create_or_update_secret("certflow/live/www.example.com", secret={**entry, "account": "another"})
    lose()
    answer = import_orders.fn()
    row = row_of(on_either, first.ssl_id)
    assert (row.live_name, row.origin) == (None, "ordered")
    assert "live/www.example.com is another's" in " ".join(answer.problems)
    assert poll_orders.fn().delivered == 0


def test_an_order_that_an_old_database_still_plans_is_not_sent_again(on_either, order) -> None:
    """RULES E1, K6: SCM holds its marker, so it was sent after the backup"""
    first = order("www.example.com")
    submission = on_either.submission("www.example.com")
    with on_either.changed(Submission, submission.id) as row:
        row.status, row.claimed_at, row.submitted_at, row.attempts = "planned", None, None, 0
    with on_either.changed(CertificateOrder, first.order_id) as row:
        row.status, row.ssl_id, row.requested_at = "planned", None, None
    import_orders.fn()
    assert row_of(on_either, first.ssl_id).id == first.order_id
    on_either.deliver("www.example.com")
    assert len(on_either.sandbox.orders("www.example.com")) == 1


def test_certificates_that_are_fetched_later_get_their_keys_then(on_either, lose, order) -> None:
    """RULES K6: the first import fetched none"""
    first = order("www.example.com", live_name="shop")
    on_either.deliver("www.example.com")
    submission = on_either.submission("www.example.com").id
    lose()
    import_orders.fn(fetch_certificates=False)
    assert row_of(on_either, first.ssl_id).live_name == "shop"
    import_orders.fn()
    assert certificate_of(on_either, first.ssl_id).submission_id == submission
    poll_orders.fn()
    assert (certificate_of(on_either, first.ssl_id).live_version, on_either.entry("live/shop")["order"]) == (1, str(first.order_id))


def test_a_renewal_with_the_old_key_belongs_to_its_line_and_takes_no_live_name(on_either, lose, order) -> None:
    """RULES K6: anybody at SCM can renew with the old CSR; only live/ tells that we meant it"""
    on_either.sandbox.settings(issue_delay=0.0)
    first = order("www.example.com")
    on_either.deliver("www.example.com")
    with services.open_services() as svc, svc.scm("default") as scm:
        new = scm.renew_by_id(first.ssl_id, csr=None).ssl_id
    lose()
    answer = import_orders.fn()
    assert sent_for(on_either, new)[0].reuse_of == sent_for(on_either, first.ssl_id)[0].id
    assert (row_of(on_either, new).predecessor_id, row_of(on_either, new).live_name) == (first.order_id, None)
    assert str(new) in " ".join(answer.problems)
    assert poll_orders.fn().delivered == 0
