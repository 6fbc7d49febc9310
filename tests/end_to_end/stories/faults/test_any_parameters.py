"""Thousands of parameter sets, good, bad and hostile, for all ten flows.

Each is done or refused with a sentence, and SCM never gets what it cannot read.
"""

import json
import os
import random
from typing import Any

import pytest

from flows.cancel_orders import cancel_orders
from flows.check_account import check_account
from flows.delete_orders import delete_orders
from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.renew_or_reissue import renew_or_reissue
from flows.report_inventory import report_inventory
from flows.revoke import revoke
from flows.sync_reference_data import sync_reference_data
from models.errors import CertflowError, LoginError
from tasks.adapters.scm.calls import Calls

MANY = int(os.environ.get("CERTFLOW_TEST_PARAMETERS", "2000"))
TOGETHER = 100
MALFORMED = {-1002, -1601, -7, -9, -10, -138}
"""SCM's codes for what it cannot read: body, field, CSR."""

HOSTILE: list[Any] = [
    "", " ", "\x00", "a\nb", "\x1b[31m", "'; DROP TABLE submission; --", "../../keys/1", "a#b?c=d", "<script>", "=1+1", "{{x}}", "%s%n", "\ud800",
    "\u202e", "x" * 300, "x" * 5000, "ünïcödé", "🔑", "null", "true", "0", "-1", "1e400", None, True, 0, -1, 2**63, 1.5, [], {}, ["x"], {"a": 1},
    [None], [[]], float("nan"),
]
TEXTS = ["www.example.com", "*.example.com", "new.example.com", "41001", "41007", "41100", "AA:BB:CC", "1234567890123", "no such thing"]


def many(*good: Any) -> list[Any]:
    """Lists of these, and with something odd among them."""
    return [[], list(good[:1]), list(good[:2]), [*good[:1], *good[:1]], [good[0], ""], [good[0], "x" * 400], [good[0], "a\nb"], list(good) * 10]


NAMES = [
    "any.example.com", "Any.Example.ORG.", "*.example.com", "münchen.example.com", "a_b.example.com", "localhost", "10.0.0.1",
    "x" * 70 + ".example.com", "a..example.com", "-a.example.com", "www.example.com\n", "example", "*.*.example.com", "any.internal", "a" * 300,
]
FLOWS: dict[Any, dict[str, list[Any]]] = {
    order_certificate: {
        "common_name": NAMES, "organization": ["Example University", "3100", "Example University / Library", "Example University (3100)", "nobody"],
        "certificate_profile": ["OV Multi-Domain", "5201", "nothing"], "subject_alternative_names": many(*NAMES[:3]),
        "term_days": [None, 90, 199, 91, 0, 4000],
        "key_algorithm": ["EC", "EC", "EC", "DSA"], "key_size": [None, "P-256", "P-384", "1024"], "keystore_type": ["PKCS12", "PEM", "P12"],
        "comments": ["", "a text", "two\nlines", "x" * 978, "x" * 979], "external_requester_emails": many("a@example.com", "b@example.org"),
        "custom_fields": [{}, {"Cost centre": "A"}, {"x": "y"}, {"": ""}, {"Cost centre": "x" * 300}], "requested_by": ["", "me"],
        "wait_minutes": [0, -1, 2000], "check_only": [False, True, "yes", "maybe"], "send_anyway": [False, True], "csr": [None, "", "no CSR"],
        "live_name": [None, "any", "a/b", "../x"], "keystore_password_path": [None, "web#word", "x", "../x#y"],
        "request_id": [None, "r1", "r2", "x" * 200],
    },
    renew_or_reissue: {
        "action": ["renew", "reissue", "replace"], "orders": many(*TEXTS), "expiring_within_days": [None, 0, 30, 4000],
        "add_names": many(*NAMES[:3]), "remove_names": many(*NAMES[:3]), "reason": ["", "new key", "x" * 513], "reuse_key": [False, True],
        "csr": [None, "", "no CSR"],
        "because_of_key_compromise": [False, False, True], "revoke_predecessor_after_days": [None, 0, 30, -1], "dry_run": [True, True, False],
        "max_orders": [1, 2, 0], "requested_by": ["", "web team"], "request_id": [None, "r1", "r2"],
    },
    revoke: {
        "orders": many(*TEXTS), "reason_code": ["superseded", 4, "4", "keyCompromise", 2, 6, "none"], "reason": ["old", "", "x" * 512, "x" * 513],
        "delete_from_repository": [False, True], "confirm": many("www.example.com"), "dry_run": [True, False], "requested_by": ["", "me"],
    },
    cancel_orders: {"orders": many(*TEXTS), "message": ["not wanted", "", "x" * 512, "x" * 513]},
    delete_orders: {"orders": many(*TEXTS), "destroy_key": [False, True], "confirm": many("www.example.com")},
    poll_orders: {"orders": [list(one) for one in many(*TEXTS) if one]},
    import_orders: {
        "statuses": many("issued", "SA Approved", "unknown"), "organizations": many("Example University", "nobody"),
        "requested_since": [None, "2026-01-01", "01/02/2026", "2026-13-01", "9999-12-31", "0001-01-01"], "fetch_certificates": [False],
        "include_deleted": [False, True],
    },
    report_inventory: {
        "name": ["", "www", "*", "%", "_", "'"], "statuses": many("issued", "planned", "unknown"),
        "organization": ["", "Example University", "nobody"],
        "expiring_within_days": [None, 0, 30, 4000], "issuer": ["", "Sandbox", "%"],
    },
    sync_reference_data: {"kinds": many("domains", "custom_fields", "unknown")},
    check_account: {},
}
RARELY = {sync_reference_data: 0.03, check_account: 0.03, import_orders: 0.3, poll_orders: 0.3}
"""Flows with few parameters that work long."""


