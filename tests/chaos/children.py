"""One action in a process of its own, forked from a warm parent, that may be killed: in a gap by itself, or by us at any moment."""

import json
import logging
import mmap
import os
import random
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gaps import NAME_SIZE, Aim, watch

from models.errors import CertflowError
from tasks import services
from tasks.adapters import store as database
from tasks.adapters.scm import ScmClient
from tasks.adapters.store import Store

LOG = logging.getLogger("chaos")
ANY_MOMENT = "at any moment"
LONGEST = 90.0
"""Seconds after which a process counts as hanging: that is a finding."""


def impatient() -> None:
    """SCM's client gives up after seconds instead of minutes, so that a run takes minutes instead of days."""
    defaults = ScmClient.__init__.__kwdefaults__
    defaults["timeout"], defaults["deadline"] = (2, 2), 4


def warm(store: Store) -> None:
    """From now on all children use the engine of this store, with the statements that it has compiled; its connections they do not share."""
    database.open_store = lambda _url: store
    _warm.append(store)


_warm: list[Store] = []


class Child:
    """A forked process that acts. `answer` is what the action answered, once it has ended by itself."""

    def __init__(self, what: str, act: Callable[[], Any], aim: Aim, *, log: Path, kill_after: float | None = None) -> None:
        self.what, self.aim = what, aim
        self.began = time.monotonic()
        self.answer: dict[str, Any] | None = None
        self.died_in = ""
        self._kill_at = None if kill_after is None else self.began + kill_after
        self._said = b""
        self._last = mmap.mmap(-1, NAME_SIZE)
        self._pipe, told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _act(act, aim, told=told, last=self._last, log=log)
        os.close(told)

    @property
    def hangs(self) -> bool:
        return time.monotonic() - self.began > LONGEST

    def ended(self) -> bool:
        """Look once; kill it if its moment has come."""
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            os.kill(self.pid, signal.SIGKILL)
            self._kill_at = None
        while select.select([self._pipe], [], [], 0)[0]:
            if not (some := os.read(self._pipe, 65536)):
                break
            self._said += some
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return False
        while some := os.read(self._pipe, 65536):
            self._said += some
        os.close(self._pipe)
        word, _, rest = self._said.decode().partition(" ")
        if os.WIFSIGNALED(status):
            last = self._last[:].decode(errors="replace").strip("\0 ")
            # Two threads may have been in it at once.
            self.died_in = rest.splitlines()[0] if word == "gap" else f"{ANY_MOMENT}, after: {last or 'the start'}"
        elif word == "answer":
            self.answer = json.loads(rest)
        self._last.close()
        return True

    def wait(self) -> "Child":
        """Until it has ended."""
        while not self.ended():
            if self.hangs:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.005)
        return self


def _act(act: Callable[[], Any], aim: Aim, *, told: int, last: mmap.mmap, log: Path) -> None:
    """In the child; never returns."""
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        logging.basicConfig(level=logging.INFO, force=True)
        random.seed()
        services.forget_services()
        for store in _warm:
            store.engine.dispose(close=False)
        watch.begin(aim, told=told, last=last)
        try:
            found = {"good": True, "said": act()}
        except CertflowError as error:
            found = {"good": False, "said": f"{type(error).__name__}: {error}"}
            LOG.warning("%s", error, exc_info=True)
        os.write(told, f"answer {json.dumps(found, default=str)}"[:60_000].encode())
        status = 0
    except BaseException:
        LOG.exception("the action broke")
    finally:
        os._exit(status)
