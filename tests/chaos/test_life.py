"""The life of orders, drawn at random: lost answers, processes that die, others that come in between, a clock that jumps.

Real tasks and flows on a real SQLite file; SCM and Vault are small pretended ones in memory, written from the contract, so that hundreds of
lives take seconds. Whatever happens, SCM takes each key once, and nothing stays open for ever (RULES E1 to E6).
"""

import atexit
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import delete, event
from sqlmodel import select

from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from models.errors import (
    AmbiguousError,
    CertflowError,
    ConflictError,
    NotFoundError,
    NotReadyError,
    RejectedError,
    RightsError,
    ThrottledError,
    TransientError,
)
from models.orders import AccountState, Certificate, CertificateOrder, OrderEvent, Submission
from models.records import Enrolled, ListedOrder, OrderRecord
from models.reference import CertificateProfile, Domain, Organization
from tasks import services, settling
from tasks.adapters.store import Store, migrate, open_store
from tasks.adapters.vault import Entry
from tasks.settings import Settings

GRACE = 900.0
LATE = timedelta(seconds=600)
"""A request that we gave up reaches SCM so much later: within the grace time."""

ISSUED_AFTER = timedelta(seconds=60)
START = datetime(2026, 4, 1, 12, tzinfo=UTC)
NAMES = ("red.example.com", "blue.example.com")
FATES = ("good", "lost", "dropped", "late", "throttled", "turned away")
CA_KEY = ec.generate_private_key(ec.SECP256R1())
CA = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pretended CA")])


class KilledError(BaseException):
    """The process is gone: nobody catches this but us."""


@dataclass(frozen=True)
class Taken:
    """An order as SCM holds it."""

    ssl_id: int
    name: str
    csr: x509.CertificateSigningRequest
    comments: str
    requested: datetime
    applied: datetime
    pem: bytes = b""
    serial: int = 0
    replaced: datetime | None = None
    renewed: bool = False


class Pretended:
    """SCM as a client for one account, and Vault. Each call passes two gaps, where the machine lets something happen."""

    calls = 0

    def __init__(self, clock: Callable[[], datetime], gap: Callable[[], None]) -> None:
        self.clock, self.gap = clock, gap
        self.orders: dict[int, Taken] = {}
        self.keys: Counter[bytes] = Counter()
        self.enrolled: Counter[str] = Counter()
        self.fates: list[str] = []
        self.entries: dict[str, list[dict[str, Any]]] = {"accounts/default": [{}]}
        self._late: list[tuple[datetime, Callable[[], object]]] = []

    # --- What is sent once (contract 5.8, 5.13, 5.15) ---

    def enroll(self, request: Any) -> Enrolled:
        csr = x509.load_pem_x509_csr(request.csr.encode())
        return self._sent(lambda: self._new(csr, request.comments))

    def renew_by_id(self, ssl_id: int, *, csr: str) -> Enrolled:
        old = self.orders[ssl_id]

        def act() -> Enrolled:
            self.orders[ssl_id] = replace(self.orders[ssl_id], renewed=True)
            return self._new(x509.load_pem_x509_csr(csr.encode()), old.comments)
        return self._sent(act)

    def replace(self, ssl_id: int, *, csr: str, **_names: Any) -> None:
        def act() -> None:
            old = self.orders[ssl_id]
            if not old.pem:
                raise RejectedError("SSL state is not 'ISSUED'", status=400, code=-130)
            self._key(request := x509.load_pem_x509_csr(csr.encode()))
            self.orders[ssl_id] = replace(old, csr=request, pem=b"", applied=self.clock(), replaced=self.clock())
        self._sent(act)

    def _sent(self, act: Callable[[], Any]) -> Any:
        with self._called():
            fate = self.fates.pop(0) if self.fates else "good"
            if fate == "throttled":
                raise ThrottledError("too many requests")
            if fate == "turned away":
                raise RightsError("not now", status=403)
            if fate == "late":
                self._late.append((self.clock() + LATE, act))
            answer = act() if fate in {"good", "lost"} else None
            if fate != "good":
                raise AmbiguousError(f"the answer was {fate}")
            return answer

    def _new(self, csr: x509.CertificateSigningRequest, comments: str) -> Enrolled:
        ssl_id = 41001 + len(self.orders)
        name = str(csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        self._key(csr)
        self.enrolled[name] += 1
        self.orders[ssl_id] = Taken(ssl_id, name, csr, comments, self.clock(), self.clock())
        return Enrolled(ssl_id=ssl_id)

    def _key(self, csr: x509.CertificateSigningRequest) -> None:
        self.keys[csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)] += 1

    # --- What is read (contract 5.6, 5.7, 5.9, 5.17) ---

    def count(self) -> int:
        return len(self.orders)

    def details(self, ssl_id: int) -> OrderRecord:
        with self._called():
            if ssl_id not in self.orders:
                raise NotFoundError("Wrong SSL certificate id")
            return self._shown(self.orders[ssl_id], lambda at: at.replace(hour=0, minute=0, second=0, microsecond=0))

    def listed(self, common_name: str | None = None) -> Iterator[ListedOrder]:
        with self._called():
            return iter([ListedOrder(ssl_id=one.ssl_id, common_name=one.name) for one in self.orders.values() if common_name in {None, one.name}])

    def report(self, window: Any, **_more: Any) -> Iterator[OrderRecord]:
        with self._called():
            return iter([
                self._shown(one, lambda at: at) for one in self.orders.values() if window.first <= one.requested.date() <= window.last
            ])

    def collect(self, ssl_id: int) -> bytes:
        with self._called():
            if not self.orders[ssl_id].pem:
                raise NotReadyError("Being processed by Sectigo", status=400, code=0)
            return self.orders[ssl_id].pem

    def _shown(self, one: Taken, dated: Callable[[datetime], datetime]) -> OrderRecord:
        return OrderRecord(
            ssl_id=one.ssl_id, common_name=one.name, status_word="Issued" if one.pem else "Applied", organization_id=1, profile_id=1,
            comments=one.comments, requested_at=dated(one.requested), serial_number=f"{one.serial:x}" if one.pem else None, renewed=one.renewed,
            replaced_at=dated(one.replaced) if one.replaced else None,
        )

    def _issue(self, one: Taken) -> Taken:
        serial, names = x509.random_serial_number(), one.csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate = (
            x509.CertificateBuilder().subject_name(one.csr.subject).issuer_name(CA).public_key(one.csr.public_key()).serial_number(serial)
            .not_valid_before(self.clock()).not_valid_after(one.requested + timedelta(days=199)).add_extension(names, critical=False)
            .sign(CA_KEY, hashes.SHA256())
        )
        return replace(one, pem=certificate.public_bytes(Encoding.PEM), serial=serial)

    @contextmanager
    def _called(self) -> Iterator[None]:
        self.gap()
        for due, act in [one for one in self._late if one[0] <= self.clock()]:
            self._late.remove((due, act))
            with suppress(RejectedError):
                act()
        for one in self.orders.values():
            if not one.pem and one.applied + ISSUED_AFTER <= self.clock():
                self.orders[one.ssl_id] = self._issue(one)
        yield
        self.gap()

    # --- Vault ---

    def read(self, path: str) -> Entry | None:
        with self._called():
            found = self.entries.get(path)
            return Entry(dict(found[-1]), len(found)) if found else None

    def version(self, path: str) -> int | None:
        return len(self.entries.get(path, ())) or None

    def create(self, path: str, data: dict[str, Any]) -> int:
        return self.write(path, data, cas=0)

    def write(self, path: str, data: dict[str, Any], *, cas: int) -> int:
        with self._called():
            if len(self.entries.get(path, ())) != cas:
                raise ConflictError(f"{path} is no longer at version {cas}")
            self.entries.setdefault(path, []).append(dict(data))
        return cas + 1


