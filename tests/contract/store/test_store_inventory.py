"""What the inventory asks of our books, on both databases."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.orders import NewCertificate, Revocation
from models.spreadsheet import CELL, HEAD, LINE
from models.status import OrderStatus, SubmissionStatus
from tasks.adapters.store import Store, certificates, inventory
from tasks.adapters.store import lines as written
from tasks.adapters.store.chosen import Chosen

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
Make = Callable[..., UUID]
Leaf = Callable[..., NewCertificate]


@pytest.fixture
def stored(store: Store, certificate: Leaf, now: datetime) -> Callable[..., None]:
    """Puts a certificate of an order into the repository; as `certificate`."""
    def put(order_id: UUID, number: int = 1, **facts: Any) -> None:
        with store.transaction() as session:
            certificates.add(session, [certificate(order_id, number, **facts)], limit=None, now=now)
    return put


@pytest.fixture
def chosen(now: datetime) -> Chosen:
    return Chosen(account="default", now=now)


def tables(store: Store, chosen: Chosen) -> list[str]:
    with store.reading(streaming=True) as session:
        if store.engine.dialect.name == "postgresql":
            return list(written.tables(session, chosen))
        return [table for end in written.pieces(session) if (table := written.piece(session, chosen, end))]


def lines(store: Store, chosen: Chosen) -> list[dict[str, str]]:
    found = [dict(zip(HEAD, line.split(CELL), strict=True)) for table in tables(store, chosen) for line in table.split(LINE)]
    return sorted(found, key=lambda one: (int(one["ssl_id"] or 0), one["not_after"]))


def living(store: Store, chosen: Chosen) -> list[tuple[int, str]]:
    """SCM's id and whether it lives, of each line."""
    return [(int(one["ssl_id"]), one["living"]) for one in lines(store, chosen)]


def test_a_line_is_an_order_with_one_of_its_certificates_or_without_any(
    store: Store, order: Make, stored: Any, chosen: Chosen, now: datetime,
) -> None:
    """DESIGN 2: one order may have several certificates, one may have none."""
    both, none = order(ssl_id=1), order(ssl_id=2, serial_number="ab", expires_at=now + timedelta(days=9), requested_via="ACME")
    stored(both, 1)
    stored(both, 2, not_before=now)
    order(ssl_id=3, account="other")
    order(ssl_id=4, deleted_at=now)
    found = lines(store, chosen)
    assert [(one["ssl_id"], one["not_before"] != "", one["living"]) for one in found] == [("1", True, "no"), ("1", True, "yes"), ("2", False, "yes")]
    last = found[-1]
    assert (last["order_id"], last["not_after"], last["serial_number"], last["requested_via"], last["account"], last["organization"]) == (
        str(none), "2026-04-10 12:00:00", "ab", "ACME", "default", "")
    assert (found[0]["not_before"], found[0]["issuer"]) == ("2026-03-31 12:00:00", "CN=Example Issuing CA")


def test_a_removed_certificate_is_no_line(store: Store, order: Make, stored: Any, chosen: Chosen, now: datetime) -> None:
    """DESIGN 1: what was taken out of the repository is not shown."""
    one = order(ssl_id=1)
    stored(one, removed_at=now)
    assert [(line["ssl_id"], line["not_before"]) for line in lines(store, chosen)] == [("1", "")]


@pytest.mark.parametrize(("status", "facts", "lives"), [
    (OrderStatus.ISSUED, {}, "yes"), (OrderStatus.REVOKED, {}, "no"), (OrderStatus.ISSUED, {"not_after": -1}, "no"),
    (OrderStatus.ISSUED, {"not_after": 0}, "no"),
])
def test_what_is_issued_and_has_not_ended_lives(
    store: Store, order: Make, stored: Any, chosen: Chosen, now: datetime, status: OrderStatus, facts: dict[str, int], lives: str,
) -> None:
    """RULES R7"""
    stored(order(ssl_id=1, status=status), **{name: now + timedelta(seconds=value) for name, value in facts.items()})
    assert living(store, chosen) == [(1, lives)]


@pytest.mark.parametrize(("facts", "replaced"), [
    ({}, True), ({"held_because": "a name is missing"}, False), ({"never_deliver": True}, False), ({"removed_at": NOW}, False),
])
def test_a_successor_takes_the_place_when_its_certificate_is_here_and_not_held(
    store: Store, order: Make, stored: Any, chosen: Chosen, now: datetime, facts: dict[str, Any], replaced: bool,
) -> None:
    """RULES R5, D3: the old one stays live while the new one is held."""
    old = order(ssl_id=1, expires_at=now + timedelta(days=5))
    new = order(ssl_id=2, predecessor_id=old, expires_at=now + timedelta(days=99))
    stored(old, 1)
    stored(new, 2, **facts)
    assert living(store, chosen)[0] == (1, "no" if replaced else "yes")
    with store.reading() as session:
        assert [one.number for one in inventory.ending(session, chosen, most=9)] == ([2] if replaced else [1, 2])
        assert inventory.count_ending(session, "default", now=now, days=30) == (0 if replaced else 1)


