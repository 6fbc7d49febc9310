"""Peace after the fire: everything that was asked for is asked again until it is answered, then polls until nothing is open."""

import time
from typing import Any
from uuid import UUID

from audit import public_key
from chaos import OPEN, Chaos, deed
from world import GRACE_SECONDS

from flows.check_account import check_account
from flows.poll_orders import poll_orders
from tasks import settling

ROUNDS = 5
LONGEST = 120.0
"""Seconds after which what is still open is a finding, unless it moves."""


def make(chaos: Chaos, *, longest: float) -> None:
    """Undisturbed: every request is asked again until it is answered, then polls until nothing is open; then a person decides the rest."""
    chaos.weather.clear()
    chaos.alone("check", lambda: str(check_account.fn()))
    for _ in range(ROUNDS):
        waiting = [request for line in chaos.lines.values() for request in line.requests if not request.answered]
        if not waiting:
            break
        for request in waiting:
            answer = chaos.alone(request.kind, deed(request))
            if answer is not None:
                request.answered, request.said = answer["good"], str(answer["said"])
        chaos.alone("poll", lambda: str(poll_orders.fn()))
    chaos.findings += [
        f"{request.kind} {request.id} cannot be done: {request.said}"
        for line in chaos.lines.values() for request in line.requests if not request.answered
    ]
    began, moved, before, last = time.monotonic(), time.monotonic(), 0, ""
    while time.monotonic() - moved < longest:
        answer = chaos.alone("poll", lambda: str(poll_orders.fn()))
        last = str(answer and answer["said"])
        still = chaos.world.rows(OPEN)
        if not still and not chaos.world.rows("SELECT 1 FROM revocation WHERE status = 'planned'"):
            return
        if len(still) != before:
            moved, before = time.monotonic(), len(still)
        if time.monotonic() - began > 3 * GRACE_SECONDS:
            _decide(chaos, still)
        time.sleep(0.3)
    chaos.findings.append(f"something stays open in peace, the last poll said: {last}")


def _decide(chaos: Chaos, still: list[Any]) -> None:
    """What E3 and E4 leave to a person: whoever looks into SCM knows by the key whose order it is."""
    told = {UUID(str(row["order_id"])) for row in chaos.world.rows("SELECT order_id FROM order_event WHERE kind = 'needs attention'")}
    for row in still:
        said = row["error"] or ""
        given_up = row["status"] == "planned" and row["attempts"] >= 3
        if not (given_up or (row["status"] == "submitting" and "deployments settle" in said)):
            continue
        order = str(UUID(str(row["order_id"])))
        if UUID(order) not in told:
            chaos.findings.append(f"nobody was told that {row['kind']} {row['common_name']} waits for a person: {said}")
        living = [one["ssl_id"] for one in chaos.world.sandbox.orders(row["common_name"]) if one["status"] != "Revoked"]
        at_scm = {ssl_id: chaos.world.certificate(ssl_id) for ssl_id in living}
        if None in at_scm.values():    # not issued yet: whoever decides waits until it is
            continue
        ours = [ssl_id for ssl_id, pem in at_scm.items() if pem and public_key(pem) == row["public_key_sha256"]]
        choice = {"adopt": ours[0]} if ours else {"send_again": True}
        option = f"--adopt {ours[0]}" if ours else "--send-again"
        answer = chaos.alone("settle", lambda order=order, choice=choice: settling.decide(order, **choice))
        chaos.by_hand.append(f"{row['kind']} {row['common_name']}: {said}; done: python -m deployments settle {order} {option}: {answer}")

