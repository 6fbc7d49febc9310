"""Certificates out of whatever SCM sends: PEM, DER, PKCS#7 (contract 5.9). The bytes may be hostile."""

import base64
import binascii
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from models.errors import BadCertificateError
from tasks.adapters.pki.keys import UNREADABLE

BYTES_MAX = 1024 * 1024
CERTIFICATES_MAX = 50
"""A chain has three or four certificates of about 2 KB; more than this is not an answer, but an attack or a fault."""

REMEMBERED = 256
"""Certificates of which what was read is kept: the CAs of an account are a few, and each certificate passes by once."""

_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,40})-----([^-]*)-----END \1-----")
_CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE")
_PKCS7_LABELS = (b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS")
_DER_SEQUENCE = b"\x30"
"""Base64 of DER begins with M."""


def read_certificates(data: bytes) -> list[x509.Certificate]:
    """The certificates in an answer, in its order, each once.

    Raises: BadCertificateError if the answer is too big, holds no certificate, or holds one that cannot be read.
    Source: contract 5.9; `base64` is PKCS#7 or plain certificates there, `bin` PKCS#7 in DER.
    """
    if len(data) > BYTES_MAX:
        raise BadCertificateError(f"The answer has {len(data)} bytes; no certificate chain is longer than {BYTES_MAX}.")
    found: dict[x509.Certificate, None] = {}
    for certificate in _all(data):
        found[certificate] = None
        if len(found) > CERTIFICATES_MAX:
            raise BadCertificateError(f"The answer holds more than {CERTIFICATES_MAX} certificates.")
    if not found:
        raise BadCertificateError("The answer holds no certificate.")
    return list(found)


def _all(data: bytes) -> Iterator[x509.Certificate]:
    if b"-----BEGIN" not in data:
        yield from _of_der(data if data.startswith(_DER_SEQUENCE) else _decoded(data))
        return
    for block in _PEM_BLOCK.finditer(data):
        label, body = block.groups()
        if label in _CERTIFICATE_LABELS:
            yield _certificate(body)
        elif label in _PKCS7_LABELS:
            yield from _of_pkcs7(_decoded(body))


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadCertificateError("The answer holds a certificate that is not valid Base64.") from None


def _of_der(der: bytes) -> list[x509.Certificate]:
    if not der:
        return []
    try:
        return [x509.load_der_x509_certificate(der)]
    except UNREADABLE:
        return _of_pkcs7(der)


@lru_cache(maxsize=REMEMBERED)
def _certificate(body: bytes) -> x509.Certificate:
    """Remembered: the answers of an account bring the same CAs again and again, in the same bytes."""
    try:
        return x509.load_der_x509_certificate(_decoded(body))
    except UNREADABLE:
        raise BadCertificateError("The answer holds a certificate that cannot be read.") from None


def _of_pkcs7(der: bytes) -> list[x509.Certificate]:
    try:
        with warnings.catch_warnings():
            # Java servers write PKCS#7 in BER; cryptography reads it, and warns that it may not for ever.
            warnings.filterwarnings("ignore", message="PKCS#7 certificates could not be parsed as DER")
            return pkcs7.load_der_pkcs7_certificates(der)
    except UNREADABLE:
        raise BadCertificateError("The answer is neither a certificate nor a PKCS#7 bundle that can be read.") from None
