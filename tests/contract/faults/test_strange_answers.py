"""Answers of SCM that are whole, and strange: fields that are missing, null or something else; lists whose pages move; the hostile ones."""

import json
from typing import Any

import pytest

from models.errors import AmbiguousError, CertflowError, RejectedError, TransientError
from models.records import ReportWindow

STRANGE = {
    "missing": None, "null": None, "blank": "", "another word": "Frobnicated", "a list": [], "an object": {"a": 1}, "huge": 10**30,
    "truth": True, "below zero": -1, "a fraction": 0.5, "a million letters": "x" * 1_000_000, "half a letter": "\ud800",
    "control characters": "a\x00\x1b[31m\r\n\u202eb",
}
ABSENT = ("missing", "null", "blank")


def says(body: str, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n{more}\r\n{body}".encode()


@pytest.mark.parametrize("strange", STRANGE)
def test_a_field_that_is_missing_or_strange_is_left_out_or_told(asking_fields: Any, strange: str, wire: Any, is_for_a_person: Any) -> None:
    """contract 3: absent, null and blank are one; what makes the record must be there (DESIGN 8.8)"""
    asking, endpoint = asking_fields, asking_fields.endpoint
    answer = endpoint.good
    one = answer[0] if isinstance(answer, list) else answer
    asking.prepare(wire, says)
    for field in one:
        odd = {name: value for name, value in one.items() if name != field} | ({} if strange == "missing" else {field: STRANGE[strange]})
        wire.forget_words(endpoint.path)
        wire.tell(endpoint.path, says(json.dumps([odd] if isinstance(answer, list) else odd)))
        with asking.client(f"http://127.0.0.1:{wire.port}/api") as scm:
            try:
                endpoint.call(scm)
                refused = None
            except CertflowError as error:
                refused = error
        if refused is not None:
            kind = AmbiguousError if endpoint.kind == "makes something new" else TransientError
            assert type(refused) is kind or (field == "statusCode" and type(refused) is RejectedError), f"{field}: {refused}"
            is_for_a_person(refused)
        assert refused is not None or strange not in ABSENT or field not in endpoint.needs, f"{field} is needed"


# --- Pages that move ---

def page(*ids: int, total: int | None) -> bytes:
    rows = [{"sslId": one, "commonName": f"n{one}.example.com"} for one in ids]
    return says(json.dumps(rows), more=f"X-Total-Count: {total}\r\n" if total is not None else "")


FIRST = range(1, 201)
MOVING: dict[str, tuple[list[bytes], set[int]]] = {
    # what happens meanwhile: the pages that SCM shows, then what must be found at least
    "one is put before": (
        [page(*FIRST, total=203), page(200, 201, 202, 203, total=204), page(300, *range(1, 200), total=204), page(200, 201, 202, 203, total=204)],
        {*range(1, 204), 300},
    ),
    "one goes from before": (
        [page(*FIRST, total=203), page(202, 203, total=202), page(*range(2, 202), total=202), page(202, 203, total=202)], set(range(1, 204)),
    ),
    "the count is too high": ([page(1, 2, total=5), page(total=5)], {1, 2}),
    "the count is too low": ([page(1, 2, 3, total=1)], {1, 2, 3}),
    "no count": ([page(1, 2, 3, total=None)], {1, 2, 3}),
    "position is not known": ([page(*FIRST, total=None)], set(FIRST)),
    "everything goes": ([page(*FIRST, total=300), page(total=0)], set(FIRST)),
    "the same twice on a page": ([page(1, 1, 2, total=2), page(total=2)], {1, 2}),
    "the count never ends": ([page(*range(1 + at, 201 + at), total=10**9) for at in range(0, 1000, 200)] + [page(total=10**9)], set(range(1, 1001))),
}


@pytest.mark.parametrize("asking", ["list"], indirect=True)
@pytest.mark.parametrize("moves", MOVING)
def test_a_list_that_moves_is_read_to_an_end_with_each_order_once(asking: Any, moves: str, wire: Any) -> None:
    """contract 3: the order of a list is not known; de-duplicate and stop"""
    pages, found = MOVING[moves]
    wire.tell("/ssl/v1?", *pages)
    with asking.client(f"http://127.0.0.1:{wire.port}/api") as scm:
        listed = [one.ssl_id for one in scm.listed()]
    assert len(listed) == len(set(listed))
    assert set(listed) == found
    assert len(wire.heard) <= 30


# --- Hostile answers ---

DEEP = "[" * 50_000 + "]" * 50_000
LONG = "x" * 10_000_000
MANY_NAMES = {"id": 7, "sslId": 7, "status": "Issued", "subjectAlternativeNames": [f"n{at}.example.com" for at in range(10_000)]}
HOSTILE = {
    "10 MB in one text": json.dumps({"description": LONG, "name": LONG, "id": LONG}), "deep": DEEP, "deep inside": f'{{"id": 7, "name": {DEEP}}}',
    "deep objects": '{"a":' * 50_000 + "1" + "}" * 50_000, "a number without end": '{"id": ' + "9" * 100_000 + "}",
    "NaN": '{"id": NaN, "name": Infinity}', "names twice": '{"id": 1, "id": 2, "sslId": 7, "sslId": 8, "name": "a", "name": "b"}',
    "10,000 names": json.dumps(MANY_NAMES), "only NUL": "\x00" * 1000, "a page": "<script>alert(1)</script>",
    "another type": '"text"', "empty list in list": "[[]]", "list of null": "[null]",
}
HEADERS = (
    "X-Total-Count: 99999999999999999999999\r\n", "X-Total-Count: -5\r\n", "Retry-After: nan\r\n", "Set-Cookie: a=b\r\n",
    'Content-Disposition: attachment; filename="../../etc/passwd"\r\n', f"X-Long: {'y' * 60_000}\r\n", "Content-Type: text/html; charset=utf-7\r\n",
)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_a_hostile_answer_is_an_error_of_ours_or_harmless(asking: Any, hostile: str, status: str, wire: Any, is_for_a_person: Any) -> None:
    """DESIGN 8.8; SECURITY: a hostile answer"""
    asking.prepare(wire, says)
    wire.tell(asking.endpoint.path, says(HOSTILE[hostile], status))
    wire.tell("/ssl/v1/customFields", says("[]"))
    with asking.client(f"http://127.0.0.1:{wire.port}/api") as scm:
        try:
            asking.endpoint.call(scm)
        except CertflowError as error:
            is_for_a_person(error)


@pytest.mark.parametrize("header", HEADERS)
def test_a_hostile_header_is_an_error_of_ours_or_harmless(asking: Any, header: str, wire: Any, is_for_a_person: Any) -> None:
    """SECURITY: a hostile answer; no name in a header becomes the name of a file"""
    asking.prepare(wire, says)
    wire.tell(asking.endpoint.path, says(asking.endpoint.body, more=header))
    with asking.client(f"http://127.0.0.1:{wire.port}/api") as scm:
        try:
            asking.endpoint.call(scm)
        except CertflowError as error:
            is_for_a_person(error)
    assert len(wire.heard) < 12


@pytest.mark.parametrize("asking", ["report"], indirect=True)
def test_one_hostile_row_does_not_hide_the_others_of_a_report(asking: Any, wire: Any) -> None:
    """RULES S4"""
    rows = [{"id": at, "status": "Issued"} for at in range(1, 5)]
    odd = [
        None, 7, [], {"id": 5}, {"id": "x", "status": "Issued"}, {"id": 6, "status": "y" * 5000},
        {"id": 7, "status": "Issued", "commonName": LONG[:900_000]},
    ]
    wire.tell("/report/v1/ssl", says(json.dumps({"statusCode": 0, "reports": [*rows, *odd, {"id": 99, "status": "Issued"}]})))
    told: list[str] = []
    with asking.client(f"http://127.0.0.1:{wire.port}/api") as scm:
        found = [one.ssl_id for one in scm.report(ReportWindow(), unreadable=told.append)]
    assert found == [1, 2, 3, 4, 99]
    assert len(told) == len(odd)
    assert all(one.isprintable() and len(one) < 300 for one in told)
