"""What the settings of Vault may be, and what of them goes over the wire."""

import json
import pickle
from typing import Any

import pytest

from models.errors import SetupError, TransientError
from tasks.adapters.vault import Vault, VaultSettings

LIVE = "live/www.example.com"
SECRET = "never-show-this"
JSON = {"Content-Type": "application/json"}


def said(*errors: str) -> bytes:
    return json.dumps({"errors": errors}).encode()


def test_plain_http_on_the_loopback_does_not_go_to_a_proxy(
    near: Any, through: Vault, neighbour: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = neighbour()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.address)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert through.read(LIVE) is None
    assert proxy.calls == []
    assert len(near.calls) == 2


def test_https_goes_through_the_proxy_of_the_environment(new_vault: Any, neighbour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = neighbour()
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy.address)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TransientError, match="the proxy before Vault"):
        new_vault("https://vault.example.com:8200", token=SECRET).read(LIVE)


def test_the_environment_is_not_read(near: Any, through: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VAULT_TOKEN", "VAULT_NAMESPACE", "VAULT_ADDR", "VAULT_CACERT"):
        monkeypatch.setenv(name, SECRET)
    assert through.read(LIVE) is None
    assert not any(SECRET in str(headers) for _, _, headers in near.calls)


def test_the_namespace_goes_with_every_call_but_health(near: Any, vault_server: Any, new_vault: Any) -> None:
    vault = new_vault(near.address, token=vault_server.token, namespace="pki/shop")
    vault.check()
    vault.create(LIVE, {"n": "1"})
    spaces = {path.partition("?")[0]: headers.get("X-Vault-Namespace") for _, path, headers in near.calls}
    assert spaces.pop("/v1/sys/health") is None
    assert len(spaces) >= 3
    assert set(spaces.values()) == {"pki/shop"}


@pytest.mark.parametrize(("facts", "sentence"), [
    ({"path": "secret/", "type": "kv", "options": {"version": "1"}}, "version 2"),
    ({"path": "secret/", "type": "kv", "options": None}, "version 2"),
    ({"path": "secret/", "type": "pki", "options": {}}, "version 2"),
    ({"path": "sec/", "type": "kv", "options": {"version": "2"}}, "Vault's mount there is sec/"),
])
def test_nothing_is_written_to_a_mount_of_another_kind(near: Any, through: Vault, facts: dict[str, Any], sentence: str) -> None:
    near.spoil = lambda _method, path: (200, JSON, json.dumps({"data": facts}).encode()) if "/mounts/" in path else None
    for call in (lambda: through.create(LIVE, {"n": "1"}), lambda: through.read(LIVE), through.check):
        with pytest.raises(SetupError, match=sentence):
            call()
    assert near.count("POST", "/data/") == 0


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"address": "http://vault.example.com:8200"}, "use https"),
    ({"address": "http://127.0.0.1.example.com:8200"}, "use https"),
    ({"address": "http://10.0.0.1:8200"}, "use https"),
    ({"address": ""}, "not an address"),
    ({"address": "vault.example.com"}, "not an address"),
    ({"address": "unix:///run/vault.sock"}, "not an address"),
    ({"address": "https://vault.example.com:port"}, "not an address"),
    ({"address": "https://vault.example.com\r\nX: y"}, "not an address"),
    ({"address": f"https://user:{SECRET}@vault.example.com"}, "user name or a password"),
    ({"address": "https://vault.example.com/?a=b"}, "query"),
    ({"token": None}, "no login"),
    ({"token": None, "role_id": "x"}, "no login"),
    ({"token": f"{SECRET}\n"}, "VAULT_TOKEN"),
    ({"token": f"{SECRET}é"}, "VAULT_TOKEN"),
    ({"namespace": "a\r\nX-Vault-Token: b"}, "VAULT_NAMESPACE"),
    ({"ca_cert": "/nowhere/ca.pem"}, "VAULT_CACERT names /nowhere/ca.pem"),
    ({"mount": ""}, "CERTFLOW_VAULT_MOUNT"),
    ({"mount": "../sys"}, "CERTFLOW_VAULT_MOUNT"),
    ({"prefix": ""}, "CERTFLOW_VAULT_PREFIX"),
    ({"prefix": "a/../b"}, "CERTFLOW_VAULT_PREFIX"),
])
def test_settings_that_cannot_work_are_refused_before_a_call(changes: dict[str, Any], sentence: str) -> None:
    settings = {"address": "https://vault.example.com:8200", "token": SECRET, **changes}
    with pytest.raises(SetupError, match=sentence) as caught:
        VaultSettings(**settings)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("address", [
    "https://vault.example.com:8200/", "http://localhost:8200", "http://127.8.9.1:8200", "http://[::1]:8200", "https://gate.example.com/vault",
])
def test_https_and_the_loopback_are_good_addresses(address: str) -> None:
    settings = VaultSettings(address=address, token=SECRET, secret_id=SECRET)
    assert SECRET not in repr(settings) + repr(Vault(settings))
    with pytest.raises(TypeError):
        pickle.dumps(settings)


def test_a_mount_and_a_prefix_may_have_several_segments(neighbour: Any, new_vault: Any) -> None:
    near = neighbour()
    near.spoil = lambda _method, path: (403, JSON, said("no")) if "/mounts/" in path else (404, JSON, said())
    vault = new_vault(near.address + "/behind/", token="x", mount="/teams/kv/", prefix="apps/certflow")
    assert vault.read(LIVE) is None
    assert near.calls[-1][1] == "/behind/v1/teams/kv/data/apps/certflow/live/www.example.com"
