"""Keys, CSRs, chains and keystores: everything that needs cryptography (RULES K, D1)."""

from tasks.adapters.pki.chains import IssuedCertificate, assemble, leaf_alone
from tasks.adapters.pki.csr import CsrFacts, make_csr, read_csr
from tasks.adapters.pki.keys import PrivateKey, key_from_pem, key_to_pem, new_key, public_key_sha256
from tasks.adapters.pki.keystores import check_keystore_password, looks_random, make_keystore, new_keystore_password
from tasks.adapters.pki.reading import read_certificates

__all__ = [
    "CsrFacts",
    "IssuedCertificate",
    "PrivateKey",
    "assemble",
    "check_keystore_password",
    "key_from_pem",
    "key_to_pem",
    "leaf_alone",
    "looks_random",
    "make_csr",
    "make_keystore",
    "new_key",
    "new_keystore_password",
    "public_key_sha256",
    "read_certificates",
    "read_csr",
]
