"""Parameter sets by Prefect's own API: it takes a run or refuses it, and what it takes ends with a sentence."""

import os
import random
import time
from typing import Any

import pytest
import requests

MANY = int(os.environ.get("CERTFLOW_TEST_PARAMETERS", "2000")) // 50
"""40 in CI; 200 with 10,000. Each run that is taken is a process of some seconds."""

SECONDS = 60 + 15 * MANY
ODD: list[Any] = [
    None, True, -1, 2**63, 1.5, [], {}, "", "\x00", "a\nb", "x" * 5000, "'; DROP TABLE flow_run; --", "<script>", ["x"], {"a": 1}, "\u202e",
]
SETS: dict[str, dict[str, Any]] = {
    "order-certificate": {"common_name": "api.example.com", "organization": "nobody", "certificate_profile": "nothing", "check_only": True},
    "renew-or-reissue": {"action": "renew", "orders": ["nothing"], "dry_run": True},
    "revoke": {"orders": ["nothing"], "reason_code": "superseded", "reason": "old", "dry_run": True},
    "cancel-orders": {"orders": ["nothing"], "message": "no"}, "delete-orders": {"orders": ["nothing"]}, "poll-orders": {"orders": ["nothing"]},
    "report-inventory": {"name": "%"}, "sync-reference-data": {"kinds": ["domains"]}, "import-orders": {"organizations": ["nobody"]},
    "check-account": {},
}


def drawn(chance: random.Random) -> tuple[str, dict[str, Any]]:
    name = chance.choice(list(SETS))
    given = dict(SETS[name])
    if given and chance.random() < 0.8:
        given[chance.choice(list(given))] = chance.choice(ODD)
    if chance.random() < 0.2:
        given[chance.choice(["account", "requested_by", "no_such_parameter"])] = chance.choice(ODD)
    return name, given


def asked_again(url: str, body: Any) -> requests.Response:
    """Prefect's 503, its SQLite being locked, is asked again, as Prefect's own client does."""
    ends = time.monotonic() + 180
    while (answer := requests.post(url, json=body, timeout=60)).status_code == 503 and time.monotonic() < ends:
        time.sleep(0.5)
    return answer


@pytest.mark.slow
def test_prefect_takes_or_refuses_each_and_what_it_takes_ends_with_a_sentence(up: Any) -> None:
    """DESIGN 6: 201 or 409, and then Completed or Failed, never Crashed"""
    chance, taken, refused = random.Random(MANY), {}, 0
    ids = {name: up.deployment(name)["id"] for name in SETS}
    for _ in range(MANY):
        name, given = drawn(chance)
        answer = asked_again(f"{up.api}/deployments/{ids[name]}/create_flow_run", {"parameters": given})
        assert answer.status_code in {201, 409, 422}, f"{name} {given}: {answer.status_code} {answer.text[:300]}"
        if answer.status_code == 201:
            taken[answer.json()["id"]] = (name, given)
        else:
            refused += 1
    assert taken
    assert refused
    for id_, asked in taken.items():
        state = up.wait_for_end(id_, seconds=SECONDS)["state"]
        assert state["type"] in {"COMPLETED", "FAILED"}, f"{asked}: {state}"
        assert state["message"], asked
        assert "Traceback" not in state["message"]
        assert state["message"].isprintable(), asked
        assert "Error(" not in state["message"], f"{asked}: {state['message']}"
