"""One call: who calls, by which host, with what; and the answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request, Response

from deployments.sandbox.accounts import Admin
from deployments.sandbox.names import visible
from deployments.sandbox.orders import Order
from deployments.sandbox.refusals import RefusedError, forbidden, invalid, unknown_certificate, unreadable
from deployments.sandbox.state import Scm

JSON = "application/json;charset=UTF-8"
LARGEST_PAGE = 200


@dataclass(frozen=True, kw_only=True)
class Host:
    """A port of the sandbox: how one logs in there, and which of the two documented dialects it speaks (contract 1, 2)."""

    login: str
    """`headers`, `certificate` or `bearer`."""
    prefix: str
    admin: bool = False
    """The 25.9 dialect of the admin host; otherwise the 25.5 one."""

    @property
    def versions(self) -> tuple[str, ...]:
        """Of the `/ssl` paths."""
        return ("v1", "v2") if self.admin else ("v1",)


@dataclass(kw_only=True)
class Call:
    """A call whose login is right."""

    scm: Scm
    host: Host
    request: Request
    route: str
    body: bytes
    admin: Admin | None
    """None for an OAuth2 client."""

    @property
    def organizations(self) -> frozenset[int] | None:
        """Those that the caller may see; None means all."""
        return visible(self.scm, self.admin)

    @property
    def requester(self) -> str:
        return self.admin.email if self.admin else "example-client"

    def sees(self, order: Order) -> bool:
        seen = self.organizations
        return seen is None or order.org_id in seen

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def number(self, name: str) -> int:
        """A number in the path."""
        text = self.path(name)
        if not text.isascii() or not text.isdecimal():
            raise invalid(name)
        return int(text)

    def query(self, name: str) -> str | None:
        """A parameter of the query; an empty one counts as absent."""
        return self.request.query_params.get(name) or None

    def query_number(self, name: str, default: int | None = None, *, largest: int = 2**31 - 1) -> int | None:
        text = self.query(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdecimal() or int(text) > largest:
            raise invalid(name)
        return int(text)

    def page(self) -> tuple[int, int]:
        """Position and size (contract 3); the default size is a choice of this sandbox."""
        size = self.query_number("size", LARGEST_PAGE, largest=LARGEST_PAGE)
        position = self.query_number("position", 0)
        return position or 0, LARGEST_PAGE if size is None else size

    def json(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise unreadable() from None

    def fields(self) -> dict[str, Any]:
        """The body as an object."""
        found = self.json()
        if not isinstance(found, dict):
            raise unreadable()
        return found

    def order(self, *, name: str = "ssl_id", unknown: int = 404) -> Order:
        """The order that the path names. Raises: RefusedError with the status `unknown`."""
        number = self.number(name)
        found = self.scm.book.by_id.get(number)
        if found is None or not self.sees(found) or self.scm.faults.strike(frozenset({"hide"}), route=self.route, order=found):
            raise unknown_certificate(number, status=unknown)
        return found

    def need(self, privilege: str, what: str) -> None:
        """Raises: RefusedError when the caller lacks a privilege."""
        if self.admin is not None and privilege not in self.admin.privileges:
            raise forbidden(what)


Handler = Callable[[Call], Response]


@dataclass(frozen=True)
class Route:
    """A documented call. `{v}` in the path stands for each version that the host has."""

    method: str
    path: str
    name: str
    handler: Handler
    on_old: bool = True
    on_admin: bool = True


def answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON, as SCM marks it."""
    return Response(orjson.dumps(body), status, headers={"Content-Type": JSON, **(headers or {})})


def nothing() -> Response:
    return Response(status_code=204)


def refused(error: RefusedError) -> Response:
    return answer({"code": error.code, "description": error.description}, status=error.status)


def total(number: int) -> dict[str, str]:
    return {"X-Total-Count": str(number)}
