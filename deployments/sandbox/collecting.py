"""Certificates as files, in ten formats (contract 5.9)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from fastapi import Response

from deployments.sandbox import certificates, showing
from deployments.sandbox.calls import Call
from deployments.sandbox.faults import CERTIFICATE
from deployments.sandbox.orders import APPLIED, APPROVED, DECLINED, HAS_CERTIFICATE, INVALID, REJECTED, REVOKED, Order
from deployments.sandbox.refusals import RefusedError, not_ready

Chain = list[x509.Certificate]


def _pem(certificates_: Chain) -> bytes:
    return b"".join(showing.pem(one) for one in certificates_)


FORMATS: Mapping[str, Callable[[Chain], bytes]] = MappingProxyType({
    "base64": lambda chain: pkcs7.serialize_certificates(chain[::-1], Encoding.PEM),
    "bin": lambda chain: pkcs7.serialize_certificates(chain[::-1], Encoding.DER),
    "x509": lambda chain: _pem(chain[::-1]),
    "pem": lambda chain: _pem(chain[::-1]),
    "x509R": _pem,
    "x509CO": lambda chain: _pem(chain[:1]),
    "pemco": lambda chain: _pem(chain[:1]),
    "x509IO": lambda chain: _pem(chain[:0:-1]),
    "x509IOR": lambda chain: _pem(chain[1:]),
    "pemia": lambda chain: _pem(chain[:2]),
})
"""Each from the chain with the certificate first and the root last."""


def collect(call: Call) -> Response:
    """The format stands in the query, or in the path as six old clients have it (contract 9, quirk 5)."""
    order = call.order()
    wanted = str(call.request.path_params.get("format") or call.query("format") or "base64")
    if wanted not in FORMATS:
        raise RefusedError(-1450, f"Unknown format type: {wanted}")
    _check_state(call, order)
    struck = call.scm.faults.strike(
        CERTIFICATE, route=call.route, method=call.request.method, path=call.request.url.path, order=order)
    if struck:
        order.defects, order.der = order.defects | {fault.kind for fault in struck}, None
    chain = certificates.chain(call.scm, order)
    if "odd_chain" in order.defects:
        chain = [chain[1], chain[0], *chain[2:], chain[1]]
    return Response(
        FORMATS[wanted](chain),
        headers={
            "Content-Type": "application/octet-stream;charset=UTF-8",
            "Content-Disposition": f'attachment; filename="{showing.filename(order)}"',
        })


def _check_state(call: Call, order: Order) -> None:
    """Raises: RefusedError. The codes for what was refused are a choice of this sandbox (contract 6.3)."""
    if order.status in HAS_CERTIFICATE and order.serial is not None:
        return
    if order.status == REVOKED:
        raise RefusedError(-110, "The certificate is revoked and cannot be downloaded.")
    if order.status in {DECLINED, REJECTED, INVALID}:
        raise not_ready(-183)
    if order.status in {APPROVED, APPLIED}:
        raise not_ready(call.scm.options.not_ready_code)
    raise not_ready(-183)
