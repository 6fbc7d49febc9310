"""`python -m deployments fetch` as a consumer of certificates runs it, against a Vault over HTTP."""

import os
import re
import shlex
import stat
from pathlib import Path

import pytest


def test_the_files_are_those_of_the_live_entry(live, fetch, folder, capfd) -> None:
    """RULES D1, K1: one consistent set, the key for its owner alone"""
    live.serve(entry := live.issue())
    assert fetch() == 0
    assert live.seen(folder) == live.files(entry)
    said = capfd.readouterr()
    assert said.err == ""
    assert "privkey.pem" in said.out
    assert "www.example.com, api.example.com, ends 2" in said.out
    assert "PRIVATE" not in said.out
    assert entry["keystore_password"] not in said.out


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_rights_do_not_depend_on_the_umask(live, fetch, folder, umask) -> None:
    """RULES K1: privkey.pem is 0600; the rest of what is secret is too"""
    live.serve(live.issue())
    before = os.umask(umask)
    try:
        assert fetch() == 0
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in live.seen(folder)}
    assert modes == {
        "cert.pem": 0o644, "chain.pem": 0o644, "fullchain.pem": 0o644, "privkey.pem": 0o600, "keystore.p12": 0o600, "keystore.password": 0o600,
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_is_there_keeps_its_rights_and_what_others_put_into_it(live, fetch, folder) -> None:
    """Files of others stay untouched."""
    folder.mkdir(parents=True)
    folder.chmod(0o750)
    (folder / "dhparam.pem").write_text("theirs")
    (folder / "keystore.jks").write_text("theirs too")
    live.serve(live.issue())
    assert fetch() == 0
    live.serve(live.issue())
    assert fetch() == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert [(folder / name).read_text() for name in ("dhparam.pem", "keystore.jks")] == ["theirs", "theirs too"]


def test_a_second_fetch_of_the_same_changes_nothing(live, fetch, folder, capfd) -> None:
    """A timer may run it every minute."""
    live.serve(entry := live.issue())
    fetch()
    before, served = os.readlink(folder / ".current"), capfd.readouterr().out
    live.serve(entry)    # a new version in Vault that holds the same
    assert fetch() == 0
    assert os.readlink(folder / ".current") == before
    assert "unchanged" not in served
    assert "unchanged" in capfd.readouterr().out


def test_what_was_damaged_is_mended(live, fetch, folder) -> None:
    """The files are compared, not a number."""
    live.serve(entry := live.issue())
    fetch()
    (folder / "chain.pem").write_text("half a ch")
    (folder / "cert.pem").unlink()
    assert fetch() == 0
    assert live.seen(folder) == live.files(entry)
    assert (folder / "cert.pem").is_symlink()


@pytest.mark.parametrize(("kind", "file"), [("JKS", "keystore.jks"), ("PEM", "keystore.pem"), ("PKCS12", "keystore.p12")])
def test_a_keystore_of_another_type_takes_the_place_of_the_old_one(live, fetch, folder, kind, file) -> None:
    """RULES K4: no keystore of an old version stays"""
    live.serve(live.issue("JKS" if kind == "PKCS12" else "PKCS12"))
    fetch()
    live.serve(entry := live.issue(kind))
    assert fetch() == 0
    assert file in live.seen(folder)
    assert live.seen(folder) == live.files(entry)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("keystore")) == sorted([file, "keystore.password"])


def test_without_our_key_no_old_key_stays_beside_the_certificate(live, fetch, folder, capfd) -> None:
    """RULES K2"""
    live.serve(live.issue())
    fetch()
    live.serve(entry := live.issue(own_csr=True))
    assert fetch() == 0
    assert live.seen(folder) == live.files(entry)
    assert not [path.name for path in folder.iterdir() if path.name in {"privkey.pem", "keystore.p12", "keystore.password"}]
    out = capfd.readouterr().out
    assert "privkey.pem (gone)" in out
    assert "no privkey.pem and no keystore" in out
    fetch()
    assert "no privkey.pem and no keystore" in capfd.readouterr().out


