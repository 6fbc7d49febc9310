"""What is rebuilt twice, half, late, at once, or into a database that is merely old (RULES K6)."""

from datetime import timedelta

from sqlmodel import delete

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from models.orders import AccountState, Certificate, CertificateOrder, OrderEvent, Submission
from tasks import rebuilding, services


def test_keys_that_fit_nothing_stay_and_are_not_read_again(on_either, lost, order, vault_reads) -> None:
    """RULES K6: an unchanged account costs two lists in Vault"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    orphan, _ = lost.new_key("orphan.example.com")
    lost.lose()
    import_orders.fn()
    vault_reads.clear()
    assert import_orders.fn().attached == 0
    assert sorted(vault_reads) == [("list", "keys"), ("list", "live")]
    assert on_either.entry(f"keys/{orphan}")["csr"]
    vault_reads.clear()
    with on_either.changed(AccountState, "default") as state:
        state.full_import_at -= timedelta(days=8)
    import_orders.fn()
    assert sorted(vault_reads) == [("list", "keys"), ("list", "live")]


def test_an_import_that_lacks_nothing_reads_no_key(on_either, order, vault_reads) -> None:
    """RULES K6: a healthy database"""
    order("www.example.com")
    on_either.deliver("www.example.com")
    import_orders.fn()
    vault_reads.clear()
    import_orders.fn()
    assert sorted(vault_reads) == [("list", "keys"), ("list", "live")]
    assert on_either.rows(AccountState)[0].import_resume is None


def test_certificates_that_are_fetched_later_get_their_keys_then(on_either, lost, order) -> None:
    """RULES K6: the first import fetched none"""
    first = order("www.example.com", live_name="shop")
    on_either.deliver("www.example.com")
    submission = on_either.submission("www.example.com").id
    lost.lose()
    import_orders.fn(fetch_certificates=False)
    assert lost.row(first.ssl_id).live_name == "shop"
    import_orders.fn()
    assert lost.certificate(first.ssl_id).submission_id == submission
    poll_orders.fn()
    assert (lost.certificate(first.ssl_id).live_version, on_either.entry("live/shop")["order"]) == (1, str(first.order_id))


def test_an_old_database_learns_what_came_after_it(on_either, lost, order) -> None:
    """RULES K6: a new order, a renewal and a reissue that it does not know"""
    on_either.sandbox.settings(issue_delay=0.0)
    renewed, reissued = order("a.example.com"), order("b.example.com")
    on_either.deliver("a.example.com", "b.example.com")
    import_orders.fn()
    later = order("c.example.com")
    on_either.deliver("c.example.com")
    before = lost.facts(later.ssl_id)
    with services.open_services() as svc, svc.store.transaction() as session:    # as if it had been written after the backup
        row = session.get(CertificateOrder, later.order_id)
        for table in (OrderEvent, Certificate, Submission):
            session.exec(delete(table).where(table.order_id == row.id))
        session.delete(row)
    key_a, new = lost.renew(renewed.ssl_id)
    key_b = lost.reissue(reissued.ssl_id)
    answer = import_orders.fn()
    assert answer.attached == 3
    assert answer.problems == ()
    assert lost.facts(later.ssl_id) == before
    assert [one.id for one in lost.sent(new)] == [key_a]
    assert lost.row(new).predecessor_id == renewed.order_id
    assert lost.sent(reissued.ssl_id)[-1].id == key_b
    on_either.poll_until(lambda: all(
        on_either.entry(f"live/{name}")["private_key"] == on_either.entry(f"keys/{key}")["private_key"]
        for name, key in (("a.example.com", key_a), ("b.example.com", key_b))
    ))


def test_an_order_that_an_old_database_still_plans_is_not_sent_again(on_either, lost, order) -> None:
    """RULES E1, K6: SCM holds its marker, so it was sent after the backup"""
    first = order("www.example.com")
    submission = on_either.submission("www.example.com")
    with on_either.changed(Submission, submission.id) as row:
        row.status, row.claimed_at, row.submitted_at, row.attempts = "planned", None, None, 0
    with on_either.changed(CertificateOrder, first.order_id) as row:
        row.status, row.ssl_id, row.requested_at = "planned", None, None
    import_orders.fn()
    assert lost.row(first.ssl_id).id == first.order_id
    on_either.deliver("www.example.com")
    assert len(on_either.sandbox.orders("www.example.com")) == 1


def dying_after(number, real):
    """Transactions of a process that is killed before it begins the one after `number` others."""
    left = iter(range(number))

    def transaction():
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real()
    return transaction


def test_an_import_that_is_killed_anywhere_goes_on(on_either, lost, order, monkeypatch) -> None:
    """RULES K6: after each transaction of the attaching once"""
    on_either.sandbox.settings(issue_delay=0.0)
    first = order("www.example.com", live_name="shop", comments="web")
    on_either.deliver("www.example.com")
    lost.renew(first.ssl_id)
    for gap in range(60):
        lost.lose()
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
        assert [[one.kind for one in lost.sent(row.ssl_id)] for row in (old, new)] == [["enroll"], ["renew"]]
        if not died:
            break
    assert gap > 4, "there are more transactions than that"


def test_two_imports_at_once_attach_each_key_once(on_either, lost, order, at_once) -> None:
    """RULES K6"""
    names = [f"host{number}.example.com" for number in range(4)]
    placed = [order(name) for name in names]
    on_either.deliver(*names)
    before = [lost.facts(one.ssl_id) for one in placed]
    lost.lose()
    at_once(import_orders.fn, import_orders.fn)
    import_orders.fn()
    assert [lost.facts(one.ssl_id) for one in placed] == before
    assert all(len(lost.sent(one.ssl_id)) == 1 for one in placed)
    assert poll_orders.fn().delivered == 0
