"""Entries in Vault: each test runs against the real Vault and against the sandbox's."""

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import hvac
import pytest

from models.errors import ConflictError, InputError
from tasks.adapters.vault import Entry, Vault, VersionState

LIVE = "live/www.example.com"


def test_what_was_never_written_is_none_without_a_version(vault: Vault) -> None:
    assert vault.read(LIVE) is None
    assert vault.version(LIVE) is None
    assert vault.versions(LIVE) == {}
    assert vault.list("live") == []


def test_each_write_makes_a_version_that_stays_readable(vault: Vault) -> None:
    """RULES D1"""
    assert vault.create(LIVE, {"status": "first"}) == 1
    assert vault.write(LIVE, {"status": "second"}, cas=1) == 2
    assert vault.read(LIVE) == Entry({"status": "second"}, 2)
    assert vault.read_version(LIVE, 1) == Entry({"status": "first"}, 1)
    assert vault.read_version(LIVE, 3) is None
    assert vault.read_version(LIVE, 0) is None
    assert vault.version(LIVE) == 2
    assert vault.versions(LIVE) == {1: VersionState.KEPT, 2: VersionState.KEPT}


def test_a_key_is_written_once(vault: Vault) -> None:
    """RULES E1"""
    vault.create("keys/1", {"private_key": "first"})
    with pytest.raises(ConflictError):
        vault.create("keys/1", {"private_key": "second"})
    assert vault.read("keys/1") == Entry({"private_key": "first"}, 1)


@pytest.mark.parametrize("stale", [0, 1, 3])
def test_a_write_on_a_version_that_is_not_the_newest_is_a_conflict(vault: Vault, stale: int) -> None:
    """RULES D1"""
    vault.write(LIVE, {"n": "1"}, cas=0)
    vault.write(LIVE, {"n": "2"}, cas=1)
    with pytest.raises(ConflictError, match=f"no longer at version {stale}"):
        vault.write(LIVE, {"n": "3"}, cas=stale)
    assert vault.read(LIVE) == Entry({"n": "2"}, 2)


def test_of_two_writers_at_once_one_wins_and_the_other_is_told(vault: Vault) -> None:
    """RULES D1"""
    rounds, both = 20, Barrier(2)

    def write(who: str, version: int) -> str | None:
        both.wait(timeout=120)
        try:
            vault.write(LIVE, {"who": who}, cas=version)
        except ConflictError:
            return None
        return who

    with ThreadPoolExecutor(2) as pool:
        for version in range(rounds):
            winners = [who for who in pool.map(write, "ab", [version, version]) if who]
            assert len(winners) == 1
            assert vault.read(LIVE) == Entry({"who": winners[0]}, version + 1)


def test_after_a_deletion_the_version_number_goes_on(vault: Vault, hvac_kv: Any) -> None:
    """RULES D1"""
    vault.create(LIVE, {"n": "1"})
    hvac_kv("delete_latest_version_of_secret", LIVE)
    assert vault.read(LIVE) is None
    assert vault.read_version(LIVE, 1) is None
    assert vault.version(LIVE) == 1
    assert vault.versions(LIVE) == {1: VersionState.DELETED}
    with pytest.raises(ConflictError):
        vault.create(LIVE, {"n": "2"})
    assert vault.write(LIVE, {"n": "2"}, cas=1) == 2


def test_a_deleted_version_can_come_back_and_a_destroyed_one_cannot(vault: Vault, hvac_kv: Any) -> None:
    """RULES D5"""
    vault.create(LIVE, {"n": "1"})
    vault.write(LIVE, {"n": "2"}, cas=1)
    hvac_kv("delete_secret_versions", LIVE, versions=[1, 2])
    assert vault.versions(LIVE) == {1: VersionState.DELETED, 2: VersionState.DELETED}
    vault.destroy_versions(LIVE, [1])
    hvac_kv("undelete_secret_versions", LIVE, versions=[1, 2])
    assert vault.versions(LIVE) == {1: VersionState.DESTROYED, 2: VersionState.KEPT}
    assert vault.read_version(LIVE, 1) is None
    assert vault.read(LIVE) == Entry({"n": "2"}, 2)


