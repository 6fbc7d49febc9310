"""`up`: a Prefect server with its UI, all flows served, and a sandbox unless VAULT_ADDR is set."""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Event

from deployments import prefect_server, sandboxed
from deployments.processes import Children, end_like_ctrl_c, loopback_past_proxies, need_free
from models.errors import TransientError
from tasks.services import open_services
from tasks.settings import settings

SANDBOX_ORDERS = 2000


def up() -> int:
    """Serve until Ctrl-C or SIGTERM. Raises: SetupError when something is missing or ends by itself."""
    end_like_ctrl_c()
    try:
        with tempfile.TemporaryDirectory(prefix="certflow-", ignore_cleanup_errors=True) as scratch:
            if settings().vault_addr:
                _with_vault(Path(scratch))
            else:
                _with_sandbox(Path(scratch))
    except KeyboardInterrupt:
        print("ended")
    return 0


def _with_vault(scratch: Path) -> None:
    _look_at_vault()
    env = loopback_past_proxies(os.environ)
    with Children(scratch) as children:
        api = _prefect_of_the_user()
        if api:
            print(f"Prefect  {api}, as PREFECT_API_URL says", flush=True)
            _serve(children, {**env, **prefect_server.FLOW_RUNS, "PREFECT_API_URL": api})
        home, port = settings().home / "prefect", settings().ui_port
        need_free(port, "CERTFLOW_UI_PORT")
        api = prefect_server.start(children, env, home=home, port=port)
        print(f"starting a Prefect server; it keeps its data in {home}", flush=True)
        prefect_server.wait_until_ready(children, api, home=home)
        _serve(children, prefect_server.client_environment(env, home=home, api=api))


def _prefect_of_the_user() -> str | None:
    """PREFECT_API_URL, from the environment or the user's Prefect profile."""
    # Prefect makes a folder in the user's home when it is imported: the way with the sandbox must not come by here.
    from prefect.settings import PREFECT_API_URL

    address = PREFECT_API_URL.value()
    return str(address) if address else None


def _look_at_vault() -> None:
    """Say now what every flow would say later. Raises: SetupError."""
    with open_services() as svc:
        try:
            for unproved in svc.vault.check():
                print(f"note     {unproved}")
            for account in settings().accounts:
                if svc.vault.version(f"accounts/{account}") is None:
                    print(f"note     account {account} is not connected yet: run `python -m deployments connect {account}`")
        except TransientError as error:
            print(f"note     {error}; the flows try again when they run", file=sys.stderr)


def _with_sandbox(home: Path) -> None:
    port, prefect_home = settings().ui_port, home / "prefect"
    need_free(port, "CERTFLOW_UI_PORT")
    print("starting a Prefect server and a sandbox, since VAULT_ADDR is not set; nothing of it is kept", flush=True)
    with Children(home / "logs") as children:
        launched = sandboxed.launch(children, os.environ, orders=SANDBOX_ORDERS)
        env = loopback_past_proxies(prefect_server.foreign_free())
        api = prefect_server.start(children, env, home=prefect_home, port=port)
        sandbox = sandboxed.ready(children, launched, os.environ, home=home)
        sandboxed.connect_default(sandbox)
        print(f"SCM      {sandbox.scm}  (pretended; {SANDBOX_ORDERS:,} orders)")
        print(f"Vault    VAULT_ADDR={sandbox.env['VAULT_ADDR']} VAULT_TOKEN={sandbox.env['VAULT_TOKEN']}  (pretended)", flush=True)
        prefect_server.wait_until_ready(children, api, home=prefect_home)
        _serve(children, prefect_server.client_environment(sandbox.env, home=prefect_home, api=api))


def _serve(children: Children, env: Mapping[str, str]) -> None:
    """Serve the flows until we are told to end. Raises: SetupError when a process ends by itself."""
    children.start("the serving process", ["-m", "deployments.serving"], env, output="ours")
    pause = Event()
    while True:
        children.check()
        pause.wait(0.5)
