"""The list of certificates, their number, and one certificate's details (contract 5.6, 5.7)."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from fastapi import Response

from deployments.sandbox import certificates, showing
from deployments.sandbox.calls import Call, answer, total
from deployments.sandbox.orders import OPEN, SA_APPROVED, STATUSES, Order
from deployments.sandbox.refusals import invalid

Test = Callable[[Order], bool]
MakeTest = Callable[[Call, str, str], Test]
REQUESTED_VIA = (
    "Enrollment Form", "Client Admin", "Web API", "Discovery", "Imported", "SCEP", "CD Agent", "MS Agent", "MS CA", "Bulk Request", "ACME",
    "EST", "REST API",
)
INSTALL = (
    "Not configured", "Not started", "Key processing", "Key and CSR ready", "Certificate processing", "Installation scheduled",
    "Installation processing", "Action required", "Ready for install", "Server restart required", "Completed", "Invalid configuration",
)
DISCOVERY = ("NotDeployed", "Deployed")
RENEWAL = ("Not scheduled", "Scheduled", "Started", "Successful", "Failed")
HASHES = MappingProxyType({"sha1Hash": "sha1", "md5Hash": "md5", "sha256Hash": "sha256"})


def rows(call: Call) -> Response:
    position, size = call.page()
    tests, among = _filters(call)
    if tests:
        found: list[Order] = list(call.scm.book.matching(tests, among))
        number, page = len(found), found[position:position + size]
    else:
        number, page = len(call.scm.book.rows), call.scm.book.rows[position:position + size]
    shown = (showing.spoiled(call.scm, call.route, order, showing.list_item(order)) for order in page)
    return answer([row for row in shown if row is not None], headers=total(number))


def count(call: Call) -> Response:
    """HEAD on the list; only the old host has it."""
    tests, among = _filters(call)
    number = sum(1 for _ in call.scm.book.matching(tests, among)) if tests else len(call.scm.book.rows)
    return Response(headers=total(number))


def details(call: Call) -> Response:
    order = call.order()
    return answer(showing.spoiled(call.scm, call.route, order, showing.details(call, order)))


def _filters(call: Call) -> tuple[list[Test], Iterable[Order] | None]:
    """What the query asks for, and where to look for it. Filters match exactly (contract 8)."""
    asked = {name: value for name, value in call.request.query_params.items() if value}
    tests = [_test(call, name, value) for name, value in asked.items() if name in _TESTS]
    seen = call.organizations
    if seen is not None:
        tests.append(lambda order: order.org_id in seen)
    among: Iterable[Order] | None = None
    if "commonName" in asked:
        among = call.scm.book.named(asked["commonName"])
    elif "serialNumber" in asked:
        number = as_serial(asked["serialNumber"])
        one = call.scm.book.by_serial.get(number) if number is not None else None
        among = [one] if one else []
    return tests, among


def as_serial(text: str) -> int | None:
    """A serial number with colons or without."""
    digits = text.replace(":", "")
    try:
        return int(digits, 16) if digits.isalnum() else None
    except ValueError:
        return None


def _test(call: Call, name: str, value: str) -> Test:
    return _TESTS[name](call, name, value)


def _number(get: Callable[[Order], int]) -> MakeTest:
    def made(call: Call, name: str, _value: str) -> Test:
        wanted = call.query_number(name)
        return lambda order: get(order) == wanted
    return made


def _text(get: Callable[[Order], object]) -> MakeTest:
    return lambda _call, _name, value: lambda order: get(order) == value


NO_CONSTANTS: Mapping[str, str] = MappingProxyType({})


def _word(get: Callable[[Order], str], labels: Iterable[str], constants: Mapping[str, str] = NO_CONSTANTS) -> MakeTest:
    """A filter of fixed values: constants on the old host, labels on the admin host (contract 2)."""
    known = tuple(labels)

    def made(call: Call, name: str, value: str) -> Test:
        by_word = {one if call.host.admin else constants.get(one, one.upper().replace(" ", "_")): one for one in known}
        if value not in by_word:
            raise invalid(name)
        return lambda order: get(order) == by_word[value]
    return made


def _status(call: Call, name: str, value: str) -> Test:
    words = {SA_APPROVED: "SA Approved" if call.host.admin else "SAApproved"}
    by_word = {words.get(one, one): one for one in STATUSES}
    if value == "Unmanaged" and not call.host.admin:
        return lambda _order: False
    if value not in by_word:
        raise invalid(name)
    return lambda order: order.status == by_word[value]


def _hash(call: Call, name: str, value: str) -> Test:
    def test(order: Order) -> bool:
        if not showing.has_certificate(order):
            return False
        made = hashlib.new(HASHES[name], certificates.certificate(call.scm, order), usedforsecurity=False)
        return made.hexdigest().upper() == value.upper()
    return test


def _issuer(call: Call, _name: str, value: str) -> Test:
    return lambda order: order.serial is not None and certificates.issuer(call.scm, order).name == value


def _key_param(order: Order) -> str:
    return order.key_type.split(" - ")[1]


_TESTS: Mapping[str, MakeTest] = MappingProxyType({
    "commonName": _text(lambda order: order.common_name),
    "serialNumber": lambda _call, _name, _value: lambda order: order.status not in OPEN,
    "subjectAlternativeName": lambda _call, _name, value: lambda order: value in order.sans,
    "status": _status,
    "sslTypeId": _number(lambda order: order.profile_id),
    "orgId": _number(lambda order: order.org_id),
    "keySize": _number(lambda order: int("".join(filter(str.isdigit, _key_param(order))))),
    "keyParam": _text(_key_param),
    "keyAlgorithm": _text(lambda order: order.key_type.split(" - ")[0]),
    "keyUsage": _text(lambda order: "Digital Signature" if order.serial is not None else None),
    "extendedKeyUsage": _text(lambda order: "Server Authentication" if order.serial is not None else None),
    "signatureAlgorithm": _text(showing.signature_algorithm),
    "vendor": _text(lambda _order: showing.VENDOR),
    "issuer": _issuer,
    "requester": _text(lambda order: order.requester),
    "externalRequester": _text(lambda order: order.external_requester),
    "requestedVia": _word(lambda order: order.requested_via, REQUESTED_VIA, {"REST API": "REST"}),
    "renewalStatus": _word(lambda order: order.auto_renew, RENEWAL),
    "installStatus": _word(lambda _order: "Not configured", INSTALL),
    "discoveryStatus": _word(lambda _order: "NotDeployed", DISCOVERY, {one: one for one in DISCOVERY}),
    "sha1Hash": _hash, "md5Hash": _hash, "sha256Hash": _hash,
})
