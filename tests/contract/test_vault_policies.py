"""The two policies that we ship, against the real Vault."""

from collections.abc import Callable
from typing import Any

import pytest

from models.errors import ConflictError, SetupError
from tasks.adapters.vault import Entry, Vault

LIVE = "live/www.example.com"


def test_the_workers_policy_suffices_for_all_that_certflow_does(real_vault: Any, new_vault: Any, worker: str, prefix: str, root: Vault) -> None:
    """RULES S2"""
    role_id, secret_id = real_vault.new_role(worker, worker)
    vault = new_vault(real_vault.address, role_id=role_id, secret_id=secret_id, prefix=prefix)
    root.create("passwords/shop", {"field": "x"})
    assert vault.check() == ()
    assert vault.create("accounts/default", {"login": "a"}) == 1
    assert vault.write("accounts/default", {"login": "b"}, cas=1) == 2
    assert vault.version("accounts/default") == 2
    assert vault.list("accounts") == ["default"]
    assert vault.create("keys/1", {"private_key": "x"}) == 1
    assert vault.read("keys/1") == Entry({"private_key": "x"}, 1)
    assert vault.list("keys") == ["1"]
    vault.delete_all("keys/1")
    assert vault.read("passwords/shop") == Entry({"field": "x"}, 1)
    assert vault.create(LIVE, {"n": "1"}) == 1
    assert vault.write(LIVE, {"n": "2"}, cas=1) == 2
    assert vault.read_version(LIVE, 1) == Entry({"n": "1"}, 1)
    assert vault.list("live") == ["www.example.com"]
    vault.destroy_versions(LIVE, [1])
    assert [state.value for state in vault.versions(LIVE).values()] == ["destroyed", "kept"]


def test_the_workers_policy_gives_nothing_more(real_vault: Any, new_vault: Any, worker: str, prefix: str, root: Vault) -> None:
    token = real_vault.new_token(worker)
    vault = new_vault(real_vault.address, token=token, prefix=prefix)
    for path in ("keys/1", "passwords/shop", LIVE, "accounts/default"):
        root.create(path, {"n": "1"})
    forbidden: list[tuple[Callable[[], object], str]] = [
        (lambda: vault.write("keys/1", {}, cas=1), f'"update" on secret/data/{prefix}/keys/*'),
        (lambda: vault.create("passwords/new", {}), f'"create" on secret/data/{prefix}/passwords/*'),
        (lambda: vault.destroy_versions("keys/1", [1]), f'"update" on secret/destroy/{prefix}/keys/*'),
        (lambda: vault.delete_all(LIVE), f'"delete" on secret/metadata/{prefix}/live/*'),
        (lambda: vault.delete_all("accounts/default"), f'"delete" on secret/metadata/{prefix}/accounts/*'),
        (lambda: new_vault(real_vault.address, token=token, prefix="elsewhere").read(LIVE), '"read" on secret/data/elsewhere/live/*'),
    ]
    for call, lacking in forbidden:
        with pytest.raises(SetupError) as caught:
            call()
        assert "the token is good" in str(caught.value)
        assert lacking in str(caught.value)


def test_the_readers_policy_reads_what_is_live_and_nothing_else(
    real_vault: Any, new_vault: Any, reader: str, prefix: str, root: Vault,
) -> None:
    """DESIGN 1, line 11"""
    for path in (LIVE, "keys/1", "accounts/default", "passwords/shop"):
        root.create(path, {"n": "1"})
    vault = new_vault(real_vault.address, token=real_vault.new_token(reader), prefix=prefix)
    assert vault.read(LIVE) == Entry({"n": "1"}, 1)
    for call in (
        lambda: vault.read("keys/1"), lambda: vault.read("accounts/default"), lambda: vault.read("passwords/shop"),
        lambda: vault.list("live"), lambda: vault.create("live/new.example.com", {}), lambda: vault.write(LIVE, {}, cas=1),
    ):
        with pytest.raises(SetupError, match="policy lacks"):
            call()


def test_a_key_that_exists_is_a_conflict_even_where_the_policy_only_allows_to_create(
    real_vault: Any, new_vault: Any, worker: str, prefix: str,
) -> None:
    """RULES E1"""
    role_id, secret_id = real_vault.new_role(worker, worker)
    vault = new_vault(real_vault.address, role_id=role_id, secret_id=secret_id, prefix=prefix)
    vault.create("keys/1", {"private_key": "first"})
    with pytest.raises(ConflictError, match="in Vault already"):
        vault.create("keys/1", {"private_key": "second"})
    assert vault.read("keys/1") == Entry({"private_key": "first"}, 1)


def test_check_names_each_capability_that_is_missing(real_vault: Any, new_vault: Any, worker_hcl: str, prefix: str) -> None:
    """RULES S2"""
    real_vault.policy(f"poor-{prefix}", worker_hcl.replace('["create", "read"]', '["read"]').replace('["update"]', '["deny"]'))
    vault = new_vault(real_vault.address, token=real_vault.new_token(f"poor-{prefix}"), prefix=prefix)
    with pytest.raises(SetupError) as caught:
        vault.check()
    assert f'lacks "create" on secret/data/{prefix}/keys/*, "update" on secret/destroy/{prefix}/live/*:' in str(caught.value)


def test_check_proves_nothing_to_a_token_without_the_default_policy(real_vault: Any, new_vault: Any, worker: str, prefix: str) -> None:
    """RULES S2"""
    made = real_vault.call("POST", "auth/token/create", {"policies": [worker], "no_default_policy": True})
    vault = new_vault(real_vault.address, token=made["auth"]["client_token"], prefix=prefix)
    assert vault.create(LIVE, {"n": "1"}) == 1
    with pytest.raises(SetupError, match=r"if it is still good, its policy lacks .update. on sys/capabilities-self"):
        vault.check()