def drawn(chance: random.Random) -> tuple[Any, dict[str, Any]]:
    flow = chance.choice(list(FLOWS))
    while chance.random() > RARELY.get(flow, 1.0):
        flow = chance.choice(list(FLOWS))
    given: dict[str, Any] = {}
    for name, values in FLOWS[flow].items():
        must = name in {"common_name", "organization", "certificate_profile", "action", "orders", "reason_code", "reason", "message"}
        if must or chance.random() < 0.3:
            given[name] = chance.choice(HOSTILE if chance.random() < 0.05 else values[:3] if chance.random() < 0.6 else values)
    if flow is order_certificate:
        given.setdefault("key_algorithm", "EC")
        given.setdefault("wait_minutes", 0)
    if flow is import_orders:
        given.setdefault("fetch_certificates", False)
    if chance.random() < 0.05:
        given["account"] = chance.choice(["default", "other", *HOSTILE])
    return flow, given


@pytest.mark.slow
@pytest.mark.usefixtures("lasting")
@pytest.mark.parametrize("seed", range(max(MANY // TOGETHER, 1)))
def test_whatever_is_asked_is_done_or_refused_with_a_sentence(
    seed: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DESIGN 6: the API checks little, so the flow checks all; contract 4: codes for what cannot be read are never seen"""
    answered: list[int | None] = []
    real = Calls.refused

    def refused(self: Calls, call: Any, status: int, given: Any, **more: Any) -> CertflowError:
        error = real(self, call, status, given, **more)
        answered.append(error.code)
        return error

    monkeypatch.setattr(Calls, "refused", refused)
    chance = random.Random(seed)
    for _ in range(TOGETHER):
        flow, given = drawn(chance)
        told, kind = "done, without a word", None
        try:
            flow.fn(**given)
        except CertflowError as error:
            told, kind = str(error), type(error)
        assert kind is not LoginError, given
        assert told.isprintable(), repr(told)
        assert 10 < len(told) <= 4000, repr(told)
        assert "object at 0x" not in told, told
        assert not MALFORMED & set(answered), json.dumps(given, default=str)
