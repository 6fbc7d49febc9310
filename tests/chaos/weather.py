"""What goes wrong around Certflow while it works: SCM's answers, Vault, the database server. Decided by the run's random numbers alone."""

import time
from collections import Counter
from random import Random
from typing import Any

from world import World

LATE = 3.0
"""Seconds for which SCM keeps a request before it works at it: longer than our client waits, shorter than the grace time."""

SENT_ONCE = ("enroll", "renew_by_id", "replace")
CHANGING = (*SENT_ONCE, "revoke")
READING = ("details", "list", "report", "collect")

SPOILED: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
    ({"kind": "lost"}, CHANGING),
    ({"kind": "lost", "seconds": 0.5}, CHANGING),
    ({"kind": "truncate"}, (*CHANGING, *READING)),
    ({"kind": "drop"}, (*CHANGING, *READING)),
    ({"kind": "delay", "seconds": LATE}, CHANGING),
    ({"kind": "slow", "seconds": 0.5}, (*CHANGING, *READING)),
    ({"kind": "status", "status": 500, "processed": True}, CHANGING),
    ({"kind": "status", "status": 503}, (*CHANGING, *READING)),
    ({"kind": "status", "status": 403, "body": {"code": -3, "description": "not now"}}, CHANGING),
    ({"kind": "status", "status": 400, "body": {"code": -14, "description": "An unknown error occurred"}}, CHANGING),
    ({"kind": "too_many", "seconds": 1}, (*CHANGING, *READING)),
    ({"kind": "html"}, (*CHANGING, *READING)),
    ({"kind": "empty"}, (*SENT_ONCE, "collect")),
    ({"kind": "not_ready"}, ("collect",)),
    ({"kind": "hide"}, ("report",)),
)
"""Faults of the sandbox, and the calls that they may spoil."""

FORGETFUL = {"kind": "lose_comments", "route": "enroll"}
"""SCM keeps an order without our marker: with its answer lost, only a person can know it (RULES E4)."""

WRONG_LOGIN = {"kind": "status", "status": 401, "body": {"code": -16, "description": "Unknown user"}, "count": 1}
"""The account is stopped after it; check_account by hand lifts the stop (RULES S1)."""


class Weather:
    """Changes every few seconds. `struck` counts what went wrong, by kind."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self._next_faults = self._next_blow = 0.0
        self._unseal_at: float | None = None
        self.struck: Counter[str] = Counter()

    def pass_on(self, running: float) -> None:
        """What is due so many seconds after the start."""
        if self._unseal_at is not None and running >= self._unseal_at:
            self._world.vault.unseal()
            self._unseal_at = None
        if running >= self._next_faults:
            self._next_faults = running + self._random.uniform(2, 5)
            self._change_faults()
        if running >= self._next_blow:
            if self._next_blow:
                self._blow(running)
            self._next_blow = running + self._random.uniform(4, 9)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._count()
        if self._unseal_at is not None:
            self._unseal_at = None
        self._world.calm()

    def _change_faults(self) -> None:
        self._count()
        self._world.sandbox.clear()
        for facts, routes in self._random.sample(SPOILED, self._random.randint(2, 5)):
            for route in self._random.sample(routes, min(len(routes), self._random.randint(1, 2))):
                self._world.sandbox.fault(**facts, route=route, probability=round(self._random.uniform(0.1, 0.5), 2))
        for kind in ("lost", "drop"):    # always some doubt
            self._world.sandbox.fault(kind, route=self._random.choice(SENT_ONCE), probability=0.3)
        if self._random.random() < 0.25:
            self._world.sandbox.fault(**FORGETFUL, probability=0.2)
        if self._random.random() < 0.06:
            self._world.sandbox.fault(**WRONG_LOGIN, route=self._random.choice((*CHANGING, *READING)))

    def _count(self) -> None:
        for fault in self._world.sandbox.control("GET", "faults"):
            if fault["struck"]:
                word = f"{fault['kind']} {fault['status']}" if fault["kind"] == "status" else fault["kind"]
                # What is hidden is counted by row: once is enough.
                self.struck[f"SCM: {word} on {fault['route']}"] += 1 if fault["kind"] == "hide" else fault["struck"]

    def _blow(self, running: float) -> None:
        blows = ["Vault: sealed", "Vault: killed and started", "Vault: tokens ended"]
        if self._world.postgres:
            blows += ["PostgreSQL: killed and started"] * 2
        blow = self._random.choice(blows)
        if self._unseal_at is not None:
            return
        self.struck[blow] += 1
        if blow == "Vault: sealed":
            self._world.vault.seal()
            self._unseal_at = running + self._random.uniform(0.3, 1.5)
        elif blow == "Vault: killed and started":
            self._world.vault.stop()
            time.sleep(self._random.uniform(0.0, 0.5))
            self._world.vault.start()
        elif blow == "Vault: tokens ended":
            self._world.end_tokens()
        else:
            self._world.restart_postgres()