def test_destroying_versions_touches_no_others_and_may_run_twice(vault: Vault) -> None:
    """RULES D5"""
    for version in range(4):
        vault.write(LIVE, {"n": str(version + 1)}, cas=version)
    for _ in range(2):
        vault.destroy_versions(LIVE, [1, 3, 3, 99])
    vault.destroy_versions(LIVE, [])
    states = {1: VersionState.DESTROYED, 2: VersionState.KEPT, 3: VersionState.DESTROYED, 4: VersionState.KEPT}
    assert vault.versions(LIVE) == states
    assert vault.read(LIVE) == Entry({"n": "4"}, 4)
    vault.destroy_versions("live/unknown.example.com", [1])
    assert vault.read("live/unknown.example.com") is None


def test_when_the_newest_version_is_destroyed_nothing_is_read(vault: Vault) -> None:
    """RULES D5"""
    vault.create(LIVE, {"n": "1"})
    vault.write(LIVE, {"n": "2"}, cas=1)
    vault.destroy_versions(LIVE, [2])
    assert vault.read(LIVE) is None
    assert vault.version(LIVE) == 2
    assert vault.write(LIVE, {"n": "3"}, cas=2) == 3


def test_deleting_all_leaves_nothing_and_may_run_twice(vault: Vault) -> None:
    vault.create("keys/1", {"private_key": "x"})
    for _ in range(2):
        vault.delete_all("keys/1")
    assert vault.read("keys/1") is None
    assert vault.version("keys/1") is None
    assert vault.list("keys") == []
    assert vault.create("keys/1", {"private_key": "y"}) == 1


def test_versions_that_vault_has_forgotten_are_not_counted(vault: Vault, hvac_kv: Any) -> None:
    hvac_kv("update_metadata", LIVE, max_versions=2)
    assert vault.version(LIVE) is None
    for version in range(5):
        vault.write(LIVE, {"n": str(version + 1)}, cas=version)
    assert vault.versions(LIVE) == {4: VersionState.KEPT, 5: VersionState.KEPT}
    assert vault.read_version(LIVE, 3) is None


def test_vault_keeps_ten_versions_by_itself(vault: Vault) -> None:
    for version in range(12):
        vault.write(LIVE, {"n": str(version + 1)}, cas=version)
    assert list(vault.versions(LIVE)) == list(range(3, 13))


def test_a_list_names_entries_and_no_folders(vault: Vault) -> None:
    """RULES K6"""
    for path in ("live/b.example.com", "live/_wildcard.example.com", "live/a/deeper", "keys/1", "passwords/team/shop"):
        vault.create(path, {"x": "y"})
    assert sorted(vault.list("live")) == ["_wildcard.example.com", "b.example.com"]
    assert vault.list("passwords") == []
    assert vault.list("passwords/team") == ["shop"]
    assert vault.list("accounts") == []


@pytest.mark.parametrize("text", [
    "", "grüße, 世界, 🔑", "line\r\nbreaks\ttabs", "\x00\x1f\x7f", '"quotes" \\ back/slash', "</script>&<>", "\u2028\ufeff", " blanks ",
])
def test_any_text_comes_back_as_it_was(vault: Vault, text: str) -> None:
    vault.create("passwords/shop", {"field": text, text or "empty": "x"})
    assert vault.read("passwords/shop") == Entry({"field": text, text or "empty": "x"}, 1)


def test_a_keystore_of_100_kilobytes_comes_back_whole(vault: Vault) -> None:
    """RULES K4"""
    keystore = "MIIK" * 33_000
    vault.create(LIVE, {"keystore": keystore})
    found = vault.read(LIVE)
    assert found is not None
    assert found.data["keystore"] == keystore


