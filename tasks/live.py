"""What a live name serves, read by those who use it. Needs Vault and nothing else: no database, no Prefect, the right to read `live/*`."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from models.errors import BadCertificateError, NotFoundError, SetupError
from models.names import check_live_name
from tasks.adapters import pki
from tasks.services import open_vault

EXTENSIONS = {"PKCS12": "p12", "PKCS12_LEGACY": "p12", "JKS": "jks", "PEM": "pem"}
"""How the file of a keystore ends, by its type."""


@dataclass(frozen=True, kw_only=True)
class Keystore:
    """A keystore and its password, which is the key's too. Neither shown nor pickled."""

    extension: str
    content: bytes = field(repr=False)
    password: str = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keystore is not pickled")


@dataclass(frozen=True, kw_only=True)
class Served:
    """One version of a live entry whose parts belong together. Without our key there is no key and no keystore (RULES K2)."""

    version: int
    certificate: str
    chain: str
    private_key: str | None = field(repr=False)
    keystore: Keystore | None
    names: tuple[str, ...]
    not_after: datetime

    def __reduce__(self) -> NoReturn:
        raise TypeError("what is served holds a private key and is not pickled")


def served(live_name: str) -> Served:
    """What `live/<live name>` in Vault serves now, checked.

    Raises: InputError for what is no live name; NotFoundError when Vault has nothing there; BadCertificateError when it is revoked, or
    its parts do not belong together; SetupError and TransientError as Vault says.
    """
    path = f"live/{check_live_name(live_name)}"
    with open_vault() as vault:
        entry = vault.read(path)
    if entry is None:
        raise NotFoundError(f"Vault serves nothing at {path}: nothing was delivered to this name yet, or it was deleted")
    status = _text(entry.data, "status")
    if status != "issued":
        raise BadCertificateError(
            f"the certificate at {path} in Vault must not be used, its status is {status or 'missing'}: order a new one for this name")
    try:
        return _consistent(entry.data, entry.version)
    except (BadCertificateError, SetupError) as error:
        raise BadCertificateError(f"version {entry.version} of {path} in Vault cannot be used: {error}") from None


def _consistent(data: Mapping[str, Any], version: int) -> Served:
    chain, secret = _text(data, "chain"), _text(data, "private_key")
    issued = pki.assemble(f"{_text(data, 'certificate')}\n{chain}".encode(errors="replace"), None)
    if issued.sha256 != _text(data, "sha256"):
        raise BadCertificateError("its certificate is not the one that its fingerprint (sha256) names")
    if chain and not issued.chain_pem:
        raise BadCertificateError("its chain does not hold the issuer of its certificate")
    key = pki.key_from_pem(secret) if secret else None
    if key and pki.public_key_sha256(key) != issued.public_key_sha256:
        raise BadCertificateError("its private key does not belong to its certificate")
    return Served(
        version=version, certificate=issued.pem, chain=issued.chain_pem, private_key=pki.key_to_pem(key) if key else None,
        keystore=_keystore(data) if key else None, names=issued.names, not_after=issued.not_after,
    )


def _keystore(data: Mapping[str, Any]) -> Keystore | None:
    content, kind, password = (_text(data, name) for name in ("keystore", "keystore_type", "keystore_password"))
    if not content:
        return None
    if kind not in EXTENSIONS:
        raise SetupError(f"this Certflow knows no keystore of its type, only {', '.join(EXTENSIONS)}")
    try:
        return Keystore(extension=EXTENSIONS[kind], content=base64.b64decode(content, validate=True), password=password)
    except (binascii.Error, ValueError):
        raise BadCertificateError("its keystore is not valid Base64") from None


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
