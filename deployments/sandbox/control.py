"""`/_control`: order faults, read what is true, change the account. Without login, not counted, below each SCM port.

GET faults, POST faults, DELETE faults[/ID] · GET calls, DELETE calls · GET arrivals (the last calls: seconds and route) · GET
orders?common_name=&ssl_id=&status= · PUT orders/ID (facts of an order; a `status` is moved to with all that belongs to it) · GET settings,
PUT settings (see `state.Options`) · PUT account (password, password_state, password_expires, roles, privileges, suspended,
failed_attempts) · PUT client (client_secret, forget_tokens) · GET reference/KIND, PUT reference/KIND/ID (organizations, profiles, domains,
custom_fields), DELETE reference/KIND/ID · POST reset.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from datetime import date, datetime
from typing import Any, get_type_hints

import orjson
from fastapi import FastAPI, Request, Response

from deployments.sandbox import certificates, reference, routes, showing
from deployments.sandbox.faults import Fault
from deployments.sandbox.orders import APPLIED, APPROVED, DECLINED, ISSUED, REVOKED, STATUSES, Order, utc
from deployments.sandbox.state import Scm

PREFIX = "/_control"
Act = Callable[[Scm, Request, Any], Any]
NOT_SHOWN = frozenset({"csr", "der"})
ADMIN_FACTS = frozenset({
    "password", "password_state", "password_expires", "roles", "privileges", "suspended", "failed_attempts",
})


class WrongError(Exception):
    """The control call itself is wrong."""


def add(app: FastAPI, scm: Scm) -> None:
    """Put the control calls below an application."""
    for method, path, act in CALLS:
        app.add_api_route(PREFIX + path, _endpoint(scm, act), methods=[method], response_model=None)


def _endpoint(scm: Scm, act: Act) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        scm.advance()
        try:
            found = act(scm, request, orjson.loads(body) if body else {})
        except (WrongError, ValueError, KeyError, TypeError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)
        return _json(found)
    return endpoint


def _json(found: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(found, default=list), status, media_type="application/json")


def _faults(scm: Scm, _request: Request, _body: Any) -> Any:
    return [one.as_json() for one in scm.faults.all()]


def _add_fault(scm: Scm, _request: Request, body: Any) -> Any:
    fault = Fault.from_json(body)
    if fault.route is not None and fault.route not in routes.NAMES:
        raise WrongError(f"route is one of {', '.join(sorted(routes.NAMES))}")
    return scm.faults.add(fault).as_json()


def _clear_faults(scm: Scm, _request: Request, _body: Any) -> Any:
    return [scm.faults.remove(one.id) for one in scm.faults.all()]


def _remove_fault(scm: Scm, request: Request, _body: Any) -> Any:
    return scm.faults.remove(int(request.path_params["number"]))


def _calls(scm: Scm, _request: Request, _body: Any) -> Any:
    return [{**asdict(counted), "count": number} for counted, number in sorted(scm.calls.items(), key=lambda item: str(item[0]))]


def _clear_calls(scm: Scm, _request: Request, _body: Any) -> Any:
    scm.calls.clear()
    scm.arrivals.clear()


def _arrivals(scm: Scm, _request: Request, _body: Any) -> Any:
    return list(scm.arrivals)


def true_facts(scm: Scm, order: Order) -> dict[str, Any]:
    """Everything about an order, in our own words; the certificate as PEM if it has one."""
    found = {one.name: getattr(order, one.name) for one in fields(order) if one.name not in NOT_SHOWN}
    numbers = {"serial": order.serial, "old_serials": order.old_serials, "revoked_serials": order.revoked_serials}
    found |= {name: _hex(value) for name, value in numbers.items()}
    found |= {"ssl_id": found.pop("id"), "renew_id": order.renew_id, "defects": sorted(order.defects), "sans": list(order.sans)}
    if order.der is not None and showing.has_certificate(order):
        found["certificate"] = showing.pem(certificates.chain(scm, order)[0]).decode()
    return found


def _hex(value: Any) -> Any:
    """Too large for a JSON number."""
    if isinstance(value, tuple):
        return [f"{one:x}" for one in value]
    return None if value is None else f"{value:x}"


def _orders(scm: Scm, request: Request, _body: Any) -> Any:
    asked = request.query_params
    found = scm.book.named(asked["common_name"]) if "common_name" in asked else scm.book.rows
    return [
        true_facts(scm, one) for one in found
        if asked.get("ssl_id") in {None, str(one.id)} and asked.get("status") in {None, one.status}
    ]


def _change_order(scm: Scm, request: Request, body: Any) -> Any:
    order = scm.book.by_id[int(request.path_params["number"])]
    status = body.pop("status", None)
    if status is not None and status not in STATUSES:
        raise WrongError(f"status is one of {', '.join(STATUSES)}")
    _set(order, body, Order)
    scm.book.by_request = None
    order.der = None if "defects" in body else order.der
    if status is not None:
        _move(scm, order, status)
    return true_facts(scm, order)


def _move(scm: Scm, order: Order, status: str) -> None:
    now = scm.now()
    if status == ISSUED:
        order.status, order.approved = APPLIED, order.approved or now
        scm.book.issue(order, now, scm.new_serial())
        return
    order.status = status
    order.approved = order.approved or (now if status in {APPROVED, APPLIED} else None)
    order.declined = now if status == DECLINED else order.declined
    order.revoked = now if status == REVOKED else order.revoked
    order.reason_code = 4 if status == REVOKED and order.reason_code is None else order.reason_code


def _settings(scm: Scm, _request: Request, _body: Any) -> Any:
    return asdict(scm.options)


def _change_settings(scm: Scm, _request: Request, body: Any) -> Any:
    scm.change(**body)
    return asdict(scm.options)


def _change_account(scm: Scm, _request: Request, body: Any) -> Any:
    own = scm.accounts.own
    if unknown := set(body) - ADMIN_FACTS:
        raise WrongError(f"an account has no {', '.join(sorted(unknown))}")
    if "roles" in body:
        body["roles"] = [(role, org) for role, org in body["roles"]]
    _set(own, body, type(own))
    return asdict(own)


def _change_client(scm: Scm, _request: Request, body: Any) -> Any:
    client = scm.accounts.client
    client.client_secret = body.get("client_secret", client.client_secret)
    if body.get("forget_tokens"):
        client.tokens.clear()


def _table(scm: Scm, request: Request) -> dict[int, Any]:
    kind = request.path_params["kind"]
    if kind not in reference.KINDS:
        raise WrongError(f"kind is one of {', '.join(reference.KINDS)}")
    found: dict[int, Any] = getattr(scm.reference, kind)
    return found


def _reference(scm: Scm, request: Request, _body: Any) -> Any:
    return [asdict(one) for one in _table(scm, request).values()]


def _change_reference(scm: Scm, request: Request, body: Any) -> Any:
    """Change a row, or add one."""
    table, number = _table(scm, request), int(request.path_params["number"])
    kind = reference.KINDS[request.path_params["kind"]]
    if "delegations" in body:
        body["delegations"] = [reference.Delegation(**one) for one in body["delegations"]]
    if number in table:
        _set(table[number], body, kind)
    else:
        table[number] = kind(id=number, **body)
    return asdict(table[number])


def _remove_reference(scm: Scm, request: Request, _body: Any) -> Any:
    del _table(scm, request)[int(request.path_params["number"])]


def _set(target: Any, given: Mapping[str, Any], kind: type[Any]) -> None:
    """Set facts; texts become dates, and lists tuples, where the fact is one."""
    hints = get_type_hints(kind)
    for name, value in given.items():
        if name not in hints or name == "id":
            raise WrongError(f"there is no fact {name}")
        setattr(target, name, _as(hints[name], value))


def _as(hint: Any, value: Any) -> Any:
    words = str(hint)
    if isinstance(value, str) and hint in {date, date | None}:
        return date.fromisoformat(value)
    if isinstance(value, str) and hint in {datetime, datetime | None}:
        return utc(value)
    if isinstance(value, list) and "frozenset" in words:
        return frozenset(value)
    if isinstance(value, list) and words.startswith("tuple"):
        return tuple(tuple(one) if isinstance(one, list) else one for one in value)
    return value


def _reset(scm: Scm, _request: Request, _body: Any) -> Any:
    scm.reset()


CALLS: tuple[tuple[str, str, Act], ...] = (
    ("GET", "/faults", _faults), ("POST", "/faults", _add_fault), ("DELETE", "/faults", _clear_faults),
    ("DELETE", "/faults/{number}", _remove_fault), ("GET", "/calls", _calls), ("DELETE", "/calls", _clear_calls),
    ("GET", "/arrivals", _arrivals),
    ("GET", "/orders", _orders), ("PUT", "/orders/{number}", _change_order), ("GET", "/settings", _settings),
    ("PUT", "/settings", _change_settings), ("PUT", "/account", _change_account), ("PUT", "/client", _change_client),
    ("GET", "/reference/{kind}", _reference), ("PUT", "/reference/{kind}/{number}", _change_reference),
    ("DELETE", "/reference/{kind}/{number}", _remove_reference), ("POST", "/reset", _reset),
)
