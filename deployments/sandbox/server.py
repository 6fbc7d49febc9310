"""One application for each port of the pretend SCM: who may call, which call it is, what it answers (contract 1, 2)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response

from deployments.sandbox import admin_calls, control, routes, wire
from deployments.sandbox.accounts import CUSTOMER_URI, Admin
from deployments.sandbox.calls import Call, Handler, Host, Route, refused
from deployments.sandbox.refusals import RefusedError
from deployments.sandbox.state import Scm

UNKNOWN_USER = (-16, "Unknown user")
WITH_EXPIRED_PASSWORD = frozenset({"admin_password", "change_password"})
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]

OLD_HOST = Host(login="headers", prefix="/api")
CERTIFICATE_HOST = Host(login="certificate", prefix="/private/api")
ADMIN_HOST = Host(login="bearer", prefix="/api", admin=True)


@dataclass(frozen=True)
class Turned:
    """A call that did not come in, with its answer."""

    answer: Response


def create_app(scm: Scm, host: Host) -> FastAPI:
    """The application of a port."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    control.add(app, scm)
    if host.admin:
        app.add_api_route(admin_calls.TOKEN_PATH, _token(scm), methods=["POST"], response_model=None)
    for route in routes.of(host):
        app.add_api_route(host.prefix + route.path, _endpoint(scm, host, route), methods=[route.method], response_model=None)
    nowhere = Route("GET", "/{rest}", "unknown", _no_such_call)
    app.add_api_route("/{rest:path}", _endpoint(scm, host, nowhere), methods=METHODS, response_model=None)
    return app


def _endpoint(scm: Scm, host: Host, route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        def act(body: bytes) -> Response:
            scm.advance()
            who = _log_in(scm, host, request, route.name)
            if isinstance(who, Turned):
                return who.answer
            return _answered(route.handler, Call(scm=scm, host=host, request=request, route=route.name, body=body, admin=who))

        return await wire.serve(scm, request, route=route.name, template=route.path, act=act)
    return endpoint


def _token(scm: Scm) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await wire.serve(
            scm, request, route="token", template=admin_calls.TOKEN_PATH, act=lambda body: admin_calls.token(scm, body))
    return endpoint


def _answered(handler: Handler, call: Call) -> Response:
    try:
        return handler(call)
    except RefusedError as error:
        return refused(error)


def _no_such_call(_call: Call) -> Response:
    raise RefusedError(-1, "There is no such operation.", status=404)


def _log_in(scm: Scm, host: Host, request: Request, route: str) -> Admin | Turned | None:
    """Who calls; None for the OAuth2 client. A wrong login comes before all else."""
    if host.login == "bearer":
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and scm.accounts.client.knows(token.strip(), scm.now()):
            return None
        # No body is documented there for 401 (contract 3).
        return Turned(Response(status_code=401, headers={"WWW-Authenticate": scm.token_url}))
    login, customer = _header(request, "login"), _header(request, "customerUri")
    if host.login == "certificate":
        shown = wire.peer_certificate(request)
        known = scm.accounts.by_login(login) if shown and shown == scm.client_certificate else None
        admin = known if known is scm.accounts.own and customer == CUSTOMER_URI and not known.suspended else None
    else:
        admin = scm.accounts.log_in(login, _header(request, "password"), customer)
    if admin is None:
        return Turned(refused(RefusedError(*UNKNOWN_USER, status=401)))
    if admin.password_state == "EXPIRED" and host.login == "headers" and route not in WITH_EXPIRED_PASSWORD:
        return Turned(refused(RefusedError(-970, "Wrong login: the password has expired.", status=401)))
    return admin


def _header(request: Request, name: str) -> str:
    """Headers arrive as Latin-1; a client may have sent UTF-8."""
    text = request.headers.get(name, "")
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return text
