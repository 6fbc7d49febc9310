"""An order's details: every documented form of a value (contract 3, 5.7)."""

from datetime import UTC, datetime
from typing import Any

import pytest
import responses

from models.errors import NotFoundError, TransientError
from tasks.adapters.scm import ScmClient, credentials_from

API = "https://scm.example.com/api"


def client() -> ScmClient:
    login = {"base_url": API, "customer_uri": "example", "login": "api", "password": "Tr0ub4dor"}
    return ScmClient(credentials_from(login), sleep=lambda _: None)


@responses.activate
@pytest.mark.parametrize(("given", "expected"), [
    ("03/16/2026", datetime(2026, 3, 16, tzinfo=UTC)), ("3/6/2026", datetime(2026, 3, 6, tzinfo=UTC)),
    ("2026-03-16", datetime(2026, 3, 16, tzinfo=UTC)), ("16.03.2026", datetime(2026, 3, 16, tzinfo=UTC)),
    ("2026/03/16", datetime(2026, 3, 16, tzinfo=UTC)), ("03/16/2026 08:15:02", datetime(2026, 3, 16, 8, 15, 2, tzinfo=UTC)),
    ("2026-03-16T08:15:02.123Z", datetime(2026, 3, 16, 8, 15, 2, 123000, tzinfo=UTC)),
    ("2026-03-16T08:15:02Z", datetime(2026, 3, 16, 8, 15, 2, tzinfo=UTC)),
    ("2026-03-16T08:15:02.000+00:00", datetime(2026, 3, 16, 8, 15, 2, tzinfo=UTC)),
    ("2026-03-16T08:15:02+0200", datetime(2026, 3, 16, 6, 15, 2, tzinfo=UTC)),
    ("2026-03-16 08:15:02", datetime(2026, 3, 16, 8, 15, 2, tzinfo=UTC)), ("2026-03-16T08:15", datetime(2026, 3, 16, 8, 15, tzinfo=UTC)),
    ("", None), (None, None), (" ", None), ("20/03/2026", None), ("soon", None), ("2026-02-30", None), ("0001-01-01T00:00:00+14:00", None),
    ("2026-03-16 and more", None), ("9999-12-31T23:59:59-14:00", None), ("1" * 10_000, None), (1773648902000, None), ({"date": 1}, None),
])
def test_every_documented_form_of_a_date_is_read(given: object, expected: datetime | None) -> None:
    """contract 3; what is no date is left out, and the record is kept"""
    responses.get(f"{API}/ssl/v1/7", json={"id": 7, "status": "Issued", "issued": given})
    assert client().details(7).issued_at == expected


DETAILS = {
    "id": 41001, "sslId": 41001, "commonName": "www.example.com", "orgId": 3100, "status": "SA Approved", "backendCertId": "88", "term": 199,
    "certType": {"id": 5201, "name": "OV"}, "owner": "Api Master", "requester": "api@example.com", "requestedVia": "REST API",
    "externalRequester": "web@example.com", "comments": "order 1", "renewed": False, "keyAlgorithm": "EC", "keySize": 256,
    "subjectAlternativeNames": ["www.example.com", "api.example.com"], "customFields": [{"name": "Cost centre", "value": "A"}],
    "certificateDetails": {"issuer": "CN=CA"}, "autoRenewDetails": {"state": "Not scheduled"}, "serialNumber": "00:0A:BB:cc", "unknown": [1],
}


@responses.activate
def test_details_are_read_whole() -> None:
    """contract 5.7"""
    responses.get(f"{API}/ssl/v1/41001", json=DETAILS)
    found = client().details(41001)
    assert (found.status_word, found.serial_number) == ("SA Approved", "abbcc")
    assert (found.profile_id, found.profile_name, found.organization_id, found.term_days) == (5201, "OV", 3100, 199)
    assert (found.key_algorithm, found.key_size, found.auto_renew, found.renewed) == ("EC", "256", "Not scheduled", False)
    assert found.subject_alternative_names == ("www.example.com", "api.example.com")
    assert found.custom_fields == (("Cost centre", "A"),)


@responses.activate
@pytest.mark.parametrize("absent", ["left out", None, "", "  "])
def test_an_absent_value_is_none_in_each_of_its_forms(absent: str | None) -> None:
    """contract 3"""
    optional = [field for field in DETAILS if field not in {"id", "sslId", "status"}]
    row = {"id": 41001, "status": "Issued"} | ({} if absent == "left out" else dict.fromkeys(optional, absent))
    if absent is not None and absent != "left out":
        row["customFields"] = None
    responses.get(f"{API}/ssl/v1/41001", json=row)
    found = client().details(41001)
    assert {getattr(found, field) for field in found._fields if field not in {"ssl_id", "status_word"}} == {None}


@responses.activate
def test_names_hidden_in_the_certificate_details_are_found() -> None:
    """contract 5.7"""
    names = "dNSName=a.example.com, dNSName=*.example.com, iPAddress=192.0.2.1"
    row = {"id": 7, "status": "Issued", "certificateDetails": {"subjectAltNames": names}}
    responses.get(f"{API}/ssl/v1/7", json=row)
    assert client().details(7).subject_alternative_names == ("a.example.com", "*.example.com", "192.0.2.1")


@responses.activate
@pytest.mark.parametrize("change", [
    {"id": None, "sslId": None}, {"id": "x", "sslId": "y"}, {"id": 10**30, "sslId": None}, {"id": 0, "sslId": -4}, {"status": None}, {"status": ""},
    {"status": ["Issued"]}, {"commonName": "x" * 70_000}, {"id": 8}, {"customFields": "all"},
])
def test_details_that_cannot_be_read_are_an_error(change: dict[str, Any]) -> None:
    """DESIGN 8.8"""
    responses.get(f"{API}/ssl/v1/41001", json=DETAILS | change)
    with pytest.raises(TransientError, match="SCM's answer to order 41001 cannot be read") as caught:
        client().details(41001)
    assert len(str(caught.value)) < 300


@responses.activate
def test_texts_that_no_database_stores_are_mended() -> None:
    """PostgreSQL refuses NUL, and UTF-8 lone surrogates"""
    body = '{"id": 9007199254740993, "status": "Issued", "comments": "a\\u0000b\\ud800c", "requester": "' + "x" * 9000 + '", "term": 12.0}'
    responses.get(f"{API}/ssl/v1/9007199254740993", body=body)
    found = client().details(9007199254740993)
    assert found.comments == "abc"
    assert len(found.requester or "") == 4096
    assert found.term_days == 12


@responses.activate
def test_an_unknown_order_is_not_found() -> None:
    """contract 5.7: 404, or 400 with -124"""
    responses.get(f"{API}/ssl/v1/7", status=404, json={"code": -124, "description": "Wrong SSL certificate id"})
    with pytest.raises(NotFoundError):
        client().details(7)
    responses.replace("GET", f"{API}/ssl/v1/7", status=400, json={"code": -124, "description": "Wrong SSL certificate id"})
    with pytest.raises(NotFoundError):
        client().details(7)
