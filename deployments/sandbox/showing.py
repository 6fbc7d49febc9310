"""An order as SCM shows it, in both dialects (contract 2, 3, 5.6, 5.7)."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from deployments.sandbox import certificates
from deployments.sandbox.calls import Call
from deployments.sandbox.faults import SHOWN
from deployments.sandbox.orders import EMPTY, HAS_CERTIFICATE, LEFT_OUT, OPEN, REPLACED, REVOKED, SA_APPROVED, Order
from deployments.sandbox.reference import Profile
from deployments.sandbox.refusals import invalid
from deployments.sandbox.state import Scm

Row = dict[str, Any]
VENDOR = "Example Trust"
MAY_BE_BLANK = ("requested", "approved", "issued", "declined", "revoked", "replaced", "renewedDate", "externalRequester", "comments",
                "serialNumber", "issuer")
"""Fields that some records show as null or as an empty text instead of leaving them out (contract 3)."""

_DAYS = {
    "ISO": ("yyyy-MM-dd", "%Y-%m-%d"), "EU": ("dd.MM.yyyy", "%d.%m.%Y"), "US": ("MM/dd/yyyy", "%m/%d/%Y"),
    "UK": ("dd/MM/yyyy", "%d/%m/%Y"), "JP": ("yyyy/MM/dd", "%Y/%m/%d"),
}


def report_moment(moment: datetime) -> str:
    """As in reports: `2026-03-20T09:00:00.000Z`."""
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def _formats() -> dict[str, Callable[[datetime], str]]:
    def by(pattern: str) -> Callable[[datetime], str]:
        return lambda moment: moment.strftime(pattern)

    found: dict[str, Callable[[datetime], str]] = {"iso_hms": report_moment, "yyyy-mm-dd't'hh:mm:ss.sss'z'": report_moment}
    for name, (java, pattern) in _DAYS.items():
        found[name.lower()] = found[java.lower()] = by(pattern)
        if name != "ISO":
            found[f"{name}_HMS".lower()] = found[f"{java} HH:mm:ss".lower()] = by(f"{pattern} %H:%M:%S")
    return found


DATE_FORMATS = _formats()


def date_format(call: Call) -> Callable[[datetime], str]:
    """How the details show dates: on v1 as asked for, on the admin host as date-times."""
    if call.host.admin:
        return lambda moment: moment.isoformat(timespec="milliseconds")
    asked = call.query("dateFormat") or "US"
    if asked.lower() not in DATE_FORMATS:
        raise invalid("dateFormat")
    return DATE_FORMATS[asked.lower()]


def status(order: Order, *, admin_host: bool) -> str:
    return "SAApproved" if order.status == SA_APPROVED and not admin_host else order.status


def serial(number: int) -> str:
    """`AA:BB:CC`, 16 groups or more."""
    text = f"{number:032X}"
    text = text.zfill(len(text) + len(text) % 2)
    return ":".join(text[place:place + 2] for place in range(0, len(text), 2))


def profile(one: Profile) -> Row:
    """Contract 5.4."""
    return {
        "id": one.id, "name": one.name, "description": one.description, "terms": list(one.terms),
        "keyTypes": {name: list(sizes) for name, sizes in one.key_types.items()}, "useSecondaryOrgName": False,
    }


def blanked(order: Order, row: Row, names: tuple[str, ...] = MAY_BE_BLANK) -> Row:
    """Leaves out what is None, or shows it as this record shows absent values."""
    for name in [name for name, value in row.items() if value is None]:
        if order.blank == LEFT_OUT or name not in names:
            del row[name]
        elif order.blank == EMPTY:
            row[name] = ""
    return row


def spoiled(scm: Scm, route: str, order: Order, row: Row) -> Row | None:
    """The row as faults show it; None when it is hidden."""
    for fault in scm.faults.strike(SHOWN, route=route, order=order):
        if fault.kind == "hide":
            return None
        if fault.kind == "unknown_status":
            row["status"] = fault.word
        elif fault.kind == "lose_comments":
            row.pop("comments", None)
        elif fault.value is None:
            row.pop(fault.field, None)
        else:
            row[fault.field] = fault.value
    return row


def validation_type(one: Profile) -> str:
    if one.private:
        return "Private"
    return "Extended Validation (EV)" if one.ev else "Organization Validation (OV)"


def signature_algorithm(order: Order) -> str | None:
    return "ECDSA-SHA256" if order.serial is not None else None


def details(call: Call, order: Order) -> Row:
    """The details of an order (contract 5.7)."""
    shown = date_format(call)

    def moment(value: datetime | None) -> str | None:
        return None if value is None else shown(value)

    scm, kind = call.scm, call.scm.reference.profiles[order.profile_id]
    algorithm, size = order.key_type.split(" - ")
    approver = scm.accounts.own if order.approved else None
    ordered = order.requested is not None
    reason: int | str | None = order.reason_code
    row: Row = {
        "commonName": order.common_name, "sslId": order.id, "id": order.id, "orgId": order.org_id,
        "status": status(order, admin_host=call.host.admin),
        "orderNumber": order.backend_id if order.applied else None, "backendCertId": str(order.backend_id) if order.applied else None,
        "vendor": VENDOR, "certType": profile(kind), "subType": "", "validationType": validation_type(kind), "term": order.term,
        "owner": approver.name if approver else None, "ownerId": approver.id if approver else None,
        "requester": order.requester if ordered else None, "requesterId": call.scm.accounts.own.id if ordered else None,
        "requestedVia": order.requested_via, "externalRequester": order.external_requester or None, "comments": order.comments or None,
        "requested": moment(order.requested), "approved": moment(order.approved), "issued": moment(order.issued),
        "declined": moment(order.declined), "expires": moment(order.expires), "replaced": moment(order.replaced),
        "revoked": moment(order.revoked), "reasonCode": str(reason) if call.host.admin and reason is not None else reason,
        "renewed": order.renewed, "renewedDate": moment(order.renewed_date),
        "serialNumber": serial(order.serial) if order.serial is not None else None, "signatureAlg": signature_algorithm(order),
        "keyAlgorithm": algorithm, "keySize": int("".join(filter(str.isdigit, size))), "keyType": order.key_type,
        "keyUsages": ["Digital Signature"] if order.serial is not None else None,
        "extendedKeyUsages": ["Server Authentication"] if order.serial is not None else None,
        "subjectAlternativeNames": list(order.sans) or None,
        "customFields": [{"name": name, "value": value} for name, value in order.custom_fields],
        "certificateDetails": _certificate_details(call, order) if has_certificate(order) else None,
        "autoInstallDetails": {"state": "Not configured"},
        "autoRenewDetails": _auto_renew(order), "suspendNotifications": order.suspend_notifications,
    }
    return blanked(order, row)


def has_certificate(order: Order) -> bool:
    """SCM knows a certificate of it, whether it may be collected or not."""
    return order.serial is not None and order.status in HAS_CERTIFICATE | {REVOKED, REPLACED}


def _auto_renew(order: Order) -> Row:
    days = {} if order.auto_renew_days is None else {"daysBeforeExpiration": order.auto_renew_days}
    return {"state": order.auto_renew, **days}


def _certificate_details(call: Call, order: Order) -> Row:
    der = certificates.certificate(call.scm, order)
    leaf = x509.load_der_x509_certificate(der)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value if order.requested else order.names()
    shown = [str(one.value) if isinstance(one, x509.GeneralName) else one for one in names]
    row = {
        "issuer": leaf.issuer.rfc4514_string(), "subject": leaf.subject.rfc4514_string(),
        "subjectAltNames": ", ".join(f"dNSName={one}" for one in shown), **fingerprints(der),
    }
    if call.host.admin:
        row["sha256Hash"] = hashlib.sha256(der).hexdigest().upper()
    return row


def fingerprints(der: bytes) -> dict[str, str]:
    """MD5 and SHA-1, as SCM shows them; nobody's security hangs on these."""
    return {
        "md5Hash": hashlib.md5(der, usedforsecurity=False).hexdigest().upper(),
        "sha1Hash": hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
    }


def list_item(order: Order) -> Row:
    """An item of the list: no status, no date, no profile (contract 5.6)."""
    shown = order.serial is not None and order.status not in OPEN
    return blanked(order, {
        "sslId": order.id, "commonName": order.common_name, "subjectAlternativeNames": list(order.sans) or None,
        "serialNumber": serial(order.serial) if shown and order.serial is not None else None,
    })


def filename(order: Order) -> str:
    return order.common_name.replace("*", "star").replace(".", "_") + ".cer"


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
