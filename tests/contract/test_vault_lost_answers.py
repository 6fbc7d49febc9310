"""Writes whose answer was lost or spoilt: each test runs against the real Vault and against the sandbox's."""

import json
from typing import Any

import pytest

from models.errors import AmbiguousError, ConflictError, InputError, SetupError, TransientError
from tasks.adapters.vault import Entry, Vault

LIVE = "live/www.example.com"
SECRET = "never-show-this"
JSON = {"Content-Type": "application/json"}


def said(*errors: str) -> bytes:
    return json.dumps({"errors": errors}).encode()


def test_a_write_whose_answer_was_lost_counts_when_vault_holds_exactly_it(near: Any, through: Vault) -> None:
    """RULES E1"""
    near.lose_once("POST", "/data/")
    assert through.create(LIVE, {"n": "1"}) == 1
    near.lose_once("POST", "/data/")
    assert through.write(LIVE, {"n": "2"}, cas=1) == 2
    assert through.read(LIVE) == Entry({"n": "2"}, 2)
    assert near.count("POST", "/data/") == 2


def test_a_write_that_never_arrived_may_be_tried_again(near: Any, through: Vault) -> None:
    """RULES E1"""
    near.lose_once("POST", "/data/", "drop")
    with pytest.raises(TransientError, match="was not written"):
        through.create(LIVE, {"n": "1"})
    assert near.count("POST", "/data/") == 1
    assert through.create(LIVE, {"n": "1"}) == 1


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_gateways_error_after_a_write_is_looked_into(near: Any, through: Vault, status: int) -> None:
    """RULES E1"""
    near.lose_once("POST", "/data/", (status, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"))
    with pytest.raises(TransientError, match="was not written"):
        through.create(LIVE, {"n": "1"})


def test_a_lost_write_that_somebody_else_overtook_is_a_conflict(
    near: Any, through: Vault, vault_server: Any, new_vault: Any, prefix: str,
) -> None:
    """RULES D1"""
    other = new_vault(vault_server.address, token=vault_server.token, prefix=prefix)
    near.after = lambda: other.write(LIVE, {"n": "theirs"}, cas=1)
    near.lose_once("POST", "/data/")
    with pytest.raises(ConflictError, match="somebody was faster"):
        through.create(LIVE, {"n": "1"})


def test_a_lost_write_on_a_version_that_was_not_the_newest_is_a_conflict(near: Any, through: Vault) -> None:
    """RULES D1"""
    through.create(LIVE, {"n": "theirs"})
    near.lose_once("POST", "/data/")
    with pytest.raises(ConflictError):
        through.create(LIVE, {"n": "1"})


def test_a_lost_write_is_not_taken_for_an_older_one_of_the_same_contents(near: Any, through: Vault) -> None:
    """RULES D1"""
    through.create(LIVE, {"n": "1"})
    through.write(LIVE, {"n": "2"}, cas=1)
    near.lose_once("POST", "/data/")
    with pytest.raises(ConflictError, match="at version 2, not 0"):
        through.create(LIVE, {"n": "2"})


def test_a_write_that_timed_out_but_arrived_counts(near: Any, through: Vault) -> None:
    """RULES E1"""
    near.lose_once("POST", "/data/", 3)
    assert through.create(LIVE, {"n": "1"}) == 1


def test_when_looking_fails_too_the_write_is_in_doubt(near: Any, through: Vault) -> None:
    """RULES E1"""
    through.read(LIVE)
    near.spoil = lambda method, path: "lose" if method == "POST" else "drop" if "/data/" in path else None
    with pytest.raises(AmbiguousError, match="may or may not have been written"):
        through.create(LIVE, {"private_key": SECRET})
    near.spoil = lambda _method, _path: None
    assert through.read(LIVE) == Entry({"private_key": SECRET}, 1)


@pytest.mark.parametrize("how", ["drop", (502, {}, b""), (503, JSON, said("Vault is sealed")), (429, JSON, said("quota"))])
def test_a_failure_before_the_write_was_sent_leaves_no_doubt(near: Any, through: Vault, how: Any) -> None:
    near.spoil = lambda method, _path: how if method == "GET" else None    # looking would fail as well
    with pytest.raises(TransientError):
        through.create(LIVE, {"n": "1"})
    assert near.count("POST", "/data/") == 0


def test_a_lost_answer_of_destroy_or_delete_may_be_tried_again(near: Any, through: Vault) -> None:
    """RULES D5"""
    through.create(LIVE, {"n": "1"})
    for method, part, call in (
        ("POST", "/destroy/", lambda: through.destroy_versions(LIVE, [1])), ("DELETE", "/metadata/", lambda: through.delete_all(LIVE)),
    ):
        near.lose_once(method, part)
        with pytest.raises(TransientError):
            call()
        call()
    assert through.version(LIVE) is None


def test_vaults_words_are_not_shown_when_they_could_repeat_what_was_sent(near: Any, through: Vault) -> None:
    near.lose_once("POST", "/data/", (400, JSON, said(f"cannot convert {SECRET}")))
    with pytest.raises(SetupError) as caught:
        through.create(LIVE, {"private_key": SECRET})
    assert SECRET not in str(caught.value)


def test_an_entry_that_is_too_large_is_refused(near: Any, through: Vault) -> None:
    near.lose_once("POST", "/data/", (413, {"Content-Type": "text/html"}, b"<html>Too large</html>"))
    with pytest.raises(InputError, match="larger than Vault takes"):
        through.create(LIVE, {"keystore": "x"})


@pytest.mark.parametrize("body", [b'{"data": {"version": "1"}}', b'{"data": null}', b"{}"])
def test_a_write_that_made_no_version_is_not_believed(near: Any, through: Vault, body: bytes) -> None:
    near.lose_once("POST", "/data/", (200, JSON, body))
    with pytest.raises(SetupError, match="did not store"):
        through.create(LIVE, {"n": "1"})
