"""An installation that lasts for a file of tests: each test takes names and orders that no other touches."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import hvac
import pytest
from sqlmodel import col, select

from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from flows.sync_reference_data import sync_reference_data
from models.errors import CertflowError
from models.orders import CertificateOrder, OrderEvent, Submission
from tasks import services
from tasks.adapters.scm import ScmClient
from tasks.adapters.store.reference import account_state

ROUTES = {"enroll": "enroll", "renew": "renew_by_id", "reissue": "replace"}
NUMBERS = count(1)


@dataclass
class Ticks:
    """A clock that sleeping moves, and real time too."""

    slept: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@dataclass
class Lasting:
    """A sandbox, its Vault, and one SQLite database with all of the account's orders."""

    sandbox: Any
    vault: hvac.Client
    old: Iterator[dict[str, Any]] = field(default_factory=lambda: iter(()))

    def account(self, **changes: Any) -> None:
        """The account as it is right, with changes; a new version lifts a stop."""
        right = {"base_url": self.sandbox.line["scm"], **self.sandbox.line["account"]}
        self.vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret=right | changes)

    def forget_pause(self) -> None:
        """As if the time that SCM asked for were over."""
        with services.open_services() as svc, svc.store.transaction() as session:
            account_state(session, "default").free_at = None
        services.forget_services()

    def asking(self, kind: str) -> "Asked":
        """Something that can be asked once: a new name, or an issued order of SCM's to renew or to reissue."""
        if kind == "enroll":
            return Asked(self, kind, f"n{next(NUMBERS)}.example.com", None)
        old = next(self.old)
        return Asked(self, kind, old["common_name"], old["ssl_id"])


@dataclass
class Asked:
    """One order, renewal or reissue, and what became of it here and at SCM."""

    lasting: Lasting
    kind: str
    name: str
    old: int | None

    @property
    def route(self) -> str:
        return ROUTES[self.kind]

    def ask(self) -> None:
        """Through the flow, as a user asks."""
        if self.kind == "enroll":
            order_certificate.fn(common_name=self.name, organization="Example University", certificate_profile="OV Multi-Domain", key_algorithm="EC")
        else:
            done = renew_or_reissue.fn(action=self.kind, orders=[str(self.old)], request_id=self.name)
            assert done.orders, done

    def submission(self) -> Submission:
        with services.open_services() as svc, svc.store.reading() as session:
            return session.exec(
                select(Submission).join(CertificateOrder, col(CertificateOrder.id) == col(Submission.order_id))
                .where(CertificateOrder.common_name == self.name, Submission.kind == self.kind)
            ).one()

    def said(self) -> list[str]:
        """The history of the order, as its page tells it."""
        with services.open_services() as svc, svc.store.reading() as session:
            rows = session.exec(select(OrderEvent).where(OrderEvent.order_id == self.submission().order_id))
            return [row.detail for row in rows if row.kind in {"in doubt", "refused", "needs attention", "planned again"}]

    def taken(self) -> int:
        """How often SCM took it."""
        rows = self.lasting.sandbox.orders(self.name)
        if self.kind == "enroll":
            return len(rows)
        if self.kind == "renew":
            return len([row for row in rows if row["ssl_id"] != self.old])
        [row] = [row for row in rows if row["ssl_id"] == self.old]
        return len(row["old_serials"]) + (row["status"] != "Issued")

    def poll(self, ready: Callable[[], bool], seconds: float = 120) -> None:
        """Poll this one until it is so."""
        order: UUID = self.submission().order_id
        ends, said = time.monotonic() + seconds, object()
        while not ready():
            assert time.monotonic() < ends, said
            try:
                said = poll_orders.fn(orders=[str(order)])
            except CertflowError as error:
                said = error


@pytest.fixture(scope="module")
def lasting(sandbox_process: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    """No grace time, so that a second look decides; a client that waits for no answer longer than 0.4 s, and for none of its own pauses."""
    sandbox, ticks = sandbox_process("--orders", "1500", "--issue-delay", "0.1"), Ticks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CERTFLOW_HOME", str(tmp_path_factory.mktemp("lasting")))
        patch.setenv("VAULT_ADDR", sandbox.line["vault"])
        patch.setenv("VAULT_TOKEN", sandbox.line["vault_token"])
        patch.setenv("CERTFLOW_GRACE_SECONDS", "0")
        for name in ("CERTFLOW_DATABASE_URL", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "CERTFLOW_CERTIFICATE_LIMIT", "CERTFLOW_PRIVATE_PROFILES"):
            patch.delenv(name, raising=False)
        patch.setattr(services, "ScmClient", partial(ScmClient, timeout=(1, 0.4), deadline=3, clock=ticks, sleep=ticks.sleep))
        services.forget_services()
        made = Lasting(sandbox, hvac.Client(url=sandbox.line["vault"], token=sandbox.line["vault_token"]))
        made.account()
        sync_reference_data.fn()
        import_orders.fn(fetch_certificates=False)
        names = [row["common_name"] for row in sandbox.orders()]
        made.old = iter([
            row for row in sandbox.orders()
            if row["status"] == "Issued" and row["common_name"].endswith(".example.com") and row["profile_id"] == 5201 and not row["renewed"]
            and names.count(row["common_name"]) == 1 and row["auto_renew"] == "Not scheduled" and row["org_id"] != 3300    # not delegated to it
        ])
        yield made
    services.forget_services()
