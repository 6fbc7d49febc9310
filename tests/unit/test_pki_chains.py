"""From SCM's answer to one certificate with its chain."""

import base64
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BadCertificateError
from tasks.adapters.pki import IssuedCertificate, assemble, new_key, public_key_sha256, read_certificates

START = datetime(2026, 4, 1, tzinfo=UTC)
YEARS = timedelta(days=3650)


@dataclass(frozen=True)
class Entity:
    """A name with a key."""

    name: str
    key: ec.EllipticCurvePrivateKey

    @property
    def subject(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Trust"), x509.NameAttribute(NameOID.COMMON_NAME, self.name)])

    @property
    def hash(self) -> str:
        return public_key_sha256(self.key)


def entity(name: str) -> Entity:
    return Entity(name, ec.generate_private_key(ec.SECP256R1()))


def issue(
    subject: Entity, issuer: Entity, *, signed_with: Entity | None = None, ca: bool | None = True, serial: int | None = None,
    names: tuple[str, ...] = (), start: datetime = START, lasts: timedelta = YEARS,
) -> x509.Certificate:
    """A certificate; `signed_with` another key makes a forgery, `ca=None` leaves the mark out."""
    builder = (
        x509.CertificateBuilder().subject_name(subject.subject).issuer_name(issuer.subject).public_key(subject.key.public_key())
        .serial_number(serial or x509.random_serial_number()).not_valid_before(start).not_valid_after(start + lasts)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([
            *(x509.DNSName(name) for name in names), x509.IPAddress(ipaddress.ip_address("192.0.2.10")),
        ]), critical=False)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3")]), critical=False
        )
    return builder.sign((signed_with or issuer).key, hashes.SHA256())


def leaf_of(subject: Entity, issuer: Entity, **more: object) -> x509.Certificate:
    return issue(subject, issuer, ca=False, names=("WWW.example.com", "api.example.com"), lasts=timedelta(days=199), **more)    # type: ignore[arg-type]


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def chain(issued: IssuedCertificate) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(issued.chain_pem.encode()) if issued.chain_pem else []


SERVER, OTHER_SERVER = entity("www.example.com"), entity("www.example.com")
ISSUING, ROOT, OLD_ROOT, STRANGER = entity("Issuing CA 1"), entity("Root R2"), entity("Root R1"), entity("Another Root")

OLD_ROOT_SELF = issue(OLD_ROOT, OLD_ROOT)
ROOT_SELF = issue(ROOT, ROOT)
ROOT_CROSSED = issue(ROOT, OLD_ROOT)
ISSUING_BY_ROOT = issue(ISSUING, ROOT)
STRANGER_SELF = issue(STRANGER, STRANGER)
LEAF = leaf_of(SERVER, ISSUING, serial=0xABC)

ANSWER = [LEAF, ISSUING_BY_ROOT, ROOT_SELF, ROOT_CROSSED, OLD_ROOT_SELF]


@settings(deadline=None)    # other tests may hold the processor
@given(st.permutations([*ANSWER, LEAF, STRANGER_SELF]), st.booleans())
def test_any_order_gives_the_same_chain_with_duplicates_and_strangers(answer: list[x509.Certificate], key_known: bool) -> None:
    """RULES D1"""
    without_stranger = [certificate for certificate in answer if certificate != STRANGER_SELF]
    issued = assemble(pem(*(answer if key_known else without_stranger)), SERVER.hash if key_known else None)
    assert issued.pem.encode() == pem(LEAF)
    assert chain(issued) == [ISSUING_BY_ROOT, ROOT_CROSSED]
    assert issued.fullchain_pem.encode() == pem(LEAF, ISSUING_BY_ROOT, ROOT_CROSSED)


@pytest.mark.parametrize(("answer", "expected"), [
    ([LEAF], []),
    ([LEAF, ISSUING_BY_ROOT], [ISSUING_BY_ROOT]),
    ([ROOT_SELF, ISSUING_BY_ROOT, LEAF], [ISSUING_BY_ROOT]),
    ([LEAF, ISSUING_BY_ROOT, ROOT_CROSSED], [ISSUING_BY_ROOT, ROOT_CROSSED]),
    ([LEAF, ROOT_SELF], []),
], ids=["alone", "no root", "root first", "crossed, no root", "a gap"])
def test_the_root_is_neither_demanded_nor_kept(answer: list[x509.Certificate], expected: list[x509.Certificate]) -> None:
    """RULES D1"""
    assert chain(assemble(pem(*answer), SERVER.hash)) == expected


def test_a_cross_signature_that_ended_long_ago_is_not_kept_beside_a_living_root() -> None:
    """RULES D1"""
    ended = issue(ROOT, OLD_ROOT, start=START - YEARS, lasts=timedelta(days=100))
    assert chain(assemble(pem(LEAF, ISSUING_BY_ROOT, ended, ROOT_SELF, OLD_ROOT_SELF), SERVER.hash)) == [ISSUING_BY_ROOT]


