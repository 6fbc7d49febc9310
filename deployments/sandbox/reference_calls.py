"""Organizations, domains, validations, profiles and custom fields (contract 5.1 to 5.5), and the validation of an order (5.16)."""

from datetime import date, timedelta
from hashlib import blake2b
from typing import Any

from fastapi import Response

from deployments.sandbox import checks, showing
from deployments.sandbox.calls import Call, answer, total
from deployments.sandbox.orders import OPEN, Order
from deployments.sandbox.reference import EXPIRED, VALIDATED, Domain, Organization
from deployments.sandbox.refusals import RefusedError, invalid

ROLES = frozenset({"MRAO", *(f"{rank}_{kind}" for rank in ("RAO", "DRAO") for kind in ("SSL", "SMIME", "CS", "DEVICE"))})
METHODS = {"CNAME_CSR_HASH": "CNAME", "EMAIL": "EMAIL", "HTTP_CSR_HASH": "HTTP", "HTTPS_CSR_HASH": "HTTPS", "DNSTXT_RANDOM_VALUE": "TXT"}
SHORTEST_DOMAIN, LONGEST_DOMAIN = 3, 255


def organizations(call: Call) -> Response:
    """Not paged; only what the caller may see."""
    seen = call.organizations
    rows = []
    for one in call.scm.reference.organizations.values():
        departments = [part for part in call.scm.reference.departments(one.id) if seen is None or part.id in seen]
        if one.parent_id is None and (seen is None or one.id in seen or departments):
            rows.append({"id": one.id, "name": one.name, "departments": [_department(one, part) for part in departments]})
    return answer(rows)


def _department(parent: Organization, one: Organization) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "parentName": parent.name}


def organization(call: Call) -> Response:
    number, seen = call.number("org_id"), call.organizations
    one = call.scm.reference.organizations.get(number)
    if one is None or (seen is not None and number not in seen):
        raise RefusedError(-1023, f"Organization '{number}' not found.", status=404)
    parent = call.scm.reference.organizations.get(one.parent_id) if one.parent_id is not None else None
    row: dict[str, Any] = {
        "id": one.id, "name": one.name, "certTypes": list(one.cert_types),
        "departments": [_department(one, part) for part in call.scm.reference.departments(one.id)],
        "secondaryName": one.secondary_name, "contactEmails": "pki@example.com,noc@example.com", "address1": "Sample Street 1",
        "address2": "", "address3": None, "city": one.city, "stateOrProvince": one.state, "postalCode": "12345", "country": one.country,
        "validationStatus": "VALIDATED" if one.validated else "NOT_VALIDATED",
        "clientCertificate": dict.fromkeys(
            ("allowKeyRecoveryByMasterAdmins", "allowKeyRecoveryByOrgAdmins", "allowKeyRecoveryByDepartmentAdmins"), False),
        "sslCertsApiEnabled": one.api_enabled, "clientCertsApiEnabled": False,
    }
    if call.host.admin and parent is not None:
        row |= {"parentId": parent.id, "parentName": parent.name}
    return answer(row)


def managed_by(call: Call) -> Response:
    role, seen = call.path("role"), call.organizations
    if role not in ROLES:
        raise invalid("role")
    rows = []
    for one in call.scm.reference.organizations.values():
        wanted = (one.parent_id is None) != role.startswith("DRAO") and (role == "MRAO" or role.endswith("_SSL"))
        if wanted and (seen is None or one.id in seen):
            parent = call.scm.reference.organizations.get(one.parent_id) if one.parent_id is not None else None
            rows.append({"id": one.id, "name": one.name, **({"parentName": parent.name} if parent else {})})
    return answer(rows)


