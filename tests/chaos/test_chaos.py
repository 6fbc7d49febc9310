"""Short runs of `make chaos`; and that it finds a protocol which was broken on purpose."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

ROOT = Path(__file__).resolve().parents[2]
KILLS = 40
SEED = 20
"""Others are as good; what happens in which order depends on the machine too."""

TRIES = 3
"""A short run may meet no moment in which a broken protocol does harm."""


def run(folder: Path, *options: str, seed: int = SEED) -> tuple[int, dict[str, Any]]:
    """The command as `make chaos` calls it; its status and its report."""
    done = subprocess.run(
        [sys.executable, "tests/chaos", "--per-gap", "0", "--seed", str(seed), "--report", str(folder), *options], cwd=ROOT, capture_output=True,
        text=True, check=False, timeout=280,
    )
    reports = list(folder.glob("*.json"))
    assert reports, f"it made no report: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.returncode, json.loads(reports[0].read_text())


def need(word: str, *, there: bool) -> None:
    """Skip without a program, or fail where CERTFLOW_TEST_REQUIRE demands it."""
    if not there and word in os.environ.get("CERTFLOW_TEST_REQUIRE", "").split(","):
        pytest.fail(f"CERTFLOW_TEST_REQUIRE names {word}, which is not here")
    if not there:
        pytest.skip(f"needs {word}")


@pytest.fixture(autouse=True)
def programs() -> None:
    need("vault", there=bool(os.environ.get("CERTFLOW_TEST_VAULT") or shutil.which("vault")))


@pytest.mark.slow
@pytest.mark.vault
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_whatever_dies_each_order_is_placed_exactly_once(tmp_path: Path, database: str) -> None:
    """RULES E1 to E7, K1, D1, D5, V1: what SCM and Vault hold is what was asked for"""
    if database == "postgres":
        need("postgres", there=shutil.which("pg_config") is not None)
    status, found = run(tmp_path, "--kills", str(KILLS), "--database", database)
    assert found["findings"] == []
    assert status == 0
    assert found["kills"] >= KILLS
    assert found["orders"] > 10
    assert found["faults"]


@pytest.mark.slow
@pytest.mark.vault
@pytest.mark.parametrize(("broken", "says"), [
    ("claim", r"SCM (holds \d+ orders|took \d+ reissues), \d+ were asked for"),    # two send the same submission
    ("retry", r"SCM holds \d+ orders, \d+ were asked for"),    # a lost answer is ordered again
    ("key", r"the key of certificate \w+ of order \S+ is not in Vault|the key at keys/\S+ is gone from Vault"),    # which nobody can mend
])
def test_a_protocol_that_is_broken_on_purpose_is_found(tmp_path: Path, broken: str, says: str) -> None:
    """RULES E1: a proof that cannot fail proves nothing"""
    findings: list[str] = []
    for seed in range(SEED, SEED + TRIES):
        status, found = run(tmp_path / str(seed), "--kills", "20", "--break", broken, seed=seed)
        assert status == (1 if found["findings"] else 0)
        findings += found["findings"]
        if any(re.search(says, finding) for finding in findings):
            return
    pytest.fail(f"not found: {findings}")


def test_what_was_ready_before_an_answer_is_looked_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reissue that was answered, and may be in doubt, is not followed by a revocation of the same order"""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "chaos"))
    chaos = importlib.import_module("chaos")
    books = [[{"id": uuid4(), "common_name": "c00000.example.com", "predecessor_id": None}]]

    def rows(_sql: str) -> Any:
        if books:
            return books.pop()
        raise DBAPIError("SELECT", None, OSError("it is being restarted"))

    fire = chaos.Chaos(SimpleNamespace(folder=Path(), rows=rows), seed=1, twins=0, log=print)
    request = fire.new_order()
    fire._look()
    assert fire._ready
    request.running = 1
    fire._took(SimpleNamespace(what="order", died_in="", answer={"good": True, "said": "in doubt"}), request)
    fire._look()
    assert fire._ready == {}