def test_the_key_that_a_customer_keeps_there_stays(live, fetch, folder) -> None:
    """RULES K2: the key of a customer's own CSR may well lie in this folder"""
    folder.mkdir(parents=True)
    (folder / "privkey.pem").write_text("the customer's")
    live.serve(live.issue(own_csr=True))
    assert fetch() == 0
    assert (folder / "privkey.pem").read_text() == "the customer's"


@pytest.mark.parametrize("name", ["cert.pem", "privkey.pem", "keystore.p12", ".current"])
def test_a_file_of_another_owner_is_refused_not_overwritten(live, fetch, folder, capfd, name) -> None:
    """Somebody's certificate may be in use."""
    folder.mkdir(parents=True)
    (folder / name).write_text("theirs")
    live.serve(live.issue())
    assert fetch() == 1
    assert f"{folder / name} is there and is not Certflow's" in capfd.readouterr().err
    assert (folder / name).read_text() == "theirs"
    assert {path.name for path in folder.iterdir()} == {name, ".certflow-lock"}


def test_a_link_of_another_owner_is_refused_too(live, fetch, folder) -> None:
    """Other programs keep their certificates behind links as well."""
    folder.mkdir(parents=True)
    (folder / "cert.pem").symlink_to("../archive/cert1.pem")
    live.serve(live.issue())
    assert fetch() == 1
    assert os.readlink(folder / "cert.pem") == "../archive/cert1.pem"


def test_nothing_in_vault_is_a_sentence_and_makes_no_folder(fetch, folder, capfd) -> None:
    """One sentence, status 1."""
    assert fetch() == 1
    said = capfd.readouterr()
    assert "Vault serves nothing at live/www.example.com" in said.err
    assert (len(said.err.strip().splitlines()), said.out) == (1, "")
    assert not folder.exists()


def _revoked(entry, _other):
    return entry | {"status": "revoked", "private_key": "", "keystore": "", "keystore_password": ""}


@pytest.mark.parametrize(("spoil", "words"), [
    (_revoked, "its status is revoked"),
    (lambda entry, other: entry | {"private_key": other["private_key"]}, "its private key does not belong to its certificate"),
    (lambda entry, other: entry | {"sha256": other["sha256"]}, "fingerprint"),
    (lambda entry, _other: entry | {"chain": entry["certificate"]}, "does not hold the issuer"),
    (lambda entry, other: entry | {"chain": other["chain"]}, "does not verify"),
    (lambda entry, _other: entry | {"certificate": "no certificate"}, "cannot be used"),
    (lambda entry, _other: entry | {"private_key": "no key"}, "The private key in Vault cannot be read"),
    (lambda entry, _other: entry | {"keystore": "?"}, "not valid Base64"),
    (lambda entry, _other: entry | {"keystore_type": "BKS"}, "no keystore of its type"),
    (lambda _entry, _other: {"something": "else"}, "its status is missing"),
])
def test_what_must_not_be_used_leaves_the_old_files(live, fetch, folder, capfd, spoil, words) -> None:
    """RULES D1, D5: a revoked entry, and parts that do not belong together"""
    live.serve(old := live.issue())
    fetch()
    capfd.readouterr()
    live.serve(spoil(live.issue(), live.issue()))
    assert fetch("--after", f"touch {folder}/told") == 1
    said = capfd.readouterr()
    assert words in said.err
    assert (len(said.err.strip().splitlines()), said.out) == (1, "")
    assert "PRIVATE" not in said.err
    assert live.seen(folder) == live.files(old)
    assert not (folder / "told").exists()


def test_a_vault_that_is_away_leaves_the_old_files(live, fetch, folder, capfd, monkeypatch) -> None:
    """The next run of the timer tries again."""
    from tasks.services import forget_services

    live.serve(old := live.issue())
    fetch()
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:9")
    forget_services()
    assert fetch() == 1
    assert "cannot be reached" in capfd.readouterr().err
    assert live.seen(folder) == live.files(old)


@pytest.mark.parametrize("name", ["../keys/1", "a/b", "..", ".hidden", "*.example.com", "", "www.example.com#x", "a" * 254])
def test_a_name_that_leads_elsewhere_is_refused(fetch, folder, capfd, name) -> None:
    """RULES D2"""
    assert fetch(name=name) == 1
    assert "cannot be used" in capfd.readouterr().err
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(live, fetch, tmp_path, capfd) -> None:
    """No traceback."""
    live.serve(live.issue())
    (tmp_path / "file").write_text("")
    for into in (tmp_path / "file", tmp_path / "file" / "below"):
        assert fetch(into=into) == 1
        said = capfd.readouterr().err
        assert f"the files in {into} cannot be brought up to date" in said
        assert len(said.strip().splitlines()) == 1


