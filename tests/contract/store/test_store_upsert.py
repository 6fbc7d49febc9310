"""Writing what SCM showed: new, changed, unchanged and unreadable rows, tombstones, markers, and many at once."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from models.errors import RejectedError
from models.marker import with_marker
from models.orders import IMPORTED, CertificateOrder, Run
from models.records import OrderRecord, ReportedOrder
from models.status import OrderStatus, SubmissionStatus
from tasks.adapters.store import Store, orders

Make = Callable[..., UUID]
Record = Callable[..., OrderRecord]
NINE = datetime(2026, 3, 20, 9, 30, tzinfo=UTC)
FACTS: dict[str, Any] = {
    "subject_alternative_names": ("www.example.com", "api.example.com"), "organization_id": 3, "organization_name": "Example University",
    "profile_id": 5, "profile_name": "OV Multi-Domain", "term_days": 199, "serial_number": "ab12", "requester": "Ann", "requested_via": "REST API",
    "comments": "by hand", "external_requester": "a@example.com, b@example.com", "key_algorithm": "RSA", "key_size": "2048",
    "requested_at": NINE, "approved_at": NINE, "issued_at": NINE, "expires_at": NINE + timedelta(days=199), "custom_fields": (("Cost", "12"),),
}


def written(store: Store, records: Sequence[OrderRecord], *, now: datetime, **more: Any) -> orders.Upserted:
    with store.transaction() as session:
        return orders.upsert(session, "default", records, now=now, run=Run("run-1", "Python"), **more)


def row(store: Store, ssl_id: int, account: str = "default") -> CertificateOrder:
    with store.reading() as session:
        return orders.by_ssl_ids(session, account, [ssl_id])[ssl_id]


def events(store: Store, ssl_id: int) -> list[tuple[str, str]]:
    with store.reading() as session:
        return [(one.kind, one.detail) for one in orders.history(session, orders.by_ssl_ids(session, "default", [ssl_id])[ssl_id].id)]


def test_a_new_row_holds_all_that_scm_said(store: Store, record: Record, now: datetime) -> None:
    """DESIGN 1.3"""
    done = written(store, [record(7, common_name="www.example.com", **FACTS)], now=now)
    assert (done.seen, done.new, done.changed, done.unreadable) == (1, 1, 0, ())
    found = row(store, 7)
    assert (found.origin, found.status, found.common_name, found.created_at) == (IMPORTED, OrderStatus.ISSUED, "www.example.com", now)
    assert (found.certificate_profile_id, found.certificate_profile_name) == (5, "OV Multi-Domain")
    assert found.subject_alternative_names == ["www.example.com", "api.example.com"]
    assert found.external_requester_emails == ["a@example.com", "b@example.com"]
    assert found.custom_fields == {"Cost": "12"}
    for name in ("organization_id", "term_days", "serial_number", "requester", "requested_at", "expires_at", "comments", "key_size"):
        assert getattr(found, name) == FACTS[name]
    assert events(store, 7) == [("imported", "found at SCM as Issued")]


def test_a_row_with_nothing_but_an_id_is_taken_too(store: Store, record: Record, now: datetime) -> None:
    """Contract 3: fields may be absent."""
    written(store, [record(7, common_name=None), record(8, common_name=None, subject_alternative_names=("b.example.com",))], now=now)
    assert (row(store, 7).common_name, row(store, 8).common_name) == ("", "b.example.com")


def test_the_same_again_changes_nothing(store: Store, record: Record, now: datetime) -> None:
    """DESIGN 1.3"""
    written(store, [record(7, **FACTS)], now=now)
    done = written(store, [record(7, **FACTS)], now=now + timedelta(days=1))
    assert (done.seen, done.new, done.changed) == (1, 0, 0)
    assert row(store, 7).changed_at == now
    assert len(events(store, 7)) == 1


def test_a_change_is_written_and_told(store: Store, record: Record, now: datetime) -> None:
    """DESIGN 1.3"""
    written(store, [record(7, status_word="Applied", **FACTS)], now=now)
    done = written(store, [record(7, status_word="Issued", **FACTS | {"serial_number": "cd34"})], now=now + timedelta(days=1))
    assert (done.new, done.changed) == (0, 1)
    assert (row(store, 7).status, row(store, 7).serial_number, row(store, 7).changed_at) == ("issued", "cd34", now + timedelta(days=1))
    written(store, [record(7, **FACTS | {"serial_number": "ef56", "comments": "new"})], now=now + timedelta(days=2))
    assert events(store, 7) == [
        ("imported", "found at SCM as Applied"), ("status", "applied -> issued"), ("changed", "changed: comments, serial_number"),
    ]


def test_absent_fields_keep_what_we_have(store: Store, record: Record, now: datetime) -> None:
    """Contract 3; a 25.5 report has no issue date (DESIGN 5)."""
    written(store, [record(7, **FACTS)], now=now)
    before = row(store, 7).model_dump()
    assert written(store, [record(7, common_name=None)], now=now + timedelta(days=1)).changed == 0
    assert row(store, 7).model_dump() == before


@pytest.mark.parametrize("word", ["Reticulated", "", "Unmanaged", "x" * 10_000])
def test_a_status_that_we_do_not_know_keeps_the_old_one_and_is_named(store: Store, record: Record, now: datetime, word: str) -> None:
    """RULES S4"""
    written(store, [record(7, status_word="Applied")], now=now)
    done = written(store, [record(7, status_word=word, serial_number="ab"), record(8, status_word=word)], now=now)
    assert (row(store, 7).status, row(store, 7).serial_number) == ("applied", "ab")
    assert [text.startswith(f"order {id_} has the status") for text, id_ in zip(done.unreadable, (7, 8), strict=True)] == [True, True]
    assert max(len(text) for text in done.unreadable) < 200
    with store.reading() as session:
        assert orders.known_ssl_ids(session, "default", [7, 8]) == {7}


@pytest.mark.parametrize(("theirs", "kept"), [
    (NINE.replace(hour=0, minute=0), True), (NINE.replace(hour=0, minute=0) + timedelta(days=1), True),
    (NINE.replace(hour=0, minute=0) - timedelta(days=1), False), (NINE + timedelta(minutes=1), False), (datetime(2026, 4, 1, tzinfo=UTC), False),
])
def test_a_day_does_not_overwrite_a_moment_within_a_day_of_it(store: Store, record: Record, now: datetime, theirs: datetime, kept: bool) -> None:
    """Contract 3: a day is uncertain by a day."""
    written(store, [record(7, requested_at=NINE)], now=now)
    done = written(store, [record(7, requested_at=theirs)], now=now)
    assert row(store, 7).requested_at == (NINE if kept else theirs)
    assert done.changed == (0 if kept else 1)


def test_a_moment_overwrites_the_day_that_was_known(store: Store, record: Record, now: datetime) -> None:
    """Contract 3: details give days, the report gives moments."""
    written(store, [record(7, requested_at=NINE.replace(hour=0, minute=0))], now=now)
    written(store, [record(7, requested_at=NINE)], now=now)
    assert row(store, 7).requested_at == NINE


def test_what_was_deleted_here_stays_deleted_unless_asked_for(store: Store, record: Record, imported: Make, now: datetime) -> None:
    """DESIGN 1.9"""
    imported(7, deleted_at=now, status=OrderStatus.APPLIED)
    done = written(store, [record(7)], now=now)
    assert (done.new, done.changed, row(store, 7).status, row(store, 7).deleted_at) == (0, 0, "applied", now)
    done = written(store, [record(7)], now=now, include_deleted=True)
    assert (done.new, done.changed, row(store, 7).status, row(store, 7).deleted_at) == (0, 1, "issued", None)


@pytest.mark.parametrize("status", list(SubmissionStatus))
def test_an_order_in_doubt_gets_no_second_row(store: Store, record: Record, submission: Make, now: datetime, status: SubmissionStatus) -> None:
    """RULES E3: it is left to be settled by its marker; a settled one's marker may be a copy."""
    id_ = submission(status=status)
    done = written(store, [record(7, comments=with_marker("for the web", id_)), record(8, comments=with_marker("", uuid4()))], now=now)
    with store.reading() as session:
        known = orders.known_ssl_ids(session, "default", [7, 8])
    in_doubt = status in {SubmissionStatus.PLANNED, SubmissionStatus.SUBMITTING}
    assert known == ({8} if in_doubt else {7, 8})
    assert done.new == len(known)