def _domains(call: Call) -> list[Domain]:
    """Those that the caller may see and that the query asks for; `name` matches exactly (contract 8)."""
    seen, org, name = call.organizations, call.query_number("orgId"), call.query("name")
    state, status = call.query("state"), call.query("status")
    if state not in {None, "active", "inactive"} or status not in {None, "requested", "approved"}:
        raise invalid("state")
    return [
        one for one in call.scm.reference.domains.values()
        if (seen is None or any(given.org_id in seen for given in one.delegations)) and name in {None, one.name}
        and (org is None or any(given.org_id == org for given in one.delegations))
        and (state is None or one.suspended == (state == "inactive")) and (status is None or one.approved == (status == "approved"))
    ]


def domains(call: Call) -> Response:
    found, (position, size) = _domains(call), call.page()
    return answer([{"id": one.id, "name": one.name} for one in found[position:position + size]], headers=total(len(found)))


def domain_count(call: Call) -> Response:
    return answer({"count": len(_domains(call))})


def domain(call: Call) -> Response:
    number, seen = call.number("domain_id"), call.organizations
    one = call.scm.reference.domains.get(number)
    delegations = [given for given in one.delegations if seen is None or given.org_id in seen] if one else []
    if one is None or (seen is not None and not delegations):
        raise RefusedError(-727, f"The domain '{number}' does not exist.", status=404)
    row: dict[str, Any] = {
        "id": one.id, "name": one.name, "delegationStatus": "ACTIVE" if one.approved else "REQUESTED",
        "state": "SUSPENDED" if one.suspended else "ACTIVE",
        "delegations": [
            {"orgId": given.org_id, "certTypes": list(given.cert_types), "domainCertificateRequestPrivileges": list(given.privileges),
             "status": "ACTIVE" if given.active else "REQUESTED"} for given in delegations],
        "ctLogMonitoring": {"enabled": False, "includeSubdomains": False},
    }
    if call.scm.options.validation:
        row["validationStatus"] = _word(call, _validation(call, one))
        row |= {name: value for name, value in (
            ("validationMethod", one.method), ("dcvValidation", _day(one.validated_on)), ("dcvExpiration", _day(one.expires_on)),
        ) if value is not None}
    return answer(row)


def _validation(call: Call, one: Domain) -> str:
    ended = one.expires_on is not None and one.expires_on < call.scm.now().date()
    return EXPIRED if ended and one.validation == VALIDATED else one.validation


def _word(call: Call, label: str) -> str:
    """`Not validated` on the admin host, `NOT_VALIDATED` on the old one (contract 2)."""
    return label if call.host.admin else label.upper().replace(" ", "_")


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _dcv_day(call: Call, day: date | None) -> str | None:
    return f"{day.isoformat()}T00:00:00.000+00:00" if call.host.admin and day is not None else _day(day)


def validations(call: Call) -> Response:
    """Contract 5.3; empty filter values are allowed."""
    wanted, state, order_state = call.query("domain"), call.query("dcvStatus"), call.query("orderStatus")
    org, within = call.query_number("department") or call.query_number("org"), call.query_number("expiresIn")
    ends = None if within is None else call.scm.now().date() + timedelta(days=within)
    found = [
        one for one in _domains(call)
        if wanted in {None, one.name} and state in {None, _word(call, _validation(call, one)), _validation(call, one)}
        and order_state in {None, _word(call, one.order_status), one.order_status}
        and (org is None or any(given.org_id == org for given in one.delegations))
        and (ends is None or (one.expires_on is not None and one.expires_on <= ends))
    ]
    position, size = call.page()
    return answer([_validation_row(call, one) for one in found[position:position + size]], headers=total(len(found)))


def _validation_row(call: Call, one: Domain) -> dict[str, Any]:
    row = {
        "domain": one.name, "dcvStatus": _word(call, _validation(call, one)), "dcvMethod": one.method,
        "dcvOrderStatus": _word(call, one.order_status), "dcvOrderMethod": one.order_method or METHODS.get(one.method or ""),
        "expirationDate": _dcv_day(call, one.expires_on),
    }
    return {name: value for name, value in row.items() if value is not None}


