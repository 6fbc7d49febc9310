"""The CAs behind the pretend SCM: a public and a private one, each with root and issuing CA."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
OV_POLICY = x509.ObjectIdentifier("2.23.140.1.2.2")
DIGITAL_SIGNATURE = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
    key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False)
SIGNING = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
    key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an end entity certificate shall hold."""

    public_key: PublicKey
    common_name: str
    names: Sequence[str]
    organization: str
    country: str
    serial: int
    not_before: datetime
    not_after: datetime
    client_too: bool = False
    """Says client authentication too, which the profile does not."""
    forged: bool = False
    """Signed by another key than the issuer's."""


class Issuer:
    """A root and the issuing CA below it."""

    def __init__(self, root: str, issuing: str) -> None:
        root_key, key, self._forger = (ec.generate_private_key(curve) for curve in (ec.SECP384R1(), ec.SECP256R1(), ec.SECP256R1()))
        root_name, name = _ca_name(root), _ca_name(issuing)
        self.root = _ca(root_name, root_name, root_key, root_key, years=20, path_length=None)
        self.issuing = _ca(name, root_name, key, root_key, years=10, path_length=0)
        self.name = self.issuing.subject.rfc4514_string()
        self._key = key
        self._authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())

    @property
    def chain(self) -> list[x509.Certificate]:
        """The issuing CA, then the root."""
        return [self.issuing, self.root]

    def issue(self, wanted: Wanted) -> x509.Certificate:
        subject = x509.Name([
            x509.NameAttribute(NameOID.COUNTRY_NAME, wanted.country), x509.NameAttribute(NameOID.ORGANIZATION_NAME, wanted.organization),
            x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name),
        ])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if wanted.client_too else [])]
        builder = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=self.issuing.subject, public_key=wanted.public_key)
            .serial_number(wanted.serial).not_valid_before(wanted.not_before).not_valid_after(wanted.not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(DIGITAL_SIGNATURE, critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(one) for one in wanted.names]), critical=False)
            .add_extension(self._authority, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(wanted.public_key), critical=False)
            .add_extension(x509.CertificatePolicies([x509.PolicyInformation(OV_POLICY, None)]), critical=False)
        )
        # Deterministic, so that a seeded certificate is the same whenever it is made.
        return builder.sign(self._forger if wanted.forged else self._key, hashes.SHA256(), ecdsa_deterministic=True)


class Authority:
    """The public CA and the private one."""

    def __init__(self) -> None:
        self.public = Issuer("Sandbox Root CA", "Sandbox Issuing CA 1")
        self.private = Issuer("Sandbox Private Root CA", "Sandbox Private Issuing CA 1")

    def issuer(self, *, private: bool) -> Issuer:
        return self.private if private else self.public


def _ca_name(common_name: str) -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Trust"),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ])


def _ca(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey, *,
    years: int, path_length: int | None,
) -> x509.Certificate:
    # Seeded certificates are years old, and their issuer must be older.
    born = datetime(2015, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder(subject_name=name, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(born)
        .not_valid_after(max(born, datetime.now(UTC)) + timedelta(days=365 * years))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(SIGNING, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
