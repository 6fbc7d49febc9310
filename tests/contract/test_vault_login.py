"""Login, mounts and the life of a server: against the real Vault only."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from models.errors import InputError, SetupError, TransientError
from tasks.adapters.vault import Entry, Vault

LIVE = "live/www.example.com"


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def logins(near: Any) -> int:
    return int(near.count("POST", "/auth/approle/login"))


def test_an_approle_logs_in_once_for_many_calls_and_threads(
    neighbour: Any, real_vault: Any, new_vault: Any, worker: str, prefix: str,
) -> None:
    near = neighbour(real_vault.address)
    role_id, secret_id = real_vault.new_role(worker, worker)
    vault = new_vault(near.address, role_id=role_id, secret_id=secret_id, prefix=prefix)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: vault.read(LIVE), range(40))) == [None] * 40
    assert logins(near) == 1


def test_an_approle_logs_in_again_before_its_token_ends(neighbour: Any, real_vault: Any, new_vault: Any, worker: str, prefix: str) -> None:
    near, clock = neighbour(real_vault.address), Clock()
    role_id, secret_id = real_vault.new_role(worker, worker, ttl="600s")
    vault = new_vault(near.address, role_id=role_id, secret_id=secret_id, prefix=prefix, clock=clock)
    for seconds, expected in ((0, 1), (539, 1), (1, 2), (539, 2), (10_000, 3)):
        clock.now += timedelta(seconds=seconds)
        assert vault.read(LIVE) is None
        assert logins(near) == expected


def test_an_approle_with_a_token_of_two_seconds_works_on(real_vault: Any, new_vault: Any, worker: str, prefix: str) -> None:
    role_id, secret_id = real_vault.new_role(worker, worker, ttl="2s")
    vault = new_vault(real_vault.address, role_id=role_id, secret_id=secret_id, prefix=prefix)
    started, version = datetime.now(UTC), 0
    while datetime.now(UTC) - started < timedelta(seconds=5):
        version = vault.write(LIVE, {"n": str(version)}, cas=version)
    assert version > 10


def test_a_token_revoked_while_running_is_replaced_by_one_login(
    neighbour: Any, real_vault: Any, new_vault: Any, worker: str, prefix: str,
) -> None:
    near = neighbour(real_vault.address)
    role_id, secret_id = real_vault.new_role(worker, worker)
    vault = new_vault(near.address, role_id=role_id, secret_id=secret_id, prefix=prefix)
    assert vault.create(LIVE, {"n": "1"}) == 1
    token = next(headers["X-Vault-Token"] for _, _, headers in reversed(near.calls) if "X-Vault-Token" in headers)
    real_vault.call("POST", "auth/token/revoke", {"token": token})
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: vault.read(LIVE), range(16))) == [Entry({"n": "1"}, 1)] * 16
    assert logins(near) == 2
    assert vault.write(LIVE, {"n": "2"}, cas=1) == 2


def test_tokens_of_few_uses_are_replaced_as_they_are_used_up(real_vault: Any, new_vault: Any, worker: str, prefix: str) -> None:
    role_id, secret_id = real_vault.new_role(worker, worker, token_num_uses=3)
    vault = new_vault(real_vault.address, role_id=role_id, secret_id=secret_id, prefix=prefix)
    for version in range(8):
        assert vault.write(LIVE, {"n": "x"}, cas=version) == version + 1


def test_an_approle_whose_policy_lacks_something_is_told_so_after_one_more_login(
    neighbour: Any, real_vault: Any, new_vault: Any, reader: str, prefix: str,
) -> None:
    near = neighbour(real_vault.address)
    role_id, secret_id = real_vault.new_role(reader, reader)
    vault = new_vault(near.address, role_id=role_id, secret_id=secret_id, prefix=prefix)
    vault.read(LIVE)
    with pytest.raises(SetupError, match=f'policy lacks "create" on secret/data/{prefix}/live/\\*'):
        vault.write(LIVE, {"private_key": "never-show-this"}, cas=0)
    assert logins(near) == 2


def test_a_wrong_or_used_up_secret_id_is_told(real_vault: Any, new_vault: Any, worker: str, prefix: str) -> None:
    role_id, secret_id = real_vault.new_role(worker, worker, secret_id_num_uses=1)
    assert new_vault(real_vault.address, role_id=role_id, secret_id=secret_id, prefix=prefix).read(LIVE) is None
    for role, secret in ((role_id, secret_id), (role_id, "wrong"), ("wrong", secret_id)):
        with pytest.raises(SetupError, match="refused the AppRole login: make a new secret id") as caught:
            new_vault(real_vault.address, role_id=role, secret_id=secret).read(LIVE)
        assert secret_id not in str(caught.value)
        assert role_id not in str(caught.value)


@pytest.mark.parametrize("body", [b"{}", b'{"auth": null}', b'{"auth": {"client_token": "", "lease_duration": 1}}',
                                  b'{"auth": {"client_token": "x", "lease_duration": "1h"}}'])
def test_a_login_without_a_token_is_told(neighbour: Any, new_vault: Any, body: bytes) -> None:
    near = neighbour()
    near.spoil = lambda _method, _path: (200, {"Content-Type": "application/json"}, body)
    with pytest.raises(SetupError, match="did not answer the AppRole login with a token"):
        new_vault(near.address, role_id="r", secret_id="s").read(LIVE)


def test_a_token_given_serves_before_an_approle(neighbour: Any, real_vault: Any, new_vault: Any) -> None:
    near = neighbour(real_vault.address)
    assert new_vault(near.address, token=real_vault.token, role_id="r", secret_id="s").read(LIVE) is None
    assert logins(near) == 0


def test_a_token_that_ended_is_told_apart_from_a_policy(real_vault: Any, new_vault: Any, worker: str, prefix: str) -> None:
    token = real_vault.new_token(worker)
    vault = new_vault(real_vault.address, token=token, prefix=prefix)
    assert vault.create(LIVE, {"n": "1"}) == 1
    real_vault.call("POST", "auth/token/revoke", {"token": token})
    calls: list[Callable[[], object]] = [
        lambda: vault.read(LIVE), lambda: vault.write(LIVE, {}, cas=1), lambda: vault.list("live"), vault.check,
    ]
    for call in calls:
        with pytest.raises(SetupError, match="has ended or was revoked") as caught:
            call()
        assert token not in str(caught.value)
        assert "policy" not in str(caught.value)


def test_a_mount_that_does_not_exist_is_told(real_vault: Any, new_vault: Any) -> None:
    vault = new_vault(real_vault.address, token=real_vault.token, mount="no/such")
    for call in (vault.check, lambda: vault.read(LIVE), lambda: vault.create(LIVE, {"n": "1"}), lambda: vault.list("live")):
        with pytest.raises(SetupError, match="CERTFLOW_VAULT_MOUNT"):
            call()


def test_a_mount_of_version_1_is_told_and_holds_nothing_of_ours(real_vault: Any, new_vault: Any) -> None:
    name = f"kv1-{uuid4()}"
    real_vault.call("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": "1"}})
    vault = new_vault(real_vault.address, token=real_vault.token, mount=name)
    for call in (lambda: vault.create("keys/1", {"private_key": "x"}), lambda: vault.read(LIVE), lambda: vault.version(LIVE), vault.check):
        with pytest.raises(SetupError, match="not a KV secrets engine of version 2"):
            call()
    with pytest.raises(AssertionError, match="404"):
        real_vault.call("GET", f"{name}/?list=true")


def test_a_mount_within_folders_serves_as_well(real_vault: Any, new_vault: Any) -> None:
    name = f"teams/{uuid4()}"
    real_vault.call("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": "2"}})
    vault = new_vault(real_vault.address, token=real_vault.token, mount=f"/{name}/", prefix="apps/certflow/")
    assert vault.create(LIVE, {"n": "1"}) == 1
    assert vault.list("live") == ["www.example.com"]
    assert vault.check() == ()
    for inside in (f"{name}/apps", "teams"):
        with pytest.raises(SetupError, match="CERTFLOW_VAULT_MOUNT"):
            new_vault(real_vault.address, token=real_vault.token, mount=inside).read(LIVE)


def test_a_sealed_vault_is_worth_waiting_for(real_vault: Any, root: Vault) -> None:
    root.create(LIVE, {"n": "1"})
    real_vault.seal()
    for call in (lambda: root.read(LIVE), lambda: root.write(LIVE, {"n": "2"}, cas=1), root.check):
        with pytest.raises(TransientError, match="is sealed: an operator must unseal it"):
            call()
    real_vault.unseal()
    assert root.write(LIVE, {"n": "2"}, cas=1) == 2


def test_a_vault_that_died_and_came_back_is_used_on(real_vault: Any, new_vault: Any, worker: str, prefix: str) -> None:
    role_id, secret_id = real_vault.new_role(worker, worker)
    vault = new_vault(real_vault.address, role_id=role_id, secret_id=secret_id, prefix=prefix)
    vault.create(LIVE, {"n": "1"})
    real_vault.stop()
    for call in (lambda: vault.read(LIVE), lambda: vault.write(LIVE, {"n": "2"}, cas=1)):
        with pytest.raises(TransientError, match="cannot be reached"):
            call()
    real_vault.start()
    if not real_vault.keeps_data:
        pytest.skip("this Vault program forgets its data when it ends")
    assert vault.read(LIVE) == Entry({"n": "1"}, 1)
    assert vault.write(LIVE, {"n": "2"}, cas=1) == 2


def test_deletion_that_lies_ahead_leaves_the_version_readable(real_vault: Any, root: Vault, prefix: str) -> None:
    """RULES D5"""
    real_vault.call("POST", f"secret/metadata/{prefix}/{LIVE}", {"delete_version_after": "1h"})
    root.create(LIVE, {"n": "1"})
    assert root.read(LIVE) == Entry({"n": "1"}, 1)
    assert [state.value for state in root.versions(LIVE).values()] == ["kept"]


def test_an_entry_emptied_by_hand_is_read_as_none(real_vault: Any, root: Vault, prefix: str) -> None:
    real_vault.call("POST", f"secret/data/{prefix}/{LIVE}", {"data": None})
    assert root.read(LIVE) is None
    assert root.version(LIVE) == 1


def test_names_that_certflow_cannot_have_written_are_not_listed(real_vault: Any, root: Vault, prefix: str) -> None:
    """RULES K6"""
    for name in ("good", "bad%23name", "bad%3Fname", "bad%5Cname"):
        real_vault.call("POST", f"secret/data/{prefix}/live/{name}", {"data": {"n": "1"}})
    assert root.list("live") == ["good"]


def test_an_entry_beyond_what_vault_takes_is_refused(root: Vault) -> None:
    with pytest.raises(InputError, match="larger than Vault takes"):
        root.create(LIVE, {"keystore": "x" * 33 * 1024 * 1024})
    assert root.version(LIVE) is None


@pytest.fixture(autouse=True)
def every_secret_stays_out_of_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client logs on its way, at whatever level, holds a value or a token."""
    with caplog.at_level(0):
        yield
    assert "never-show-this" not in caplog.text
    assert "hvs." not in caplog.text
