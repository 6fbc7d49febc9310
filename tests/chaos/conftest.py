"""SCM and Vault, pretended in memory, and a database, for lives of orders that are drawn at random. Small, and written from the contract."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import event

from models.errors import (
    AmbiguousError,
    ConflictError,
    NotFoundError,
    NotReadyError,
    RejectedError,
    RightsError,
    ThrottledError,
    TransientError,
)
from models.records import Enrolled, ListedOrder, OrderRecord, ReportedOrder
from models.reference import CertificateProfile, Domain, Organization
from tasks.adapters.store import Store, migrate, open_store
from tasks.adapters.vault import Entry

LATE = timedelta(seconds=600)
"""A request that we gave up reaches SCM so much later: within the grace time."""

ISSUED_AFTER = timedelta(seconds=60)
START = datetime(2026, 4, 1, 12, tzinfo=UTC)
CA_KEY = ec.generate_private_key(ec.SECP256R1())
CA = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pretended CA")])


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
        """Once it was sent, that SCM is away means that nobody knows: so says the real client (RULES E2)."""
        sent = False
        try:
            with self._called():
                sent, answer = True, self._fate_of(act)
        except TransientError as error:
            if sent:
                raise AmbiguousError("the answer was away") from error
            raise
        return answer

    def _fate_of(self, act: Callable[[], Any]) -> Any:
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

    def details(self, ssl_id: int, **_more: Any) -> OrderRecord:
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

    def reported(self, window: Any, **_more: Any) -> Iterator[ReportedOrder]:
        if window.source:    # nothing was imported into SCM or discovered
            return iter(())
        return iter([ReportedOrder(one.ssl_id, hash(one), partial(one._replace, digest=hash(one))) for one in self.report(window)])

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


@pytest.fixture(scope="session")
def life_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One SQLite database for all lives, at the newest migration, with reference data that stay fresh."""
    url = f"sqlite:///{tmp_path_factory.mktemp('life') / 'certflow.db'}"
    migrate(url)
    store = open_store(url)
    event.listen(store.engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous = OFF"))    # no power fails here
    store.engine.dispose()
    seen = {"account": "default", "id": 1, "changed_at": START}
    with store.transaction() as session:
        session.add(Organization(**seen, name="Example", api_allowed=True, certificate_types=["SSL"]))
        session.add(CertificateProfile(**seen, name="OV", terms=[199], key_types={"EC": ["P-256"]}, organization_ids=[1]))
        session.add(Domain(**seen, name="example.com", checked_at=START + timedelta(days=3650), validation_status="validated", delegations=None))
    yield store
    store.engine.dispose()


@pytest.fixture
def pretended() -> type[Pretended]:
    """SCM and Vault in memory."""
    return Pretended


@pytest.fixture
def watched() -> type[Watched]:
    """A database that lets something happen between transactions."""
    return Watched
