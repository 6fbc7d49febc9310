"""A pretend Vault for the demo: one KV version 2 mount at `secret/`, one token, everything in memory.

It answers as the HTTP API of HashiCorp Vault 1.21 does, status codes and error bodies included, for what a client of KV version 2
uses. It has no policies, no AppRole, no namespaces and no seal: those are tested against the real one.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import compare_digest
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

KEPT_VERSIONS = 10
"""How many versions Vault keeps when `max_versions` is 0."""

Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class _Version:
    data: dict[str, Any] | None
    created_time: str
    deletion_time: str = ""
    destroyed: bool = False

    @property
    def gone(self) -> bool:
        return self.destroyed or bool(self.deletion_time)


@dataclass
class _Secret:
    created_time: str
    updated_time: str
    current_version: int = 0
    max_versions: int = 0
    cas_required: bool = False
    custom_metadata: dict[str, str] | None = None
    versions: dict[int, _Version] = field(default_factory=dict)

    def write(self, data: dict[str, Any] | None) -> _Version:
        self.current_version += 1
        self.updated_time = _now()
        written = self.versions[self.current_version] = _Version(data, self.updated_time)
        self.forget_old()
        return written

    def forget_old(self) -> None:
        oldest = self.current_version - (self.max_versions or KEPT_VERSIONS)
        self.versions = {number: version for number, version in self.versions.items() if number > oldest}

    def about(self, number: int) -> dict[str, Any]:
        version = self.versions[number]
        return {
            "created_time": version.created_time, "custom_metadata": self.custom_metadata, "deletion_time": version.deletion_time,
            "destroyed": version.destroyed, "version": number,
        }

    def metadata(self) -> dict[str, Any]:
        return {
            "cas_required": self.cas_required, "created_time": self.created_time, "current_version": self.current_version,
            "custom_metadata": self.custom_metadata, "delete_version_after": "0s", "max_versions": self.max_versions,
            "oldest_version": min(self.versions, default=0), "updated_time": self.updated_time,
            "versions": {
                str(number): {"created_time": one.created_time, "deletion_time": one.deletion_time, "destroyed": one.destroyed}
                for number, one in self.versions.items()
            },
        }


class _RefusedError(Exception):
    """Answered with this status and Vault's list of errors."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(*errors)
        self.status = status
        self.errors = list(errors)


class _Mount:
    """The secrets below `secret/`. No handler awaits between looking and writing, so each call is atomic."""

    def __init__(self) -> None:
        self.secrets: dict[str, _Secret] = {}

    async def read(self, request: Request) -> Response:
        secret = self._known(request)
        wanted = _number(request.query_params.get("version", "0")) or secret.current_version
        version = secret.versions.get(wanted)
        if version is None:
            raise _RefusedError(404)
        data = None if version.gone else version.data
        return _answer({"data": data, "metadata": secret.about(wanted)}, status=404 if version.gone else 200)

    async def write(self, request: Request) -> Response:
        body = await _body(request)
        if "data" not in body:
            raise _RefusedError(400, "no data provided")
        data = body["data"]
        if data is not None and not isinstance(data, dict):
            raise _RefusedError(400, "error converting input for field \"data\": '' expected a map")
        secret = self.secrets.get(_path(request))
        options = body.get("options") or {}
        if "cas" in options:
            if not isinstance(options["cas"], int):
                raise _RefusedError(400, "error parsing check-and-set parameter")
            if options["cas"] != (secret.current_version if secret else 0):
                raise _RefusedError(400, "check-and-set parameter did not match the current version")
        elif secret and secret.cas_required:
            raise _RefusedError(400, "check-and-set parameter required for this call")
        secret = secret or self._new(request)
        secret.write(data)
        return _answer(secret.about(secret.current_version))

    async def delete_newest(self, request: Request) -> Response:
        secret = self.secrets.get(_path(request))
        version = secret.versions.get(secret.current_version) if secret else None
        if version and not version.gone:
            version.deletion_time = _now()
        return Response(status_code=204)

    async def delete_versions(self, request: Request) -> Response:
        for version in await self._named_versions(request):
            version.deletion_time = version.deletion_time or _now()
        return Response(status_code=204)

    async def undelete_versions(self, request: Request) -> Response:
        for version in await self._named_versions(request):
            version.deletion_time = "" if not version.destroyed else version.deletion_time
        return Response(status_code=204)

    async def destroy_versions(self, request: Request) -> Response:
        for version in await self._named_versions(request):
            version.data, version.destroyed = None, True
        return Response(status_code=204)

    async def metadata(self, request: Request) -> Response:
        if request.query_params.get("list") == "true":
            return await self.list_names(request)
        return _answer(self._known(request).metadata())

    async def change_metadata(self, request: Request) -> Response:
        body = await _body(request)
        secret = self.secrets.get(_path(request)) or self._new(request)
        secret.max_versions = _number(body.get("max_versions", secret.max_versions))
        secret.cas_required = bool(body.get("cas_required", secret.cas_required))
        secret.custom_metadata = body.get("custom_metadata", secret.custom_metadata)
        secret.updated_time = _now()
        return Response(status_code=204)

    async def delete_all(self, request: Request) -> Response:
        self.secrets.pop(_path(request), None)
        return Response(status_code=204)

    async def list_names(self, request: Request) -> Response:
        folder = _path(request).rstrip("/")
        start = len(folder) + 1 if folder else 0
        below = (path[start:] for path in self.secrets if not folder or path.startswith(folder + "/"))
        names = {name + slash for name, slash, _ in (path.partition("/") for path in below)}
        if not names:
            raise _RefusedError(404)
        return _answer({"keys": sorted(names)})

    def _known(self, request: Request) -> _Secret:
        secret = self.secrets.get(_path(request))
        if secret is None:
            raise _RefusedError(404)
        return secret

    def _new(self, request: Request) -> _Secret:
        moment = _now()
        return self.secrets.setdefault(_path(request), _Secret(created_time=moment, updated_time=moment))

    async def _named_versions(self, request: Request) -> list[_Version]:
        numbers = (await _body(request)).get("versions")
        if not isinstance(numbers, list) or not numbers:
            raise _RefusedError(400, "no version number provided")
        secret = self.secrets.get(_path(request))
        return [secret.versions[number] for number in map(_number, numbers) if number in secret.versions] if secret else []


