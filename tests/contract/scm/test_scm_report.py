"""The certificate report: streamed, tolerant to rows, strict to itself (contract 5.17)."""

import json
import tracemalloc
from datetime import UTC, date, datetime
from io import BufferedReader, RawIOBase
from typing import Any

import pytest
import responses
from responses.matchers import json_params_matcher, query_param_matcher

from models.errors import CertflowError, InputError, RejectedError, RightsError, TransientError
from models.records import OrderRecord, ReportWindow
from tasks.adapters.scm import ScmClient, credentials_from

API = "https://scm.example.com/api"
REPORT = f"{API}/report/v1/ssl-certificates"
ROW = {
    "id": 41001, "type": "OV", "typeId": 5201, "orgId": 3100, "organizationName": "Example", "commonName": "www.example.com",
    "subjAltNames": "www.example.com; api.example.com", "status": "Issued", "requested": "2026-03-16T08:15:02.000Z",
    "expires": "2026-09-30T23:59:59.000Z", "serialNumber": "0C55AA", "publicKeyAlg": "EC", "publicKeySize": "256", "term": 199,
    "comments": "order 1", "customFields": [{"name": "Cost centre", "value": "A"}], "requestedVia": "REST API",
}


def client() -> ScmClient:
    login = {"base_url": API, "customer_uri": "example", "login": "api", "password": "Tr0ub4dor"}
    return ScmClient(credentials_from(login), sleep=lambda _: None)


def read(body: Any, complaints: list[str] | None = None) -> list[OrderRecord]:
    responses.post(REPORT, body=body if isinstance(body, (str, bytes)) else json.dumps(body))
    return list(client().report(ReportWindow(), unreadable=([] if complaints is None else complaints).append))


@responses.activate
def test_a_row_of_the_report_is_an_order() -> None:
    """contract 5.17"""
    [found] = read({"statusCode": 0, "reports": [ROW]})
    assert (found.ssl_id, found.status_word, found.serial_number, found.key_size) == (41001, "Issued", "c55aa", "256")
    assert found.subject_alternative_names == ("www.example.com", "api.example.com")
    assert found.requested_at == datetime(2026, 3, 16, 8, 15, 2, tzinfo=UTC)
    assert (found.profile_id, found.profile_name, found.organization_name) == (5201, "OV", "Example")
    assert found.custom_fields == (("Cost centre", "A"),)


@responses.activate
def test_a_window_is_asked_in_the_words_of_the_host() -> None:
    """contract 5.17, 2; the day after the last is asked for, since `to` may be left out of the range"""
    common = {"organizationIds": [3100], "commonName": "www.example.com"}
    buffered = query_param_matcher({"output_type": "buffered"})
    header = {"certificateStatus": 0, "certificateDateAttribute": 4, "from": "2026-03-16", "to": "2026-03-17", **common}
    admin = {
        "certificateStatus": "0", "certificateDateAttribute": "4", "from": "2026-03-16T00:00:00.000Z", "to": "2026-03-17T00:00:00.000Z", **common,
    }
    responses.post(REPORT, json={"statusCode": 0, "reports": [ROW]}, match=[buffered, json_params_matcher(header)])
    responses.post(REPORT, json={"statusCode": 0, "reports": []}, match=[buffered, json_params_matcher(admin)])
    responses.post("https://sso.example.com/token", json={"access_token": "one"})
    day = date(2026, 3, 16)
    window = ReportWindow(first=day, last=day, organization_ids=(3100,), common_name="www.example.com")
    secret = {"base_url": API, "client_id": "client", "client_secret": "S3cr3t-word", "token_url": "https://sso.example.com/token"}
    assert len(list(client().report(window))) == 1
    assert list(ScmClient(credentials_from(secret)).report(window)) == []


@responses.activate
@pytest.mark.parametrize(("by", "number"), [("revocation", 2), ("expiry", 3), ("request", 4), ("issuance", 5)])
def test_each_date_has_its_attribute(by: str, number: int) -> None:
    """contract 5.17, RULES S3"""
    body = {"certificateStatus": 0, "certificateDateAttribute": number}
    responses.post(REPORT, json={"statusCode": 0, "reports": [ROW]}, match=[json_params_matcher(body)])
    assert len(list(client().report(ReportWindow(by=by)))) == 1


def test_an_unknown_date_is_refused_before_anything_is_sent() -> None:
    """DESIGN 8.2"""
    with pytest.raises(InputError, match="request, issuance"):
        list(client().report(ReportWindow(by="approval"))) or pytest.fail("nothing was refused")