def test_a_successor_that_was_revoked_replaces_nothing(store: Store, order: Make, stored: Any, chosen: Chosen) -> None:
    """RULES R5"""
    old = order(ssl_id=1)
    stored(old, 1)
    stored(order(ssl_id=2, predecessor_id=old, status=OrderStatus.REVOKED), 2)
    assert living(store, chosen) == [(1, "yes"), (2, "no")]


@pytest.fixture
def several(order: Make, stored: Any, now: datetime) -> None:
    """Five orders that differ in everything that can be chosen."""
    stored(order(ssl_id=1, common_name="www.example.com", organization_id=1), 1, names=["www.example.com", "Shop.example.com"], issuer="CN=Alpha CA")
    stored(order(ssl_id=2, common_name="*.example.org", organization_id=2, status=OrderStatus.REVOKED), 2, names=["*.example.org"],
           issuer="CN=Beta_CA", not_after=now + timedelta(days=10))
    order(ssl_id=3, common_name="mail.example.net", organization_id=1, subject_alternative_names=["imap.example.net", 'a"b', "50%", "ü.example"],
          status=OrderStatus.APPLIED)
    order(ssl_id=4, common_name="ends.example.net", expires_at=now + timedelta(days=10))
    two = order(ssl_id=5, common_name="two.example.net")
    stored(two, 5, issuer="CN=Alpha CA", names=["two.example.net"])
    stored(two, 6, issuer="CN=Gamma CA", names=["two.example.net"], not_after=now + timedelta(days=10), fetched_at=now + timedelta(seconds=1))


@pytest.mark.parametrize(("filters", "found"), [
    ({}, [1, 2, 3, 4, 5, 5]), ({"names": ("shop",)}, [1]), ({"names": ("example.net",)}, [3, 4, 5, 5]), ({"names": ("imap",)}, [3]),
    ({"names": ("*.example",)}, [2]), ({"names": ("%",)}, [3]), ({"names": ("w_w",)}, []), ({"names": ('a"b',)}, [3]), ({"names": ('", "',)}, []),
    ({"names": ("ü",)}, [3]), ({"names": ("imap", "shop")}, [1, 3]), ({"issuer": "alpha"}, [1, 5]), ({"issuer": "_"}, [2]),
    ({"statuses": ("applied", "revoked")}, [2, 3]), ({"organization_ids": (1,)}, [1, 3]), ({"organization_ids": ()}, []),
    ({"days": 10}, [2, 4, 5]), ({"days": 9}, []), ({"days": 10, "issuer": "alpha"}, []), ({"days": 10, "issuer": "gamma", "names": ("two",)}, [5]),
    ({"days": 10, "statuses": ("issued",)}, [4, 5]),
])
def test_a_filter_chooses_the_same_lines_and_orders(
    store: Store, several: None, chosen: Chosen, now: datetime, filters: dict[str, Any], found: list[int],
) -> None:
    """DESIGN 4: name, statuses, organization, issuer, expiring within days"""
    assert several is None
    days = filters.get("days")
    others = {name: value for name, value in filters.items() if name != "days"}
    wanted = replace(chosen, **others, ends_by=None if days is None else now + timedelta(days=days))
    assert [int(one["ssl_id"]) for one in lines(store, wanted)] == found
    with store.reading() as session:
        assert sum(number for _, _, number in inventory.counts(session, wanted)) == len(set(found))


def test_orders_are_counted_by_status_and_organization(store: Store, order: Make, chosen: Chosen, now: datetime) -> None:
    """DESIGN 4"""
    for organization in (1, 1, 2, None):
        order(organization_id=organization, organization_name="Example University")
    order(status=OrderStatus.REVOKED, organization_id=1, organization_name="Example University")
    order(organization_id=1, deleted_at=now)
    with store.reading() as session:
        assert sorted(inventory.counts(session, chosen), key=str) == [("issued", 1, 2), ("issued", 2, 1), ("issued", None, 1), ("revoked", 1, 1)]
        assert inventory.organization_names(session, "default", [1, 9]) == {1: "Example University"}


def test_names_of_several_living_certificates_are_shared(store: Store, order: Make, stored: Any, chosen: Chosen, now: datetime) -> None:
    """A renewal and a reissue share names with what they replace; that is no finding."""
    one, other, third = order(ssl_id=1), order(ssl_id=2), order(ssl_id=3)
    stored(one, 1, names=["www.example.com", "a.example.com"])
    stored(one, 2, names=["www.example.com", "a.example.com"], not_before=now)
    stored(other, 3, names=["WWW.example.com", "b.example.com"])
    stored(third, 4, names=["b.example.com", "www.example.com"])
    stored(order(ssl_id=4, predecessor_id=third), 5, names=["c.example.com"])
    stored(order(ssl_id=5, status=OrderStatus.REVOKED), 6, names=["a.example.com"])
    with store.reading() as session:
        assert inventory.shared_names(session, chosen, most=9) == (1, [("www.example.com", 2)])


