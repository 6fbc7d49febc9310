"""The truth, as SCM and Vault hold it, beside what was asked for and what our books say. Each finding is a sentence."""

import base64
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import jks
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key, load_pem_private_key, pkcs12
from ledger import Line
from world import World, from_tests

SEARCHED = 10
"""So many keys and keystores are searched for in all forms, all others by the head line of a PEM key."""

HISTORY = ("planned", "submitting", "submitted")


def public_key(pem: str) -> str:
    """SHA-256 of the public key of a certificate."""
    return _hash(x509.load_pem_x509_certificate(pem.encode()).public_key())


def _some(names: list[str]) -> list[str]:
    """A few of them, evenly spread: the search looks for each in many forms."""
    return names[:: max(1, len(names) // SEARCHED)]


def _hash(key: Any) -> str:
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


class Audit:
    """Looks once, when nothing is under way any more."""

    def __init__(self, world: World, lines: Mapping[str, Line]) -> None:
        self.world, self.lines = world, lines
        self.at_scm: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in world.sandbox.orders():
            if one["common_name"] in lines:
                self.at_scm[one["common_name"]].append(one)
        self.orders = {UUID(str(row["id"])): row for row in world.rows("SELECT * FROM certificate_order WHERE origin = 'ordered'")}
        self.imported = Counter(row["common_name"] for row in world.rows("SELECT common_name FROM certificate_order WHERE origin <> 'ordered'"))
        self.sent: dict[UUID, list[Any]] = defaultdict(list)
        for row in world.rows("SELECT * FROM submission ORDER BY created_at"):
            self.sent[UUID(str(row["order_id"]))].append(row)
        self.certificates: dict[UUID, list[Any]] = defaultdict(list)
        for row in world.rows("SELECT * FROM certificate ORDER BY fetched_at"):
            self.certificates[UUID(str(row["order_id"]))].append(row)
        self.events: dict[UUID, Counter[str]] = defaultdict(Counter)
        for row in world.rows("SELECT order_id, kind FROM order_event"):
            self.events[UUID(str(row["order_id"]))][row["kind"]] += 1
        self.revocations: dict[UUID, list[Any]] = defaultdict(list)
        for row in world.rows("SELECT * FROM revocation"):
            self.revocations[UUID(str(row["order_id"]))].append(row)

    @property
    def orders_at_scm(self) -> int:
        return sum(len(found) for found in self.at_scm.values())

    @property
    def replacements(self) -> int:
        return sum(len(one["old_serials"]) for found in self.at_scm.values() for one in found)

    def findings(self) -> Iterator[str]:
        """Everything that is not as it must be."""
        for line in self.lines.values():
            yield from (f"{line.name}: {text}" for text in self._line(line))
        yield from self._secrets()

    def _line(self, line: Line) -> Iterator[str]:
        found = self.at_scm.get(line.name, [])
        if len(found) != line.orders_at_scm:
            yield f"SCM holds {len(found)} orders, {line.orders_at_scm} were asked for: {[one['ssl_id'] for one in found]}"
        replaced = sum(len(one["old_serials"]) for one in found)
        if replaced != line.replacements:
            yield f"SCM took {replaced} reissues, {line.replacements} were asked for"
        ours = {id_: row for id_, row in self.orders.items() if row["common_name"] == line.name}
        known = {row["ssl_id"] for row in ours.values()}
        if strange := {one["ssl_id"] for one in found} ^ known:
            yield f"SCM and our books do not hold the same orders: {strange}"
        if self.imported[line.name]:
            yield f"{self.imported[line.name]} of its orders stand twice in our books, once as imported"
        by_id = {one["ssl_id"]: one for one in found}
        for id_, row in ours.items():
            yield from self._order(id_, row, by_id.get(row["ssl_id"]))
        yield from self._live(line, ours, by_id)
        for id_ in line.revoked:
            truth = by_id.get(self.orders[id_]["ssl_id"]) if id_ in self.orders else None
            if truth is None or truth["status"] != "Revoked":
                yield f"order {id_} was to be revoked, SCM says {truth and truth['status']}"
        for id_ in set(ours) - line.revoked:
            if (truth := by_id.get(ours[id_]["ssl_id"])) and truth["status"] == "Revoked":
                yield f"order {id_} is revoked at SCM, and nobody asked for it"

    def _order(self, id_: UUID, row: Any, truth: dict[str, Any] | None) -> Iterator[str]:
        """Its submissions, certificates and history."""
        sent, events = self.sent[id_], self.events[id_]
        for one in sent:
            if one["status"] != "done":
                yield f"submission {one['id']} ({one['kind']}) of order {id_} is {one['status']}: {one['error']}"
        for kind in HISTORY:
            if events[kind] < len(sent):
                yield f"the history of order {id_} has {events[kind]} times {kind!r}, {len(sent)} were sent"
        if events["submitted"] != len(sent):
            yield f"the history of order {id_} says {events['submitted']} times submitted, {len(sent)} were sent"
        if events["submitting"] < sum(one["attempts"] for one in sent):
            yield f"the history of order {id_} lacks attempts: {dict(events)}"
        certificates = self.certificates[id_]
        if events["delivered"] != len(certificates):
            yield f"order {id_} has {len(certificates)} certificates, its history {events['delivered']} times delivered"
        # An import that found it before it was adopted fetched a certificate that nobody had compared with the order (RULES D3).
        if not 0 <= events["fetched"] - len(certificates) <= events["imported"]:
            yield f"order {id_} has {len(certificates)} certificates, its history {events['fetched']} times fetched"
        if truth is None:
            return
        if row["status"] != truth["status"].lower():
            yield f"order {id_} is {row['status']} here, {truth['status']} at SCM"
        if len(certificates) != 1 + len(truth["old_serials"]):
            yield f"order {id_} has {len(certificates)} certificates here, {1 + len(truth['old_serials'])} were issued"
        for one in certificates:
            yield from self._certificate(id_, one, sent)
        if truth["status"] == "Issued" and truth["serial"] not in {one["serial_number"] for one in certificates}:
            yield f"the certificate of order {id_} that SCM issued, {truth['serial']}, is not in the repository"
        yield from self._revocation(id_, truth)

    def _certificate(self, id_: UUID, row: Any, sent: list[Any]) -> Iterator[str]:
        """Its key lies in Vault, and belongs to it."""
        owner = next((one for one in sent if one["id"] == row["submission_id"]), None)
        if owner is None:
            yield f"certificate {row['serial_number']} of order {id_} belongs to no submission"
            return
        entry = self.world.entry(f"keys/{UUID(str(owner['id']))}")
        if entry is None:
            yield f"the key of certificate {row['serial_number']} of order {id_} is not in Vault"
        elif _hash(load_pem_private_key(entry["private_key"].encode(), None).public_key()) != public_key(row["pem"]):
            yield f"the key in Vault of certificate {row['serial_number']} of order {id_} is another one"
        if row["delivered_at"] is None:
            yield f"certificate {row['serial_number']} of order {id_} is not delivered: {row['held_because']}"

    def _revocation(self, id_: UUID, truth: dict[str, Any]) -> Iterator[str]:
        rows = self.revocations[id_]
        if (truth["status"] == "Revoked") != any(row["status"] == "done" for row in rows):
            yield f"order {id_} is {truth['status']} at SCM, its revocations here are {[row['status'] for row in rows]}"
        if self.events[id_]["revoked"] != sum(row["status"] == "done" for row in rows):
            yield f"the history of order {id_} says {self.events[id_]['revoked']} times revoked"
        if any(row["remove"] for row in rows) and any(one["removed_at"] is None for one in self.certificates[id_][-1:]):
            yield f"order {id_} was to be taken out of the repository"

    def _live(self, line: Line, ours: Mapping[UUID, Any], by_id: Mapping[int, dict[str, Any]]) -> Iterator[str]:
        """The live entry serves the newest certificate; all that is in a version belongs together and never changes its form."""
        path = f"live/{line.name}"
        versions = self.world.versions(path)
        removed = {
            one["public_key_sha256"] for id_ in ours for one in self.certificates[id_]
            if one["removed_at"] is not None
        }
        forms, served = set(), []
        entry: dict[str, Any] | None = None
        for number, facts in versions.items():
            entry = None if facts["destroyed"] else self.world.entry(path, number)
            if entry is None:
                continue
            if entry["status"] == "issued":
                served.append(entry["sha256"])
            if entry["private_key"] and public_key(entry["certificate"]) in removed:
                yield f"version {number} of {path} still holds a key that was taken out"
            forms.add(entry["keystore_password"])
            yield from (f"version {number} of {path}: {text}" for text in _together(entry, line.name))
        if len(forms) > 1:
            yield f"{path} changed its password"
        if len(served) != len(set(served)):
            yield f"{path} has several versions with one certificate"
        newest = [id_ for id_ in ours if not any(row["predecessor_id"] == ours[id_]["id"] for row in ours.values())]
        if len(newest) != 1:
            yield f"{len(newest)} orders have no successor"
            return
        truth = by_id.get(ours[newest[0]]["ssl_id"])
        if truth is None:
            return
        if entry is None:
            yield f"{path} serves nothing"
        elif truth["status"] == "Issued" and entry["serial_number"] != truth["serial"]:
            yield f"{path} serves {entry['serial_number']}, SCM issued {truth['serial']}"
        elif entry["status"] != "revoked" and any(row["remove"] for row in self.revocations[newest[0]]):
            yield f"{path} still serves a certificate that was to be taken out"

    def _secrets(self) -> Iterator[str]:
        """No key and no password anywhere but in Vault."""
        search = from_tests("end_to_end/main_job/acts/traces/conftest.py").Search()
        search.add_text("SCM password", self.world.sandbox.line["account"]["password"])
        search.add_text("Vault secret id", self.world.env["VAULT_SECRET_ID"])
        search.add_text("a private key", "PRIVATE KEY-----")
        for name in _some(self.world.names("keys")):
            entry = self.world.entry(f"keys/{name}")
            assert entry is not None
            search.add_key(f"keys/{name}", entry["private_key"])
        for name in _some(self.world.names("live")):
            entry = self.world.entry(f"live/{name}")
            if entry and entry["keystore"]:
                search.add_text(f"keystore password of {name}", entry["keystore_password"])
                search.add_text(f"keystore of {name}", entry["keystore"][-100:-10])
        for folder in self._written():
            yield from (f"a secret lies in {folder.name}/{found}" for found in search.found_in(folder))

    def _written(self) -> list[Path]:
        found = [self.world.home, self.world.folder / "logs", self.world.folder / "tmp", self.world.folder / "prefect"]
        if self.world.postgres:
            found.append(self.world.postgres._folder)
        return [folder for folder in found if folder.exists()]


def _together(entry: dict[str, Any], name: str) -> Iterator[str]:
    """Certificate, chain, key and keystore of one version."""
    certificate = x509.load_pem_x509_certificate(entry["certificate"].encode())
    if certificate.fingerprint(SHA256()).hex() != entry["sha256"]:
        yield "its certificate is not the one that it names"
    chain = x509.load_pem_x509_certificates(entry["chain"].encode())
    try:
        certificate.verify_directly_issued_by(chain[0])
    except (InvalidSignature, ValueError, TypeError) as error:
        yield f"its chain does not fit: {error!r}"
    if entry["fullchain"] != entry["certificate"] + entry["chain"]:
        yield "its fullchain is something else"
    if entry["status"] == "revoked":
        if entry["private_key"] or entry["keystore"]:
            yield "it is revoked and holds a key"
        return
    key = load_pem_private_key(entry["private_key"].encode(), None)
    if _hash(key.public_key()) != _hash(certificate.public_key()):
        yield "its key is not that of its certificate"
    stored, alias, inside = _opened(entry)
    if stored != entry["sha256"]:
        yield "its keystore holds another certificate"
    if inside != _hash(certificate.public_key()):
        yield "its keystore holds another key"
    if alias not in {name, None}:
        yield f"its keystore has the alias {alias}"


def _opened(entry: dict[str, Any]) -> tuple[str, str | None, str]:
    """Fingerprint of the leaf, alias and hash of the public key in a keystore."""
    data, password = base64.b64decode(entry["keystore"]), entry["keystore_password"]
    if entry["keystore_type"].startswith("PKCS12"):
        opened = pkcs12.load_pkcs12(data, password.encode())
        assert opened.cert is not None
        alias = opened.cert.friendly_name.decode() if opened.cert.friendly_name else ""
        return opened.cert.certificate.fingerprint(SHA256()).hex(), alias, _hash(opened.key.public_key())
    if entry["keystore_type"] == "JKS":
        [(alias, one)] = jks.KeyStore.loads(data, password).private_keys.items()
        leaf = x509.load_der_x509_certificate(one.cert_chain[0][1])
        return leaf.fingerprint(SHA256()).hex(), alias, _hash(load_der_private_key(one.pkey_pkcs8, None).public_key())
    leaf = x509.load_pem_x509_certificates(data)[0]
    return leaf.fingerprint(SHA256()).hex(), None, _hash(load_pem_private_key(data, password.encode()).public_key())
