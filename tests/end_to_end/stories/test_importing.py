"""import_orders against the sandbox: everything known, little asked, nothing twice."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from models.errors import BatchError, InputError
from models.orders import AccountState, Certificate, CertificateOrder
from models.status import order_status
from tasks import services


def collects(world):
    return sum(count for route, count in world.sandbox.calls().items() if "collect" in route)


def at_scm(world):
    return {order["ssl_id"]: order for order in world.sandbox.orders()}


def test_every_order_that_scm_holds_is_known_with_its_status(world) -> None:
    """RULES S3: also those without a request date"""
    answer = import_orders.fn(fetch_certificates=False)
    truth = at_scm(world)
    ours = {row.ssl_id: row for row in world.rows(CertificateOrder)}
    assert set(ours) == set(truth)
    assert answer.orders_new == len(truth)
    assert {ssl_id: row.status for ssl_id, row in ours.items()} == {
        ssl_id: order_status(order["status"]) for ssl_id, order in truth.items()
    }


def test_certificates_of_issued_orders_are_fetched_once(world) -> None:
    """RULES S3, D3"""
    first = import_orders.fn()
    issued = [order for order in at_scm(world).values() if order["status"] == "Issued"]
    assert first.certificates_fetched == len(issued) == len(world.rows(Certificate))
    world.sandbox.forget_calls()
    again = import_orders.fn()
    assert again.certificates_fetched == 0
    assert collects(world) == 0
    assert again.calls <= 5
    assert sum(world.sandbox.calls().values()) <= 5


def test_a_change_at_scm_shows_in_the_next_import(world) -> None:
    """RULES S3"""
    import_orders.fn(fetch_certificates=False)
    issued = next(order for order in at_scm(world).values() if order["status"] == "Issued")
    world.sandbox.change_order(issued["ssl_id"], status="Revoked")
    answer = import_orders.fn(fetch_certificates=False)
    row = next(row for row in world.rows(CertificateOrder) if row.ssl_id == issued["ssl_id"])
    assert row.status == "revoked"
    assert row.revoked_at is not None
    assert answer.orders_changed >= 1


def test_an_import_that_died_goes_on(world, monkeypatch) -> None:
    """RULES S3: what was stored stays, nothing is fetched twice"""
    from tasks.certificates import fetching as certificates

    monkeypatch.setattr(certificates, "BATCH", 20)
    monkeypatch.setattr(certificates, "PAGE", 20)
    first, _ = certificates.fetch("default") if import_orders.fn(fetch_certificates=False) else (None, None)
    before = collects(world)
    assert first.fetched == 20
    import_orders.fn()
    issued = [order for order in at_scm(world).values() if order["status"] == "Issued"]
    assert collects(world) == len(issued)
    assert before == 20


def test_a_report_that_is_too_big_is_asked_for_in_halves(world) -> None:
    """RULES S3"""
    world.sandbox.fault("status", route="report", status=500, body="too large", content_type="text/html", count=8)
    answer = import_orders.fn(fetch_certificates=False)
    assert answer.orders_seen >= len(at_scm(world))
    assert {row.ssl_id for row in world.rows(CertificateOrder)} == set(at_scm(world))


def test_an_unknown_status_keeps_the_old_one_and_is_named(world) -> None:
    """RULES S4"""
    import_orders.fn(fetch_certificates=False)
    some = next(order for order in at_scm(world).values() if order["status"] == "Applied")
    world.sandbox.fault("unknown_status", route="report", ssl_id=some["ssl_id"], word="Frobnicated", count=10)
    with services.open_services() as svc, svc.store.transaction() as session:
        session.get(AccountState, "default").full_import_at = datetime.now(UTC) - timedelta(days=8)
    answer = import_orders.fn(fetch_certificates=False)
    assert answer.unreadable == 1
    assert "Frobnicated" in " ".join(answer.problems)
    row = next(row for row in world.rows(CertificateOrder) if row.ssl_id == some["ssl_id"])
    assert row.status == "applied"


def test_only_what_was_asked_for_is_imported(synced) -> None:
    """RULES N5: an organization is meant with its departments"""
    answer = import_orders.fn(statuses=["issued"], organizations=["Example University"], fetch_certificates=False)
    rows = synced.rows(CertificateOrder)
    assert {row.status for row in rows} == {"issued"}
    assert 0 < answer.orders_new < len(at_scm(synced))
    with pytest.raises(InputError, match="unknown"):
        import_orders.fn(organizations=["No such place"])


def test_the_licence_limit_makes_certificates_wait_and_loses_none(world, monkeypatch) -> None:
    """RULES D4"""
    monkeypatch.setenv("CERTFLOW_CERTIFICATE_LIMIT", "10")
    services.forget_services()
    answer = import_orders.fn()
    issued = [order for order in at_scm(world).values() if order["status"] == "Issued"]
    assert answer.certificates_fetched == 10
    assert answer.certificates_waiting == len(issued) - 10
    assert collects(world) == 10
    monkeypatch.setenv("CERTFLOW_CERTIFICATE_LIMIT", "12")
    services.forget_services()
    assert poll_orders.fn().certificates_fetched == 2


def test_an_import_leaves_an_order_in_doubt_to_be_settled(synced, order) -> None:
    """RULES E3: no second row"""
    synced.sandbox.lose_next_answer("enroll")
    order("doubt.example.com")
    answer = import_orders.fn(fetch_certificates=False)
    rows = [row for row in synced.rows(CertificateOrder) if row.common_name == "doubt.example.com"]
    assert len(rows) == 1
    assert rows[0].origin == "ordered"
    assert rows[0].ssl_id is not None
    assert answer.settled == 1


def test_one_certificate_that_fails_stops_no_other(world) -> None:
    """DESIGN 4: a batch does all it can"""
    issued = [order for order in at_scm(world).values() if order["status"] == "Issued"]
    bad = issued[0]["ssl_id"]
    world.sandbox.fault("status", path=rf"/collect/{bad}\b", status=400, body={"code": -9999, "description": "Never heard of it"})
    with pytest.raises(BatchError, match="Never heard of it") as caught:
        import_orders.fn()
    assert caught.value.summary.certificates_fetched == len(issued) - 1
    with services.open_services() as svc, svc.store.reading() as session:
        assert len(session.exec(select(Certificate.id)).all()) == len(issued) - 1