def test_a_marker_of_another_account_settles_nothing(store: Store, record: Record, submission: Make, order: Make, now: datetime) -> None:
    """RULES E3: anybody may write a comment."""
    id_ = submission(status=SubmissionStatus.SUBMITTING, account="other", order_id=order(account="other", status=OrderStatus.SUBMITTING))
    assert written(store, [record(7, comments=with_marker("", id_))], now=now).new == 1


def test_an_order_placed_here_keeps_its_own_words(store: Store, record: Record, order: Make, now: datetime) -> None:
    """RULES D3: they say what was asked; SCM's status, serial and dates are taken."""
    order(
        ssl_id=7, status=OrderStatus.SUBMITTED, common_name="own.example.com", subject_alternative_names=["own.example.com"], comments="ours",
        key_algorithm="EC", key_size="P-256", external_requester_emails=["ours@example.com"], custom_fields={"Cost": "ours"},
    )
    written(store, [record(7, common_name="www.example.com", **FACTS)], now=now)
    found = row(store, 7)
    assert (found.common_name, found.comments, found.key_algorithm, found.key_size) == ("own.example.com", "ours", "EC", "P-256")
    assert (found.subject_alternative_names, found.custom_fields) == (["own.example.com"], {"Cost": "ours"})
    assert found.external_requester_emails == ["ours@example.com"]
    assert (found.status, found.serial_number, found.term_days, found.certificate_profile_id) == ("issued", "ab12", 199, 5)


