"""Values: what goes into the database comes out again, or is refused with a sentence."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError
from sqlmodel import col

from models.errors import RejectedError
from models.orders import CertificateOrder
from models.records import OrderRecord
from models.reference import Domain, Organization
from tasks.adapters.store import Store
from tasks.adapters.store import orders as queries
from tasks.adapters.store.reference import account_state

Opening = Callable[[str], Store]


@pytest.mark.parametrize("server", ["Asia/Tokyo", "America/Los_Angeles"])
def test_moments_come_back_as_they_went_in_aware_and_in_utc(
    store: Store, database_url: str, order: Callable[..., UUID], request: pytest.FixtureRequest, opening: Opening, server: str,
) -> None:
    """DESIGN 8: whatever zone the writer or the server is in; RFC 5280 4.1.2.5 writes "no end" as the end of 9999."""
    if database_url.startswith("postgresql"):
        request.getfixturevalue("postgres").do(f"ALTER DATABASE {database_url.rpartition('/')[2]} SET timezone = '{server}'")
        store = opening(database_url)
    moments = [
        datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=9))), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(1950, 1, 1, tzinfo=UTC), datetime(2026, 10, 25, 0, 59, 59, tzinfo=UTC),
    ]
    ids = [order(expires_at=moment) for moment in moments]
    with store.reading() as session:
        found = [queries.order(session, id_).expires_at for id_ in ids]
        early = list(session.scalars(select(col(CertificateOrder.id)).where(col(CertificateOrder.expires_at) < moments[0] + timedelta(seconds=1))))
    assert found == moments
    assert all(moment is not None and moment.tzinfo is UTC for moment in found)
    assert set(early) == {ids[0], ids[2]}


def test_a_moment_without_a_zone_is_refused(order: Callable[..., UUID]) -> None:
    """DESIGN 8: nobody knows what it means."""
    with pytest.raises(StatementError, match="without a time zone"):
        order(expires_at=datetime(2026, 4, 1))  # noqa: DTZ001 - what is refused


def test_large_ids_come_back_whole(store: Store, order: Callable[..., UUID]) -> None:
    """Contract 3: int32 today."""
    id_ = order(ssl_id=2**40, organization_id=2**40 + 1, certificate_profile_id=2**40 + 2)
    with store.reading() as session:
        row = queries.order(session, id_)
        assert (row.ssl_id, row.organization_id, row.certificate_profile_id) == (2**40, 2**40 + 1, 2**40 + 2)
        assert [one.id for one in queries.named(session, "default", str(2**40))] == [id_]


def test_texts_of_any_script_come_back_as_they_went_in(store: Store, order: Callable[..., UUID]) -> None:
    """SCM's comments are free text."""
    text_ = "Grüße 🔐 日本 \u202e ' \" % \\ \n " + "é" * 3000
    id_ = order(comments=text_, custom_fields={"Kosten 🔐": text_}, subject_alternative_names=["münchen.example"])
    with store.reading() as session:
        row = queries.order(session, id_)
        assert (row.comments, row.custom_fields) == (text_, {"Kosten 🔐": text_})


@pytest.mark.parametrize("said", [r"\N", "\\", r"C:\temp\new\x41", "a\tb", "one\ntwo\r\nthree\r", "\x0b\x1f\u2028", "für \U0001f600", '"quoted"', ""])
def test_texts_of_scm_come_back_as_it_said_them(store: Store, record: Callable[..., OrderRecord], now: datetime, said: str) -> None:
    """Many rows at once: signs that mean something to COPY or to JSON."""
    facts: dict[str, Any] = {"comments": said, "organization_name": said, "subject_alternative_names": (said,), "custom_fields": ((said, said),)}
    with store.transaction() as session:
        assert queries.upsert(session, "default", [record(1, **facts), record(2)], now=now, run=None).new == 2
    with store.reading() as session:
        row = queries.by_ssl_ids(session, "default", [1])[1]
    assert (row.comments, row.organization_name, row.subject_alternative_names, row.custom_fields) == (said, said, [said], {said: said})


@pytest.mark.parametrize("facts", [
    {"comments": "a\x00b"}, {"custom_fields": {"a": "b\x00"}}, {"comments": "\ud800"}, {"custom_fields": {"a": "\ud800"}}, {"ssl_id": 2**70},
    {"term_days": 2**40}, {"common_name": "x" * 3000},
])
def test_a_value_that_a_column_cannot_hold_is_refused_or_kept_whole(store: Store, order: Callable[..., UUID], facts: dict[str, Any]) -> None:
    """DESIGN 8.2: no class of SQLAlchemy, Python or a driver leaves the store, and nothing is cut."""
    ids: list[UUID] = []
    with suppress(RejectedError):
        ids.append(order(**facts))
    with store.reading() as session:
        rows = session.scalars(select(CertificateOrder)).all()
        assert [row.id for row in rows] == ids
        assert all({name: getattr(row, name) for name in facts} == facts for row in rows)


def test_nothing_is_null_not_the_word_null(store: Store, now: datetime) -> None:
    """DESIGN 4: people may query the tables."""
    with store.transaction() as session:
        session.add(Organization(account="default", id=1, name="Example", certificate_types=None, changed_at=now))
        session.add(Domain(account="default", id=1, name="example.com", delegations=None, checked_at=now, changed_at=now))
        account_state(session, "default").import_resume = None
    with store.reading() as session:
        for table, column in (("organization", "certificate_types"), ("domain", "delegations"), ("account_state", "import_resume")):
            assert session.execute(text(f"SELECT count(*) FROM {table} WHERE {column} IS NULL")).scalar_one() == 1  # noqa: S608 - fixed names
