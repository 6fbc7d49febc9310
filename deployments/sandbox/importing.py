"""Import of certificates that were issued elsewhere (contract 5.16): as JSON, and as a ZIP file."""

import zipfile
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from io import BytesIO
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fastapi import Response

from deployments.sandbox import checks
from deployments.sandbox import requests_for_certificates as requests
from deployments.sandbox.calls import Call, answer
from deployments.sandbox.orders import EXPIRED, ISSUED, Order
from deployments.sandbox.refusals import RefusedError, invalid, missing, unreadable

MOST_ITEMS = 128
LARGEST_FILE = 50 * 1024 * 1024
UNKNOWN_PROFILE = 5201


def by_json(call: Call) -> Response:
    """One result for each item, in their order. On the admin host the same path takes a ZIP file too."""
    call.need("sslManage", "import")
    if call.request.headers.get("content-type", "").startswith("multipart/"):
        return by_file(call)
    items = call.json()
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise unreadable()
    if not 1 <= len(items) <= MOST_ITEMS:
        raise invalid("certificates")
    return answer([_result(call, one) for one in items])


def _result(call: Call, item: Mapping[str, Any]) -> dict[str, Any]:
    try:
        org = checks.organization(call, {"orgId": item.get("orgID")})
        certificate = _read(item.get("cert"))
        order, created = _keep(call, certificate, org.id)
        if created:
            order.comments = checks.comments(item)
            order.external_requester = checks.external_requester(item)
            order.custom_fields = checks.custom_fields(call, item)
    except RefusedError as error:
        return {"errorMessage": error.description}
    subject = certificate.subject.rfc4514_string()
    return {"cert": {"id": order.id, "subject": subject, "serialNumber": f"{certificate.serial_number:X}"}, "created": created}


def _read(text: object) -> x509.Certificate:
    if not isinstance(text, str) or not text:
        raise missing("cert")
    try:
        return x509.load_der_x509_certificate(b64decode("".join(text.split()), validate=True))
    except (Base64Error, ValueError):
        raise invalid("cert") from None


def _keep(call: Call, certificate: x509.Certificate, org_id: int) -> tuple[Order, bool]:
    """The record of a certificate, and whether it is new."""
    book = call.scm.book
    known = book.by_serial.get(certificate.serial_number)
    if known is not None:
        return known, False
    try:
        key_type = requests.key_type(certificate.public_key())  # type: ignore[arg-type]  # other keys have no size
    except (AttributeError, UnsupportedAlgorithm, ValueError):
        raise RefusedError(-11, "The certificate uses an unsupported algorithm.") from None
    ended = certificate.not_valid_after_utc < call.scm.now()
    order = Order(
        id=book.next_id, common_name=_common_name(certificate), sans=_names(certificate), org_id=org_id, profile_id=UNKNOWN_PROFILE,
        term=(certificate.not_valid_after_utc - certificate.not_valid_before_utc).days, status=EXPIRED if ended else ISSUED,
        key_type=key_type, issued=certificate.not_valid_before_utc, expires=certificate.not_valid_after_utc,
        serial=certificate.serial_number, requested_via="Imported", der=certificate.public_bytes(Encoding.DER))
    book.add(order)
    return order, True


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else certificate.subject.rfc4514_string()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(found.get_values_for_type(x509.DNSName))


def by_file(call: Call) -> Response:
    """A ZIP file as part `file`; what is known already is an error in the list."""
    call.need("sslManage", "import")
    org = checks.organization(call, {"orgId": call.query_number("orgId")})
    processed, errors = 0, []
    for name, content in _files(call):
        processed += 1
        try:
            certificate = x509.load_pem_x509_certificate(content) if b"-----BEGIN" in content else x509.load_der_x509_certificate(content)
            _, created = _keep(call, certificate, org.id)
        except ValueError:
            errors.append(f"[{name}] - Not a certificate.")
            continue
        except RefusedError as error:
            errors.append(f"[{name}] - {error.description}")
            continue
        if not created:
            errors.append(f"[{name}] - SSL certificate already exists. Order number: N/A")
    return answer({"processedCount": processed, "errors": errors})


def _files(call: Call) -> Iterator[tuple[str, bytes]]:
    header = f"Content-Type: {call.request.headers.get('content-type', '')}\r\n\r\n".encode("latin-1")
    parts = message_from_bytes(header + call.body).walk()
    part = next((one for one in parts if one.get_param("name", header="content-disposition") == "file"), None)
    content = part.get_payload(decode=True) if part is not None else None
    if not isinstance(content, bytes) or len(content) > LARGEST_FILE:
        raise missing("file")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            for entry in archive.infolist():
                if not entry.is_dir() and entry.file_size <= LARGEST_FILE:
                    yield entry.filename, archive.read(entry)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError):
        raise invalid("file") from None
