"""No secret is left in what Certflow and Prefect write; and the search that says so finds what is planted."""

import base64
import gzip
import json
import pickle
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from models.errors import SetupError

ROOT = Path(__file__).resolve().parents[5]
PASSWORD = "Invented-password-of-nobody-42"
KEYS = {"EC": ec.generate_private_key(ec.SECP256R1()), "RSA": rsa.generate_private_key(65537, 2048)}


def pem(kind: str, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return KEYS[kind].private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def der(kind: str, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return KEYS[kind].private_bytes(Encoding.DER, form, NoEncryption())


def public(kind: str) -> bytes:
    return KEYS[kind].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def in_database(file: Path, cell: str | bytes) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE flow_run_state (id INTEGER, data)")
        database.execute("INSERT INTO flow_run_state VALUES (1, ?)", (cell,))
        database.commit()


PLANTED: dict[str, Callable[[Path], object]] = {
    "in a log": lambda folder: (folder / "run.log").write_text(f"12:00:01 | INFO | connecting with {PASSWORD}\n"),
    "in a pickled exception": lambda folder: (folder / "result").write_bytes(pickle.dumps(SetupError(f"login {PASSWORD}"))),
    "in a pickled exception in Base64 in JSON, as Prefect stores it": lambda folder: (folder / "result.json").write_text(
        json.dumps({"metadata": {}, "result": base64.encodebytes(pickle.dumps(SetupError(f"login {PASSWORD}"))).decode()})),
    "in a row of a database": lambda folder: in_database(folder / "prefect.db", json.dumps({"message": PASSWORD})),
    "in a packed blob of a database": lambda folder: in_database(folder / "prefect.db", zlib.compress(PASSWORD.encode() * 3)),
    "in a row longer than a page": lambda folder: in_database(folder / "prefect.db", "x" * 4000 + PASSWORD + "x" * 9000),
    "in a zipped log": lambda folder: (folder / "run.log.gz").write_bytes(gzip.compress(f"login {PASSWORD}".encode())),
    "in a zipped text in Base64": lambda folder: (folder / "x").write_bytes(base64.b64encode(zlib.compress(b"login " + PASSWORD.encode()))),
    "in hex": lambda folder: (folder / "x").write_text(PASSWORD.encode().hex().upper()),
    **{
        f"in Base64 behind {before} letters": lambda folder, before=before: (folder / "x").write_bytes(
            b'{"token":"' + base64.b64encode(b"a" * before + PASSWORD.encode() + b"zz") + b'"}')
        for before in range(3)
    },
}

PLANTED_KEYS: dict[str, Callable[[str], bytes]] = {
    "as PEM": lambda kind: pem(kind).encode(),
    "as PEM of the old form": lambda kind: pem(kind, PrivateFormat.TraditionalOpenSSL).encode(),
    "as PEM in JSON": lambda kind: json.dumps({"private_key": pem(kind)}).encode(),
    "as PEM in JSON in JSON": lambda kind: json.dumps(json.dumps({"private_key": pem(kind)})).encode(),
    "as PEM in a repr": lambda kind: repr({"private_key": pem(kind)}).encode(),
    "as PEM with Windows line ends": lambda kind: pem(kind).replace("\n", "\r\n").encode(),
    "as PEM in Base64": lambda kind: base64.b64encode(pem(kind).encode()),
    "as DER": der,
    "as DER of the old form": lambda kind: der(kind, PrivateFormat.TraditionalOpenSSL),
    "as DER in Base64": lambda kind: b"x" + base64.b64encode(b"\x01" + der(kind)),
    "as packed DER": lambda kind: zlib.compress(der(kind)),
    "as its numbers": lambda kind: f"{KEYS[kind].private_numbers()!r} {_number(kind)}".encode(),
}


def _number(kind: str) -> int:
    key = KEYS[kind]
    return key.private_numbers().private_value if isinstance(key, ec.EllipticCurvePrivateKey) else key.private_numbers().d


@pytest.mark.parametrize("where", PLANTED)
def test_a_planted_password_is_found(search: Any, tmp_path: Path, where: str) -> None:
    """A search that finds nothing proves nothing unless it finds what is there."""
    search.add_text("password", PASSWORD)
    assert search.found_in(tmp_path) == []
    PLANTED[where](tmp_path)
    assert {line.rpartition(": ")[2] for line in search.found_in(tmp_path)} == {"password"}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", PLANTED_KEYS)
def test_a_planted_key_is_found(search: Any, kind: str, form: str) -> None:
    """The same for private keys in all their forms."""
    search.add_key("key", pem(kind))
    assert search.in_bytes(b"before " + PLANTED_KEYS[form](kind) + b" behind") == {"key"}


@pytest.mark.parametrize("kind", KEYS)
def test_a_public_key_is_no_secret(search: Any, kind: str) -> None:
    """It stands in every CSR and certificate that the database holds."""
    search.add_key("key", pem(kind))
    assert search.in_bytes(public(kind)) == set()


@pytest.mark.slow
def test_no_secret_is_left_anywhere(installation: Any, acts: dict[str, Any], told: list[Any], search: Any, tmp_path: Path) -> None:
    """DESIGN 6, 8.2, RULES K1: not in Prefect's database, results, logs and events, not in ours, not in reports and temporary files, not
    on the terminal, not in what other programs are told; after each act, renewals, reissues, revocations and destroyed keys too.

    A run that fails leaves most: its error is pickled, its message is stored in several columns.
    """
    refused_login = _with_a_refused_login(installation)
    well, taken, unknown, inventory = installation.runs(
        ("check-account", {}), ("order-certificate", installation.wish("shop.example.com")), ("check-account", {"account": "nobody"}),
        ("report-inventory", {}))
    ended = [run["state"]["type"] for run in (well, refused_login, taken, unknown, inventory)]
    assert ended == ["COMPLETED", "FAILED", "FAILED", "FAILED", "COMPLETED"]
    _learn_the_secrets(installation, acts, search)
    said = [installation.up.said, *installation.worker_says, json.dumps(told), _said_by_fetch(installation, tmp_path / "files")]
    (tmp_path / "said").mkdir()
    (tmp_path / "said" / "terminal").write_text("".join(said))
    searched = (installation.folder, installation.up.temporary, tmp_path / "said")
    files = {file.name for folder in searched for file in folder.rglob("*") if file.is_file()}
    assert {"prefect.db", "certflow.db", "terminal", "the Prefect server.log", Path(inventory["summary"]["file"]).name} <= files
    assert [found for folder in searched for found in search.found_in(folder)] == []
    everything = json.dumps([
        installation.up.call("POST", f"/{kind}/filter", {"limit": 200}) for kind in ("flow_runs", "task_runs", "logs", "artifacts")
    ])
    events = installation.up.call("POST", "/events/filter", {"filter": {"event": {"prefix": ["certflow."]}}, "limit": 50})
    assert events["total"] >= len(acts["before"])
    assert search.in_bytes(everything.encode() + json.dumps(events).encode()) == set()
    assert len(search.found_in(tmp_path / "files")) == 2    # in its files fetch wrote what is looked for: key and password


def _learn_the_secrets(installation: Any, acts: dict[str, Any], search: Any) -> None:
    """Logins, all keys, and what each version of each live entry holds, also of keys that are destroyed now."""
    line = installation.sandbox.line
    search.add_text("SCM password", line["account"]["password"])
    search.add_text("Vault token", line["vault_token"])
    search.add_text("OAuth2 secret", line["client"]["client_secret"])
    search.add_key("client key", installation.entry("accounts/device")["client_key"])
    sent = installation.rows("""
        SELECT submission.id, submission.kind, one.live_name FROM submission JOIN certificate_order one ON one.id = order_id
        LEFT JOIN certificate_order before ON before.id = one.predecessor_id WHERE before.origin IS NULL OR before.origin = 'ordered'""")
    known = {row["id"] for row in sent}    # renewals of imported orders are left out: a hundred more of the same kind only take their time
    assert [row["kind"] for row in sent].count("renew") == 2
    assert [row["kind"] for row in sent].count("reissue") == 1
    keys = [name for name in installation.names("keys") if name.replace("-", "") in known]
    assert len(keys) >= 10
    for name in keys:
        search.add_key(f"keys/{name}", installation.entry(f"keys/{name}")["private_key"])
    names = {row["live_name"] for row in sent} & {*installation.names("live")}
    entries = [(name, version) for name in names for version in installation.versions(name).values() if version]
    assert len(entries) >= len(names) + 3
    for name, entry in [*entries, *acts["before"].items()]:
        if entry["private_key"]:
            search.add_key(f"live/{name}", entry["private_key"])
            search.add_text(f"keystore of {name}", entry["keystore"][-100:-10])
        if entry["keystore_password"]:
            search.add_text(f"keystore password of {name}", entry["keystore_password"])


def _said_by_fetch(installation: Any, folder: Path) -> str:
    """What `fetch` says on both of its outputs, well and when it refuses; its files go into the folder."""
    said = ""
    for name, status in (("due.example.com", 0), ("gone.example.com", 1), ("nobody.example.com", 1)):
        done = subprocess.run(
            [sys.executable, "-m", "deployments", "fetch", name, str(folder / name)], cwd=ROOT, env=installation.up.env, capture_output=True,
            text=True, check=False, timeout=300,
        )
        assert done.returncode == status, done.stderr
        said += done.stdout + done.stderr
    return said


def _with_a_refused_login(installation: Any) -> dict[str, Any]:
    """A run whose login SCM refuses."""
    installation.sandbox.fault("status", status=401, body={"code": -16, "description": "Unknown user"}, path="/organization")
    run: dict[str, Any] = installation.run("check-account")
    installation.sandbox.clear()
    return run