@cache
def _store() -> Store:
    """One database for all lives, at the newest migration, with reference data that stay fresh."""
    url = f"sqlite:///{Path(tempfile.mkdtemp(prefix='certflow-life-')) / 'certflow.db'}"
    migrate(url)
    store = open_store(url)
    event.listen(store.engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous = OFF"))    # no power fails here
    store.engine.dispose()
    atexit.register(shutil.rmtree, Path(url.removeprefix("sqlite:///")).parent)
    seen = {"account": "default", "id": 1, "changed_at": START}
    with store.transaction() as session:
        session.add(Organization(**seen, name="Example", api_allowed=True, certificate_types=["SSL"]))
        session.add(CertificateProfile(**seen, name="OV", terms=[199], key_types={"EC": ["P-256"]}, organization_ids=[1]))
        session.add(Domain(**seen, name="example.com", checked_at=START + timedelta(days=3650), validation_status="validated", delegations=None))
    return store


class Watched(Store):
    """Our database; before and after each transaction is a gap."""

    def __init__(self, engine: Any, gap: Callable[[], None]) -> None:
        super().__init__(engine)
        self._gap = gap

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self._gap()
        with super().transaction() as session:
            yield session
        self._gap()


WHEN = st.dictionaries(st.integers(1, 40), st.sampled_from(["kill", "away", "poll", "same", "jump"]), max_size=3)
"""What happens in which gap of an action: it dies, Vault or SCM is away, another process polls or does the same, time passes."""

FATE = st.lists(st.sampled_from(FATES), max_size=3)


class Life(RuleBasedStateMachine):
    """Two names, and all that may be asked for them."""

    @initialize()
    def begin(self) -> None:
        self.now, self.gaps, self.plan, self.depth = START, 0, {}, 0
        self.again: Callable[[], object] = lambda: None
        self.waiting: dict[tuple[str, str], str] = {}
        self.number = 0
        self.outside = Pretended(lambda: self.now, self._gap)
        with patch.object(services.database, "open_store", lambda _url: Watched(_store().engine, self._gap)):
            self.services = services.Services(Settings(grace_seconds=GRACE, scm_concurrency=1), clock=lambda: self.now)
        self.services._vault = self.outside
        self.services.scm = self._scm
        self.patched = patch.object(services, "_services", lambda: self.services)
        self.patched.start()
        with _store().transaction() as session:
            for table in (OrderEvent, Certificate, Submission, CertificateOrder, AccountState):
                session.execute(delete(table))

    @contextmanager
    def _scm(self, _account: str, **_more: Any) -> Iterator[Pretended]:
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
        if hasattr(self, "outside"):
            assert max(self.outside.keys.values(), default=1) == 1

    def _rows(self, table: type) -> list[Any]:
        with _store().reading() as session:
            return list(session.exec(select(table)))

    def teardown(self) -> None:
        """In peace everything comes to its end."""
        if not hasattr(self, "outside"):
            return
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
        """The newest submission of each order has its certificate; one before it may have been reissued before it was fetched."""
        certificates, happened = self._rows(Certificate), Counter((row.order_id, row.kind) for row in self._rows(OrderEvent))
        owned = [row.submission_id for row in certificates if row.delivered_at]
        assert len(owned) == len(set(owned)) == len(certificates)
        for id_ in orders:
            ours = sorted((row.created_at, row.id) for row in sent if row.order_id == id_)
            assert ours[-1][1] in owned
            assert happened[id_, "submitted"] == len(ours)
            assert happened[id_, "fetched"] == happened[id_, "delivered"] == sum(row.order_id == id_ for row in certificates)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=100, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLife.pytestmark = [pytest.mark.slow]
