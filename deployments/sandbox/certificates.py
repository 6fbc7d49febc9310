"""The certificate of an order. Seeded ones are made when somebody first looks, always the same for the same number and seed."""

from datetime import timedelta
from math import gcd
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from deployments.sandbox import requests_for_certificates as requests
from deployments.sandbox.authority import Issuer, PublicKey, Wanted
from deployments.sandbox.orders import Order, start_of_day
from deployments.sandbox.state import Scm

SMALL_PRIMES = 3 * 5 * 7 * 11 * 13 * 17 * 19 * 23 * 29 * 31 * 37 * 41 * 43 * 47
CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
SHORTER = timedelta(days=7)
LATER = timedelta(days=1)


def issuer(scm: Scm, order: Order) -> Issuer:
    return scm.authority.issuer(private=scm.reference.profiles[order.profile_id].private)


def certificate(scm: Scm, order: Order) -> bytes:
    """The certificate in DER. The order has a serial number, an issue date and an end."""
    if order.der is None:
        order.der = _made(scm, order).public_bytes(Encoding.DER)
    return order.der


def chain(scm: Scm, order: Order) -> list[x509.Certificate]:
    """The certificate, its issuer, the root."""
    return [x509.load_der_x509_certificate(certificate(scm, order)), *issuer(scm, order).chain]


def _made(scm: Scm, order: Order) -> x509.Certificate:
    assert order.serial is not None  # noqa: S101 - the caller's promise
    assert order.issued is not None  # noqa: S101
    assert order.expires is not None  # noqa: S101
    not_before, not_after, names = start_of_day(order.issued), order.expires, list(order.names())
    if "not_yet_valid" in order.defects:
        not_before = scm.now().replace(microsecond=0) + LATER
    if "short_term" in order.defects:
        not_after -= SHORTER
    if "missing_san" in order.defects:
        names = names[:-1] if len(names) > 1 else [f"other.{order.common_name.removeprefix('*.')}"]
    if "extra_san" in order.defects:
        names.append(f"www.{order.common_name.removeprefix('*.')}")
    organization = scm.reference.organizations[order.org_id]
    return issuer(scm, order).issue(Wanted(
        public_key=_public_key(scm, order), common_name=order.common_name, names=names, organization=organization.name,
        country=organization.country, serial=order.serial, not_before=not_before, not_after=not_after,
        client_too="other_usage" in order.defects, forged="bad_signature" in order.defects,
    ))


def _public_key(scm: Scm, order: Order) -> PublicKey:
    if "wrong_key" in order.defects:
        return ec.generate_private_key(ec.SECP256R1()).public_key()
    if order.csr is not None:
        return requests.public_key(x509.load_der_x509_csr(order.csr))
    return _nobodys_key(order.key_type, Random(f"{scm.options.seed}/{order.key_of or order.id}"))


def _nobodys_key(key_type: str, random: Random) -> PublicKey:
    """A public key without a private one. Real RSA keys would cost up to half a second each."""
    algorithm, size = key_type.split(" - ")
    if algorithm == "EC":
        return ec.derive_private_key(random.getrandbits(250) + 1, CURVES[size]).public_key()
    bits = int(size)
    while True:
        modulus = random.getrandbits(bits) | 1 | 3 << (bits - 2)
        if gcd(modulus, SMALL_PRIMES) == 1:
            return rsa.RSAPublicNumbers(65537, modulus).public_key()
