"""Certificate signing requests: ours, and those that customers bring (RULES K2, N2)."""

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from models.errors import InputError
from tasks.adapters.pki.keys import EC, UNREADABLE, PrivateKey, algorithm_and_size, public_key_sha256

CSR_LENGTH = 32767
"""SCM's limit (contract 5.8)."""

RSA_BITS_MIN = 2048
RSA_EXPONENT_MIN = 3
"""BR 6.1.5 and 6.1.6."""

CURVES = ("P-256", "P-384", "P-521")
"""BR 6.1.5."""

_PEM_LINE = re.compile(r"-----(BEGIN|END) ([A-Z0-9 #]*)-----")
_REQUEST_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
"""The second is what IIS and older Microsoft tools write."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CsrFacts:
    """What a CSR asks for. Names as they stand in it; `pem` is the same request in the usual armour, and safe to send."""

    common_name: str | None
    names: tuple[str, ...]
    public_key_sha256: str
    algorithm: str
    size: str
    pem: str


def make_csr(key: PrivateKey, common_name: str, names: tuple[str, ...] = ()) -> str:
    """A CSR as PEM: the subject is the common name only, which is one of the SANs too (RULES N2). Names are normalised.

    Signed with SHA-256, on P-384 with SHA-384 (RULES K1).
    Raises: InputError if a name does not fit into a CSR.
    """
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in dict.fromkeys((common_name, *names))])
    except ValueError:
        raise InputError(f'No CSR can be made for "{common_name}": the name is empty, too long or not normalised.') from None
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(alternatives, critical=False)
    return request.sign(key, _signature_hash(key)).public_bytes(serialization.Encoding.PEM).decode("ascii")


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    on_p384 = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1)
    return hashes.SHA384() if on_p384 else hashes.SHA256()


def read_csr(text: str) -> CsrFacts:
    """A customer's CSR, checked (RULES K2): PEM with or without its lines, whatever the line ends.

    Raises: InputError, one sentence, never with a part of the text: for what is no CSR, for several, for a private key pasted
    by mistake, for a signature that does not verify, and for keys that no CA takes.
    """
    request = _parsed(_der(text))
    algorithm, size = _checked_key(request)
    try:
        if not request.is_signature_valid:
            raise InputError("The CSR's signature does not verify: it was damaged or altered. Make a new one.")
        common_names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = _names(request)
    except UNREADABLE:
        raise InputError("The CSR cannot be read: its subject, extensions or signature are not valid. Make a new one.") from None
    return CsrFacts(
        common_name=str(common_names[0].value) if common_names else None,
        names=names,
        public_key_sha256=public_key_sha256(request),
        algorithm=algorithm,
        size=size,
        pem=request.public_bytes(serialization.Encoding.PEM).decode("ascii"),
    )


def _der(text: str) -> bytes:
    if len(text) > CSR_LENGTH:
        raise InputError(f"The CSR has {len(text)} characters and may have {CSR_LENGTH}.")
    begins = [label for side, label in _PEM_LINE.findall(text) if side == "BEGIN"]
    if "PRIVATE KEY" in text.upper():
        raise InputError(
            "This holds a private key. Give the CSR only, make a new key and CSR, and do not use the key that was pasted here."
        )
    if not begins:
        body = text
    elif len(begins) > 1:
        raise InputError("This holds several PEM blocks. Give one CSR.")
    elif begins[0] not in _REQUEST_LABELS:
        raise InputError(f"This is a {begins[0].lower()}, not a CSR. A CSR begins with -----BEGIN CERTIFICATE REQUEST-----.")
    else:
        block = re.search(rf"-----BEGIN {begins[0]}-----(.*?)-----END {begins[0]}-----", text, re.DOTALL)
        if block is None:
            raise InputError("The CSR is cut off: its END line is missing.")
        body = block.group(1)
    compact = "".join(body.removeprefix("\ufeff").split())
    if not compact:
        raise InputError("The CSR is empty.")
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("The CSR is not valid Base64. Copy it again, whole, with its BEGIN and END lines.") from None


def _parsed(der: bytes) -> x509.CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(der)
    except UNREADABLE:
        pass
    try:
        serialization.load_der_private_key(der, password=None)
    except UNREADABLE:
        raise InputError("This is Base64, but not a CSR in PKCS#10 form.") from None
    raise InputError(
        "This is a private key, not a CSR. Make a new key and CSR, and do not use the key that was pasted here."
    )


def _checked_key(request: x509.CertificateSigningRequest) -> tuple[str, str]:
    try:
        key = request.public_key()
    except UNREADABLE:
        raise InputError(_key_refused("it cannot be read")) from None
    algorithm, size = algorithm_and_size(key)
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS_MIN or key.key_size % 8:
            raise InputError(_key_refused(f"it is RSA with {size} bits"))
        exponent = key.public_numbers().e
        if exponent < RSA_EXPONENT_MIN or exponent % 2 == 0:
            raise InputError(_key_refused("its RSA exponent is not an odd number of at least 3"))
    elif algorithm != EC or size not in CURVES:
        raise InputError(_key_refused(f"it is {algorithm} {size}".rstrip()))
    return algorithm, size


def _key_refused(why: str) -> str:
    return f"The CSR's key cannot be used: {why}. CAs take RSA with at least {RSA_BITS_MIN} bits and EC on {', '.join(CURVES)}."


def _names(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    try:
        alternatives = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]
    return tuple(dict.fromkeys([*alternatives.get_values_for_type(x509.DNSName), *addresses]))
