"""JSON over HTTP between processes of this machine, past all proxies. For everything else there are the adapters."""

import json
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

SECONDS = 30.0

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str) -> bool:
    """Whether an HTTP server answers there with 200."""
    with suppress(OSError), _OPENER.open(url, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def get(url: str, headers: Mapping[str, str] | None = None) -> Any:
    """GET JSON. Raises: OSError, HTTPError among them."""
    return _read(urllib.request.Request(url, headers=dict(headers or {})))  # noqa: S310 - an address of our own processes


def post(url: str, body: Mapping[str, Any]) -> Any:
    """POST JSON and read JSON. Raises: OSError, HTTPError among them."""
    return _read(urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}))  # noqa: S310 - as above


def _read(request: urllib.request.Request) -> Any:
    with _OPENER.open(request, timeout=SECONDS) as answer:
        return json.loads(answer.read() or b"null")
