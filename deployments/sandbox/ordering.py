"""Calls that make something new each time: enroll, renew, replace (contract 5.8, 5.13, 5.15)."""

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import Response

from deployments.sandbox import checks, names
from deployments.sandbox import requests_for_certificates as requests
from deployments.sandbox.calls import Call, answer, nothing
from deployments.sandbox.faults import FATES
from deployments.sandbox.orders import APPLIED, APPROVED, EXPIRED, ISSUED, REQUESTED, Order, end_of_term, from_renew_id
from deployments.sandbox.reference import Profile
from deployments.sandbox.refusals import RefusedError

LONGEST_COMMON_NAME = 64


def enroll(call: Call) -> Response:
    """A new order, each time."""
    call.need("sslRequest", "SSL request")
    body = call.fields()
    org = checks.organization(call, body)
    request = requests.read(body.get("csr"))
    kind = checks.profile(call, body, org)
    term = checks.term(checks.number(body, "term"), kind)
    key_type = requests.check_key(requests.public_key(request), kind)
    common_name = requests.common_name(request)
    others = names.split(body.get("subjAltNames"), "subjAltNames")
    _check_single(kind, others)
    order = Order(
        id=call.scm.book.next_id, common_name=common_name, sans=others, org_id=org.id, profile_id=kind.id, term=term, status=REQUESTED,
        key_type=key_type, comments=checks.comments(body), external_requester=checks.external_requester(body),
        custom_fields=checks.custom_fields(call, body), requester=call.requester, csr=request.public_bytes(Encoding.DER))
    checks.domain_control(call, body)
    names.check(call.scm, order.names(), kind, org.id)
    _take(call, order, kind)
    return answer({"sslId": order.id, "renewId": order.renew_id})


def _check_single(kind: Profile, others: tuple[str, ...]) -> None:
    """A profile for one name refuses a list, even one that only repeats the common name (contract 9, quirk 12)."""
    if kind.single_name and others:
        raise RefusedError(-732, "Subject alternative names are not allowed for this certificate profile.")


def _take(call: Call, order: Order, kind: Profile) -> None:
    """SCM keeps the order; with the privilege to approve one's own orders it goes on to the CA at once."""
    scm = call.scm
    order.requested = scm.now()
    order.expires = end_of_term(order.requested, order.term)
    order.defects = _defects(call, order)
    if "lose_comments" in order.defects:
        order.comments = ""
    scm.book.add(order)
    if not kind.waits and (call.admin is None or "autoApproveCertificates" in call.admin.privileges):
        order.approved, order.status = order.requested, APPLIED
        _to_the_ca(call, order)


def _defects(call: Call, order: Order) -> frozenset[str]:
    struck = call.scm.faults.strike(FATES, route=call.route, method=call.request.method, path=call.request.url.path, order=order)
    return frozenset(fault.kind for fault in struck)


def _to_the_ca(call: Call, order: Order) -> None:
    """Issue after the delay, unless a fault keeps the order where it is."""
    if "stuck" not in order.defects:
        call.scm.book.schedule(order, ISSUED, call.scm.now() + timedelta(seconds=call.scm.options.issue_delay))
    call.scm.advance()


def approve(call: Call) -> Response:
    call.need("sslApprove", "approve")
    order = call.order(unknown=400)
    checks.message(call.fields(), "message")
    if order.status != REQUESTED:
        raise RefusedError(-1112, f"Certificate can't be approved cause it has state = {order.status}")
    if call.scm.reference.profiles[order.profile_id].ev and order.requester == call.requester:
        raise RefusedError(
            -1140, "Since you are a requester of this certificate you can't approve it. "
            "For EV certificates the requester and the approver must not be the same person.")
    now = call.scm.now()
    order.status, order.approved = APPROVED, now
    call.scm.book.schedule(order, APPLIED, now + timedelta(seconds=call.scm.options.issue_delay / 2))
    _to_the_ca(call, order)
    return nothing()


def renew_by_id(call: Call) -> Response:
    """A new order with a new number, which is told."""
    order = call.order(unknown=400)
    return answer({"sslId": _renew(call, order).id})


def renew(call: Call) -> Response:
    """The same by renewId; the new number is not told."""
    number = from_renew_id(call.path("renew_id"))
    order = call.scm.book.by_id.get(number) if number is not None else None
    if order is None or not call.sees(order):
        raise RefusedError(-123, "SSL Certificate to renew is invalid (null)")
    _renew(call, order)
    return nothing()


def _renew(call: Call, old: Order) -> Order:
    """Everything but the key comes from the old order, and the longest term. The old one counts as renewed at once (contract 8)."""
    call.need("sslRenew", "renew")
    body = call.fields()
    request = requests.read(body["csr"]) if body.get("csr") is not None else None
    checks.domain_control(call, body)
    kind = call.scm.reference.profiles[old.profile_id]
    if old.status not in {ISSUED, EXPIRED}:
        raise RefusedError(-130, f"SSL state is not 'ISSUED': {old.status}")
    if not kind.renewable:
        raise RefusedError(-180, "This SSL Certificate Profile doesn't allow renew")
    key_type = requests.check_key(requests.public_key(request), kind) if request is not None else old.key_type
    names.check(call.scm, old.names(), kind, old.org_id)
    order = Order(
        id=call.scm.book.next_id, common_name=old.common_name, sans=old.sans, org_id=old.org_id, profile_id=old.profile_id,
        term=max(kind.terms), status=REQUESTED, key_type=key_type, comments=old.comments, external_requester=old.external_requester,
        custom_fields=old.custom_fields, requester=call.requester, csr=_der(request) or old.csr,
        key_of=old.key_of or old.id)
    _take(call, order, kind)
    call.scm.renewed(old)
    return order


def _der(request: x509.CertificateSigningRequest | None) -> bytes | None:
    return request.public_bytes(Encoding.DER) if request is not None else None


def replace(call: Call) -> Response:
    """A new key under the same number; Issued -> Applied -> Issued, the end of the term stays (contract 8)."""
    call.need("sslReplace", "replace")
    order = call.order(unknown=400)
    body = call.fields()
    checks.message(body, "reason")
    request = requests.read(body.get("csr"))
    common_name = checks.text(body, "commonName", LONGEST_COMMON_NAME) or order.common_name
    others = checks.names(body, "subjectAlternativeNames")
    checks.domain_control(call, body)
    if order.status != ISSUED:
        raise RefusedError(-130, f"SSL state is not 'ISSUED': {order.status}")
    if order.auto_renew == "Started":
        raise RefusedError(-1148, "Replace is forbidden for autoinstalled certificates.")
    kind = call.scm.reference.profiles[order.profile_id]
    key_type = requests.check_key(requests.public_key(request), kind)
    wanted = tuple(dict.fromkeys((common_name, *(order.sans if others is None else others))))
    _check_single(kind, others or ())
    names.check(call.scm, wanted, kind, order.org_id)
    if common_name != order.common_name:
        call.scm.book.rename(order, common_name)
    order.sans = order.sans if others is None else others
    order.csr, order.key_type, order.replaced, order.status = _der(request), key_type, call.scm.now(), APPLIED
    order.defects = _defects(call, order)
    _to_the_ca(call, order)
    return nothing()