def test_two_cas_that_sign_each_other_make_no_endless_chain() -> None:
    """RULES D1"""
    back = issue(OLD_ROOT, ROOT)
    assert chain(assemble(pem(LEAF, ISSUING_BY_ROOT, ROOT_CROSSED, back), SERVER.hash)) == [ISSUING_BY_ROOT, ROOT_CROSSED, back]


def test_an_issuer_of_the_same_name_with_another_key_is_passed_over() -> None:
    """RULES D1"""
    namesake = issue(entity("Issuing CA 1"), ROOT)
    assert chain(assemble(pem(namesake, LEAF, ISSUING_BY_ROOT), SERVER.hash)) == [ISSUING_BY_ROOT]


def test_a_leaf_whose_signature_does_not_verify_is_never_delivered() -> None:
    """RULES D3"""
    forged = leaf_of(SERVER, ISSUING, signed_with=STRANGER)
    with pytest.raises(BadCertificateError, match=r"signature of .*CN=www\.example\.com.* does not verify .*Issuing CA 1"):
        assemble(pem(forged, ISSUING_BY_ROOT, ROOT_SELF), SERVER.hash)


def test_a_forged_link_further_up_is_found_too() -> None:
    """RULES D3"""
    forged = issue(ISSUING, ROOT, signed_with=STRANGER)
    with pytest.raises(BadCertificateError, match=r"signature of .*Issuing CA 1.* does not verify .*Root R2"):
        assemble(pem(LEAF, forged, ROOT_SELF), SERVER.hash)


def test_a_certificate_signed_by_one_that_is_no_ca_is_refused() -> None:
    """RULES D3"""
    with pytest.raises(BadCertificateError, match="not a CA"):
        assemble(pem(leaf_of(SERVER, OTHER_SERVER), leaf_of(OTHER_SERVER, ISSUING)), SERVER.hash)


def test_a_root_without_any_ca_mark_still_counts_as_issuer() -> None:
    """RULES D1"""
    unmarked = issue(ISSUING, ROOT, ca=None)
    assert chain(assemble(pem(LEAF, unmarked), SERVER.hash)) == [unmarked]
    old_style = issue(ISSUING, ISSUING, ca=None)
    assert assemble(pem(old_style, LEAF), None).pem.encode() == pem(LEAF)


def test_a_certificate_for_another_key_is_refused() -> None:
    """RULES D3"""
    with pytest.raises(BadCertificateError, match="no certificate for our key among the 2"):
        assemble(pem(leaf_of(OTHER_SERVER, ISSUING), ISSUING_BY_ROOT), SERVER.hash)


def test_of_two_certificates_for_our_key_the_newer_one_counts() -> None:
    """RULES D3"""
    newer = leaf_of(SERVER, ISSUING, start=START + timedelta(days=30))
    assert assemble(pem(newer, LEAF, ISSUING_BY_ROOT), SERVER.hash).pem.encode() == pem(newer)


def test_a_self_signed_certificate_of_a_private_ca_is_taken_alone() -> None:
    """RULES D1"""
    alone = leaf_of(SERVER, SERVER)
    for wanted in (SERVER.hash, None):
        issued = assemble(pem(alone), wanted)
        assert issued.pem.encode() == pem(alone)
        assert issued.chain_pem == ""


@pytest.mark.parametrize("answer", [
    [ISSUING_BY_ROOT, ROOT_SELF],
    [LEAF, leaf_of(OTHER_SERVER, ISSUING), ISSUING_BY_ROOT],
], ids=["none", "two"])
def test_without_a_key_an_answer_that_leaves_the_choice_open_is_refused(answer: list[x509.Certificate]) -> None:
    """RULES D3"""
    with pytest.raises(BadCertificateError, match="which one was meant"):
        assemble(pem(*answer), None)


def test_the_facts_of_a_certificate_are_told_in_our_words() -> None:
    """RULES D1"""
    issued = assemble(pem(LEAF, ISSUING_BY_ROOT), None)
    assert issued.serial_number == "abc"
    assert issued.sha256 == LEAF.fingerprint(hashes.SHA256()).hex()
    assert issued.public_key_sha256 == SERVER.hash
    assert issued.issuer == "CN=Issuing CA 1,O=Example Trust"
    assert issued.common_name == "www.example.com"
    assert issued.names == ("www.example.com", "api.example.com", "192.0.2.10")
    assert issued.not_before == START
    assert issued.not_after == START + timedelta(days=199)
    assert issued.not_after.tzinfo is UTC
    assert (issued.key_algorithm, issued.key_size) == ("EC", "P-256")
    assert issued.extended_key_usages == ("serverAuth", "1.3.6.1.4.1.311.10.3.3")
    assert issued.signature_algorithm == "ecdsa-with-SHA256"


