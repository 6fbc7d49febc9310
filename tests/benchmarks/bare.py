"""The limit: a pool of kept connections that makes the unavoidable requests and stores nothing: `bare.py NAME [JSON]`, one line of JSON.

Plain `http.client`: nothing in Python asks faster.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

from memory import peak_mb

ADDRESS = urlsplit(os.environ["BENCHMARK_SCM"])
ACCOUNT = json.loads(os.environ["BENCHMARK_ACCOUNT"])
LOGIN = {"login": ACCOUNT["login"], "password": ACCOUNT["password"], "customerUri": ACCOUNT["customer_uri"]}
EVERYTHING = {"certificateStatus": 0, "certificateDateAttribute": 4}
Figures = dict[str, Any]


def _body(connection: HTTPConnection, method: str, path: str, given: Mapping[str, Any] | None = None) -> bytes:
    headers = LOGIN if given is None else {**LOGIN, "Content-Type": "application/json;charset=UTF-8"}
    sent = None if given is None else json.dumps(given)
    try:
        connection.request(method, f"{ADDRESS.path}{path}", sent, headers)
        answer = connection.getresponse()
    except RemoteDisconnected:    # it was kept, and not used for some seconds
        connection.request(method, f"{ADDRESS.path}{path}", sent, headers)
        answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, f"{method} {path}: {answer.status} {body[:200]!r}"
    return body


def _connection() -> HTTPConnection:
    assert ADDRESS.hostname is not None
    return HTTPConnection(ADDRESS.hostname, ADDRESS.port, timeout=300)


def _collect_all(ssl_ids: Iterable[int], connections: int) -> int:
    """Every connection takes the next id as soon as it is free; how many bytes came."""
    waiting: Iterator[int] = iter(list(ssl_ids))

    def work(_number: int) -> int:
        connection = _connection()
        size = sum(len(_body(connection, "GET", f"/ssl/v1/collect/{ssl_id}?format=x509")) for ssl_id in waiting)
        connection.close()
        return size

    with ThreadPoolExecutor(connections) as pool:
        return sum(pool.map(work, range(connections)))


def _report(connection: HTTPConnection, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_body(connection, "POST", "/report/v1/ssl-certificates", asked))["reports"]
    return found


def orders(_given: Mapping[str, Any]) -> Figures:
    """The report of everything, read as JSON and forgotten."""
    return {"orders": len(_report(_connection(), EVERYTHING)), "calls": 1}


def certificates(given: Mapping[str, Any]) -> Figures:
    """The report of everything, and a collect for each order in it that is issued."""
    issued = [row["id"] for row in _report(_connection(), EVERYTHING) if row["status"] == "Issued"]
    size = _collect_all(issued, given["connections"])
    return {"bytes": size, "calls": 1 + len(issued), "certificates": len(issued)}


def poll(given: Mapping[str, Any]) -> Figures:
    """The reports that a poll of ours asked for, and a collect for each order that was issued meanwhile."""
    connection = _connection()
    seen = sum(len(_report(connection, asked)) for asked in given["reports"])
    _collect_all(given["issued"], given["connections"])
    return {"orders": seen, "calls": len(given["reports"]) + len(given["issued"])}


MEASURED: dict[str, Callable[[Mapping[str, Any]], Figures]] = {one.__name__: one for one in (orders, certificates, poll)}


def main() -> None:
    idle, began, busy = peak_mb(), time.perf_counter(), time.process_time()
    figures = MEASURED[sys.argv[1]](json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})
    figures |= {"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy, "megabytes": peak_mb() - idle}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
