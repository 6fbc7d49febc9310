"""The gaps between two steps, by name; and the watch that lets a process die, or stall, in one of them.

Everything is wrapped from outside, once, before the harness forks: the product has no hooks. A name says what has happened last.
"""

import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from urllib3.connection import HTTPConnection

import tasks.ordering
import tasks.renewing.planning
from tasks.adapters.scm import ScmClient
from tasks.adapters.scm.calls import Calls
from tasks.adapters.store import certificates, revocations, submissions
from tasks.adapters.store.engine import Store
from tasks.adapters.vault import Vault

ORDER, RENEWAL, REISSUE, REVOCATION = "order", "renewal", "reissue", "revocation"
KINDS = (ORDER, RENEWAL, REISSUE)
NOT_COMMITTED = ", not committed"

SENDING = {
    kind: (f"{kind}: row written", f"{kind}: claimed", f"{kind}: sent, answer not awaited", f"{kind}: taken, answer not read",
           f"{kind}: answer read", f"{kind}: id recorded")
    for kind in KINDS
}
KEY = ("key made, not written", "key written", "key remembered")
CLAIM = (f"claim{NOT_COMMITTED}", f"id{NOT_COMMITTED}")
SETTLING = (f"found again{NOT_COMMITTED}", "found again", "planned again")
CERTIFICATE = ("certificate collected", f"certificate stored{NOT_COMMITTED}", "certificate stored")
DELIVERY = ("live entry not written", "live entry written, not remembered", "delivery remembered")
REVOKING = (
    "revocation: row written", "revocation: sent, answer not awaited", "revocation: taken, answer not read", "revocation: answer read",
    f"revocation: recorded{NOT_COMMITTED}", "revocation: recorded",
)
REMOVAL = ("live entry closed", "versions not destroyed", "versions destroyed")

GAPS: tuple[str, ...] = (*(gap for kind in KINDS for gap in SENDING[kind]), *KEY, *CLAIM, *SETTLING, *CERTIFICATE, *DELIVERY, *REVOKING, *REMOVAL)
"""Each is aimed at, and counted."""

