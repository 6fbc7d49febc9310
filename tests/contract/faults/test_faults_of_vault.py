"""What flows do with Vault times every fault of Vault and of the way to it: the class of the error, what Vault holds afterwards, what is read.

Each runs against the real Vault and against the sandbox's; what only a real one can do (seal, die, end a token) against the real one.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from models.errors import AmbiguousError, CertflowError, ConflictError, SetupError, TransientError
from tasks.adapters.vault import Entry, Vault

JSON = {"Content-Type": "application/json"}
HTML = (b"<html>Tr0ub4dor</html>", {"Content-Type": "text/html"})
LIVE, KEY, ACCOUNT = "live/www.example.com", "keys/1", "accounts/default"
READS, WRITES, REMOVES = 0, 1, 2


def said(*errors: str) -> bytes:
    return json.dumps({"errors": errors}).encode()


@dataclass(frozen=True)
class Operation:
    """One thing that a flow does: `method` and `part` find its call, `done` tells whether Vault did it."""

    kind: int
    method: str
    part: str
    act: Callable[[Vault], Any]
    done: Callable[[Vault], bool] = lambda _vault: True


OPERATIONS: dict[str, Operation] = {
    "read account": Operation(READS, "GET", "/data/", lambda vault: vault.read(ACCOUNT)),
    "read key": Operation(READS, "GET", "/data/", lambda vault: vault.read(KEY)),
    "read live": Operation(READS, "GET", "/data/", lambda vault: vault.read(LIVE)),
    "versions": Operation(READS, "GET", "/metadata/", lambda vault: vault.versions(LIVE)),
    "list keys": Operation(READS, "GET", "/metadata/", lambda vault: vault.list("keys")),
    "create key": Operation(
        WRITES, "POST", "/data/", lambda vault: vault.create("keys/2", {"private_key": "new"}), lambda root: root.read("keys/2") is not None),
    "write live": Operation(
        WRITES, "POST", "/data/", lambda vault: vault.write(LIVE, {"n": "2"}, cas=1), lambda root: root.read(LIVE) == Entry({"n": "2"}, 2)),
    "destroy": Operation(
        REMOVES, "POST", "/destroy/", lambda vault: vault.destroy_versions(LIVE, [1]), lambda root: root.read_version(LIVE, 1) is None),
    "delete key": Operation(REMOVES, "DELETE", "/metadata/", lambda vault: vault.delete_all(KEY), lambda root: root.read(KEY) is None),
}

Outcome = type[CertflowError] | None
AWAY: tuple[Outcome, Outcome, Outcome] = (TransientError,) * 3
PERSON: tuple[Outcome, Outcome, Outcome] = (SetupError,) * 3

FAULTS: dict[str, tuple[Any, tuple[Outcome, Outcome, Outcome], Outcome]] = {
    # what happens         how, once                                                 read, write, remove    a write after which looking fails too
    "sealed":             ((503, JSON, said("Vault is sealed")),                     AWAY,                  TransientError),
    "503":                ((503, {}, b""),                                           AWAY,                  AmbiguousError),
    "500":                ((500, JSON, said("internal error")),                      AWAY,                  AmbiguousError),
    "502 with HTML":      ((502, HTML[1], HTML[0]),                                  AWAY,                  AmbiguousError),
    "429":                ((429, JSON, said("rate limit quota exceeded")),           AWAY,                  TransientError),
    "412":                ((412, JSON, said("required index state not present")),    AWAY,                  TransientError),
    "standby":            ((307, {"Location": "https://active.example.com/"}, b""),  PERSON,                SetupError),
    "not initialised":    ((501, JSON, said("Vault is not initialized")),            PERSON,                SetupError),
    "nothing mounted":    ((404, JSON, said("no handler for route")),                PERSON,                SetupError),
    "not allowed":        ((403, JSON, said("permission denied")),                   PERSON,                SetupError),
    "a page":             ((200, HTML[1], HTML[0]),                                  PERSON,                SetupError),
    "half an answer":     ((200, JSON, b'{"data": {"data": '),                       PERSON,                SetupError),
    "hung up":            ("drop",                                                   AWAY,                  AmbiguousError),
    "hung up, done":      ("lose",                                                   (TransientError, None, TransientError), AmbiguousError),
    "slow, done":         (0.8,                                                      (TransientError, None, TransientError), AmbiguousError),
}


@pytest.fixture
def held(vault: Vault) -> Vault:
    """What Vault holds, asked without a neighbour: an account, a key, a live entry."""
    vault.create(ACCOUNT, {"login": "api"})
    vault.create(KEY, {"private_key": "old"})
    vault.create(LIVE, {"n": "1"})
    return vault


@pytest.fixture
def hasty(near: Any, vault_server: Any, new_vault: Any, prefix: str) -> Vault:
    """A client behind the neighbour that waits half a second."""
    client: Vault = new_vault(near.address, token=vault_server.token, prefix=prefix, timeout=(0.5, 0.5))
    client.read(ACCOUNT)    # the mount is proved
    return client


def outcome_of(act: Callable[[Vault], Any], vault: Vault, is_for_a_person: Any) -> Outcome:
    try:
        act(vault)
    except CertflowError as error:
        is_for_a_person(error)
        return type(error)
    return None


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_meets_every_fault_once_as_the_table_says(
    name: str, fault: str, held: Vault, hasty: Vault, near: Any, is_for_a_person: Any,
) -> None:
    """RULES E1, D1: a write takes effect once or not at all, and we know which; afterwards it can be done again"""
    operation, (how, expected, _) = OPERATIONS[name], FAULTS[fault]
    before = held.versions(LIVE), held.read("keys/2")
    near.lose_once(operation.method, operation.part, how)
    found = outcome_of(operation.act, hasty, is_for_a_person)
    assert getattr(found, "__name__", None) == getattr(expected[operation.kind], "__name__", None)
    if operation.kind == WRITES:
        assert operation.done(held) == (found is None)
    if found is None:
        return
    if operation.kind == WRITES:
        assert (held.versions(LIVE), held.read("keys/2")) == before
    operation.act(hasty)
    assert operation.done(held)
    assert len(held.versions(LIVE)) <= 2


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if one.kind == WRITES])
def test_a_write_after_which_looking_fails_too_is_not_called_done_or_undone(
    name: str, fault: str, held: Vault, hasty: Vault, near: Any, is_for_a_person: Any,
) -> None:
    """RULES E1"""
    operation, (how, _, expected) = OPERATIONS[name], FAULTS[fault]
    near.spoil = lambda _method, _path: how
    found = outcome_of(operation.act, hasty, is_for_a_person)
    assert getattr(found, "__name__", None) == getattr(expected, "__name__", None)
    if found is TransientError:
        assert not operation.done(held)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_sealed_vault_is_waited_for_and_nothing_is_lost(
    name: str, real_vault: Any, root: Vault, new_vault: Any, prefix: str, is_for_a_person: Any,
) -> None:
    """RULES E1, D1: the real seal"""
    operation = OPERATIONS[name]
    for path, data in ((ACCOUNT, {"login": "api"}), (KEY, {"private_key": "old"}), (LIVE, {"n": "1"})):
        root.create(path, data)
    vault = new_vault(real_vault.address, token=real_vault.token, prefix=prefix)
    real_vault.seal()
    assert outcome_of(operation.act, vault, is_for_a_person) is TransientError
    real_vault.unseal()
    operation.act(vault)
    assert operation.done(root)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_vault_that_dies_and_comes_back_is_used_on(name: str, real_vault: Any, new_vault: Any, prefix: str, is_for_a_person: Any) -> None:
    """RULES E1, D1: the real process, killed and started in the middle"""
    operation = OPERATIONS[name]
    vault = new_vault(real_vault.address, token=real_vault.token, prefix=prefix)
    vault.read(ACCOUNT)
    real_vault.stop()
    assert outcome_of(operation.act, vault, is_for_a_person) is TransientError
    real_vault.start()
    for path, data in ((ACCOUNT, {"login": "api"}), (KEY, {"private_key": "old"}), (LIVE, {"n": "1"})):
        if vault.read(path) is None:
            vault.create(path, data)
    operation.act(vault)
    assert operation.done(vault)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_token_that_has_ended_needs_a_person_and_an_approle_logs_in_again(
    name: str, real_vault: Any, root: Vault, new_vault: Any, worker: str, prefix: str, is_for_a_person: Any,
) -> None:
    """RULES S2: the real token, revoked in the middle"""
    operation = OPERATIONS[name]
    for path, data in ((ACCOUNT, {"login": "api"}), (KEY, {"private_key": "old"}), (LIVE, {"n": "1"})):
        root.create(path, data)
    token = real_vault.new_token(worker)
    ended = new_vault(real_vault.address, token=token, prefix=prefix)
    ended.read(ACCOUNT)
    real_vault.call("POST", "auth/token/revoke", {"token": token})
    assert outcome_of(operation.act, ended, is_for_a_person) is SetupError
    role_id, secret_id = real_vault.new_role(worker, worker)
    again = new_vault(real_vault.address, role_id=role_id, secret_id=secret_id, prefix=prefix)
    again.read(ACCOUNT)
    real_vault.call("POST", "auth/token/revoke", {"token": again._wire._login.token()})
    operation.act(again)
    assert operation.done(root)


@pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if one.kind == WRITES])
def test_somebody_who_was_faster_is_a_conflict_and_nothing_is_overwritten(name: str, held: Vault, is_for_a_person: Any) -> None:
    """RULES E1, D1: check-and-set"""
    held.write(LIVE, {"n": "theirs"}, cas=1)
    held.create("keys/2", {"private_key": "theirs"})
    assert outcome_of(OPERATIONS[name].act, held, is_for_a_person) is ConflictError
    assert held.read(LIVE) == Entry({"n": "theirs"}, 2)
    assert held.read("keys/2") == Entry({"private_key": "theirs"}, 1)
