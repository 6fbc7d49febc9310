"""Finding orders again, adopting what an import found, and reference data."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from models.errors import ConflictError, NotFoundError, RejectedError
from models.orders import NewCertificate
from models.reference import Domain, Organization
from models.status import OrderStatus, SubmissionStatus
from models.summaries import Counted
from tasks.adapters.store import Store, certificates, orders
from tasks.adapters.store import reference as stored

Make = Callable[..., UUID]


def named(store: Store, text: str) -> list[UUID]:
    with store.reading() as session:
        return [one.id for one in orders.named(session, "default", text)]


def test_an_order_is_named_by_its_id_its_uuid_or_its_name(store: Store, order: Make, now: datetime) -> None:
    """DESIGN 4, RULES N1, N6: newest first."""
    old = order(ssl_id=7, created_at=now - timedelta(days=1))
    new = order(ssl_id=8)
    order(ssl_id=9, deleted_at=now)
    order(account="other")
    for text in ("www.example.com", "WWW.Example.com", "www.example.com."):
        assert named(store, text) == [new, old]
    assert named(store, "7") == named(store, str(old)) == named(store, str(old).upper()) == [old]
    assert named(store, "9") == []


def test_an_internationalized_name_is_found_in_either_spelling(store: Store, order: Make) -> None:
    """RULES N1"""
    id_ = order(common_name="xn--mnchen-3ya.example.com")
    assert named(store, "München.example.com") == named(store, "xn--mnchen-3ya.example.com") == [id_]


def test_an_imported_name_that_scm_wrote_in_capitals_is_found_as_shown(store: Store, imported: Make) -> None:
    """RULES S4: it is kept as SCM says it."""
    assert [imported(7, common_name="WWW.Example.com")] == named(store, "WWW.Example.com")


@pytest.mark.parametrize("text", ["9" * 30, "9" * 5000, "²", "٣", "", "%", "a" * 300, "3f2c8a64-6f0e-4b0a-9a0e-5b8a3c1d2e4f"])
def test_what_names_nothing_finds_nothing(store: Store, order: Make, text: str) -> None:
    """RULES N6: whatever somebody typed."""
    order(ssl_id=3)
    assert named(store, text) == []


def test_a_name_that_no_database_can_hold_is_refused(store: Store) -> None:
    """DESIGN 8.2: a lone surrogate from a program's JSON."""
    with pytest.raises(RejectedError, match="cannot hold a value"):
        named(store, "x\ud800")


def test_an_order_that_is_not_there_is_not_found(store: Store) -> None:
    """DESIGN 8.2"""
    with pytest.raises(NotFoundError), store.reading() as session:
        orders.order(session, uuid4())


def test_open_orders_are_those_that_scm_knows_and_has_not_decided(store: Store, order: Make, now: datetime) -> None:
    """RULES S3: oldest request first."""
    order(ssl_id=2, status=OrderStatus.APPLIED, requested_at=now)
    order(ssl_id=1, status=OrderStatus.REQUESTED, requested_at=now - timedelta(1))
    order(ssl_id=3)
    order(status=OrderStatus.SUBMITTED)
    order(ssl_id=4, status=OrderStatus.APPLIED, deleted_at=now)
    order(ssl_id=5, status=OrderStatus.APPLIED, account="other")
    with store.reading() as session:
        assert [one.ssl_id for one in orders.open_orders(session, "default")] == [1, 2]
        assert orders.open_orders(session, "default", most=1) == [(1, now - timedelta(1))]
        assert orders.counts_by_status(session, "default") == {"applied": 1, "requested": 1, "issued": 1, "submitted": 1}
        assert orders.count(session, "default") == 4


def test_a_live_name_is_global(store: Store, order: Make, now: datetime) -> None:
    """RULES D2"""
    here, there = order(live_name="www"), order(live_name="www", account="other", created_at=now - timedelta(1))
    order(live_name="www", deleted_at=now)
    order(live_name="WWW")
    with store.reading() as session:
        assert [one.id for one in orders.holder_of(session, "www")] == [here, there]


def test_what_needs_attention_comes_with_its_newest_submission(store: Store, order: Make, submission: Make, now: datetime) -> None:
    """RULES E4, C5, D3"""
    doubt = order(status=OrderStatus.SUBMITTING, created_at=now - timedelta(3))
    submission(order_id=doubt, created_at=now - timedelta(2))
    newest = submission(order_id=doubt, status=SubmissionStatus.SUBMITTING)
    approval = order(ssl_id=1, status=OrderStatus.SA_APPROVED, created_at=now - timedelta(2))
    waits = order(ssl_id=2, waiting_because="waits for a licence", created_at=now - timedelta(1))
    order(ssl_id=3)
    order(ssl_id=4, status=OrderStatus.REVOKED, waiting_because="old")
    order(status=OrderStatus.PLANNED, deleted_at=now)
    with store.reading() as session:
        found = [(row.id, sent.id if sent else None) for row, sent in orders.needing_attention(session, "default")]
    assert found == [(doubt, newest), (approval, None), (waits, None)]


