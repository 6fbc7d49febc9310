"""Certificate signing requests as SCM looks at them: encoding, signature, key (contract 4 and 5.8)."""

import re
from base64 import b64decode
from binascii import Error as Base64Error

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from deployments.sandbox.authority import PublicKey
from deployments.sandbox.reference import Profile
from deployments.sandbox.refusals import RefusedError, invalid, missing

LONGEST = 32767
ALLOWED = re.compile(r"[a-zA-Z0-9+=/\s-]+")
PEM_LINE = re.compile(r"-----(BEGIN|END) (NEW )?CERTIFICATE REQUEST-----")
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def read(text: object) -> x509.CertificateSigningRequest:
    """The request, with PEM lines or without. Raises: RefusedError."""
    if text is None or text == "":
        raise missing("csr")
    if not isinstance(text, str) or len(text) > LONGEST:
        raise invalid("csr")
    if not ALLOWED.fullmatch(text):
        raise RefusedError(-9, "The CSR is not valid Base-64 data!")
    try:
        der = b64decode("".join(PEM_LINE.sub("", text).split()), validate=True)
    except (Base64Error, ValueError):
        raise RefusedError(-9, "The CSR is not valid Base-64 data!") from None
    try:
        request = x509.load_der_x509_csr(der)
        honest = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RefusedError(-10, "Error while decoding CSR.") from None
    if not honest:
        raise RefusedError(-138, "The CSR cannot be decoded: its signature is wrong.")
    return request


def common_name(request: x509.CertificateSigningRequest) -> str:
    """The common name of the subject. Other names in the request are not taken (contract 5.8)."""
    found = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not found:
        raise RefusedError(-732, "The CSR has no common name.")
    return str(found[0].value)


def public_key(request: x509.CertificateSigningRequest) -> PublicKey:
    """Raises: RefusedError for another algorithm than RSA and EC."""
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise RefusedError(-78, "The key in the CSR cannot be used.") from None
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return key
    raise RefusedError(-11, "The CSR uses an unsupported algorithm.")


def key_type(key: PublicKey) -> str:
    """As SCM shows it, for example `EC - P-256`."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA - {key.key_size}"
    return f"EC - {CURVES.get(key.curve.name, key.curve.name)}"


def check_key(key: PublicKey, profile: Profile) -> str:
    """The key's type, when the profile allows it. Raises: RefusedError."""
    kind = key_type(key)
    algorithm, size = kind.split(" - ")
    if algorithm not in profile.key_types:
        raise RefusedError(-170 if algorithm == "EC" else -11, f"{algorithm} keys are not allowed for this certificate profile.")
    if size not in profile.key_types[algorithm]:
        raise RefusedError(-194, "The CSR uses an unsupported key size.")
    return kind