def create_vault_app(token: str) -> FastAPI:
    """The pretend Vault, empty; every call but `sys/health` and `sys/seal-status` needs `token`."""
    app = FastAPI(title="A pretend Vault", openapi_url=None)
    mount = _Mount()

    def serve(methods: str, path: str, handler: Handler, *, public: bool = False) -> None:
        async def answered(request: Request) -> Response:
            try:
                if not public:
                    _check_token(request, token)
                return await handler(request)
            except _RefusedError as refused:
                return JSONResponse({"errors": refused.errors}, refused.status)

        app.add_route(f"/v1/{path}", answered, methods=methods.split())

    serve("GET", "sys/health", _health, public=True)
    serve("GET", "sys/seal-status", _seal_status, public=True)
    serve("GET", "auth/token/lookup-self", _lookup_self)
    serve("GET", "sys/internal/ui/mounts/{mount:path}", _mount_facts)
    serve("POST PUT", "sys/capabilities-self", _capabilities)
    serve("GET", "secret/data/{path:path}", mount.read)
    serve("POST PUT", "secret/data/{path:path}", mount.write)
    serve("DELETE", "secret/data/{path:path}", mount.delete_newest)
    serve("POST PUT", "secret/delete/{path:path}", mount.delete_versions)
    serve("POST PUT", "secret/undelete/{path:path}", mount.undelete_versions)
    serve("POST PUT", "secret/destroy/{path:path}", mount.destroy_versions)
    serve("GET", "secret/metadata/{path:path}", mount.metadata)
    serve("LIST", "secret/metadata/{path:path}", mount.list_names)
    serve("POST PUT", "secret/metadata/{path:path}", mount.change_metadata)
    serve("DELETE", "secret/metadata/{path:path}", mount.delete_all)
    serve("GET", "secret/metadata", mount.metadata)
    serve("LIST", "secret/metadata", mount.list_names)
    serve("GET POST PUT PATCH DELETE LIST", "{rest:path}", _no_route)
    return app


async def _health(_request: Request) -> Response:
    return JSONResponse({
        "initialized": True, "sealed": False, "standby": False, "performance_standby": False, "version": "1.21.0", "enterprise": False,
        "server_time_utc": int(datetime.now(UTC).timestamp()), "cluster_name": "pretend-vault",
    })


async def _seal_status(_request: Request) -> Response:
    return JSONResponse({"type": "shamir", "initialized": True, "sealed": False, "t": 1, "n": 1, "progress": 0, "version": "1.21.0"})


async def _lookup_self(_request: Request) -> Response:
    return _answer({
        "accessor": "pretend", "display_name": "token", "expire_time": None, "num_uses": 0, "orphan": True, "path": "auth/token/create",
        "policies": ["root"], "renewable": False, "ttl": 0, "type": "service",
    })


async def _mount_facts(request: Request) -> Response:
    name = request.path_params["mount"].strip("/")
    if name != "secret":
        raise _RefusedError(
            403, f'preflight capability check returned 403, please ensure client\'s policies grant access to path "{name}/"')
    return _answer({"path": "secret/", "type": "kv", "options": {"version": "2"}, "description": ""})


async def _capabilities(request: Request) -> Response:
    body = await _body(request)
    granted = {str(path): ["root"] for path in body.get("paths") or [body.get("path")] if path}
    if not granted:
        raise _RefusedError(400, "paths must be supplied")
    return JSONResponse({**granted, "data": granted})


async def _no_route(request: Request) -> Response:
    route = request.path_params["rest"]
    raise _RefusedError(404, f'no handler for route "{route}". route entry not found.')


def _check_token(request: Request, token: str) -> None:
    given = request.headers.get("x-vault-token") or request.headers.get("authorization", "").removeprefix("Bearer ")
    if not given:
        raise _RefusedError(403, "permission denied")
    if not compare_digest(given.encode(), token.encode()):
        raise _RefusedError(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        raise _RefusedError(400, "failed to parse JSON input: invalid character") from None
    return body if isinstance(body, dict) else {}


def _path(request: Request) -> str:
    return str(request.path_params.get("path", ""))


def _number(text: Any) -> int:
    try:
        return int(text)
    except (TypeError, ValueError):
        raise _RefusedError(400, f"Field validation failed: cannot parse {text!r} as int") from None


def _answer(data: dict[str, Any], *, status: int = 200) -> Response:
    return JSONResponse({
        "request_id": str(uuid4()), "lease_id": "", "renewable": False, "lease_duration": 0, "data": data, "wrap_info": None,
        "warnings": None, "auth": None, "mount_type": "kv",
    }, status)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
