"""Keys made here and CSRs brought: what lies in Vault afterwards, for every keystore type."""

import base64

import jks
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from flows.poll_orders import poll_orders
from models.errors import InputError, SetupError
from models.orders import Submission
from tasks import services


def own_csr(name, key):
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)]))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def opened(entry):
    """Private key, leaf and number of chain certificates in a live entry's keystore."""
    data, password = base64.b64decode(entry["keystore"]), entry["keystore_password"]
    if entry["keystore_type"] == "JKS":
        [(alias, found)] = jks.KeyStore.loads(data, password).private_keys.items()
        assert alias == alias.lower()
        return (
            serialization.load_der_private_key(found.pkey_pkcs8, None), x509.load_der_x509_certificate(found.cert_chain[0][1]),
            len(found.cert_chain) - 1,
        )
    if entry["keystore_type"] == "PEM":
        leaf, *chain = x509.load_pem_x509_certificates(data)
        return serialization.load_pem_private_key(data, password.encode()), leaf, len(chain)
    key, leaf, chain = pkcs12.load_key_and_certificates(data, password.encode())
    return key, leaf, len(chain)


@pytest.mark.parametrize("keystore_type", ["PKCS12", "PKCS12_LEGACY", "JKS", "PEM"])
@pytest.mark.parametrize(("algorithm", "size"), [("RSA", "2048"), ("EC", "P-256"), ("EC", "P-384")])
def test_a_keystore_holds_key_certificate_and_chain(synced, order, keystore_type, algorithm, size) -> None:
    """RULES K1, K3, K4"""
    order("store.example.com", key_algorithm=algorithm, key_size=size, keystore_type=keystore_type)
    synced.deliver("store.example.com")
    entry = synced.entry("live/store.example.com")
    key, leaf, chain = opened(entry)
    assert entry["keystore_type"] == keystore_type
    assert key.public_key() == leaf.public_key()
    assert leaf == x509.load_pem_x509_certificate(entry["certificate"].encode())
    assert chain == entry["chain"].count("BEGIN CERTIFICATE") >= 1
    assert serialization.load_pem_private_key(entry["private_key"].encode(), None).public_key() == leaf.public_key()


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)], ids=["EC", "RSA"])
def test_with_a_csr_of_ones_own_no_key_is_in_vault(synced, order, key) -> None:
    """RULES K2"""
    order("own.example.com", csr=own_csr("own.example.com", key))
    synced.deliver("own.example.com")
    entry = synced.entry("live/own.example.com")
    assert (entry["private_key"], entry["keystore"], entry["keystore_password"]) == ("", "", "")
    assert x509.load_pem_x509_certificate(entry["certificate"].encode()).public_key() == key.public_key()
    assert synced.keys_or_none() == []


def test_a_weak_key_in_a_csr_is_refused(synced, order) -> None:
    """RULES K1: whatever a profile lists, and whatever is sent anyway"""
    weak = own_csr("weak.example.com", rsa.generate_private_key(65537, 1024))  # noqa: S505 - weak on purpose
    for profile in ("OV Multi-Domain", "OV Legacy"):
        with pytest.raises(InputError, match="1024"):
            order("weak.example.com", csr=weak, certificate_profile=profile, send_anyway=True)
    assert synced.sandbox.orders("weak.example.com") == []


def test_the_users_own_keystore_password_serves(synced, order) -> None:
    """RULES K3"""
    path = synced.password("web#word", "Correct horse 9")
    order("mine.example.com", keystore_password_path=path)
    synced.deliver("mine.example.com")
    assert synced.entry("live/mine.example.com")["keystore_password"] == "Correct horse 9"


@pytest.mark.parametrize(("path", "word", "said"), [
    ("web#word", "short", "8 to 64"), ("web#word", "with umlaut ä", "ASCII"), ("web#other", "long enough", "no keystore password"),
    ("elsewhere#word", "long enough", "no keystore password"),
])
def test_a_keystore_password_that_cannot_serve_is_refused_before_anything_is_sent(synced, order, path, word, said) -> None:
    """RULES K3, C1: not when the certificate is there; the word itself is never shown"""
    synced.password("web#word", word)
    with pytest.raises(InputError, match=said) as caught:
        order("refused.example.com", keystore_password_path=path)
    assert word not in str(caught.value)
    assert synced.sandbox.orders("refused.example.com") == []


def test_the_generated_password_stays_for_later_versions_of_a_live_name(synced, order) -> None:
    """RULES K3"""
    order("first.example.com", live_name="service")
    synced.deliver("first.example.com")
    before = synced.entry("live/service")
    synced.sandbox.change_order(synced.order("first.example.com").ssl_id, status="Revoked")
    poll_orders.fn(orders=["first.example.com"])
    order("second.example.com", live_name="service", keystore_type="JKS")
    synced.deliver("second.example.com")
    after = synced.entry("live/service")
    assert after["order"] != before["order"]
    assert after["keystore_password"] == before["keystore_password"]


def test_an_order_whose_key_is_gone_from_vault_is_not_sent(synced, order) -> None:
    """RULES E1: it could never be delivered"""
    synced.sandbox.fault("too_many", route="enroll", count=1)
    assert order("keyless.example.com").status == "planned"
    sent = synced.submission("keyless.example.com")
    synced.vault.secrets.kv.v2.delete_metadata_and_all_versions(f"certflow/keys/{sent.id}")
    from tasks import keys
    with pytest.raises(SetupError, match="gone from Vault"):
        keys.create(sent.id)
    synced.poll_until(lambda: True)
    assert synced.sandbox.orders("keyless.example.com") == []
    synced.vault.secrets.kv.v2.create_or_update_secret(f"certflow/keys/{sent.id}", secret={"private_key": "x", "csr": sent.csr})
    synced.poll_until(lambda: len(synced.sandbox.orders("keyless.example.com")) == 1)


def test_no_key_password_or_login_is_in_the_database(synced, order) -> None:
    """DESIGN 6: secrets are in Vault only"""
    path = synced.password("web#word", "Correct horse 9")
    order("secret.example.com", keystore_password_path=path, key_algorithm="RSA")
    synced.deliver("secret.example.com")
    entry = synced.entry("live/secret.example.com")
    with services.open_services() as svc:
        svc.store.engine.dispose()
    stored = b"".join(file.read_bytes() for file in synced.home.glob("certflow.db*"))
    key_line = entry["private_key"].splitlines()[3]
    for secret in (key_line, "Correct horse 9", synced.sandbox.line["account"]["password"], "BEGIN PRIVATE KEY"):
        assert secret.encode() not in stored
    assert synced.rows(Submission)[0].csr.encode()[:60] in stored
