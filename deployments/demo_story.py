"""The demo's story: `python -m deployments.demo_story CONTROL`, in an environment that `demo` has set up.

The flows run as a Python program calls them, each as a run of the Prefect server; one line tells what each has done.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

from deployments import loopback_http
from flows.check_account import check_account
from flows.delete_orders import delete_orders
from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from flows.revoke import revoke
from flows.sync_reference_data import sync_reference_data
from models.errors import CertflowError, SetupError
from tasks.adapters.pki import read_certificates
from tasks.settings import settings

NAME = "shop.example.com"
ADDED = "api.shop.example.com"
ORGANIZATION = "Example University"
PROFILE = "OV Multi-Domain"
ISSUED_SECONDS = 90.0


def main() -> int:
    """Play the whole story: 0, or 1 with a sentence on standard error when a step does not do what it promises."""
    try:
        _story(sys.argv[1])
    except CertflowError as error:
        print(f"failed   {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"failed   the sandbox did not answer ({type(error).__name__}: {error})", file=sys.stderr)
        return 1
    return 0


def _story(control: str) -> None:
    with _step("account") as say:
        _run(check_account)
        say("logged in; may order and read the report")
    with _step("sync") as say:
        synced = _run(sync_reference_data)
        say(f"{synced.organizations.seen:,} organizations and departments, {synced.domains.seen:,} domains, "
            f"{synced.certificate_profiles.seen:,} profiles, {synced.custom_fields.seen:,} custom fields, {synced.calls:,} calls")
    with _step("import") as say:
        imported = _run(import_orders)
        say(f"{imported.orders_seen:,} orders, {imported.certificates_fetched:,} certificates, {imported.calls:,} calls")
    with _step("order") as say:
        loopback_http.post(f"{control}/faults", {"route": "enroll", "kind": "lost", "count": 1})
        ordered = _run(order_certificate, NAME, ORGANIZATION, PROFILE, key_algorithm="EC", comments="for the demo", requested_by="demo")
        _need(ordered.status == "submitting", f"the order should be in doubt, but it is {ordered.status}")
        say(f"{NAME}: sent once; the connection was cut before SCM's answer (on purpose), so the order is in doubt")
    with _step("settle") as say:
        polled = _run(poll_orders)
        _need(polled.settled == 1, "the order was not found again")
        say(f"found at SCM by its marker, nothing sent again; {polled.calls:,} calls")
    with _step("deliver") as say:
        entry = _delivered(version=1)
        say("issued; key, names, dates and chain checked against the order; written to Vault")
    _show(entry)
    _live_on(entry)
    held = loopback_http.get(f"{control}/orders?common_name={quote(NAME)}")
    _need(len(held) == 2, f"SCM holds {len(held)} orders for {NAME}, not one and its renewal")
    print(f"proof    SCM holds exactly one order for {NAME} and its renewal: {', '.join(str(one['ssl_id']) for one in held)}")


def _live_on(first: dict[str, Any]) -> None:
    """What comes after the first certificate, and the end."""
    with _step("renew") as say:
        renewed = _run(renew_or_reissue, "renew", [NAME]).orders[0]
        second = _delivered(version=2)
        _need(second["data"]["private_key"] != first["data"]["private_key"], "the renewal kept the old key")
        say(f"order {renewed.predecessor_ssl_id} is followed by {renewed.ssl_id}, with a new key; the same path, version 2, the same keystore "
            "password")
    with _step("reissue") as say:
        _run(renew_or_reissue, "reissue", [str(renewed.order_id)], add_names=[ADDED])
        third = _delivered(version=3)
        _need(ADDED in third["data"]["names"], f"the reissue lacks {ADDED}")
        say(f"the same order, another key, now also for {ADDED}; version 3")
    with _step("revoke") as say:
        _run(revoke, [str(renewed.order_id)], "superseded", "the demo ends", delete_from_repository=True, confirm=[NAME])
        _need((entry := _live_entry()) is not None and entry["data"]["status"] == "revoked", "the live entry does not say that it is revoked")
        say("revoked at SCM; the live entry says so, and its key is destroyed")
    with _step("delete") as say:
        deleted = _run(delete_orders, [str(renewed.order_id)])
        say(f"{len(deleted.done)} order forgotten here; SCM keeps it, and no import brings it back unless asked")


def _delivered(*, version: int) -> dict[str, Any]:
    """Poll, as the schedule does every 15 minutes, until Vault serves this version. Raises: SetupError when it takes too long."""
    deadline = time.monotonic() + ISSUED_SECONDS
    while time.monotonic() < deadline:
        _run(poll_orders)
        entry = _live_entry()
        if entry is not None and entry["metadata"]["version"] == version:
            return entry
    raise SetupError(f"{NAME} was not delivered within {ISSUED_SECONDS:.0f} seconds")


def _live_entry() -> dict[str, Any] | None:
    """What a consumer reads: one path for ever, by HTTP and a token. None as long as nothing was delivered."""
    path = f"{settings().vault_mount}/data/{settings().vault_prefix}/live/{NAME}"
    token = settings().vault_token.get_secret_value()
    try:
        return dict(loopback_http.get(f"{settings().vault_addr}/v1/{path}", {"X-Vault-Token": token})["data"])
    except HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return None
        raise


def _show(entry: dict[str, Any]) -> None:
    live = entry["data"]
    issuer = read_certificates(live["certificate"].encode())[0].issuer.rfc4514_string()
    days = (datetime.fromisoformat(live["not_after"]) - datetime.now(UTC)).days
    print(f"         path     {settings().vault_mount}/{settings().vault_prefix}/live/{NAME}, version {entry['metadata']['version']}")
    print(f"         names    {', '.join(live['names'])}")
    print(f"         ends     {live['not_after']}, in {days} days")
    print(f"         issuer   {issuer}")
    print(f"         fields   {', '.join(name for name, value in live.items() if value)}")


@contextmanager
def _step(name: str) -> Iterator[Callable[[str], None]]:
    """One line on the terminal: the step's name, what it says, how long it took."""
    began = time.monotonic()
    yield lambda fact: print(f"{name:<8} {fact}, {time.monotonic() - began:.0f} s", flush=True)


def _run(flow: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """A flow's summary; what it raises is an error of ours with a sentence. (Prefect's types lose what a wrapped function returns.)"""
    return flow(*arguments, **named)


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SetupError(otherwise)


if __name__ == "__main__":
    sys.exit(main())
