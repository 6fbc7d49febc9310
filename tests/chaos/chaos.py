"""The run: actions in many processes, killed one after the other, while everything around them fails; then peace, until nothing is open."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from children import ANY_MOMENT, Child, warm
from gaps import (
    CERTIFICATE,
    CLAIM,
    DELIVERY,
    GAPS,
    KEY,
    ORDER,
    REISSUE,
    REMOVAL,
    RENEWAL,
    REVOCATION,
    REVOKING,
    SENDING,
    SETTLING,
    Aim,
)
from ledger import Line, Request
from sqlalchemy.exc import DBAPIError
from weather import Weather
from world import World

from flows.check_account import check_account
from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from flows.revoke import revoke
from flows.sync_reference_data import sync_reference_data
from tasks import services

POLLERS = 2
FEW = 3
"""Kills in each gap that also a short run tries for."""

ACTORS = 2
COMMON = {"organization": "Example University", "certificate_profile": "OV Multi-Domain", "key_algorithm": "EC"}
KEYSTORES = ("PKCS12", "PKCS12_LEGACY", "JKS", "PEM")
OF_KIND = {
    ORDER: (*SENDING[ORDER], *KEY, *CLAIM), RENEWAL: (*SENDING[RENEWAL], *KEY, *CLAIM), REISSUE: (*SENDING[REISSUE], *KEY, *CLAIM),
    REVOCATION: (*REVOKING, *REMOVAL),
}
OF_POLL = (*SETTLING, *CERTIFICATE, *DELIVERY)
STALLS = (f"{CLAIM[0]}", "order: claimed", "renewal: claimed", "certificate collected", "live entry not written", f"{SETTLING[0]}")
"""Where it matters most that another process goes on meanwhile."""

PEACE_SECONDS = 120.0

READY = """
SELECT o.id, o.common_name, o.predecessor_id FROM certificate_order o
WHERE o.origin = 'ordered' AND o.status = 'issued'
AND NOT EXISTS (SELECT 1 FROM certificate_order s WHERE s.predecessor_id = o.id)
AND NOT EXISTS (SELECT 1 FROM submission u WHERE u.order_id = o.id AND u.status IN ('planned', 'submitting', 'submitted'))
AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.order_id = o.id AND r.status = 'planned')
"""
OPEN = """
SELECT u.id, u.kind, u.status, u.attempts, u.error, u.order_id, u.public_key_sha256, o.common_name, o.ssl_id FROM submission u
JOIN certificate_order o ON o.id = u.order_id WHERE u.status IN ('planned', 'submitting', 'submitted')
"""


class Chaos:
    """One run. `twins` is the share of requests that two processes make at the same moment; `kills` counts by gap; `by_hand` is what a person
    had to decide, with the command that the product named."""

    def __init__(self, world: World, *, seed: int, twins: float, log: Callable[[str], None]) -> None:
        self.world, self.random, self.twins, self.log = world, Random(seed), twins, log
        self.weather = Weather(world, Random(f"{seed}/weather"))
        self.kills: Counter[str] = Counter()
        self.moments: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.lines: dict[str, Line] = {}
        self.by_hand: list[str] = []
        self.stopped = False
        """A login was refused: nothing is sent until somebody checks the account by hand (RULES S1)."""
        self.findings: list[str] = []
        self._children: list[tuple[Child, Request | None]] = []
        self._ready: dict[str, tuple[UUID, UUID | None]] = {}
        self._looked = 0.0
        self._output = Path(world.folder / "logs" / "children.log")

    # --- Under fire ---

    def begin(self) -> None:
        """What comes before the first kill, undisturbed and in this process: what it has compiled and read once, its children need not again."""
        if self.world.postgres:
            services.migrate()
        with services.open_services() as svc:
            warm(svc.store)
            sync_reference_data.fn()
            for kind in (ORDER, RENEWAL, REISSUE, REVOCATION):
                request = self.new_order() if kind == ORDER else self._follow(self.lines[next(iter(self.lines))], kind)
                request.said, request.answered = deed(request)(), True
                self._deliver()
            svc.store.engine.dispose()
        services.forget_services()

    def _deliver(self) -> None:
        """Poll until nothing is under way."""
        while self.world.rows(OPEN):
            poll_orders.fn()
        self._looked = 0.0
        self._look()

    def fire(self, kills: int, *, per_gap: int, seconds: float) -> None:
        """Until so many were killed, and each gap so often; at most so many seconds."""
        began, told = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            total = self.kills.total()
            if total >= kills and all(self.kills[gap] >= per_gap for gap in GAPS):
                break
            if total >= told + 100:
                told = total - total % 100
                rare = ", ".join(f"{gap} {self.kills[gap]}" for gap in sorted(GAPS, key=lambda gap: self.kills[gap])[:3])
                self.log(f"{total} kills, {len(self.lines)} names, {time.monotonic() - began:.0f} s; rarest: {rare}")
            self.weather.pass_on(time.monotonic() - began)
            self._reap()
            if self.stopped and not any(child.what == "check" for child, _ in self._children):
                self.stopped = False
                self._start("check", lambda: str(check_account.fn()), None, Aim())
            polls = sum(child.what in {"poll", "import"} for child, _ in self._children)
            if polls < POLLERS:
                self._poll(per_gap)
            elif len(self._children) - polls < ACTORS:
                self._act(per_gap)
            else:
                time.sleep(0.004)
        self.weather.clear()
        while self._children:
            self._reap()
            time.sleep(0.004)

    def _reap(self) -> None:
        for pair in list(self._children):
            child, request = pair
            if child.ended():
                self._children.remove(pair)
                self._took(child, request)
            elif child.hangs:
                self.findings.append(f"{child.what} did not end within its time")
                child.wait()

    def _took(self, child: Child, request: Request | None) -> None:
        self.actions[child.what] += 1
        if child.died_in:
            place = child.died_in.partition(", after: ")
            self.kills[place[0]] += 1
            if place[0] == ANY_MOMENT:
                self.moments[place[2]] += 1
        elif child.answer is None:
            self.findings.append(f"{child.what} broke: see logs/children.log")
        elif "check-account is run by hand" in child.answer["said"]:
            self.stopped = True
        if request is None:
            return
        request.running -= 1
        if child.answer is not None:
            request.answered = request.answered or child.answer["good"]
            request.said = str(child.answer["said"])
            self._ready, self._looked = {}, 0.0    # what was read before does not know of it

    def _start(self, what: str, act: Callable[[], Any], request: Request | None, aim: Aim, *, kill_after: float | None = None) -> None:
        if request is not None:
            request.running += 1
        self._children.append((Child(what, act, aim, log=self._output, kill_after=kill_after), request))

    def alone(self, what: str, act: Callable[[], Any]) -> dict[str, Any] | None:
        """An undisturbed action; its answer."""
        child = Child(what, act, Aim(), log=self._output).wait()
        self._took(child, None)
        return child.answer

    def _poll(self, per_gap: int) -> None:
        aim, kill_after = Aim(), None
        fate = self.random.random()
        if fate < 0.8:
            others = (*REVOKING[1:], *REMOVAL, *(gap for kind in SENDING for gap in SENDING[kind][1:]))
            aim = self._aim(OF_POLL if self.random.random() < 0.9 else others, per_gap)
        elif fate < 0.87:
            kill_after = self.random.uniform(0.05, 1.0)
        elif fate < 0.9:
            self._start("import", lambda: str(import_orders.fn()), None, aim, kill_after=self.random.choice((None, 0.5)))
            return
        self._start("poll", lambda: str(poll_orders.fn()), None, aim, kill_after=kill_after)

    def _act(self, per_gap: int) -> None:
        request = self._next(per_gap)
        twins = 2 if request.kind != REVOCATION and self.random.random() < self.twins else 1
        for _ in range(twins):
            aim, kill_after = Aim(), None
            fate = self.random.random()
            if twins == 2 and fate < 0.6:
                aim = Aim(stall_at=CLAIM[0], stall=0.3)
            elif fate < (0.85 if any(self.kills[gap] < max(per_gap, FEW) for gap in OF_KIND[request.kind]) else 0.2):
                aim = self._aim(OF_KIND[request.kind], per_gap)
            elif fate > 0.92:
                kill_after = self.random.uniform(0.05, 0.8)
            self._start(request.kind, deed(request), request, aim, kill_after=kill_after)

    def _aim(self, among: tuple[str, ...], per_gap: int) -> Aim:
        """A gap, those that had fewer kills so far more often; now and then the process also stalls somewhere."""
        weights = [max(1, per_gap + 1 - self.kills[gap]) ** 3 for gap in among]
        [gap] = self.random.choices(among, weights)
        stall = self.random.random() < 0.15
        return Aim(
            gap=gap, after=int(self.random.random() < 0.15), stall=self.random.uniform(0.1, 1.0) if stall else 0.0,
            stall_at=self.random.choice(STALLS) if stall else "",
        )

    def _next(self, per_gap: int) -> Request:
        """A request that nobody answered yet, asked again; or a new one, of the kind whose gaps had fewer kills."""
        waiting = [request for line in self.lines.values() if (request := line.under_way) is not None and request.open]
        if waiting and self.random.random() < min(0.9, 0.15 * len(waiting)):
            return self.random.choice(waiting)
        self._look()
        free = sorted(name for name in self._ready if self.lines[name].under_way is None and not self.lines[name].retired)
        lacking = {kind: 1 + sum(max(0, per_gap - self.kills[gap]) for gap in gaps) for kind, gaps in OF_KIND.items()}
        [kind] = self.random.choices(list(lacking), list(lacking.values()))
        if kind == ORDER or not free:
            return self.new_order()
        return self._follow(self.lines[self.random.choice(free)], kind)

    def _follow(self, line: Line, kind: str) -> Request:
        """Something new for a delivered line."""
        newest, before = self._ready.pop(line.name)
        number = f"{line.name}/{len(line.requests)}"
        if kind == REVOCATION:
            target = before if before is not None and before not in line.revoked and self.random.random() < 0.5 else newest
            line.retired = target == newest
            parameters = {
                "orders": [str(target)], "reason_code": "superseded", "reason": "chaos", "delete_from_repository": self.random.random() < 0.8,
                "confirm": [line.name] if line.retired else [],
            }
            line.requests.append(Request(kind, number, parameters, order_id=target))
        else:
            action = "renew" if kind == RENEWAL else "reissue"
            parameters = {"action": action, "orders": [str(newest)], "request_id": number}
            if kind == RENEWAL and self.random.random() < 0.3:
                parameters["revoke_predecessor_after_days"] = 0
            colleague = kind == RENEWAL and "revoke_predecessor_after_days" not in parameters and self.random.random() < 0.3
            line.requests.append(Request(kind, number, parameters, order_id=newest, colleague=colleague))
        return line.requests[-1]

    def new_order(self) -> Request:
        """An order for a name that nobody has asked for."""
        name = f"c{len(self.lines):05}.example.com"
        parameters = {"common_name": name, **COMMON, "request_id": name, "keystore_type": self.random.choice(KEYSTORES)}
        self.lines[name] = Line(name, [Request(ORDER, name, parameters)])
        return self.lines[name].requests[0]

    def _look(self) -> None:
        """Which names are delivered and have nothing under way, as our books say; not more often than twice a second."""
        if time.monotonic() - self._looked < 0.5:
            return
        self._looked = time.monotonic()
        try:
            rows = self.world.rows(READY)
        except DBAPIError:    # it is being restarted: what was read before may be over
            self._ready = {}
            return
        self._ready = {
            row["common_name"]: (UUID(str(row["id"])), UUID(str(row["predecessor_id"])) if row["predecessor_id"] else None)
            for row in rows if row["common_name"] in self.lines
        }


def deed(request: Request) -> Callable[[], str]:
    """What a process does that asks for something."""
    flow = {ORDER: order_certificate, RENEWAL: renew_or_reissue, REISSUE: renew_or_reissue, REVOCATION: revoke}[request.kind]
    parameters = request.asking()
    return lambda: str(flow.fn(**parameters))
