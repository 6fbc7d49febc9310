"""Reports: all certificates of a date window, and all domains (contract 5.17). Nothing is paged; rows are sent as they are made."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import orjson
from fastapi import Response
from fastapi.responses import StreamingResponse

from deployments.sandbox import certificates, showing
from deployments.sandbox.calls import JSON, Call, answer
from deployments.sandbox.faults import SHOWN
from deployments.sandbox.orders import EXPIRED, ISSUED, REQUESTED, REVOKED, Order, utc
from deployments.sandbox.reference import EXPIRED as DCV_EXPIRED
from deployments.sandbox.reference import VALIDATED, Domain
from deployments.sandbox.refusals import RefusedError, invalid

AT_ONCE = 500
"""Rows made in one go; between these the other calls get their turn."""

DATES: Mapping[int, Callable[[Order], datetime | None]] = MappingProxyType({
    2: lambda order: order.revoked, 3: lambda order: order.expires, 4: lambda order: order.requested, 5: lambda order: order.issued,
})
STATUS_WORDS: Mapping[int, str | None] = MappingProxyType({0: None, 1: REQUESTED, 2: ISSUED, 3: REVOKED, 4: EXPIRED})
SOURCES: Mapping[int, str] = MappingProxyType({
    0: "Enrollment Form", 1: "Client Admin", 2: "Web API", 3: "Discovery", 4: "Imported", 5: "SCEP", 7: "MS Agent", 9: "Bulk Request",
    10: "ACME", 11: "EST", 12: "REST API",
})
Test = Callable[[Order], bool]


def certificates_report(call: Call) -> Response:
    """A row for each order that matches. Without `from` and `to` those without the date in question are in it too."""
    asked = call.fields() if call.body else {}
    tests = _tests(call, asked)
    with_zeros = asked.get("serialNumberFormat") == "HEXWithLeadingZeros"
    among = call.scm.book.named(asked["commonName"]) if asked.get("commonName") else _requested(call, asked)
    found = list(call.scm.book.matching(tests, among)) if tests else list(call.scm.book.rows)
    headers = {"Content-Type": JSON, "Content-Disposition": 'attachment; filename="rest_api_ssl-certificates.json"'}
    return StreamingResponse(_stream(call, found, with_zeros=with_zeros), headers=headers)


async def _stream(call: Call, orders: list[Order], *, with_zeros: bool) -> AsyncIterator[bytes]:
    row, scm = _row_maker(call, with_zeros=with_zeros), call.scm
    spoils = scm.faults.any_of(SHOWN, call.route)
    before = b'{"statusCode":0,"reports":['
    for start in range(0, len(orders), AT_ONCE):
        made = [row(order) for order in orders[start:start + AT_ONCE]]
        if spoils:
            pairs = zip(orders[start:start + AT_ONCE], made, strict=True)
            made = [shown for order, one in pairs if (shown := showing.spoiled(scm, call.route, order, one)) is not None]
        if made:
            yield before + orjson.dumps(made)[1:-1]
            before = b","
        await asyncio.sleep(0)
    yield (before if before != b"," else b"") + b"]}"


def _tests(call: Call, asked: Mapping[str, Any]) -> list[Test]:
    """What the body asks for. Raises: RefusedError."""
    tests = _window(asked)
    wanted = _choice(asked, "certificateStatus", STATUS_WORDS)
    if wanted is not None and (status := STATUS_WORDS[wanted]) is not None:
        tests.append(lambda order: order.status == status)
    source = _choice(asked, "certificateRequestSource", SOURCES)
    if source is not None:
        tests.append(lambda order: order.requested_via == SOURCES[source])
    organizations = asked.get("organizationIds")
    if organizations:
        if not isinstance(organizations, list):
            raise RefusedError(-1002, "Cannot parse message body")
        ids = frozenset(organizations)
        tests.append(lambda order: order.org_id in ids)
    name = asked.get("commonName")
    if name:
        if not isinstance(name, str) or len(name) > 256 or any(letter in name for letter in "<>\\"):
            raise invalid("commonName")
        tests.append(lambda order: order.common_name == name)
    requester = asked.get("externalRequester")
    if requester:
        if not isinstance(requester, str) or len(requester) > 512:
            raise invalid("externalRequester")
        tests.append(lambda order: order.external_requester == requester)
    seen = call.organizations
    if seen is not None:
        tests.append(lambda order: order.org_id in seen)
    return tests


def _window(asked: Mapping[str, Any]) -> list[Test]:
    """Both ends belong to it; a day means its midnight in UTC. Which attribute counts when none is given is our choice: the request."""
    attribute = _choice(asked, "certificateDateAttribute", DATES)
    since, until = _moment(asked, "from"), _moment(asked, "to")
    if since is not None and until is not None and since >= until:
        raise RefusedError(-1601, "Field 'from' has invalid value: it must be earlier than 'to'.")
    if since is None and until is None:
        return []
    get = DATES[4 if attribute is None else attribute]

    def test(order: Order) -> bool:
        moment = get(order)
        return moment is not None and (since is None or moment >= since) and (until is None or moment <= until)
    return [test]


def _requested(call: Call, asked: Mapping[str, Any]) -> list[Order] | None:
    """The orders of a window by request date; None when another date counts, or none."""
    since, until = _moment(asked, "from"), _moment(asked, "to")
    if (since is None and until is None) or _choice(asked, "certificateDateAttribute", DATES) not in {None, 4}:
        return None
    return call.scm.book.requested_between(since, until)


def _moment(asked: Mapping[str, Any], name: str) -> datetime | None:
    text = asked.get(name)
    if text is None or text == "":
        return None
    try:
        return utc(text)
    except (ValueError, TypeError):
        raise invalid(name) from None


def _choice(asked: Mapping[str, Any], name: str, allowed: Mapping[int, object]) -> int | None:
    """Numbers in 25.5, texts of digits in 25.9: both are taken on both hosts."""
    given = asked.get(name)
    if given is None or given == "":
        return None
    number = int(given) if isinstance(given, str) and given.isascii() and given.isdecimal() else given
    if not isinstance(number, int) or isinstance(number, bool) or number not in allowed:
        raise invalid(name)
    return number


def _row_maker(call: Call, *, with_zeros: bool) -> Callable[[Order], dict[str, Any]]:
    """Makes rows. Hashes are shown once the certificate was made, since a hundred thousand cannot be made in a report."""
    reference, admin_host, approver = call.scm.reference, call.host.admin, call.scm.accounts.own.name
    issuers = {one.id: call.scm.authority.issuer(private=one.private).name for one in reference.profiles.values()}
    profiles, organizations, moment = reference.profiles, reference.organizations, showing.report_moment

    def row(order: Order) -> dict[str, Any]:
        organization, kind = organizations[order.org_id], profiles[order.profile_id]
        algorithm, size = order.key_type.split(" - ")
        found: dict[str, Any] = {
            "id": order.id, "type": kind.name, "typeId": kind.id, "orgId": order.org_id, "commonName": order.common_name,
            "subjAltNames": "; ".join(order.sans), "status": showing.status(order, admin_host=admin_host),
            "organizationName": organization.name, "city": organization.city, "state": organization.state,
            "country": organization.country, "servers": 1, "serverType": "OTHER", "requestedVia": order.requested_via,
            "term": order.term, "publicKeyAlg": algorithm, "publicKeySize": size.removeprefix("P-"), "publicKeyType": order.key_type,
            "customFields": [{"name": name, "value": value} for name, value in order.custom_fields],
            "externalRequester": order.external_requester or None, "comments": order.comments or None,
            "requested": moment(order.requested) if order.requested else None,
            "approved": moment(order.approved) if order.approved else None,
            "declined": moment(order.declined) if order.declined else None,
            "revoked": moment(order.revoked) if order.revoked else None,
            "replaced": moment(order.replaced) if order.replaced else None,
            "expires": moment(order.expires) if order.expires else None,
            "serialNumber": None, "issuer": None,
        }
        if order.requested is not None:
            found["requester"] = order.requester
        if order.approved is not None:
            found["approver"] = approver
        if order.applied:
            found["orderNumber"], found["backendCertId"] = order.backend_id, str(order.backend_id)
        if order.serial is not None:
            found["serialNumber"] = f"{order.serial:032X}" if with_zeros else f"{order.serial:X}"
            found["issuer"] = issuers[order.profile_id]
        if admin_host:
            found["issued"] = moment(order.issued) if order.issued else None
            found["signatureAlg"] = showing.signature_algorithm(order)
        if order.der is not None and showing.has_certificate(order):
            hashes = showing.fingerprints(certificates.certificate(call.scm, order))
            found["sha1"], found["md5"] = hashes["sha1Hash"], hashes["md5Hash"]
        return showing.blanked(order, found)
    return row


def domains_report(call: Call) -> Response:
    """All domains, in a vocabulary of its own (contract 5.17)."""
    today = call.scm.now().date()
    rows = [_domain_row(one, today) for one in call.scm.reference.domains.values()]
    return answer(
        {"statusCode": 0, "reports": rows}, headers={"Content-Disposition": 'attachment; filename="rest_api_domains.json"'})


def _domain_row(domain: Domain, today: date) -> dict[str, Any]:
    ended = domain.expires_on is not None and domain.expires_on < today
    words = {VALIDATED: "Expired" if ended else "Validated", DCV_EXPIRED: "Expired"}
    begun = "Action Required" if domain.order_status in {"Awaiting submission", "Rejected"} else "Not Initiated"
    row: dict[str, Any] = {
        "id": domain.id, "name": domain.name, "status": "Suspended" if domain.suspended else "Active",
        "dcvStatus": words.get(domain.validation, begun),
    }
    if domain.requested is not None:
        row["requested"] = showing.report_moment(domain.requested)
    if domain.expires_on is not None:
        row["stickyUntil"] = f"{domain.expires_on.isoformat()}T00:00:00.000Z"
    return row
