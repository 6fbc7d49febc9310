"""Private keys and the fingerprints of public ones (RULES K1)."""

import hashlib
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from models.errors import InputError, SetupError

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

RSA = "RSA"
EC = "EC"
RSA_SIZES = ("2048", "3072", "4096")
EC_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}

UNREADABLE = (
    ValueError, TypeError, UnsupportedAlgorithm,
    x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for damaged or exotic DER; some only when a part is first looked at. TypeError is among them."""

_CURVE_WORDS = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_PUBLIC_EXPONENT = 65537
"""What FIPS 186-5 and every CA accept."""


def new_key(algorithm: str, size: str) -> PrivateKey:
    """A new key: `RSA` of `2048`, `3072` or `4096` bits, or `EC` on `P-256` or `P-384` (RULES K1).

    Raises: InputError with the allowed values for anything else, RSA 1024 among it.
    """
    if algorithm == RSA and size in RSA_SIZES:
        return rsa.generate_private_key(public_exponent=_PUBLIC_EXPONENT, key_size=int(size))
    if algorithm == EC and size in EC_CURVES:
        return ec.generate_private_key(EC_CURVES[size])
    allowed = f"RSA with {', '.join(RSA_SIZES)} and EC with {', '.join(EC_CURVES)}"
    raise InputError(f"A key of the kind {algorithm} {size} is not made. Allowed are {allowed}.")


def key_to_pem(key: PrivateKey) -> str:
    """The key as PKCS#8 text, not encrypted: for Vault only (RULES K1)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def key_from_pem(text: str) -> PrivateKey:
    """The key that `key_to_pem` wrote. Raises: SetupError, without the text, if it is no such key."""
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except UNREADABLE:    # an encrypted key too
        raise SetupError("The private key in Vault cannot be read: it is not an unencrypted PKCS#8 key in PEM form.") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise SetupError("The private key in Vault is neither an RSA nor an EC key.")
    return key


def public_key_sha256(
    of: PrivateKey | PublicKeyTypes | x509.Certificate | x509.CertificateSigningRequest,
) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo, as lower-case hex: the same for a key, its CSR and its certificate.

    Raises: one of UNREADABLE for a key that cryptography cannot read.
    """
    if isinstance(of, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | x509.Certificate | x509.CertificateSigningRequest):
        of = of.public_key()
    # Encoded anew: a compressed curve point in a CSR comes back uncompressed in the certificate.
    encoded = of.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def algorithm_and_size(key: PublicKeyTypes) -> tuple[str, str]:
    """The kind of a key in our words, such as `RSA` `2048` or `EC` `P-256`; a curve without such a word keeps its own name."""
    match key:
        case rsa.RSAPublicKey():
            return RSA, str(key.key_size)
        case ec.EllipticCurvePublicKey():
            return EC, _CURVE_WORDS.get(key.curve.name, key.curve.name)
        case ed25519.Ed25519PublicKey():
            return "Ed25519", "256"
        case ed448.Ed448PublicKey():
            return "Ed448", "456"
        case _:
            return type(key).__name__.removesuffix("PublicKey"), ""