PATHS = {"/enroll": ORDER, "/renewById/": RENEWAL, "/replace/": REISSUE, "/revoke/": REVOCATION}
KIND_OF = {"enroll": ORDER, "renew": RENEWAL, "reissue": REISSUE}
NAME_SIZE = 120


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What shall happen to a process: it dies in a gap, or stalls there so many seconds, when it passes it for the time `after` + 1."""

    gap: str = ""
    after: int = 0
    stall: float = 0.0
    stall_at: str = ""


class Watch:
    """Knows in which gap a process is, and lets it die or stall where its aim says. Threads of one process share it."""

    def __init__(self) -> None:
        self._aim = Aim()
        self._told = -1
        self._left = 0
        self._last: mmap.mmap | None = None
        self._here = threading.local()

    def begin(self, aim: Aim, *, told: int, last: mmap.mmap) -> None:
        """In a child: from now on. `told` is a pipe for the name of the gap in which it dies, `last` shows the parent where it is."""
        self._aim, self._told, self._last, self._left = aim, told, last, aim.after

    def passed(self, gap: str) -> None:
        """The process is in this gap now."""
        if self._last is None:
            return
        self._last[:NAME_SIZE] = gap.encode().ljust(NAME_SIZE)
        if gap == self._aim.stall_at:
            time.sleep(self._aim.stall)
        if gap == self._aim.gap:
            self._left -= 1
            if self._left < 0:
                os.write(self._told, f"gap {gap}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def calling(self, kind: str) -> Iterator[None]:
        """This thread sends a call that changes something at SCM."""
        self._here.kind = kind
        try:
            yield
        finally:
            self._here.kind = ""

    @property
    def kind(self) -> str:
        return getattr(self._here, "kind", "")


watch = Watch()


def install() -> None:
    """Wrap what the product calls."""
    _wrap_transactions()
    for name, told in (
        ("claim", lambda _session, done: ("claim", f"{KIND_OF[done.kind]}: claimed")),
        ("back_to_planned", lambda _session, _done: ("planned again",)),
        ("keep_keys", lambda _session, _done: ("key remembered",)),
    ):
        _tag(submissions, name, told)
    _tag(submissions, "submitted", _recorded)
    _tag(certificates, "add", lambda _session, _done: ("certificate stored",))
    _tag(certificates, "delivered", lambda _session, _done: ("delivery remembered",))
    _tag(revocations, "plan", lambda _session, _done: ("revocation: row written",))
    _tag(revocations, "done", lambda _session, _done: ("revocation: recorded",))
    _tag(tasks.ordering, "_write", lambda _session, _done: ("order: row written",))
    _tag(tasks.renewing.planning, "write_renewal", lambda _session, done: ("renewal: row written",) if done.new else ())
    _tag(tasks.renewing.planning, "write_reissue", lambda _session, done: ("reissue: row written",) if done.new else ())
    _around(Vault, "create", before=lambda *_: "key made, not written", after=lambda *_: "key written")
    _around(
        Vault, "write", before=lambda path, data, *_: "live entry not written" if path.startswith("live/") and data["status"] != "revoked" else "",
        after=lambda path, data, *_: "" if not path.startswith("live/") else
        "live entry closed" if data["status"] == "revoked" else "live entry written, not remembered",
    )
    _around(Vault, "destroy_versions", before=lambda *_: "versions not destroyed", after=lambda *_: "versions destroyed")
    _around(ScmClient, "collect", after=lambda *_: "certificate collected")
    for name, kind in (("enroll", ORDER), ("renew_by_id", RENEWAL), ("replace", REISSUE), ("revoke", REVOCATION), ("revoke_serial", REVOCATION)):
        _around(ScmClient, name, after=lambda *_, kind=kind: f"{kind}: answer read")
    _wrap_wire()


def _recorded(session: Any, _done: Any) -> tuple[str, ...]:
    caller = sys._getframe(2).f_code.co_name
    if caller == "adopt":
        return ("found again",)
    return ("id", f"{session.info.get('kind', ORDER)}: id recorded")


def _tag(owner: Any, name: str, told: Callable[[Any, Any], tuple[str, ...]]) -> None:
    """What a function writes gives its transaction the names of the gaps before and after its commit."""
    real = getattr(owner, name)

    def act(session: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "submitted":
            session.info["kind"] = KIND_OF[submissions.submission(session, args[0]).kind]
        done = real(session, *args, **kwargs)
        session.info.setdefault("tags", []).extend(told(session, done))
        return done

    setattr(owner, name, act)


def _wrap_transactions() -> None:
    real = Store.transaction

    def transaction(self: Store) -> Any:
        @contextmanager
        def around() -> Iterator[Any]:
            tags: list[str] = []
            with real(self) as session:
                yield session
                session.flush()
                tags = list(dict.fromkeys(session.info.get("tags", ())))
                for tag in tags:
                    watch.passed(tag + NOT_COMMITTED)
            for tag in tags:
                watch.passed(tag)
        return around()

    Store.transaction = transaction


def _around(owner: Any, name: str, *, before: Callable[..., str] | None = None, after: Callable[..., str] | None = None) -> None:
    real = getattr(owner, name)

    def act(self: Any, *args: Any, **kwargs: Any) -> Any:
        if before and (gap := before(*args)):
            watch.passed(gap)
        done = real(self, *args, **kwargs)
        if after and (gap := after(*args)):
            watch.passed(gap)
        return done

    setattr(owner, name, act)


def _wrap_wire() -> None:
    """Between the request, which has left us, and its answer; and between the head of the answer and its body."""
    exchange, getresponse = Calls._exchange, HTTPConnection.getresponse

    def exchanging(self: Any, call: Any, *args: Any, **kwargs: Any) -> Any:
        kind = next((kind for path, kind in PATHS.items() if path in call.path), "")
        if not kind:
            return exchange(self, call, *args, **kwargs)
        with watch.calling(kind):
            response = exchange(self, call, *args, **kwargs)
        watch.passed(f"{kind}: taken, answer not read")
        return response

    def awaiting(self: Any, *args: Any, **kwargs: Any) -> Any:
        if watch.kind:
            watch.passed(f"{watch.kind}: sent, answer not awaited")
        return getresponse(self, *args, **kwargs)

    Calls._exchange = exchanging
    HTTPConnection.getresponse = awaiting
