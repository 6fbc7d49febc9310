"""`demo`: the main job in about a minute, on a sandbox, in a temporary home. This file sets the stage, `demo_story` plays."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from deployments import prefect_server, sandboxed
from deployments.processes import Children, end_like_ctrl_c, free_port
from models.errors import SetupError

ORDERS = 2000
LONGEST_SECONDS = 600.0
"""A demo takes a minute; one that takes ten hangs."""

NEXT = """
Next:
  make up                                      the same in the browser, with a sandbox
  python -m deployments connect ACCOUNT        put your own SCM account into Vault (set VAULT_ADDR and VAULT_TOKEN first)
  VAULT_ADDR=... VAULT_TOKEN=... make up       serve it
"""


def demo() -> int:
    """Play the demo: 0 when every step did what it says. Raises: SetupError when the stage cannot be set."""
    end_like_ctrl_c()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="certflow-", ignore_cleanup_errors=True) as scratch, Children(Path(scratch) / "logs") as children:
        status = _play(children, Path(scratch))
    if status == 0:
        print(f"All of it in {time.monotonic() - began:.0f} s; everything that was started has ended and is removed.")
        print(NEXT, end="")
    return status


def _play(children: Children, home: Path) -> int:
    print(f"start    a Prefect server, a pretend SCM with {ORDERS:,} orders and a pretend Vault", flush=True)
    launched = sandboxed.launch(children, os.environ, orders=ORDERS)
    env = prefect_server.foreign_free()
    api = prefect_server.start(children, env, home=home / "prefect", port=free_port())
    sandbox = sandboxed.ready(children, launched, os.environ, home=home)
    sandboxed.connect_default(sandbox)
    prefect_server.wait_until_ready(children, api, home=home / "prefect")
    stage = {
        **prefect_server.client_environment(sandbox.env, home=home / "prefect", api=api),
        # The screen belongs to the story; what goes wrong in it comes as a sentence.
        "PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }
    story = children.start("the demo", ["-m", "deployments.demo_story", sandbox.control], stage, output="ours")
    try:
        return story.wait(LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        raise SetupError(f"the demo did not end within {LONGEST_SECONDS:.0f} seconds") from None
