"""Keys and certificates of the TLS port: a CA of its own, the server's certificate, the client's certificate."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=30)


@dataclass(frozen=True)
class TlsFiles:
    """Where they are, and the client's certificate in DER."""

    ca: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path
    client_der: bytes


def write(folder: Path) -> TlsFiles:
    """Make them all in this folder."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("Sandbox TLS CA", ca_key, ca_key, None, x509.BasicConstraints(ca=True, path_length=0), [])
    found = {"ca": _write(folder / "ca.pem", ca.public_bytes(Encoding.PEM))}
    ders = {}
    for name, usage in (("server", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)):
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
        extensions = [x509.ExtendedKeyUsage([usage]), *([names] if name == "server" else [])]
        made = _certificate(f"sandbox {name}", key, ca_key, ca, x509.BasicConstraints(ca=False, path_length=None), extensions)
        found[f"{name}_certificate"] = _write(folder / f"{name}.pem", made.public_bytes(Encoding.PEM))
        found[f"{name}_key"] = _write(
            folder / f"{name}.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        ders[name] = made.public_bytes(Encoding.DER)
    return TlsFiles(**found, client_der=ders["client"])


def _write(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None,
    constraints: x509.BasicConstraints, extensions: list[x509.ExtensionType],
) -> x509.Certificate:
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(
            subject_name=subject, issuer_name=issuer.subject if issuer else subject, public_key=key.public_key(),
            serial_number=x509.random_serial_number(), not_valid_before=now - timedelta(hours=1), not_valid_after=now + LIFETIME)
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if issuer is None:
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
            key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)
        builder = builder.add_extension(usage, critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