def test_of_two_rows_with_one_id_the_last_counts(store: Store, record: Record, now: datetime) -> None:
    """Contract 3: pages may overlap."""
    done = written(store, [record(7, status_word="Applied"), record(8), record(7, status_word="Issued")], now=now)
    assert (done.seen, done.new, row(store, 7).status) == (2, 2, "issued")


def test_accounts_do_not_share_ids(store: Store, record: Record, order: Make, now: datetime) -> None:
    """DESIGN 2"""
    order(ssl_id=7, account="other", status=OrderStatus.REVOKED)
    assert written(store, [record(7)], now=now).new == 1
    assert (row(store, 7).status, row(store, 7, "other").status) == ("issued", "revoked")


def test_numbers_and_texts_of_a_mad_server_do_not_cost_the_batch(store: Store, record: Record, now: datetime) -> None:
    """DESIGN 8.8: ids of 64 bits, a term that no column holds, comments of any script."""
    mad = record(2**40, organization_id=2**62, profile_id=2**62, term_days=2**40, comments="🔐" * 4096, serial_number="f" * 1000)
    assert written(store, [mad, record(8)], now=now).new == 2
    assert (row(store, 2**40).organization_id, row(store, 2**40).term_days) == (2**62, None)


def test_an_empty_batch_is_fine(store: Store, now: datetime) -> None:
    """DESIGN 5"""
    assert written(store, [], now=now) == orders.Upserted()


def test_two_imports_at_once_write_each_row_once(store: Store, record: Record, at_once: Callable[..., list[Any]], now: datetime) -> None:
    """DESIGN 8.5"""
    batch = [record(number) for number in range(1, 201)]
    done = at_once(lambda _: written(store, batch, now=now), range(4))
    assert sorted(one.new for one in done) == [0, 0, 0, 200]
    with store.reading() as session:
        assert orders.count(session, "default") == 200


def test_ten_thousand_rows_take_a_bounded_number_of_statements(store: Store, record: Record, now: datetime) -> None:
    """DESIGN 5: batches of 1,000 with one query to learn what is known."""
    rows = [record(number, **FACTS) for number in range(1, 10_001)]
    for facts, most in (({}, 60), ({}, 60), ({"serial_number": "cd34"}, 120)):
        with counted(store) as statements:
            for first in range(0, 10_000, 1000):
                written(store, [one._replace(**facts) for one in rows[first:first + 1000]], now=now)
        assert len(statements) <= most
    with store.reading() as session:
        assert orders.count(session, "default") == 10_000
        assert len(orders.known_ssl_ids(session, "default", range(5_001, 15_001))) == 5_000


