"""From a request on the wire to an answer on the wire, or to what faults make of it: closed connections and torn bodies are real ones."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from math import ceil
from time import monotonic
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from deployments.sandbox import faults as kinds
from deployments.sandbox.calls import JSON, answer, refused
from deployments.sandbox.faults import Fault
from deployments.sandbox.refusals import not_ready
from deployments.sandbox.state import Counted, Scm

TRANSPORT = "sandbox.transport"
PROXY_PAGE = b"<html><head><title>Proxy</title></head><body><h1>The proxy cannot reach this page</h1></body></html>"
HTML = "text/html;charset=UTF-8"
PIECES = 10
Message = MutableMapping[str, Any]
Act = Callable[[bytes], Response]


class Protocol(H11Protocol):
    """uvicorn's HTTP, which also hands the connection to the application so that faults can close it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn itself has it
        super().connection_made(transport)
        inner = self.app

        async def app(scope: Any, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
            scope[TRANSPORT] = transport
            await inner(scope, receive, send)

        self.app = app


def peer_certificate(request: Request) -> bytes | None:
    """The client's certificate in DER, if it showed one."""
    connection = request.scope[TRANSPORT].get_extra_info("ssl_object")
    found = connection.getpeercert(binary_form=True) if connection else None
    return found if isinstance(found, bytes) else None


async def serve(scm: Scm, request: Request, *, route: str, template: str, act: Act) -> Response:
    """Count the call, let `act` do it, and spoil it as ordered. `act` gets the body and answers; it never raises RefusedError."""
    method, path = request.method, request.url.path
    scm.calls[Counted(method, route, template)] += 1
    scm.arrivals.append((monotonic(), route))
    body = await request.body()
    if scm.options.latency:
        await asyncio.sleep(scm.options.latency)
    for fault in scm.faults.strike(kinds.BEFORE, route=route, method=method, path=path):
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            continue
        if fault.kind == "drop":
            return await _hang_up(request, fault)
        if fault.kind == "status" and fault.processed:
            await _whole(act(body))
        return _instead(scm, fault)
    made = act(body)
    for fault in scm.faults.strike(kinds.AFTER, route=route, method=method, path=path):
        if fault.kind == "wrong_type":
            made.headers["Content-Type"] = fault.content_type or "text/plain"
        elif fault.kind == "truncate":
            return await _torn(request, made)
        elif fault.kind == "slow":
            made = await _slow(made, fault.seconds)
        else:
            await _whole(made)
            return await _hang_up(request, fault)
    return made


def _instead(scm: Scm, fault: Fault) -> Response:
    """What is answered without asking SCM."""
    if fault.kind == "too_many":
        return answer({"code": -1, "description": "Too many requests"}, status=429, headers={"Retry-After": str(ceil(fault.seconds))})
    if fault.kind == "html":
        return Response(PROXY_PAGE, 502 if fault.status == 500 else fault.status, headers={"Content-Type": HTML})
    if fault.kind == "empty":
        return Response(b"", 200, headers={"Content-Type": JSON})
    if fault.kind == "not_ready":
        return refused(not_ready(scm.options.not_ready_code if fault.code is None else fault.code))
    text = fault.body if isinstance(fault.body, str) else json.dumps(fault.body)
    kind = fault.content_type or ("text/plain" if isinstance(fault.body, str) else JSON)
    return Response(text.encode(), fault.status, headers={"Content-Type": kind, **fault.headers})


async def _whole(response: Response) -> bytes:
    if not isinstance(response, StreamingResponse):
        return bytes(response.body)
    parts = [part if isinstance(part, bytes | memoryview) else part.encode() async for part in response.body_iterator]
    return b"".join(parts)


async def _hang_up(request: Request, fault: Fault) -> Response:
    """Close the connection without an answer, after `seconds`."""
    if fault.seconds:
        await asyncio.sleep(fault.seconds)
    return await _close(request)


async def _torn(request: Request, made: Response) -> Response:
    """Half of the body under the `Content-Length` of the whole."""
    body = await _whole(made)
    names = [(name, value) for name, value in made.headers.items() if name not in {"content-length", "transfer-encoding"}]
    head = f"HTTP/1.1 {made.status_code} OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in names)
    length = max(len(body), 1)
    request.scope[TRANSPORT].write(f"{head}content-length: {length}\r\n\r\n".encode("latin-1") + body[:len(body) // 2])
    return await _close(request)


async def _slow(made: Response, seconds: float) -> Response:
    """The same body in ten pieces."""
    body = await _whole(made)

    async def pieces() -> AsyncIterator[bytes]:
        for place in range(PIECES):
            await asyncio.sleep(seconds / PIECES)
            yield body[len(body) * place // PIECES:len(body) * (place + 1) // PIECES]

    return StreamingResponse(pieces(), made.status_code, headers={**made.headers, "Content-Length": str(len(body))})


async def _close(request: Request) -> Response:
    request.scope[TRANSPORT].close()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()    # nobody reads it any more
