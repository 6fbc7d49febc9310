"""After a refused login no flow makes a call, by hand or by schedule, until the secret changes or a person checks (RULES S1)."""

from collections.abc import Callable
from typing import Any

import pytest

from flows.cancel_orders import cancel_orders
from flows.check_account import check_account
from flows.delete_orders import delete_orders
from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from flows.report_inventory import report_inventory
from flows.revoke import revoke
from flows.sync_reference_data import sync_reference_data
from models.errors import BatchError, CertflowError, LoginError
from tasks import accounts

WISH = {"organization": "Example University", "certificate_profile": "OV Multi-Domain", "key_algorithm": "EC"}
LOCAL = {"delete", "inventory"}

FLOWS: dict[str, Callable[[Any], Any]] = {
    "check by schedule": lambda _: accounts.check("default", by_hand=False),
    "sync": lambda _: sync_reference_data.fn(),
    "import": lambda _: import_orders.fn(),
    "order": lambda _: order_certificate.fn(common_name="new.example.com", request_id="new", **WISH),
    "order, checked live": lambda _: order_certificate.fn(common_name="odd.example.com", term_days=91, **WISH),
    "order, check only": lambda _: order_certificate.fn(common_name="odd.example.com", check_only=True, term_days=91, **WISH),
    "poll": lambda _: poll_orders.fn(),
    "poll of one": lambda there: poll_orders.fn(orders=[there["open"]]),
    "renew": lambda there: renew_or_reissue.fn(action="renew", orders=[there["issued"]]),
    "renew what is due": lambda _: renew_or_reissue.fn(action="renew", expiring_within_days=3650),
    "reissue": lambda there: renew_or_reissue.fn(action="reissue", orders=[there["issued"]]),
    "after a compromise": lambda there: renew_or_reissue.fn(action="renew", orders=[there["issued"]], because_of_key_compromise=True),
    "revoke": lambda there: revoke.fn(orders=[there["issued"]], reason_code="superseded", reason="new one"),
    "cancel": lambda there: cancel_orders.fn(orders=[there["waiting"]], message="not wanted"),
    "delete": lambda there: delete_orders.fn(orders=[there["other"]]),
    "inventory": lambda _: report_inventory.fn(),
}


def connect(world: Any, way: str, **changes: Any) -> None:
    line = world.sandbox.line
    header, oauth2 = {"base_url": line["scm"], **line["account"]}, {"base_url": line["scm_admin"], **line["client"]}
    world.vault.secrets.kv.v2.create_or_update_secret("certflow/accounts/default", secret=(header if way == "header" else oauth2) | changes)


def spoil(world: Any, way: str) -> None:
    """SCM refuses: a password that was changed there; a token, and then the new one too."""
    if way == "header":
        world.sandbox.control("PUT", "account", {"password": "changed elsewhere"})
    else:
        world.sandbox.fault("status", status=401, body={"code": -16, "description": "Unknown user"}, path="^/api/(?!.*token)")


@pytest.fixture(params=["header", "oauth2"])
def stopped(request: pytest.FixtureRequest, world: Any) -> tuple[Any, dict[str, str], str]:
    """An account with orders of every kind whose login was refused once."""
    way = request.param
    connect(world, way)
    sync_reference_data.fn()
    import_orders.fn()
    open_ = order_certificate.fn(common_name="open.example.com", **WISH)
    rows = world.sandbox.orders()
    issued = [row for row in rows if row["status"] == "Issued" and not row["renewed"] and row["org_id"] != 3300 and row["profile_id"] == 5201]
    waiting = next(row for row in rows if row["status"] == "Requested")
    there = {"open": str(open_.ssl_id), "issued": str(issued[0]["ssl_id"]), "other": str(issued[1]["ssl_id"]), "waiting": str(waiting["ssl_id"])}
    spoil(world, way)
    world.sandbox.forget_calls()
    with pytest.raises((LoginError, BatchError)):
        poll_orders.fn(orders=[there["open"]])
    assert world.calls() == (1 if way == "header" else 2 + world.sandbox.calls().get("POST token", 0))
    world.restart()    # as another process finds it
    world.sandbox.forget_calls()
    return world, there, way


def test_no_flow_calls_a_stopped_account_until_its_secret_changes(stopped: Any, is_for_a_person: Any) -> None:
    """RULES S1: all flows, twice, in a process that did not see the refusal"""
    world, there, way = stopped
    for name, flow in [*FLOWS.items(), *FLOWS.items()]:
        said = ""
        try:
            flow(there)
        except CertflowError as error:
            is_for_a_person(error)
            said = str(error)
        assert not said or "stopped since" in said or name in LOCAL, f"{name}: {said}"
        assert world.calls() == 0, f"{name}: {world.sandbox.calls()}"
    if way == "header":
        connect(world, way, password="changed elsewhere")
    else:
        world.sandbox.clear()
        connect(world, way)
    assert poll_orders.fn(orders=[there["open"]]).orders_checked == 1


def test_a_check_by_hand_tries_a_stopped_account_once_and_a_good_one_lifts_the_stop(stopped: Any) -> None:
    """RULES S1"""
    world, there, way = stopped
    with pytest.raises(BatchError):
        check_account.fn()
    assert sum(count for name, count in world.sandbox.calls().items() if "token" not in name) == (1 if way == "header" else 2)
    if way == "header":
        world.sandbox.control("PUT", "account", {"password": world.sandbox.line["account"]["password"]})
    world.sandbox.clear()
    assert check_account.fn().healthy
    world.restart()
    assert poll_orders.fn(orders=[there["open"]]).orders_checked == 1
