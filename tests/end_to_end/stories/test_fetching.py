"""Certificates are stored some at a time: what spoils one of them must not cost the others."""

import pytest
from sqlmodel import select

from flows.import_orders import import_orders
from models.errors import BatchError
from models.orders import Certificate, CertificateOrder
from models.status import OrderStatus
from tasks import services
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import orders


def test_an_order_that_goes_away_while_its_certificate_is_fetched_stops_no_other(synced, order, monkeypatch) -> None:
    """DESIGN 4, RULES E3: an imported row gives way to the order that was in doubt"""
    adopted = order("adopted.example.com").order_id
    import_orders.fn(fetch_certificates=False)
    issued = [row for row in synced.rows(CertificateOrder) if row.status == OrderStatus.ISSUED and row.origin == "imported"]
    gone = issued[3]
    real = ScmClient.collect

    def collect(scm, ssl_id):
        if ssl_id == gone.ssl_id:
            with services.open_services() as svc, svc.store.transaction() as session:
                orders.give_way(session, "default", ssl_id, to=adopted)
        return real(scm, ssl_id)

    monkeypatch.setattr(ScmClient, "collect", collect)
    with pytest.raises(BatchError, match=str(gone.ssl_id)) as caught:
        import_orders.fn()
    assert caught.value.summary.certificates_fetched >= len(issued) - 1
    with services.open_services() as svc, svc.store.reading() as session:
        stored = set(session.exec(select(Certificate.order_id)))
    assert {row.id for row in issued} - stored == {gone.id}
