"""Admins, passwords, CA backends, and the token endpoint (contract 1, 5.18)."""

from datetime import timedelta
from secrets import compare_digest
from typing import Any
from urllib.parse import parse_qs

from fastapi import Response

from deployments.sandbox import checks
from deployments.sandbox.accounts import Admin
from deployments.sandbox.calls import Call, answer, nothing, total
from deployments.sandbox.refusals import RefusedError, forbidden
from deployments.sandbox.state import Scm

TOKEN_PATH = "/auth/realms/apiclients/protocol/openid-connect/token"
SHORTEST_PASSWORD = 8
CREATED = "2026-01-12"


def admins(call: Call) -> Response:
    """Filters match parts of a login, as a client must expect (contract 5.18: compare exactly)."""
    login = call.query("login") or ""
    found = [one for one in call.scm.accounts.admins.values() if login in one.login]
    position, size = call.page()
    rows = [
        {"id": one.id, "type": one.kind, "login": one.login, "forename": one.forename, "surname": one.surname, "email": one.email}
        for one in found[position:position + size]
    ]
    return answer(rows, headers=total(len(found)))


def admin(call: Call) -> Response:
    number = call.number("admin_id")
    one = call.scm.accounts.admins.get(number)
    if one is None:
        raise RefusedError(-16, "Unknown user", status=404)
    row: dict[str, Any] = {
        "id": one.id, "type": one.kind, "status": "Active", "forename": one.forename, "surname": one.surname, "login": one.login,
        "email": one.email, "created": CREATED, "modified": CREATED, "lastPasswordChange": CREATED,
        "credentials": [{"role": role, **({"orgId": org} if org is not None else {})} for role, org in one.roles],
        "passwordState": one.password_state, "activeState": "Suspended" if one.suspended else "Active",
        "activeStatus": "SUSPENDED" if one.suspended else "ACTIVE", "privileges": list(one.privileges),
        "failedAttempts": one.failed_attempts,
    }
    if one.password_expires is not None:
        row["passwordExpiryDate"] = one.password_expires.isoformat()
    return answer(row)


def _own(call: Call) -> Admin:
    """How a client reads its own record is not documented: it has none here."""
    if call.admin is None:
        raise forbidden("this operation")
    return call.admin


def admin_password(call: Call) -> Response:
    one = _own(call)
    return answer({
        "state": one.password_state, **({"expirationDate": one.password_expires.isoformat()} if one.password_expires else {}),
    })


def change_password(call: Call) -> Response:
    one = _own(call)
    new = checks.text(call.fields(), "newPassword", 128)
    if len(new) < SHORTEST_PASSWORD or new == one.password:
        raise RefusedError(-7306, "The password does not meet the password policy.")
    one.password, one.password_state = new, "ALIVE"
    one.password_expires = call.scm.now().date() + timedelta(days=90)
    return nothing()


def admin_roles(call: Call) -> Response:
    """The roles that the caller may give."""
    all_roles = ["MRAO", "RAO_SSL", "RAO_SMIME", "DRAO_SSL", "DRAO_SMIME"]
    return answer(all_roles if call.admin is None or call.admin.is_mrao else ["DRAO_SSL"])


def ca_backend(call: Call) -> Response:
    """Readable for MRAO only."""
    if call.admin is not None and not call.admin.is_mrao:
        raise RefusedError(-3, "You are not authorized to perform this operation.")
    return answer([{"id": 41, "name": "Example Public CA", "type": "SASP", "public": True}])


def token(scm: Scm, body: bytes) -> Response:
    """Plain OAuth2 client credentials, as a form."""
    form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    if form.get("grant_type") != "client_credentials":
        return answer({"error": "unsupported_grant_type", "error_description": "Unsupported grant_type"}, status=400)
    client = scm.accounts.client
    known = compare_digest(form.get("client_id", "").encode(), client.client_id.encode())
    if not known or not compare_digest(form.get("client_secret", "").encode(), client.client_secret.encode()):
        return answer({"error": "invalid_client", "error_description": "Invalid client or Invalid client credentials"}, status=401)
    lifetime = scm.options.token_lifetime
    made = client.new_token(scm.now() + timedelta(seconds=lifetime))
    return answer({"access_token": made, "expires_in": lifetime, "token_type": "Bearer"}, headers={"Cache-Control": "no-store"})