@responses.activate
@pytest.mark.parametrize("row", [
    {"id": None}, {"id": "x"}, {"id": 10**25}, {"status": None}, {"status": ""}, {"commonName": "x" * 70_000}, {"customFields": [1]},
    {"subjAltNames": "x" * 5000},
])
def test_a_row_that_cannot_be_read_is_named_and_does_not_end_the_report(row: dict[str, Any]) -> None:
    """RULES S4"""
    complaints: list[str] = []
    found = read({"statusCode": 0, "reports": [ROW | {"id": 1}, ROW | row, 5, ROW | {"id": 3}]}, complaints)
    assert [one.ssl_id for one in found] == [1, 3]
    assert len(complaints) == 2
    assert ("order 41001" if "id" not in row else "order without id") in complaints[0]
    assert len(complaints[0]) < 200


@responses.activate
def test_a_date_that_cannot_be_read_is_told_and_the_row_is_kept() -> None:
    """RULES S4"""
    complaints: list[str] = []
    [found] = read({"statusCode": 0, "reports": [ROW | {"expires": "2026-99-01", "serialNumber": "no hex"}]}, complaints)
    assert (found.ssl_id, found.expires_at, found.serial_number) == (41001, None, None)
    assert complaints == [
        "order 41001: serialNumber is no hexadecimal number; it was left out", "order 41001: expires is no possible date; it was left out",
    ]


@responses.activate
def test_an_unknown_status_word_is_handed_on() -> None:
    """RULES S4: the caller decides"""
    assert read({"statusCode": 0, "reports": [ROW | {"status": "Quarantined"}]})[0].status_word == "Quarantined"


@responses.activate
@pytest.mark.parametrize("body", [
    {"statusCode": 12, "message": "Range too wide", "reports": []}, {"reports": [ROW], "message": "Range too wide", "statusCode": 12},
])
def test_a_report_that_failed_is_refused_with_scms_words_wherever_they_stand(body: dict[str, Any]) -> None:
    """contract 5.17"""
    with pytest.raises(RejectedError, match="12 Range too wide") as caught:
        read(body)
    assert caught.value.code == 12


@responses.activate
@pytest.mark.parametrize(("code", "kind"), [(-3, RightsError), (-1, TransientError), ("oops", RejectedError)])
def test_a_reports_code_has_the_meaning_of_the_table(code: object, kind: type[CertflowError]) -> None:
    """contract 4"""
    with pytest.raises(kind):
        read({"statusCode": code, "reports": []})


WHOLE = json.dumps({"statusCode": 0, "reports": [ROW, ROW | {"id": 2}]}).encode()


@responses.activate
@pytest.mark.parametrize("body", [
    b"", b"<html>", b"{}", b"[]", b'{"reports": []}', WHOLE[:-1], WHOLE[:-3], WHOLE[:len(WHOLE) // 2], WHOLE + b"}",
    b'{"statusCode": 0, "reports": [{"id": 1e999999999}]',
    b'{"statusCode": 0, "reports": ["\xff\xfe"]}', b'{"statusCode": 0, "reports": ' + b"[" * 100_000,
])
def test_a_report_that_is_not_whole_is_an_error(body: bytes) -> None:
    """contract 5.17; a truncated report must not look like a short one"""
    with pytest.raises(TransientError):
        read(body)


@responses.activate
def test_rows_are_seen_before_the_report_ends() -> None:
    """DESIGN 5: stream"""
    body = b'{"statusCode": 0, "reports": [' + b",".join([json.dumps(ROW).encode()] * 1000) + b"]"
    responses.post(REPORT, body=body)
    rows = client().report(ReportWindow())
    assert next(rows).ssl_id == 41001
    with pytest.raises(TransientError):
        list(rows)


class Endless(RawIOBase):
    """A report of `count` rows that is made while it is read."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left, self._waiting = count, b'{"statusCode": 0, "reports": ['

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._left and len(self._waiting) < len(buffer):
            self._left -= 1
            self._waiting += json.dumps(ROW).encode() + (b"," if self._left else b"]}")
        piece, self._waiting = self._waiting[:len(buffer)], self._waiting[len(buffer):]
        buffer[:len(piece)] = piece
        return len(piece)


@responses.activate
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_report_is_read_alike_in_whatever_pieces_it_arrives(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """contract 5.17"""
    monkeypatch.setattr("tasks.adapters.scm.wire.CHUNK", size)
    monkeypatch.setattr("tasks.adapters.scm.rowwise.CHUNK", size)
    row = ROW | {"comments": "gr\u00fcn \\ \"[{ 12345", "unknown": [[], {}, 1.5e3, -7, True, None]}
    text = json.dumps({"unknown": {"reports": [1]}, "message": None, "reports": [row, row], "statusCode": 0, "a": 12}, ensure_ascii=False, indent=1)
    found = read("\ufeff" + text + "\n")
    assert [one.comments for one in found] == ["gr\u00fcn \\ \"[{ 12345"] * 2


@responses.activate
def test_memory_does_not_grow_with_the_report() -> None:
    """DESIGN 5"""
    responses.post(REPORT, body=BufferedReader(Endless(5_000)))
    rows = client().report(ReportWindow())
    next(rows)
    tracemalloc.start()
    try:
        assert sum(1 for _ in rows) == 4_999
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_500_000