def test_an_rsa_certificate_is_assembled_as_well() -> None:
    """RULES D1, K1"""
    key = new_key("RSA", "2048")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "www.example.com")])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(ISSUING.subject).public_key(key.public_key()).serial_number(7)
        .not_valid_before(START).not_valid_after(START + YEARS).sign(ISSUING.key, hashes.SHA384())
    )
    issued = assemble(pem(ISSUING_BY_ROOT, certificate), public_key_sha256(key))
    assert (issued.key_algorithm, issued.key_size, issued.signature_algorithm) == ("RSA", "2048", "ecdsa-with-SHA384")
    assert issued.names == ()
    assert chain(issued) == [ISSUING_BY_ROOT]


def bundle(encoding: serialization.Encoding) -> bytes:
    return pkcs7.serialize_certificates([ISSUING_BY_ROOT, LEAF], encoding)


def bundle_in_ber() -> bytes:
    """The bundle with an outer length that is only known at its end, as Java servers write it."""
    der = bundle(serialization.Encoding.DER)
    assert der[:2] == b"\x30\x82"
    return b"\x30\x80" + der[4:] + b"\x00\x00"


@pytest.mark.parametrize("answer", [
    bundle(serialization.Encoding.PEM),
    bundle(serialization.Encoding.PEM).replace(b"PKCS7", b"PKCS #7 SIGNED DATA"),
    bundle(serialization.Encoding.DER),
    base64.encodebytes(bundle(serialization.Encoding.DER)),
    bundle_in_ber(),
    pem(LEAF, ISSUING_BY_ROOT).replace(b"\n", b"\r\n"),
    pem(LEAF, ISSUING_BY_ROOT).replace(b" CERTIFICATE", b" X509 CERTIFICATE"),
    b"subject=www\n" + pem(LEAF) + b"\nissuer=ca\n" + pem(ISSUING_BY_ROOT) + b"bye",
    pem(LEAF).strip() + pem(ISSUING_BY_ROOT).strip(),
], ids=["PKCS7", "PKCS #7", "DER", "bare", "BER", "Windows lines", "X509", "words around", "no line break"])
def test_every_form_of_an_answer_is_read(answer: bytes) -> None:
    """RULES D1"""
    assert set(read_certificates(answer)) == {LEAF, ISSUING_BY_ROOT}
    assert chain(assemble(answer, SERVER.hash)) == [ISSUING_BY_ROOT]


def test_one_certificate_in_der_is_read() -> None:
    """RULES D1"""
    assert read_certificates(LEAF.public_bytes(serialization.Encoding.DER)) == [LEAF]


@pytest.mark.parametrize(("answer", "says"), [
    (b"", "no certificate"),
    (b"  \n", "no certificate"),
    (b"<html><body>Bad gateway</body></html>", "not valid Base64"),
    (b'{"code":0,"description":"Being processed"}', "not valid Base64"),
    (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    (b"-----BEGIN CERTIFICATE-----\nA!A\n-----END CERTIFICATE-----\n", "not valid Base64"),
    (b"-----BEGIN CERTIFICATE-----\nMIIB", "no certificate"),
    (b"-----BEGIN PKCS7-----\nMAMCAQE=\n-----END PKCS7-----\n", "neither a certificate nor"),
    (b"\x30\x03\x02\x01\x01", "neither a certificate nor"),
    (b"A" * (1024 * 1024 + 1), "no certificate chain is longer"),
    (b"-----BEGIN CERTIFICATE-----" * 30_000, "no certificate"),
])
def test_an_answer_that_holds_no_certificate_is_refused(answer: bytes, says: str) -> None:
    """RULES D3"""
    with pytest.raises(BadCertificateError, match=says):
        assemble(answer, SERVER.hash)


def test_an_answer_with_too_many_certificates_is_refused() -> None:
    """RULES D3"""
    many = [issue(STRANGER, STRANGER, serial=number) for number in range(1, 52)]
    with pytest.raises(BadCertificateError, match="more than 50"):
        read_certificates(pem(*many))


@pytest.mark.filterwarnings("ignore::UserWarning")    # cryptography warns of odd serial numbers and countries, and reads on
@settings(deadline=None)    # other tests may hold the processor
@given(st.data())
def test_a_damaged_answer_is_refused_or_read_and_never_crashes(data: st.DataObject) -> None:
    """RULES D3"""
    der = bytearray(LEAF.public_bytes(serialization.Encoding.DER))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    body = base64.b64encode(bytes(der))
    answer = b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n" + pem(ISSUING_BY_ROOT)
    try:
        issued = assemble(answer, SERVER.hash)
    except BadCertificateError:
        return
    assert issued.public_key_sha256 == SERVER.hash
    for certificate in chain(issued):    # only a link that verifies may follow the leaf
        x509.load_pem_x509_certificate(issued.pem.encode()).verify_directly_issued_by(certificate)
