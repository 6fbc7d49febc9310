"""Processes that we start and that never outlive us."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import IO, Any, Literal, Self

from models.errors import SetupError

ROOT = Path(__file__).resolve().parent.parent
LEASH = Path(__file__).with_name("leash.py")
GRACE_SECONDS = 3.5
"""How long a process may take to end after SIGTERM. Twice this, and a second each, stays below ten seconds."""

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

LOOPBACK = "127.0.0.1"


class Children:
    """A `with` for processes: its end ends them, the last started first; and so does our own death, since each is on a leash."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[tuple[str, subprocess.Popen[str]]] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        # The newest works with all the others, so it goes first; these then end together.
        newest_first = [leash for _, leash in reversed(self._running)]
        for group in (newest_first[:1], newest_first[1:]):
            for leash in group:
                assert leash.stdin is not None  # noqa: S101 - start() gives every leash a pipe
                with suppress(OSError):
                    leash.stdin.close()
            for leash in group:
                with suppress(subprocess.TimeoutExpired):
                    leash.wait(GRACE_SECONDS + 1)

    def start(
        self, name: str, command: list[str], env: Mapping[str, str], *, output: Literal["log", "pipe", "ours"] = "log"
    ) -> "subprocess.Popen[str]":
        """Start a Python module of ours or Prefect's, as `python COMMAND`.

        `output`: `log` writes what it says into a file that `last_words` reads, `pipe` gives its standard output to the
        caller and logs the rest, `ours` shows everything on our terminal.
        """
        with (self._logs / f"{name}.log").open("ab") as log:
            stdout: int | IO[bytes] | None = {"log": log.fileno(), "pipe": subprocess.PIPE, "ours": None}[output]
            leash = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, "-I", "-S", str(LEASH), str(GRACE_SECONDS), sys.executable, *command], stdin=subprocess.PIPE,
                stdout=stdout, stderr=None if output == "ours" else log, text=True, cwd=ROOT, env=dict(env), start_new_session=True,
            )
        self._running.append((name, leash))
        return leash

    def check(self) -> None:
        """Raises: SetupError with its last words when a process has ended by itself."""
        for name, leash in self._running:
            if leash.poll() is not None:
                raise SetupError(f"{name} ended by itself with status {leash.returncode}{self.last_words(name)}")

    def last_words(self, name: str) -> str:
        """The last lines that a process logged, to be put behind a sentence; empty when it said nothing."""
        with suppress(OSError):
            lines = [line.strip() for line in (self._logs / f"{name}.log").read_text(errors="replace").splitlines() if line.strip()]
            if lines:
                return ": " + " / ".join(lines[-3:])[-600:]
        return ""

    def wait_until(self, ready: Callable[[], Any], what: str, *, seconds: float) -> None:
        """Ask again until `ready` answers yes. Raises: SetupError when it takes longer, or when a process ends meanwhile."""
        deadline = time.monotonic() + seconds
        pause = Event()
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise SetupError(f"{what} was not ready after {seconds:.0f} seconds: try again on a machine that is less busy")
            pause.wait(0.2)


def end_like_ctrl_c() -> None:
    """From now on SIGTERM and a closed terminal are a KeyboardInterrupt, as Ctrl-C is."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.default_int_handler)


def need_free(port: int, setting: str) -> None:
    """Raises: SetupError when something listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise SetupError(
                f"port {port} on {LOOPBACK} is in use: end what listens there, or choose another port by {setting}"
            ) from None


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def loopback_past_proxies(env: Mapping[str, str]) -> dict[str, str]:
    """`env` in which no proxy stands between processes of this machine, and Python finds the project."""
    names = ["127.0.0.1", "localhost"]
    for variable in ("NO_PROXY", "no_proxy"):
        names += [name for name in env.get(variable, "").split(",") if name.strip() and name not in names]
    path = os.pathsep.join(part for part in (str(ROOT), env.get("PYTHONPATH", "")) if part)
    return {**env, "NO_PROXY": ",".join(names), "no_proxy": ",".join(names), "PYTHONPATH": path}
