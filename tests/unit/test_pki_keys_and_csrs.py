"""Keys, and the CSRs that we make and that customers bring."""

import base64
import textwrap

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputError, SetupError
from tasks.adapters.pki import key_from_pem, key_to_pem, make_csr, new_key, public_key_sha256, read_csr

KEY = new_key("EC", "P-256")
CSR = make_csr(KEY, "www.example.com", ("www.example.com", "api.example.com", "192.0.2.10"))


def request_for(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    """A CSR that our own maker would not make."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "www.example.com")]))
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM).decode()


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def body(pem: str) -> str:
    return "".join(pem.splitlines()[1:-1])


@pytest.mark.parametrize(("algorithm", "size"), [("RSA", "2048"), ("RSA", "3072"), ("RSA", "4096"), ("EC", "P-256"), ("EC", "P-384")])
def test_a_key_of_each_kind_comes_back_from_its_text_and_signs_a_good_csr(algorithm: str, size: str) -> None:
    """RULES K1"""
    key = new_key(algorithm, size)
    again = key_from_pem(key_to_pem(key))
    facts = read_csr(make_csr(again, "www.example.com"))
    assert (facts.algorithm, facts.size) == (algorithm, size)
    assert facts.public_key_sha256 == public_key_sha256(key)


@pytest.mark.parametrize(("algorithm", "size"), [("RSA", "1024"), ("RSA", "P-256"), ("EC", "2048"), ("EC", "P-521"), ("DSA", "2048"), ("", "")])
def test_other_keys_are_refused_with_the_allowed_ones(algorithm: str, size: str) -> None:
    """RULES K1"""
    with pytest.raises(InputError, match=r"2048, 3072, 4096.*P-256, P-384"):
        new_key(algorithm, size)


def test_two_keys_are_never_the_same() -> None:
    """RULES K1"""
    assert public_key_sha256(new_key("EC", "P-256")) != public_key_sha256(new_key("EC", "P-256"))


@pytest.mark.parametrize(("algorithm", "size", "digest"), [("RSA", "2048", "sha256"), ("EC", "P-256", "sha256"), ("EC", "P-384", "sha384")])
def test_the_csr_is_signed_with_the_hash_that_fits_the_key(algorithm: str, size: str, digest: str) -> None:
    """RULES K1"""
    request = x509.load_pem_x509_csr(make_csr(new_key(algorithm, size), "www.example.com").encode())
    assert request.signature_hash_algorithm is not None
    assert request.signature_hash_algorithm.name == digest


def test_the_subject_is_the_common_name_only_and_it_is_one_of_the_names() -> None:
    """RULES N2"""
    request = x509.load_pem_x509_csr(make_csr(KEY, "www.example.com", ("api.example.com",)).encode())
    assert request.subject.rfc4514_string() == "CN=www.example.com"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["www.example.com", "api.example.com"]


def test_an_address_goes_into_the_csr_as_an_address() -> None:
    """RULES N1"""
    assert read_csr(CSR).names == ("www.example.com", "api.example.com", "192.0.2.10")


@pytest.mark.parametrize("name", ["", "a" * 65, "bücher.example"])
def test_a_name_that_does_not_fit_into_a_csr_is_refused(name: str) -> None:
    """RULES N2"""
    with pytest.raises(InputError, match="No CSR can be made"):
        make_csr(KEY, name, ("bücher.example",))


@pytest.mark.parametrize("text", [
    "",
    "not a key",
    KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret99")
    ).decode(),
    ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode(),
])
def test_a_text_that_is_no_key_of_ours_is_refused_without_being_shown(text: str) -> None:
    """RULES K1"""
    with pytest.raises(SetupError) as caught:
        key_from_pem(text)
    assert caught.value.__cause__ is None
    assert "MC" not in str(caught.value)


def test_key_csr_and_public_key_have_one_fingerprint() -> None:
    """RULES K6"""
    request = x509.load_pem_x509_csr(CSR.encode())
    assert public_key_sha256(KEY) == public_key_sha256(KEY.public_key()) == public_key_sha256(request) == read_csr(CSR).public_key_sha256


@pytest.mark.parametrize("text", [
    CSR,
    CSR.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
    CSR.replace("\n", "\r\n"),
    CSR.replace("\n", " "),
    "\ufeff" + CSR,
    "Certificate Request:\n    Data:\n" + CSR + "\nsome trailing words\n",
    body(CSR),
    "\n".join(textwrap.wrap(body(CSR), 20)),
], ids=["as it is", "IIS", "Windows lines", "one line", "byte order mark", "words around", "bare", "short lines"])
def test_a_csr_is_read_in_every_dress(text: str) -> None:
    """RULES K2"""
    facts = read_csr(text)
    assert facts.pem == CSR
    assert facts.common_name == "www.example.com"


def test_a_csr_without_common_name_and_names_is_read_as_such() -> None:
    """RULES K2"""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(KEY, hashes.SHA256())
    facts = read_csr(request.public_bytes(serialization.Encoding.PEM).decode())
    assert facts.common_name is None
    assert facts.names == ()


def test_a_private_key_pasted_by_mistake_is_refused_without_an_echo() -> None:
    """RULES K2"""
    for text in (key_to_pem(KEY), key_to_pem(KEY) + CSR, body(key_to_pem(KEY)), key_to_pem(KEY).replace("PRIVATE", "EC PRIVATE")):
        with pytest.raises(InputError, match="private key") as caught:
            read_csr(text)
        shown = str(caught.value) + repr(caught.value.__cause__)
        assert body(key_to_pem(KEY))[:20] not in shown


def altered() -> str:
    """The CSR with another name than the one it was signed with."""
    der = base64.b64decode(body(CSR)).replace(b"api.example.com", b"xxx.example.com")
    return base64.b64encode(der).decode()


@pytest.mark.parametrize(("text", "says"), [
    ("", "empty"),
    ("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----", "empty"),
    ("hello world!", "not valid Base64"),
    (CSR.replace("M", "!", 1), "not valid Base64"),
    (base64.b64encode(b"something else").decode(), "not a CSR"),
    (CSR.rpartition("-----END")[0], "cut off"),
    (CSR + CSR, "several"),
    (CSR.replace("CERTIFICATE REQUEST", "CERTIFICATE"), "a certificate, not a CSR"),
    ("A" * 32768, "may have 32767"),
    (altered(), "signature does not verify"),
    (request_for(rsa_key(1024)), "RSA with 1024 bits"),
    (request_for(rsa_key(2047)), "RSA with 2047 bits"),
    (request_for(ec.generate_private_key(ec.SECP256K1())), "EC secp256k1"),
    (request_for(ed25519.Ed25519PrivateKey.generate()), "Ed25519"),
])
def test_what_is_no_usable_csr_is_refused_with_the_reason(text: str, says: str) -> None:
    """RULES K2"""
    with pytest.raises(InputError, match=says):
        read_csr(text)


@pytest.mark.filterwarnings("ignore::UserWarning")    # cryptography warns of odd serial numbers and countries, and reads on
@settings(deadline=None)    # other tests may hold the processor
@given(st.data())
def test_a_damaged_csr_is_refused_or_still_verifies_and_never_crashes(data: st.DataObject) -> None:
    """RULES K2"""
    der = bytearray(base64.b64decode(body(CSR)))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        facts = read_csr(base64.b64encode(bytes(der)).decode())
    except InputError:
        return
    assert x509.load_pem_x509_csr(facts.pem.encode()).is_signature_valid
