"""`python -m deployments.sandbox`: a pretend SCM and a pretend Vault on 127.0.0.1, for demos and tests.

It prints one line of JSON when it is ready, forgets everything when it ends, and ends on SIGTERM and SIGINT.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import uvicorn
from fastapi import FastAPI

from deployments.sandbox import admin_calls, reference, routes, server, tls
from deployments.sandbox.accounts import CUSTOMER_URI
from deployments.sandbox.faults import Fault
from deployments.sandbox.state import Options, Scm
from deployments.sandbox.vault import create_vault_app
from deployments.sandbox.wire import Protocol

HOST = "127.0.0.1"
GRACE_SECONDS = 1
BACKLOG = 512
NOT_FOR_PRODUCTION = (
    "This is a sandbox and not for production: it pretends to be SCM and Vault, its certificates are worth nothing, "
    "and it forgets everything when it ends."
)


class _Server(uvicorn.Server):
    """A server that leaves signals to `main`, which runs several of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deployments.sandbox", description="A pretend SCM and a pretend Vault, on 127.0.0.1 only.")
    for name, what in (("scm", "header logins"), ("scm-tls", "client certificates"), ("scm-admin", "OAuth2"), ("vault", "Vault")):
        parser.add_argument(f"--{name}-port", type=int, default=0, help=f"port for {what} (default: a free one)")
    parser.add_argument("--orders", type=int, default=Options.orders, help="orders that the account holds at the start")
    parser.add_argument("--seed", type=int, default=Options.seed, help="the same seed makes the same orders")
    parser.add_argument("--issue-delay", type=float, default=Options.issue_delay, metavar="SECONDS", help="from approval to issue")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="delays each answer of SCM")
    parser.add_argument("--not-ready-code", type=int, default=0, choices=(0, -183, -1400), help="what collect answers while it waits")
    parser.add_argument("--token-lifetime", type=int, default=Options.token_lifetime, metavar="SECONDS", help="of OAuth2 tokens")
    parser.add_argument("--lock-after", type=int, default=Options.lock_after, help="wrong passwords in a row that lock a login")
    parser.add_argument("--clock-offset", type=float, default=0, metavar="SECONDS", help="by which SCM's clock is ahead")
    parser.add_argument("--no-validation", action="store_true", help="domain control validation is not enabled for the customer")
    parser.add_argument("--mandatory-field", action="append", default=[], metavar="NAME", help="a custom field that orders must have")
    parser.add_argument("--fault", action="append", default=[], type=_fault, metavar="JSON", help="a fault from the start; see faults.py")
    return parser.parse_args()


def _fault(text: str) -> dict[str, Any]:
    try:
        given: dict[str, Any] = json.loads(text)
        if Fault.from_json(given).route not in routes.NAMES | {None}:
            raise ValueError(f"route is one of {', '.join(sorted(routes.NAMES))}")
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return given


def _options(given: argparse.Namespace) -> Options:
    return Options(
        orders=given.orders, seed=given.seed, issue_delay=given.issue_delay, latency=given.latency / 1000,
        not_ready_code=given.not_ready_code, token_lifetime=given.token_lifetime, lock_after=given.lock_after,
        validation=not given.no_validation, clock_offset=given.clock_offset, mandatory_fields=tuple(given.mandatory_field),
        faults=tuple(given.fault))


def _listen(port: int) -> socket.socket:
    try:
        found = socket.create_server((HOST, port), backlog=BACKLOG)
        # Connections inherit it; asyncio sets it only on sockets that name their protocol. Without it each answer takes 40 ms.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found
    except OSError as error:
        raise SystemExit(f"Port {port} on {HOST} cannot be used: {error.strerror}. Choose another one, or 0 for a free one.") from None


def _server(app: FastAPI, **more: Any) -> _Server:
    return _Server(uvicorn.Config(
        app, http=Protocol, ws="none", lifespan="off", log_level="error", access_log=False, proxy_headers=False, server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS, **more))


async def _run(given: argparse.Namespace, scm: Scm, files: tls.TlsFiles) -> None:
    vault_token = token_urlsafe(18)
    certificate_options = {
        "ssl_certfile": str(files.server_certificate), "ssl_keyfile": str(files.server_key), "ssl_ca_certs": str(files.ca),
        # Optional, so that a call without certificate gets SCM's own 401.
        "ssl_cert_reqs": ssl.CERT_OPTIONAL,
    }
    listening = [_listen(port) for port in (given.scm_port, given.scm_tls_port, given.scm_admin_port, given.vault_port)]
    servers = [
        _server(server.create_app(scm, server.OLD_HOST)), _server(server.create_app(scm, server.CERTIFICATE_HOST), **certificate_options),
        _server(server.create_app(scm, server.ADMIN_HOST)), _server(create_vault_app(vault_token)),
    ]
    scm_at, tls_at, admin_at, vault_at = (f"{HOST}:{one.getsockname()[1]}" for one in listening)
    scm.token_url = f"http://{admin_at}{admin_calls.TOKEN_PATH}"

    def stop() -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)    # calls that are cut off now are no errors
        for one in servers:
            one.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    running = [asyncio.create_task(one.serve(sockets=[at])) for one, at in zip(servers, listening, strict=True)]
    while not all(one.started for one in servers) and not any(one.done() for one in running):
        await asyncio.sleep(0.005)
    client = scm.accounts.client
    print(json.dumps({
        "scm": f"http://{scm_at}/api", "scm_admin": f"http://{admin_at}/api", "scm_tls": f"https://{tls_at}/private/api",
        "tls": {"ca": str(files.ca), "client_certificate": str(files.client_certificate), "client_key": str(files.client_key)},
        "vault": f"http://{vault_at}", "vault_token": vault_token,
        "account": {"login": scm.accounts.own.login, "password": scm.password, "customer_uri": CUSTOMER_URI},
        "client": {"client_id": client.client_id, "client_secret": client.client_secret, "token_url": scm.token_url},
        "profile_that_waits": reference.WAITING_PROFILE, "pid": os.getpid(),
    }), flush=True)
    await asyncio.gather(*running)


def main() -> None:
    given = _arguments()
    print(NOT_FOR_PRODUCTION, file=sys.stderr, flush=True)
    # A SIGTERM before the servers run must remove the folder too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="certflow-sandbox-") as folder:
        files = tls.write(Path(folder))
        scm = Scm(_options(given), client_certificate=files.client_der)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(given, scm, files))


if __name__ == "__main__":
    main()