@contextmanager
def counted(store: Store) -> Any:
    """The statements that are sent meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        seen.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    yield seen
    event.remove(store.engine, "before_cursor_execute", note)


def reported(rows: Sequence[OrderRecord], digest: int) -> list[ReportedOrder]:
    """Rows of a report that nobody has read."""
    return [ReportedOrder(one.ssl_id, digest, partial(one._replace, digest=digest)) for one in rows]


def test_a_row_of_the_report_that_is_here_already_is_not_read_again(store: Store, record: Record, now: datetime) -> None:
    """RULES S3: nor written; a changed one is, and so is one that somebody looks for by status or among the deleted"""
    rows = reported([record(number, **FACTS) for number in range(1, 11)], digest=-5)
    with store.transaction() as session:
        done, read = orders.upsert_reported(session, "default", rows, now=now, run=None)
    assert (done.new, len(read), row(store, 3).report_digest) == (10, 10, -5)
    rows[3:5] = reported([record(4, **FACTS), record(5, **FACTS | {"serial_number": "cd"})], digest=6)
    with store.transaction() as session, counted(store) as statements:
        done, read = orders.upsert_reported(session, "default", rows, now=now, run=None)
    assert (done.changed, [one.ssl_id for one in read], row(store, 4).report_digest, row(store, 5).serial_number) == (1, [4, 5], 6, "cd")
    assert sum(statement.startswith("UPDATE") for statement in statements) <= 2
    with store.transaction() as session, counted(store) as statements:
        done, read = orders.upsert_reported(session, "default", rows, now=now, run=None)
    assert (done.new, done.changed, read) == (0, 0, [])
    assert not [statement for statement in statements if statement.startswith(("UPDATE", "INSERT"))]
    for more in ({"wants": lambda one: one.ssl_id == 7}, {"include_deleted": True}):
        with store.transaction() as session:
            _, read = orders.upsert_reported(session, "default", rows, now=now, run=None, **more)
        assert [one.ssl_id for one in read] == ([7] if "wants" in more else list(range(1, 11)))


@pytest.mark.parametrize("word", ["Reticulated", "Issued"])
def test_a_status_that_we_do_not_know_is_told_each_time(store: Store, record: Record, now: datetime, word: str) -> None:
    """RULES S4"""
    for digest in (1, 2, 2):
        with store.transaction() as session:
            done, _ = orders.upsert_reported(
                session, "default", reported([record(7, status_word=word if digest == 2 else "Issued")], digest), now=now, run=None)
    assert len(done.unreadable) == (word != "Issued")
    assert row(store, 7).report_digest == (2 if word == "Issued" else None)


ODD = "tab\t line\n return\r back\\slash \\N \\. quote\" 'single' {\"a\": 1} Grüße 🔐 \u2028 \x7f \x1f %s"


def test_texts_of_any_kind_come_through_in_bulk_as_they_went_in(store: Store, record: Record, now: datetime) -> None:
    """Contract 5.7: comments are free text; COPY and executemany must not take it for something else"""
    written(store, [record(
        7, common_name=ODD, comments=ODD, requester="\\N", organization_name="", custom_fields=((ODD, ODD),), external_requester=f"{ODD}, b",
        subject_alternative_names=(ODD, "b.example.com"), requested_at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        issued_at=datetime(1950, 1, 1, 12, tzinfo=timezone(timedelta(hours=9))),
    )], now=now)
    found = row(store, 7)
    assert (found.common_name, found.comments, found.requester, found.organization_name) == (ODD, ODD, "\\N", "")
    assert (found.custom_fields, found.subject_alternative_names) == ({ODD: ODD}, [ODD, "b.example.com"])
    assert found.external_requester_emails == [ODD, "b"]
    assert (found.requested_at, found.issued_at) == (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(1950, 1, 1, 3, tzinfo=UTC))
    assert (found.live_name, found.predecessor_id, found.deleted_at) == (None, None, None)


@pytest.mark.postgres
@pytest.mark.parametrize("facts", [{"comments": "a\x00b"}, {"custom_fields": (("a", "b\x00"),)}, {"comments": "\ud800"}])
def test_what_a_database_cannot_hold_is_refused_and_nothing_of_the_batch_is_kept(
    store: Store, record: Record, now: datetime, facts: dict[str, Any],
) -> None:
    """DESIGN 8.2: the client drops such letters; no class of a driver leaves the store"""
    with suppress(RejectedError):
        written(store, [record(6), record(7, **facts)], now=now)
        assert store.engine.dialect.name == "sqlite"
        assert row(store, 7).comments == facts.get("comments")
    written(store, [record(6), record(7)], now=now)
    assert row(store, 6).status == "issued"
