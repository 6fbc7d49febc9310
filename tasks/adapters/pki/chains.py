"""From an answer of SCM to one certificate with its chain (RULES D1, D3)."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from models.errors import BadCertificateError
from tasks.adapters.pki.keys import UNREADABLE, algorithm_and_size, public_key_sha256
from tasks.adapters.pki.reading import read_certificates

_USAGE_WORDS = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}
_SIGNATURE_WORDS = {
    SignatureAlgorithmOID.RSA_WITH_SHA1: "sha1WithRSAEncryption",
    SignatureAlgorithmOID.RSA_WITH_SHA256: "sha256WithRSAEncryption",
    SignatureAlgorithmOID.RSA_WITH_SHA384: "sha384WithRSAEncryption",
    SignatureAlgorithmOID.RSA_WITH_SHA512: "sha512WithRSAEncryption",
    SignatureAlgorithmOID.RSASSA_PSS: "RSASSA-PSS",
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: "ecdsa-with-SHA256",
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: "ecdsa-with-SHA384",
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: "ecdsa-with-SHA512",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedCertificate:
    """One certificate, its chain, and what it says of itself.

    `chain_pem`: issuers from the leaf upward, without the self-signed root; "" when SCM sent none.
    `serial_number`: lower-case hex without leading zeros. `sha256`: of the DER; hashes are lower-case hex.
    `names`: the SANs, DNS names in lower-case and IP addresses. `issuer`: RFC 4514 text. Moments are aware UTC.
    """

    pem: str
    chain_pem: str
    serial_number: str
    sha256: str
    public_key_sha256: str
    issuer: str
    common_name: str | None
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key_algorithm: str
    key_size: str
    extended_key_usages: tuple[str, ...]
    signature_algorithm: str

    @property
    def fullchain_pem(self) -> str:
        return self.pem + self.chain_pem


def assemble(data: bytes, public_key_sha256: str | None) -> IssuedCertificate:
    """The certificate in an answer with its chain, whatever the order of the answer and whatever else it holds (RULES D1).

    `public_key_sha256` is that of our key or CSR; None where neither is known: then the certificate is the one that is no CA
    and has issued none of the others.
    Raises: BadCertificateError if there is none for our key, or none or several to choose from; if a signature on the way up
    does not verify; if the answer cannot be read (RULES D3).
    """
    certificates = read_certificates(data)
    try:
        leaf = _leaf_by_key(certificates, public_key_sha256) if public_key_sha256 else _only_leaf(certificates)
        return _described(leaf, _chain(leaf, certificates))
    except UNREADABLE:    # extensions, names and keys are parsed when they are first looked at
        raise BadCertificateError("The answer holds a certificate with a name, key or extension that cannot be read.") from None


def leaf_alone(data: bytes, public_key_sha256: str | None) -> IssuedCertificate:
    """The certificate that `assemble` would choose, without a chain, where the chain does not verify: for the record, not for use (RULES D3).

    Raises: BadCertificateError as `assemble`, but for signatures.
    """
    certificates = read_certificates(data)
    try:
        return _described(_leaf_by_key(certificates, public_key_sha256) if public_key_sha256 else _only_leaf(certificates), [])
    except UNREADABLE:
        raise BadCertificateError("The answer holds a certificate with a name, key or extension that cannot be read.") from None


def _leaf_by_key(certificates: list[x509.Certificate], wanted: str) -> x509.Certificate:
    """The newest with our key: a reissue may keep the key, and the old one may still be in the answer."""
    ours = [certificate for certificate in certificates if _has_key(certificate, wanted)]
    if not ours:
        raise BadCertificateError(
            f"There is no certificate for our key among the {len(certificates)} in the answer: it belongs to another CSR."
        )
    return max(ours, key=lambda certificate: (certificate.not_valid_before_utc, certificate.not_valid_after_utc, _sha256(certificate)))


def _has_key(certificate: x509.Certificate, wanted: str) -> bool:
    try:
        return public_key_sha256(certificate) == wanted
    except UNREADABLE:    # a stranger with a key that we cannot read is not ours
        return False


def _only_leaf(certificates: list[x509.Certificate]) -> x509.Certificate:
    leaves = [
        certificate
        for certificate in certificates
        if not _is_ca(certificate)
        and not any(other != certificate and _signed(other, certificate) for other in certificates)
    ]
    if len(leaves) > 1:
        leaves = [certificate for certificate in leaves if not _signed(certificate, certificate)]    # an old root without CA mark
    if len(leaves) != 1:
        raise BadCertificateError(
            f"The answer holds {len(certificates)} certificates and {len(leaves)} of them are no CA: which one was meant is not clear."
        )
    return leaves[0]


def _chain(leaf: x509.Certificate, certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    """The issuers from the leaf upward. Ends at a self-signed certificate, where SCM's answer ends, or before a loop closes."""
    chain: list[x509.Certificate] = []
    seen = {_entity(leaf)}
    current = leaf
    while not _signed(current, current):
        issuers = _issuers(current, certificates)
        # A cross-signature that ended before the leaf began breaks clients that try it first, as AddTrust's did in 2020.
        issuers = [issuer for issuer in issuers if issuer.not_valid_after_utc > leaf.not_valid_before_utc] or issuers
        # A cross-signed certificate goes before the root of the same name and key: old clients need it (RULES D1).
        ahead = [issuer for issuer in issuers if _entity(issuer) not in seen and not _signed(issuer, issuer)]
        if not ahead:
            break
        current = max(ahead, key=lambda issuer: (issuer.not_valid_after_utc, _sha256(issuer)))
        chain.append(current)
        seen.add(_entity(current))
    return chain


