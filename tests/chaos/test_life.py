"""The life of orders, drawn at random: lost answers, processes that die, others that come in between, a clock that jumps.

Real flows and tasks on a real SQLite file; SCM and Vault are pretended in memory, so that many lives take a minute. Whatever happens, SCM
takes each key once, and nothing stays open for ever (RULES E1 to E6).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete
from sqlmodel import select

from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from models.errors import CertflowError, TransientError
from models.orders import AccountState, Certificate, CertificateOrder, OrderEvent, Submission
from tasks import services, settling
from tasks.settings import Settings

GRACE = 900.0
START = datetime(2026, 4, 1, 12, tzinfo=UTC)
NAMES = ("red.example.com", "blue.example.com")
FATES = ("good", "lost", "dropped", "late", "throttled", "turned away")


class KilledError(BaseException):
    """The process is gone: nobody catches this but us."""


WHEN = st.dictionaries(st.integers(1, 40), st.sampled_from(["kill", "away", "poll", "same", "jump"]), max_size=3)
"""What happens in which gap of an action: it dies, Vault or SCM is away, another process polls or does the same, time passes."""

FATE = st.lists(st.sampled_from(FATES), max_size=3)


class Life(RuleBasedStateMachine):
    """Two names, and all that may be asked for them."""

    def __init__(self, store: Any, pretended: Any, watched: Any) -> None:
        super().__init__()
        self.books = store
        self.now, self.gaps, self.plan, self.depth = START, 0, {}, 0
        self.again: Callable[[], object] = lambda: None
        self.waiting: dict[tuple[str, str], str] = {}
        self.number = 0
        self.outside = pretended(lambda: self.now, self._gap)
        with patch.object(services.database, "open_store", lambda _url: watched(store.engine, self._gap)):
            self.services = services.Services(Settings(grace_seconds=GRACE, scm_concurrency=1), clock=lambda: self.now)
        self.services._vault = self.outside
        self.services.scm = self._scm
        self.patched = patch.object(services, "_services", lambda: self.services)
        self.patched.start()
        with store.transaction() as session:
            for table in (OrderEvent, Certificate, Submission, CertificateOrder, AccountState):
                session.execute(delete(table))

    @contextmanager
    def _scm(self, _account: str, **_more: Any) -> Iterator[Any]:
        yield self.outside

    def _gap(self) -> None:
        self.gaps += 1
        what = self.plan.pop(self.gaps, "")
        if what == "kill":
            raise KilledError
        if what == "away":
            raise TransientError("away for a moment")
        if what == "jump":
            self.now += timedelta(seconds=100)
        if what in {"poll", "same"} and self.depth < 2:
            self.depth += 1
            with suppress(KilledError, CertflowError):
                poll_orders.fn() if what == "poll" else self.again()
            self.depth -= 1

    def _do(self, act: Callable[[], object], fates: list[str], plan: dict[int, str]) -> bool:
        """Whether it was answered."""
        self.again, self.gaps, self.plan, self.outside.fates = act, 0, dict(plan), list(fates)
        try:
            act()
        except (KilledError, CertflowError):
            return False
        finally:
            self.plan, self.outside.fates = {}, []
        return True

    def _ask(self, kind: str, name: str, fates: list[str], plan: dict[int, str]) -> None:
        """The same request, under its id, until it is answered."""
        if (kind, name) not in self.waiting:
            self.number += 1
            self.waiting[kind, name] = f"{kind}-{name}" if kind == "order" else f"{kind}-{name}-{self.number}"
        request_id = self.waiting[kind, name]
        if kind == "order":
            wish = {"common_name": name, "organization": "Example", "certificate_profile": "OV", "key_algorithm": "EC", "keystore_type": "PEM"}
            answered = self._do(lambda: order_certificate.fn(**wish, request_id=request_id), fates, plan)
        else:
            answered = self._do(lambda: renew_or_reissue.fn(kind, [name], request_id=request_id), fates, plan)
        if answered and kind != "order":
            del self.waiting[kind, name]

    @rule(name=st.sampled_from(NAMES), fates=FATE, plan=WHEN)
    def order(self, name: str, fates: list[str], plan: dict[int, str]) -> None:
        self._ask("order", name, fates, plan)

    @rule(name=st.sampled_from(NAMES), fates=FATE, plan=WHEN)
    def renew(self, name: str, fates: list[str], plan: dict[int, str]) -> None:
        self._ask("renew", name, fates, plan)

    @rule(name=st.sampled_from(NAMES), fates=FATE, plan=WHEN)
    def reissue(self, name: str, fates: list[str], plan: dict[int, str]) -> None:
        self._ask("reissue", name, fates, plan)

    @rule(fates=FATE, plan=WHEN)
    def poll(self, fates: list[str], plan: dict[int, str]) -> None:
        self._do(poll_orders.fn, fates, plan)

    @rule()
    def import_all(self) -> None:
        self._do(import_orders.fn, [], {})

    @rule(seconds=st.sampled_from([30.0, 100.0, GRACE / 2, GRACE + 1, 100_000.0]))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def scm_takes_nothing_twice(self) -> None:
        assert max(self.outside.keys.values(), default=1) == 1

    def _rows(self, table: type) -> list[Any]:
        with self.books.reading() as session:
            return list(session.exec(select(table)))

    def teardown(self) -> None:
        """In peace everything comes to its end."""
        try:
            self._come_to_an_end()
        finally:
            self.patched.stop()

    def _come_to_an_end(self) -> None:
        for kind, name in list(self.waiting):
            self._ask(kind, name, [], {})
        for _ in range(12):
            self.now += timedelta(seconds=GRACE + 1)
            with suppress(CertflowError):
                poll_orders.fn()
            for row in self._rows(Submission):
                if row.status == "planned" and row.attempts >= 3:    # RULES E4: then a person decides
                    settling.decide(str(row.order_id), send_again=True)
        sent, orders = self._rows(Submission), {row.id: row for row in self._rows(CertificateOrder)}
        assert {row.status for row in sent} <= {"done"}, [(row.kind, row.status, row.error) for row in sent]
        self.scm_takes_nothing_twice()
        for name in NAMES:
            ours = [row for row in orders.values() if row.common_name == name]
            assert self.outside.enrolled[name] == len(ours)
            assert sum(row.predecessor_id is None for row in ours) == (("order", name) in self.waiting)
            assert sorted(row.ssl_id for row in ours) == sorted(one.ssl_id for one in self.outside.orders.values() if one.name == name)
        self._delivered(orders, sent)

    def _delivered(self, orders: dict[UUID, CertificateOrder], sent: list[Submission]) -> None:
        """The newest submission of each order has its certificate, once; one before it may have been reissued before it was fetched or live."""
        certificates, happened = self._rows(Certificate), Counter((row.order_id, row.kind) for row in self._rows(OrderEvent))
        assert len({row.submission_id for row in certificates}) == len(certificates)
        live = {row.submission_id for row in certificates if row.delivered_at}
        for id_ in orders:
            ours = sorted((row.created_at, row.id) for row in sent if row.order_id == id_)
            fetched = [row for row in certificates if row.order_id == id_]
            assert ours[-1][1] in live
            assert happened[id_, "submitted"] == len(ours)
            assert happened[id_, "fetched"] == len(fetched)
            assert happened[id_, "delivered"] == sum(row.delivered_at is not None for row in fetched)


@pytest.mark.slow
def test_whatever_happens_scm_takes_each_order_once_and_none_is_stuck(life_store: Any, pretended: Any, watched: Any) -> None:
    """RULES E1 to E6"""
    run_state_machine_as_test(lambda: Life(life_store, pretended, watched), settings=settings(
        max_examples=80, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow],
    ))


def test_an_answer_that_is_lost_after_scm_took_it_is_in_doubt(life_store: Any, pretended: Any, watched: Any) -> None:
    """RULES E2: the pretended client says so as the real one does; else a life would find orders that the product never doubles"""
    for gap in range(1, 24):
        life = Life(life_store, pretended, watched)
        life.order(name=NAMES[0], fates=[], plan={gap: "away"})
        life.teardown()
        assert (max(life.outside.keys.values()), life.outside.enrolled[NAMES[0]]) == (1, 1)