def validation(call: Call) -> Response:
    """Reads only."""
    name = checks.text(call.fields(), "domain", LONGEST_DOMAIN)
    if len(name) < SHORTEST_DOMAIN:
        raise invalid("domain")
    one = call.scm.reference.domain_named(name)
    if one is None:
        raise RefusedError(-727, f"The domain '{name}' does not exist.", status=404)
    row: dict[str, Any] = {
        "status": _word(call, _validation(call, one)), "validationDate": _dcv_day(call, one.validated_on),
        "expirationDate": _dcv_day(call, one.expires_on), "orderStatus": _word(call, one.order_status),
    }
    if one.order_status == "Submitted":
        now = call.scm.now()
        row |= {
            "orderMode": one.order_method, **_record(one.name), "orderBackendId": "77001122", "submittedDate": _dcv_day(call, now.date()),
            "lastCheck": showing.report_moment(now), "nextCheck": showing.report_moment(now + timedelta(hours=2)),
        }
    return answer({name: value for name, value in row.items() if value is not None})


def _record(name: str) -> dict[str, str]:
    """The DNS record that proves control of a domain."""
    digest = blake2b(name.encode(), digest_size=32).hexdigest()
    return {"host": f"_{digest[:32]}.{name}.", "point": f"{digest[32:]}.{digest[:32]}.sectigo.com."}


def types(call: Call) -> Response:
    """Contract 5.4; an unknown organization is refused."""
    number, seen = call.query_number("organizationId"), call.organizations
    if number is None:
        found = list(call.scm.reference.profiles.values())
        if seen is not None:
            found = [one for one in found if any(one in call.scm.reference.profiles_of(org) for org in seen)]
    else:
        if number not in call.scm.reference.organizations or (seen is not None and number not in seen):
            raise RefusedError(-1023, f"Organization '{number}' not found.")
        found = call.scm.reference.profiles_of(number) if "SSL" in call.scm.reference.organizations[number].cert_types else []
    return answer([showing.profile(one) for one in found])


def ssl_custom_fields(call: Call) -> Response:
    active = (one for one in call.scm.reference.custom_fields.values() if one.state == "ACTIVE")
    return answer([{"id": one.id, "name": one.name, "mandatory": one.mandatory} for one in active])


def custom_fields(call: Call) -> Response:
    """Contract 5.5. All fields here are for SSL."""
    wanted = call.query("certType")
    if wanted not in {None, "SSL", "SMIME", "CodeSign", "Device"}:
        raise invalid("certType")
    return answer([
        {
            "id": one.id, "name": one.name, "certType": "SSL" if call.host.admin else "ssl", "state": one.state,
            "input": {"type": one.kind, **({"options": list(one.options)} if one.options else {})},
            "mandatories": ["REST_API", "WEB_FORM"] if one.mandatory else [],
        } for one in call.scm.reference.custom_fields.values() if wanted in {None, "SSL"}
    ])


def order_validation(call: Call) -> Response:
    """The domain validation of an order; an array on the admin host (contract 2)."""
    row = _log(call, call.order())
    return answer([row] if call.host.admin else row)


def recheck(call: Call) -> Response:
    return answer({"dcvLog": _log(call, call.order(unknown=400))["dcvLog"]}, status=202)


def _log(call: Call, order: Order) -> dict[str, Any]:
    now, waits = call.scm.now(), order.status in OPEN
    lines = [
        {"dcvStatus": "Awaiting Validation" if waits else "Validated", "domainName": name,
         "lastCheck": now.strftime("%Y-%m-%d %H:%M:%S"), "nextCheck": (now + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S"),
         "dcvDate": None if waits else now.strftime("%Y-%m-%d %H:%M:%S"), "dcvEmailRefNumber": place}
        for place, name in enumerate(order.names(), 1)
    ]
    instructions = [{"domainName": name, "dcvMode": "CNAME", **_record(name)} for name in order.names()] if waits else []
    return {"dcvLog": {"error": {"code": 0, "description": None}, "log": lines}, "instructions": instructions}

