"""Keystores for those who deploy: PKCS12, PKCS12_LEGACY, JKS, PEM (RULES K3, K4)."""

import secrets
import string
from collections.abc import Callable

import jks
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from models.errors import BadCertificateError, InputError
from tasks.adapters.pki.keys import PrivateKey, public_key_sha256
from tasks.adapters.pki.reading import read_certificates

PKCS12 = "PKCS12"
PKCS12_LEGACY = "PKCS12_LEGACY"
JKS = "JKS"
PEM = "PEM"
KINDS = (PKCS12, PKCS12_LEGACY, JKS, PEM)

PASSWORD_LENGTHS = range(8, 65)
NEW_PASSWORD_LENGTH = 32

_PASSWORD_LETTERS = string.ascii_letters + string.digits
_KDF_ROUNDS = 100_000
_KDF_ROUNDS_RANDOM = 10_000
"""A password of 190 random bits is not found by trying, however fast a try is; and 1,000 renewals make 1,000 keystores."""

_KDF_ROUNDS_LEGACY = 2_048
"""Old devices count every round; OpenSSL and Windows use 2,048 for this kind."""


def make_keystore(
    kind: str, *, key: PrivateKey, certificate: str, chain: str, alias: str, password: str, random_password: bool = False
) -> bytes:
    """A keystore with the key, its certificate and the whole chain, leaf first, one entry (RULES K4).

    `certificate` and `chain` are PEM, the chain maybe "". The alias is put in lower-case; the key's password is the store's.
    `random_password`: it is one of `new_keystore_password`, no person's, so that few rounds derive the key.
    Raises: InputError for another kind or a password that keytool would refuse; BadCertificateError if the certificate is not
    for this key.
    """
    check_keystore_password(password)
    leaf, *issuers = read_certificates((certificate + chain).encode("ascii"))
    if public_key_sha256(leaf) != public_key_sha256(key):
        raise BadCertificateError("No keystore is made: the certificate is not for this key.")
    match kind:
        case "PKCS12" | "PKCS12_LEGACY":
            return pkcs12.serialize_key_and_certificates(
                alias.lower().encode("ascii"), key, leaf, issuers, _pkcs12_encryption(kind, password, random_password=random_password)
            )
        case "JKS":
            return _jks(key, [leaf, *issuers], alias.lower(), password)
        case "PEM":
            return _pem(key, [leaf, *issuers], password)
        case _:
            raise InputError(f"The keystore type {kind} is not known. Allowed are {', '.join(KINDS)}.")


def _pkcs12_encryption(kind: str, password: str, *, random_password: bool) -> serialization.KeySerializationEncryption:
    builder = PrivateFormat.PKCS12.encryption_builder()
    rounds = _KDF_ROUNDS_RANDOM if random_password else _KDF_ROUNDS
    if kind == PKCS12:
        builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC).hmac_hash(hashes.SHA256()).kdf_rounds(rounds)
    else:
        weak = hashes.SHA1()    # noqa: S303 - what the old readers of this kind can check (RULES K4)
        builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(weak).kdf_rounds(_KDF_ROUNDS_LEGACY)
    return builder.build(password.encode("ascii"))


def _jks(key: PrivateKey, certificates: list[x509.Certificate], alias: str, password: str) -> bytes:
    entry = jks.PrivateKeyEntry.new(
        alias, [certificate.public_bytes(serialization.Encoding.DER) for certificate in certificates],
        key.private_bytes(serialization.Encoding.DER, PrivateFormat.PKCS8, serialization.NoEncryption()), "pkcs8",
    )
    return bytes(jks.KeyStore.new("jks", [entry]).saves(password))


def _pem(key: PrivateKey, certificates: list[x509.Certificate], password: str) -> bytes:
    encryption = serialization.BestAvailableEncryption(password.encode("ascii"))
    parts = [key.private_bytes(serialization.Encoding.PEM, PrivateFormat.PKCS8, encryption)]
    parts += [certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates]
    return b"".join(parts)


def new_keystore_password(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """32 letters and digits (190 bits), so that no shell and no configuration file needs quotes."""
    password = ""
    limit = 256 - 256 % len(_PASSWORD_LETTERS)    # bytes above would favour the first letters
    while len(password) < NEW_PASSWORD_LENGTH:
        password += "".join(_PASSWORD_LETTERS[byte % len(_PASSWORD_LETTERS)] for byte in random_bytes(NEW_PASSWORD_LENGTH) if byte < limit)
    return password[:NEW_PASSWORD_LENGTH]


def looks_random(text: str) -> bool:
    """Whether it may be one of `new_keystore_password`: a live entry does not say whose password it keeps."""
    return len(text) == NEW_PASSWORD_LENGTH and set(text) <= set(_PASSWORD_LETTERS) and len(set(text)) >= NEW_PASSWORD_LENGTH // 3


def check_keystore_password(text: str) -> None:
    """Printable ASCII, 8 to 64 characters: keytool refuses others (RULES K3). Raises: InputError, never with the password."""
    if len(text) not in PASSWORD_LENGTHS:
        raise InputError("The keystore password must have 8 to 64 characters.")
    if not (text.isascii() and text.isprintable()):
        raise InputError("The keystore password may only have printable ASCII characters; a line break at its end counts too.")