def test_what_will_need_renewal_is_ours_live_and_not_replaced(
    store: Store, order: Make, submission: Make, stored: Any, chosen: Chosen, now: datetime,
) -> None:
    """RULES R1, R7"""
    def ours(ssl_id: int, *, own_csr: bool = False, **facts: Any) -> UUID:
        id_ = order(ssl_id=ssl_id, common_name=f"host{ssl_id}.example.com", live_name=f"host{ssl_id}")
        sent = submission(order_id=id_, own_csr=own_csr, status=SubmissionStatus.DONE)
        stored(id_, ssl_id, **{"submission_id": sent, "delivered_at": now, **facts})
        return id_

    ours(1)
    ours(2, own_csr=True)
    ours(3, delivered_at=None)
    ours(4, held_because="a name is missing")
    ours(5, not_after=now)
    stored(order(ssl_id=6, live_name="host6"), 6)
    renewed, declined = ours(7), ours(8)
    order(ssl_id=9, predecessor_id=renewed, status=OrderStatus.APPLIED)
    order(ssl_id=10, predecessor_id=declined, status=OrderStatus.DECLINED)
    with store.reading(streaming=True) as session:
        found = sorted(inventory.ahead(session, chosen), key=lambda one: one.name)
    assert [(one.name, one.own_csr) for one in found] == [("host1.example.com", False), ("host2.example.com", True), ("host8.example.com", False)]
    assert (found[0].names, found[0].not_before) == (["www.example.com"], now - timedelta(days=1))


def test_what_needs_somebody_is_counted_whole(store: Store, order: Make, submission: Make, stored: Any, chosen: Chosen, now: datetime) -> None:
    """RULES E3, C5, D3, D4"""
    submission(order_id=order(status=OrderStatus.SUBMITTING), status=SubmissionStatus.SUBMITTING)
    submission(order_id=order(ssl_id=1), kind="reissue", status=SubmissionStatus.SUBMITTING)
    order(ssl_id=2, status=OrderStatus.REQUESTED, requested_at=now - timedelta(days=9))
    order(ssl_id=3, waiting_because="waits for a licence")
    held = order(ssl_id=4, waiting_because="a name is missing")
    stored(held, 1, held_because="a name is missing")
    order(ssl_id=5, status=OrderStatus.APPLIED, requested_at=now - timedelta(days=2))
    order(ssl_id=6, status=OrderStatus.APPLIED, requested_at=now - timedelta(hours=2))
    with store.reading() as session:
        counted = inventory.attention_counts(session, chosen, stuck_before=now - timedelta(days=1))
    assert counted == {"in_doubt": 2, "approval": 1, "waiting": 1, "stuck": 1}


def test_revocations_that_are_not_done_come_with_their_order(store: Store, order: Make, chosen: Chosen, now: datetime) -> None:
    """RULES R5, V3: refused ones only while their order is still issued"""
    issued, revoked = OrderStatus.ISSUED, OrderStatus.REVOKED
    rows = [("planned", issued), ("refused", issued), ("refused", revoked), ("done", revoked)]
    for ssl_id, (status, of_order) in enumerate(rows, 1):
        id_ = order(ssl_id=ssl_id, status=of_order)
        with store.transaction() as session:
            session.add(Revocation(account="default", order_id=id_, reason_code=4, reason="x", status=status, created_at=now + timedelta(ssl_id)))
    with store.reading() as session:
        assert [(number, one.status) for one, number, _ in inventory.revocations(session, chosen)] == [(1, "planned"), (2, "refused")]


@pytest.mark.parametrize("gap", [0, 20])
def test_more_lines_than_are_fetched_together_come_all_once(
    store: Store, order: Make, chosen: Chosen, monkeypatch: pytest.MonkeyPatch, gap: int,
) -> None:
    """A stream of several pieces, some of them empty"""
    monkeypatch.setattr(inventory, "FETCHED_TOGETHER", 3)
    monkeypatch.setattr(written, "ORDERS_TOGETHER", 3)
    for ssl_id in range(1, 9):
        order(ssl_id=ssl_id)
    for _ in range(gap):
        order(account="other")
    order(ssl_id=9)
    assert [len(one.split(LINE)) for one in tables(store, chosen)] in ([3, 3, 3], [3, 3, 2, 1])
    assert [int(one["ssl_id"]) for one in lines(store, chosen)] == [*range(1, 10)]


def test_a_text_of_others_makes_no_cell_and_no_line(store: Store, order: Make, stored: Any, chosen: Chosen) -> None:
    """Whatever SCM holds in a name, a line has its columns."""
    stored(order(ssl_id=1, common_name=f"a{LINE}b", requester=f"c{CELL}d", subject_alternative_names=[f"e{LINE}"]), 1, names=[f"f{CELL}g", 'h"i'])
    order(ssl_id=2, requester="plain", subject_alternative_names=["one.example.com", "two.example.com"])
    first, second = lines(store, chosen)
    assert (first["common_name"], first["requester"], json.loads(first["names"])) == ("a b", "c d", [f"f{CELL}g", 'h"i'])
    assert (second["requester"], second["names"]) == ("plain", "one.example.com two.example.com")