def test_a_disk_that_takes_no_more_leaves_the_old_files(live, typed, fetch, folder) -> None:
    """A limit on the size of a file stands for the full disk: both fail a write."""
    live.serve(old := live.issue())
    fetch()
    live.serve(new := live.issue())
    process = typed(before=("/bin/sh", "-c", 'ulimit -f 1; exec "$@"', "sh"))
    _, said = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "cannot be brought up to date (File too large)" in said
    assert live.seen(folder) == live.files(old)
    assert len(list(folder.glob(".certflow-v*"))) == 1
    assert fetch() == 0
    assert live.seen(folder) == live.files(new)


def test_it_needs_neither_a_database_nor_prefect(live, typed, folder, tmp_path: Path) -> None:
    """The host has Vault and a folder; the address of the database in its environment leads nowhere."""
    live.serve(entry := live.issue())
    process = typed(more={"PREFECT_API_URL": "http://127.0.0.1:9/api"})
    assert process.communicate(timeout=180)[1] == ""
    assert process.returncode == 0
    assert live.seen(folder) == live.files(entry)
    assert list((tmp_path / "home").iterdir()) == []


def test_the_unit_in_the_readme_runs_it(live, fetch, folder, tmp_path) -> None:
    """Its ExecStart, split as systemd splits it, with a folder and a command of this test"""
    [line] = re.findall(r"^ExecStart=\S+/python -m deployments fetch (.*)$", (Path(__file__).parents[3] / "README.md").read_text(), re.MULTILINE)
    name, into, option, after = shlex.split(line.replace("%i", "www.example.com"))
    assert (into, after) == ("/etc/nginx/tls/www.example.com", "systemctl reload nginx")
    live.serve(entry := live.issue())
    assert fetch(option, f"touch {tmp_path}/told", name=name) == 0
    assert (tmp_path / "told").exists()
    assert live.seen(folder) == live.files(entry)


@pytest.mark.parametrize("login", ["token", "approle"])
@pytest.mark.parametrize("narrowed", [False, True])
@pytest.mark.vault
def test_the_readers_policy_suffices(live, typed, folder, real_vault, reader, new_vault, prefix, login, narrowed) -> None:
    """DESIGN 1, line 11: the right to read live/*, or this one name, and nothing else"""
    policy = reader
    if narrowed:
        policy = f"one-{prefix}"
        real_vault.policy(policy, f'path "secret/data/{prefix}/live/www.example.com" {{ capabilities = ["read"] }}')
    live.vault = new_vault(real_vault.address, token=real_vault.token, prefix=prefix)
    live.serve(entry := live.issue())
    if login == "token":
        made = real_vault.call("POST", "auth/token/create", {"policies": [policy], "no_default_policy": True})
        words = {"VAULT_TOKEN": made["auth"]["client_token"]}
    else:
        role, secret = real_vault.new_role(f"fetch-{policy}", policy)
        words = {"VAULT_TOKEN": "", "VAULT_ROLE_ID": role, "VAULT_SECRET_ID": secret}
    process = typed(more={"VAULT_ADDR": real_vault.address, **words})
    assert process.communicate(timeout=180)[1] == ""
    assert process.returncode == 0
    assert live.seen(folder) == live.files(entry)


@pytest.mark.vault
def test_a_name_that_the_policy_does_not_allow_is_a_sentence(typed, folder, real_vault, prefix) -> None:
    """It names the policy that a consumer needs."""
    real_vault.policy(f"other-{prefix}", f'path "secret/data/{prefix}/live/other.example.com" {{ capabilities = ["read"] }}')
    process = typed(more={"VAULT_ADDR": real_vault.address, "VAULT_TOKEN": real_vault.new_token(f"other-{prefix}")})
    _, said = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "reader.hcl" in said
    assert len(said.strip().splitlines()) == 1
    assert not folder.exists()
