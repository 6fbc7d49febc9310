"""An SCM that answers late, and every third time not at all: what can be done is done, what was sent is sent once, and calm brings the rest."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import col, select

from flows.import_orders import import_orders
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from models.errors import CertflowError
from models.orders import CertificateOrder
from tasks import services

MANY = 100
LATENCY = 0.05
MOST_SECONDS = 90.0
FAULTS = ({"kind": "status", "status": 500}, {"kind": "drop"}, {"kind": "lost"})
"""Each for one call in ten; the last after SCM did what it was asked."""


def successors(lasting: Any, names: list[str]) -> dict[str, int]:
    found = dict.fromkeys(names, -1)    # the order that is renewed
    for row in lasting.sandbox.orders():
        if row["common_name"] in found:
            found[row["common_name"]] += 1
    return found


@pytest.fixture
def endure(on_this_machine: Callable[[float], float]) -> Callable[..., str]:
    """Run a flow to the end, whatever it says."""
    def act(flow: Any, **more: Any) -> str:
        began = time.monotonic()
        try:
            flow.fn(**more)
            said = ""
        except CertflowError as error:
            said = str(error)
        assert time.monotonic() - began < on_this_machine(MOST_SECONDS)
        return said

    return act


@pytest.mark.slow
def test_a_mass_renewal_an_import_and_polls_end_on_a_half_dead_scm_and_no_order_is_doubled(
    lasting: Any, endure: Callable[..., str],
) -> None:
    """RULES E1 to E5, DESIGN 8.3: 100 renewals, a third of all calls failing"""
    chosen = [next(lasting.old) for _ in range(MANY)]
    names = [row["common_name"] for row in chosen]
    ids = [str(row["ssl_id"]) for row in chosen]
    lasting.sandbox.settings(latency=LATENCY)
    for fault in FAULTS:
        lasting.sandbox.fault(**fault, probability=0.1)
    said = [
        endure(import_orders, fetch_certificates=False),
        endure(renew_or_reissue, action="renew", orders=ids, request_id="many"),
        endure(poll_orders), endure(poll_orders),
        endure(import_orders, organizations=["Example University"]),
        endure(renew_or_reissue, action="renew", orders=ids, request_id="many"),
    ]
    for sentence in filter(None, said):
        assert sentence.isprintable()
        assert len(sentence) <= 2000
    assert set(successors(lasting, names).values()) <= {0, 1}
    assert sum(successors(lasting, names).values()) > MANY * 0.8    # most of it was done all the same

    lasting.sandbox.clear()
    lasting.sandbox.settings(latency=0)
    for _ in range(4):
        endure(renew_or_reissue, action="renew", orders=ids, request_id="many")
        endure(poll_orders)
    assert successors(lasting, names) == dict.fromkeys(names, 1)
    with services.open_services() as svc, svc.store.reading() as session:
        old = session.exec(select(CertificateOrder.id).where(col(CertificateOrder.ssl_id).in_([int(one) for one in ids]))).all()
        new = session.exec(select(CertificateOrder).where(col(CertificateOrder.predecessor_id).in_(old))).all()
    assert len(new) == MANY
    assert len({row.ssl_id for row in new} - {None}) == MANY
    assert {row.status for row in new} <= {"issued", "applied"}