def test_an_accounts_defaults_keep_their_shape(vault: Vault) -> None:
    """RULES C4"""
    defaults = {"external_requester_emails": ["pki@example.com"], "custom_fields": {"Cost centre": "4711"}}
    vault.create("accounts/default", {"login": "api", "defaults": defaults})
    found = vault.read("accounts/default")
    assert found is not None
    assert found.data["defaults"] == defaults


@pytest.mark.parametrize("data", [{"key": b"bytes"}, {"key": object()}, {"key": "\ud800"}, {"key": float("nan")}])
def test_what_vault_would_change_silently_is_refused(vault: Vault, data: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        vault.create("keys/1", data)
    assert vault.version("keys/1") is None


@pytest.mark.parametrize("name", ["grün.example.com", "with blank", "a+b*c", "~tilde!$&'()=:;,@", "x" * 64])
def test_unusual_names_are_names_and_nothing_else(vault: Vault, name: str) -> None:
    vault.create(f"live/{name}", {"n": name})
    assert vault.read(f"live/{name}") == Entry({"n": name}, 1)
    assert vault.list("live") == [name]
    vault.delete_all(f"live/{name}")
    assert vault.list("live") == []


@pytest.mark.parametrize("path", [
    "live/../keys/1", "live/./x", "live//x", "live/", "/live/x", "live/x/", "live/..", "live/x?version=1", "live/x#f", "live/%2e%2e/keys",
    "live/a\\..\\b", "live/x\n", "live/\x00", "live/x\u202e", "live/ x", "live/x ", "live", "", "other/x", "metadata/live/x",
    "../../sys/seal", "live/\ud800", "live/" + "x" * 1100,
])
def test_a_path_cannot_lead_elsewhere(vault: Vault, path: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: vault.read(path), lambda: vault.read_version(path, 1), lambda: vault.version(path), lambda: vault.versions(path),
        lambda: vault.create(path, {}), lambda: vault.write(path, {}, cas=1), lambda: vault.destroy_versions(path, [1]),
        lambda: vault.delete_all(path),
    ]
    for call in calls:
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize("folder", ["", "other", "live/..", "/", "keys/", "../live"])
def test_only_our_folders_are_listed(vault: Vault, folder: str) -> None:
    with pytest.raises(InputError):
        vault.list(folder)


def test_nothing_secret_is_shown_or_pickled(vault: Vault) -> None:
    vault.create("keys/1", {"private_key": "very-secret"})
    entry = vault.read("keys/1")
    assert "very-secret" not in repr(entry)
    assert repr(vault).startswith("Vault(http://127.0.0.1:")
    assert repr(vault).endswith(", secret/)")
    for thing in (vault, entry):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(thing)


def test_a_good_vault_passes_its_check_and_is_not_written_to(vault: Vault) -> None:
    """RULES S2"""
    assert vault.check() == ()
    assert all(vault.list(folder) == [] for folder in ("accounts", "keys", "passwords", "live"))


def test_many_threads_share_one_client(vault: Vault) -> None:
    def write(number: int) -> int:
        vault.create(f"keys/{number}", {"n": str(number)})
        entry = vault.read(f"keys/{number}")
        return int(entry.data["n"]) if entry else -1

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(write, range(200))) == list(range(200))
    assert len(vault.list("keys")) == 200


@pytest.fixture
def hvac_kv(vault_server: Any, prefix: str) -> Any:
    """Calls hvac's own KV version 2 methods below the prefix of this test, as an operator's tool would."""
    client = hvac.Client(url=vault_server.address, token=vault_server.token)

    def call(method: str, path: str, **arguments: Any) -> Any:
        return getattr(client.secrets.kv.v2, method)(path=f"{prefix}/{path}", mount_point="secret", **arguments)

    yield call
    client.adapter.close()
