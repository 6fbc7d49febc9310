"""Calls that change what SCM holds: update, decline, revoke, mark as renewed, delete (contract 5.10 to 5.16)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import Response

from deployments.sandbox import checks, names, showing
from deployments.sandbox import requests_for_certificates as requests
from deployments.sandbox.calls import Call, answer, nothing
from deployments.sandbox.certificates import issuer
from deployments.sandbox.listing import RENEWAL, as_serial
from deployments.sandbox.orders import (
    DECLINED,
    EDITABLE,
    INVALID,
    ISSUED,
    NOT_ORDERED,
    REJECTED,
    REQUESTED,
    REVOKED,
    Order,
    end_of_term,
    utc,
)
from deployments.sandbox.refusals import RefusedError, forbidden, invalid, missing, unknown_certificate

CORE_FIELDS = ("orgId", "certTypeId", "term", "commonName", "csr", "subjectAlternativeNames")


def update(call: Call) -> Response:
    """The details after the change. Fields that are locked in this state are ignored; an edited Declined order is Requested again."""
    call.need("sslManage", "update")
    body = call.fields()
    ssl_id = checks.number(body, "sslId")
    if ssl_id is None:
        raise missing("sslId")
    order = call.scm.book.by_id.get(ssl_id)
    if order is None or not call.sees(order):
        raise unknown_certificate(ssl_id, status=400)
    comments, requesters = checks.comments(body), checks.external_requester(body)
    fields = checks.custom_fields(call, body) if body.get("customFields") is not None else None
    renewal = _auto_renew(body)
    if order.status in EDITABLE and any(body.get(name) is not None for name in CORE_FIELDS):
        _edit(call, order, body)
    if body.get("comments") is not None:
        order.comments = comments
    if body.get("externalRequester") is not None:
        order.external_requester = requesters
    if fields is not None:
        order.custom_fields = fields
    if renewal is not None:
        order.auto_renew, order.auto_renew_days = renewal
    if isinstance(body.get("suspendNotifications"), bool):
        order.suspend_notifications = body["suspendNotifications"]
    row = showing.details(call, order)
    row.pop("serialNumber", None)    # the documented example lacks it
    return answer(row)


def _auto_renew(body: Mapping[str, Any]) -> tuple[str, int | None] | None:
    given = body.get("autoRenewDetails")
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("state") not in RENEWAL[:2]:
        raise invalid("autoRenewDetails")
    days = checks.number(given, "daysBeforeExpiration")
    if days is not None and days < 1:
        raise invalid("daysBeforeExpiration")
    return given["state"], days


def _edit(call: Call, order: Order, body: Mapping[str, Any]) -> None:
    """All is checked before anything is changed."""
    wanted = {"orgId": order.org_id, "certType": order.profile_id}
    wanted |= {name: body[given] for name, given in (("orgId", "orgId"), ("certType", "certTypeId")) if body.get(given) is not None}
    org = checks.organization(call, wanted)
    kind = checks.profile(call, wanted, org)
    given = checks.number(body, "term")
    term = checks.term(order.term if given is None else given, kind)
    common_name = checks.text(body, "commonName", names.LONGEST_COMMON_NAME)
    others = checks.names(body, "subjectAlternativeNames")
    csr, key_type = order.csr, order.key_type
    if body.get("csr") is not None:
        request = requests.read(body["csr"])
        csr, key_type = request.public_bytes(Encoding.DER), requests.check_key(requests.public_key(request), kind)
        common_name = common_name or requests.common_name(request)
    common_name = common_name or order.common_name
    others = order.sans if others is None else others
    names.check(call.scm, tuple(dict.fromkeys((common_name, *others))), kind, org.id)
    if common_name != order.common_name:
        call.scm.book.rename(order, common_name)
    order.org_id, order.profile_id, order.term, order.sans, order.csr, order.key_type = org.id, kind.id, term, others, csr, key_type
    order.expires = end_of_term(order.requested or call.scm.now(), term)
    if order.status in {DECLINED, REJECTED, INVALID}:
        order.status, order.declined = REQUESTED, None


def decline(call: Call) -> Response:
    call.need("sslApprove", "decline")
    order = call.order(unknown=400)
    checks.message(call.fields(), "message")
    if order.status != REQUESTED:
        raise RefusedError(-1112, f"Certificate can't be declined cause it has state = {order.status}")
    order.status, order.declined = DECLINED, call.scm.now()
    return nothing()


def revoke(call: Call) -> Response:
    call.need("sslRevoke", "revoke")
    order = call.order(unknown=400)
    _revoke(call, order, order.serial)
    return nothing()


def revoke_serial(call: Call) -> Response:
    """By serial number; the one before a replacement is taken too, and leaves the order as it is (our choice)."""
    call.need("sslRevoke", "revoke")
    number = as_serial(call.path("serial"))
    order = call.scm.book.by_serial.get(number) if number is not None else None
    if order is None or number is None or not call.sees(order):
        raise RefusedError(-5101, "Certificate not found. ")
    _revoke(call, order, number)
    return nothing()


def _revoke(call: Call, order: Order, serial: int | None) -> None:
    body = call.fields()
    code = checks.reason_code(body)
    checks.message(body, "reason")
    if serial in order.revoked_serials or order.status != ISSUED or serial is None:
        raise RefusedError(-102, "Only issued certificates could be revoked.")
    order.revoked_serials = (*order.revoked_serials, serial)
    if serial == order.serial:
        order.status, order.revoked, order.reason_code = REVOKED, call.scm.now(), code


def revoke_manual(call: Call) -> Response:
    """Marks the record only; the CA is not told."""
    call.need("sslRevoke", "revoke")
    body = call.fields()
    code = checks.reason_code(body)
    when = _moment(body) or call.scm.now()
    order = _named(call, body)
    if order.status != ISSUED:
        raise RefusedError(-102, "Only issued certificates could be revoked.")
    order.status, order.revoked, order.reason_code = REVOKED, when, code
    return nothing()


def _moment(body: Mapping[str, Any]) -> datetime | None:
    text = checks.text(body, "revokeDate", 64)
    try:
        return utc(text) if text else None
    except ValueError:
        raise invalid("revokeDate") from None


def _named(call: Call, body: Mapping[str, Any]) -> Order:
    """The order that `certId`, or `serialNumber` with `issuer`, means."""
    number = checks.number(body, "certId")
    if number is not None:
        found = call.scm.book.by_id.get(number)
    else:
        serial, given = checks.text(body, "serialNumber", 128), checks.text(body, "issuer", 1024)
        if not serial or not given:
            raise missing("certId")
        found = call.scm.book.by_serial.get(as_serial(serial) or -1)
        if found is not None and issuer(call.scm, found).name != given:
            found = None
    if found is None or not call.sees(found):
        raise RefusedError(-5101, "Certificate not found. ")
    return found


def renew_manual(call: Call) -> Response:
    """Marks a record as renewed, orders nothing (contract 5.14)."""
    call.need("sslRenew", "renew")
    order = call.order(unknown=400)
    body = call.fields()
    checks.domain_control(call, body)
    checks.text(body, "orderNumber", 255)
    successor = checks.number(body, "id")
    if successor is not None and successor not in call.scm.book.by_id:
        raise unknown_certificate(successor, status=400)
    call.scm.renewed(order)
    return nothing()


def delete(call: Call) -> Response:
    """Only what was imported or discovered."""
    call.need("sslManage", "delete")
    order = call.order()
    if order.requested_via not in NOT_ORDERED:
        raise forbidden("delete")
    call.scm.book.remove(order)
    return nothing()
