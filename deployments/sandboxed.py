"""A pretend SCM and a pretend Vault in a temporary home, for `demo` and for `up` without VAULT_ADDR."""

import json
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments import prefect_server
from deployments.processes import ROOT, Children, loopback_past_proxies
from models.errors import SetupError

READY_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What the sandbox said when it was ready, and the environment in which Certflow uses it."""

    line: Mapping[str, Any]
    env: Mapping[str, str]

    @property
    def scm(self) -> str:
        return str(self.line["scm"])

    @property
    def control(self) -> str:
        """Where faults are ordered and true orders are read."""
        return self.scm.removesuffix("/api") + "/_control"

    def account(self) -> str:
        """The account's data as `connect --from -` reads them."""
        return json.dumps({"base_url": self.scm, **self.line["account"]})


def launch(children: Children, env: Mapping[str, str], *, orders: int) -> "subprocess.Popen[str]":
    """Start the sandbox with so many orders in its account; `ready` waits for it."""
    command = ["-m", "deployments.sandbox", "--orders", str(orders), "--issue-delay", "2"]
    return children.start("the sandbox", command, loopback_past_proxies(prefect_server.foreign_free(env)), output="pipe")


def ready(children: Children, launched: "subprocess.Popen[str]", env: Mapping[str, str], *, home: Path) -> Sandbox:
    """Wait for the sandbox. Raises: SetupError when it is not ready in time."""
    line = _first_line(children, launched)
    certflow_home = home / "certflow"
    certflow_home.mkdir(mode=0o700, exist_ok=True)
    return Sandbox(line=line, env={
        **loopback_past_proxies(prefect_server.foreign_free(env)),
        "CERTFLOW_HOME": str(certflow_home), "PREFECT_HOME": str(home / "prefect"), "VAULT_ADDR": line["vault"], "VAULT_TOKEN": line["vault_token"],
    })


def connect_default(sandbox: Sandbox) -> None:
    """Connect the sandbox's account as `default`, as a user would. Raises: SetupError."""
    command = [sys.executable, "-m", "deployments", "connect", "default", "--from", "-", "--no-proof"]
    done = subprocess.run(  # noqa: S603 - our own command
        command, input=sandbox.account(), text=True, capture_output=True, cwd=ROOT, env=dict(sandbox.env), check=False,
    )
    if done.returncode:
        raise SetupError(f"the sandbox's account cannot be connected: {done.stderr.strip()[-500:]}")


def _first_line(children: Children, launched: "subprocess.Popen[str]") -> dict[str, Any]:
    assert launched.stdout is not None  # noqa: S101 - launch() gives it a pipe
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if select.select([launched.stdout], [], [], 0.5)[0]:
            text = launched.stdout.readline()
            if text:
                return dict(json.loads(text))
            break
    children.check()
    raise SetupError(f"the sandbox was not ready after {READY_SECONDS:.0f} seconds{children.last_words('the sandbox')}")
