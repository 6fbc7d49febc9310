"""From an answer of SCM to one certificate with its chain (RULES D1, D3)."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from models.errors import BadCertificateError
from tasks.adapters.pki.keys import UNREADABLE, algorithm_and_size, public_key_sha256
from tasks.adapters.pki.reading import REMEMBERED, read_certificates

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


class _Link:
    """A certificate of an answer, with what chains are made of. Each part is read when it is first looked at, and once."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self.certificate = certificate
        self.begins, self.ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc

    @cached_property
    def subject(self) -> x509.Name:
        return self.certificate.subject

    @cached_property
    def issuer(self) -> x509.Name:
        return self.certificate.issuer

    @cached_property
    def who(self) -> str:
        return self.subject.rfc4514_string()

    @cached_property
    def key(self) -> PublicKeyTypes:
        return self.certificate.public_key()

    @cached_property
    def key_sha256(self) -> str:
        return public_key_sha256(self.key)

    @cached_property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @cached_property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    @cached_property
    def is_ca(self) -> bool | None:
        """None for old roots (X.509 version 1), which have no mark at all."""
        try:
            return self.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            return None

    @cached_property
    def entity(self) -> tuple[str, x509.Name]:
        """A CA is a name with a key; it may have several certificates."""
        return self.key_sha256, self.subject

    @cached_property
    def self_signed(self) -> bool:
        return _signed(self, self)


@lru_cache(maxsize=REMEMBERED)
def _link(certificate: x509.Certificate) -> _Link:
    return _Link(certificate)


def assemble(data: bytes, public_key_sha256: str | None) -> IssuedCertificate:
    """The certificate in an answer with its chain, whatever the order of the answer and whatever else it holds (RULES D1).

    `public_key_sha256` is that of our key or CSR; None where neither is known: then the certificate is the one that is no CA
    and has issued none of the others.
    Raises: BadCertificateError if there is none for our key, or none or several to choose from; if a signature on the way up
    does not verify; if the answer cannot be read (RULES D3).
    """
    try:
        links = _links(data)
        leaf = _leaf_by_key(links, public_key_sha256) if public_key_sha256 else _only_leaf(links)
        return _described(leaf, _chain(leaf, links))
    except UNREADABLE:    # extensions, names and keys are parsed when they are first looked at
        raise BadCertificateError("The answer holds a certificate with a name, key or extension that cannot be read.") from None


def leaf_alone(data: bytes, public_key_sha256: str | None) -> IssuedCertificate:
    """The certificate that `assemble` would choose, without a chain, where the chain does not verify: for the record, not for use (RULES D3).

    Raises: BadCertificateError as `assemble`, but for signatures.
    """
    try:
        links = _links(data)
        return _described(_leaf_by_key(links, public_key_sha256) if public_key_sha256 else _only_leaf(links), [])
    except UNREADABLE:
        raise BadCertificateError("The answer holds a certificate with a name, key or extension that cannot be read.") from None


def _links(data: bytes) -> list[_Link]:
    return [_link(certificate) for certificate in read_certificates(data)]


def _leaf_by_key(links: list[_Link], wanted: str) -> _Link:
    """The newest with our key: a reissue may keep the key, and the old one may still be in the answer."""
    ours = [link for link in links if _has_key(link, wanted)]
    if not ours:
        raise BadCertificateError(f"There is no certificate for our key among the {len(links)} in the answer: it belongs to another CSR.")
    return max(ours, key=lambda link: (link.begins, link.ends, link.sha256))


def _has_key(link: _Link, wanted: str) -> bool:
    try:
        return link.key_sha256 == wanted
    except UNREADABLE:    # a stranger with a key that we cannot read is not ours
        return False


def _only_leaf(links: list[_Link]) -> _Link:
    leaves = [link for link in links if not link.is_ca and not any(other is not link and _signed(other, link) for other in links)]
    if len(leaves) > 1:
        leaves = [link for link in leaves if not link.self_signed]    # an old root without CA mark
    if len(leaves) != 1:
        raise BadCertificateError(
            f"The answer holds {len(links)} certificates and {len(leaves)} of them are no CA: which one was meant is not clear."
        )
    return leaves[0]


def _chain(leaf: _Link, links: list[_Link]) -> list[_Link]:
    """The issuers from the leaf upward. Ends at a self-signed certificate, where SCM's answer ends, or before a loop closes."""
    chain: list[_Link] = []
    seen = [leaf.entity]
    current = leaf
    while not current.self_signed:
        issuers = _issuers(current, links)
        # A cross-signature that ended before the leaf began breaks clients that try it first, as AddTrust's did in 2020.
        issuers = [issuer for issuer in issuers if issuer.ends > leaf.begins] or issuers
        # A cross-signed certificate goes before the root of the same name and key: old clients need it (RULES D1).
        ahead = [issuer for issuer in issuers if issuer.entity not in seen and not issuer.self_signed]
        if not ahead:
            break
        current = max(ahead, key=lambda issuer: (issuer.ends, issuer.sha256))
        chain.append(current)
        seen.append(current.entity)
    return chain


def _issuers(link: _Link, links: list[_Link]) -> list[_Link]:
    """Those whose name and key issued it. Several may bear the name; that none of them signed it is a forgery or a fault."""
    named = [other for other in links if _names_as_issuer(link, other)]
    signers = [other for other in named if _verifies(link, other)]
    if named and not signers:
        raise BadCertificateError(f"The signature of {_who(link)} does not verify with the certificate of its issuer {_who(named[0])}.")
    issuers = [other for other in signers if other.is_ca is not False]    # only one that says "no CA" is none for sure
    if signers and not issuers:
        raise BadCertificateError(f"{_who(link)} is signed by {_who(signers[0])}, which is not a CA.")
    return issuers


def _signed(link: _Link, by: _Link) -> bool:
    """By name and by signature."""
    return _names_as_issuer(link, by) and _verifies(link, by)


@lru_cache(maxsize=8 * REMEMBERED)
def _names_as_issuer(link: _Link, by: _Link) -> bool:
    return link.issuer == by.subject


@lru_cache(maxsize=REMEMBERED)
def _verifies(link: _Link, by: _Link) -> bool:
    """Remembered: the certificates of an account share the upper part of their chain, and checking it costs more than all else."""
    try:
        link.certificate.verify_directly_issued_by(by.certificate)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _described(leaf: _Link, chain: list[_Link]) -> IssuedCertificate:
    algorithm, size = algorithm_and_size(leaf.key)
    certificate = leaf.certificate
    common_names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    signature = certificate.signature_algorithm_oid
    return IssuedCertificate(
        pem=leaf.pem,
        chain_pem="".join(link.pem for link in chain),
        serial_number=f"{certificate.serial_number:x}",
        sha256=leaf.sha256,
        public_key_sha256=leaf.key_sha256,
        issuer=chain[0].who if chain else leaf.issuer.rfc4514_string(),    # the same name, read once
        common_name=str(common_names[0].value) if common_names else None,
        names=_names(certificate),
        not_before=leaf.begins,
        not_after=leaf.ends,
        key_algorithm=algorithm,
        key_size=size,
        extended_key_usages=_usages(certificate),
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


def _who(link: _Link) -> str:
    return f'"{link.who[:200]}"'