def test_what_ends_first_comes_first(store: Store, order: Make, now: datetime) -> None:
    """RULES R7"""
    late, soon = order(expires_at=now + timedelta(9)), order(expires_at=now + timedelta(1))
    order(expires_at=now)
    order(expires_at=now + timedelta(1), status=OrderStatus.REVOKED)
    with store.reading() as session:
        assert [one.id for one in orders.ending_first(session, "default", now=now)] == [soon, late]


def test_an_imported_row_gives_way_to_the_order_that_was_in_doubt(
    store: Store, order: Make, imported: Make, certificate: Callable[..., NewCertificate], now: datetime,
) -> None:
    """RULES E3, D3: one order, one row, with all that happened; its certificate is fetched again, and compared this time."""
    row, ours = imported(7), order(status=OrderStatus.SUBMITTING)
    with store.transaction() as session:
        certificates.add(session, [certificate(row, 1)], limit=None, now=now)
        orders.record_event(session, row, "imported", now=now, run=None)
        orders.record_event(session, ours, "submitting", now=now + timedelta(1), run=None)
    for _ in range(2):
        with store.transaction() as session:
            orders.give_way(session, "default", 7, to=ours)
            orders.order(session, ours).ssl_id = 7
    with store.reading() as session:
        assert orders.by_ssl_ids(session, "default", [7])[7].id == ours
        assert [one.kind for one in orders.history(session, ours)] == ["imported", "submitting"]
        assert certificates.of_order(session, ours) == []


def test_an_order_placed_here_gives_way_to_nobody(store: Store, order: Make) -> None:
    """RULES E3"""
    order(ssl_id=7)
    other = order(status=OrderStatus.SUBMITTING)
    with pytest.raises(ConflictError, match="7 is linked to order"), store.transaction() as session:
        orders.give_way(session, "default", 7, to=other)


def test_an_imported_row_that_has_a_successor_gives_way_too(store: Store, order: Make, imported: Make) -> None:
    """RULES E3, R5: the successor follows the order that takes its place."""
    row = imported(7)
    successor, ours = order(predecessor_id=row), order(status=OrderStatus.SUBMITTING)
    with store.transaction() as session:
        orders.give_way(session, "default", 7, to=ours)
    with store.reading() as session:
        assert orders.order(session, successor).predecessor_id == ours


def applied(store: Store, rows: list[dict[str, Any]], now: datetime, *, whole: bool = True) -> Counted:
    with store.transaction() as session:
        return stored.apply(session, Organization, "default", rows, now=now, whole=whole)


def names(store: Store, *, vanished: bool = False) -> list[str]:
    with store.reading() as session:
        return [row.name for row in stored.rows(session, Organization, "default", vanished=vanished)]


def test_reference_data_are_counted_as_new_changed_and_vanished(store: Store, now: datetime) -> None:
    """DESIGN 1.2: what vanished is marked, not lost."""
    one, two = {"id": 1, "name": "One"}, {"id": 2**40, "name": "Two", "certificate_types": ["SSL"]}
    assert applied(store, [one, two], now) == Counted(seen=2, new=2)
    assert applied(store, [one, two], now) == Counted(seen=2)
    assert applied(store, [two | {"name": "Zwei"}], now) == Counted(seen=1, changed=1, vanished=1)
    assert (names(store), names(store, vanished=True)) == (["Zwei"], ["One", "Zwei"])
    assert applied(store, [two | {"name": "Zwei"}], now) == Counted(seen=1)
    assert applied(store, [one], now, whole=False) == Counted(seen=1, changed=1)
    assert names(store) == ["One", "Zwei"]
    assert applied(store, [], now) == Counted(vanished=2)


def test_a_row_twice_among_overlapping_pages_counts_once(store: Store, now: datetime) -> None:
    """Contract 3"""
    assert applied(store, [{"id": 1, "name": "One"}, {"id": 1, "name": "Uno"}], now) == Counted(seen=1, new=1)
    assert names(store) == ["Uno"]


def test_a_later_look_at_a_domain_is_no_change(store: Store, now: datetime) -> None:
    """RULES C2: `checked_at` says how fresh the state is."""
    for moment, expected in ((now, Counted(seen=1, new=1)), (now + timedelta(1), Counted(seen=1))):
        with store.transaction() as session:
            row = {"id": 1, "name": "example.com", "delegations": [{"organization_id": 1}], "checked_at": moment}
            assert stored.apply(session, Domain, "default", [row], now=moment) == expected
    with store.reading() as session:
        [domain] = stored.rows(session, Domain, "default")
    assert (domain.checked_at, domain.changed_at) == (now + timedelta(1), now)


def test_many_may_meet_a_new_account_at_once(store: Store, at_once: Callable[..., list[Any]]) -> None:
    """DESIGN 8.5"""
    def meet(_: int) -> str:
        with store.transaction() as session:
            return stored.account_state(session, "default").account

    assert at_once(meet, range(8)) == ["default"] * 8