def _issuers(certificate: x509.Certificate, certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    """Those whose name and key issued it. Several may bear the name; that none of them signed it is a forgery or a fault."""
    named = [other for other in certificates if other.subject == certificate.issuer]
    signers = [other for other in named if _signed(certificate, other)]
    if named and not signers:
        raise BadCertificateError(
            f"The signature of {_who(certificate)} does not verify with the certificate of its issuer {_who(named[0])}."
        )
    issuers = [other for other in signers if _may_issue(other)]
    if signers and not issuers:
        raise BadCertificateError(f"{_who(certificate)} is signed by {_who(signers[0])}, which is not a CA.")
    return issuers


def _signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    """By name and by signature."""
    return certificate.issuer == by.subject and _verifies(certificate, by)


@lru_cache(maxsize=256)
def _verifies(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    """Remembered: the certificates of an account share the upper part of their chain, and checking it costs more than all else."""
    try:
        certificate.verify_directly_issued_by(by)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _entity(certificate: x509.Certificate) -> tuple[x509.Name, str]:
    """A CA is a name with a key; it may have several certificates."""
    return certificate.subject, public_key_sha256(certificate)


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = _constraints(certificate)
    return constraints is not None and constraints.ca


def _may_issue(certificate: x509.Certificate) -> bool:
    """Old roots (X.509 version 1) have no mark at all; only one that says "no CA" is none for sure."""
    constraints = _constraints(certificate)
    return constraints is None or constraints.ca


def _described(leaf: x509.Certificate, chain: list[x509.Certificate]) -> IssuedCertificate:
    algorithm, size = algorithm_and_size(leaf.public_key())
    common_names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    signature = leaf.signature_algorithm_oid
    return IssuedCertificate(
        pem=_pem(leaf),
        chain_pem="".join(_pem(certificate) for certificate in chain),
        serial_number=f"{leaf.serial_number:x}",
        sha256=_sha256(leaf),
        public_key_sha256=public_key_sha256(leaf),
        issuer=leaf.issuer.rfc4514_string(),
        common_name=str(common_names[0].value) if common_names else None,
        names=_names(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        key_algorithm=algorithm,
        key_size=size,
        extended_key_usages=_usages(leaf),
        signature_algorithm=_SIGNATURE_WORDS.get(signature, signature.dotted_string),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = [name.lower() for name in alternatives.get_values_for_type(x509.DNSName)]
    addresses = [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]
    return tuple(dict.fromkeys([*names, *addresses]))


def _usages(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(_USAGE_WORDS.get(usage, usage.dotted_string) for usage in usages)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _who(certificate: x509.Certificate) -> str:
    return f'"{certificate.subject.rfc4514_string()[:200]}"'
