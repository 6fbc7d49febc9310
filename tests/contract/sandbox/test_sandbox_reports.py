"""Reports and lists: windows, filters, paging, and the two dialects (contract 2, 3, 5.2 to 5.6, 5.17)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

ISO_MS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DATES = {2: "revoked", 3: "expires", 4: "requested", 5: "issued"}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("attribute", DATES)
def test_a_window_holds_what_happened_in_it(sandbox: Any, scm: Any, attribute: int) -> None:
    """Contract 5.17"""
    truth = {one["ssl_id"]: moment(one[DATES[attribute]]) for one in sandbox.orders() if one[DATES[attribute]]}
    middle = sorted(truth.values())[len(truth) // 2]
    since, until = (middle - timedelta(days=40)).date(), (middle + timedelta(days=40)).date()
    found = scm.report(**{"from": since.isoformat(), "to": until.isoformat(), "certificateDateAttribute": attribute})
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (since, until))
    assert set(found) == {ssl_id for ssl_id, at in truth.items() if start <= at <= end}
    assert 0 < len(found) < len(truth)
    exactly = scm.report(**{
        "from": middle.isoformat(), "to": (middle + timedelta(milliseconds=1)).isoformat(), "certificateDateAttribute": str(attribute)})
    assert exactly


def test_without_a_window_all_orders_are_in_it(sandbox: Any, scm: Any) -> None:
    """Contract 5.17; RULES S3: rows without a request date are found so"""
    truth = sandbox.orders()
    rows = scm.report(certificateStatus=0)
    assert set(rows) == {one["ssl_id"] for one in truth}
    no_request = {one["ssl_id"] for one in truth if one["requested"] is None}
    assert no_request
    by_request = scm.report(**{"from": "2000-01-01", "to": "2100-01-01", "certificateDateAttribute": 4})
    assert set(by_request) == set(rows) - no_request
    assert {row["status"] for row in rows.values()} == {one["status"].replace("SA Approved", "SAApproved") for one in truth}


@pytest.mark.parametrize(("number", "word"), [(1, "Requested"), (2, "Issued"), (3, "Revoked"), (4, "Expired")])
def test_a_status_can_be_asked_for(sandbox: Any, scm: Any, number: int, word: str) -> None:
    """Contract 5.17"""
    assert set(scm.report(certificateStatus=number)) == {one["ssl_id"] for one in sandbox.orders() if one["status"] == word}


def test_organization_name_requester_and_source_can_be_asked_for(sandbox: Any, scm: Any) -> None:
    """Contract 5.17"""
    truth = sandbox.orders()
    one = next(row for row in truth if row["external_requester"] and row["requested_via"] == "ACME")
    assert set(scm.report(organizationIds=[3101])) == {row["ssl_id"] for row in truth if row["org_id"] == 3101}
    assert one["ssl_id"] in scm.report(commonName=one["common_name"])
    assert set(scm.report(externalRequester=one["external_requester"], certificateRequestSource=10)) == {
        row["ssl_id"] for row in truth if row["external_requester"] == one["external_requester"] and row["requested_via"] == "ACME"}


@pytest.mark.parametrize("asked", [
    {"from": "2026-02-01", "to": "2026-01-01"}, {"from": "2026-02-01", "to": "2026-02-01"}, {"from": "yesterday"}, {"from": 5},
    {"certificateStatus": 5}, {"certificateStatus": True}, {"certificateDateAttribute": 1}, {"certificateRequestSource": 6},
    {"commonName": "<script>"}, {"commonName": "x" * 257}, {"externalRequester": "x" * 513},
])
def test_a_wrong_report_is_refused(scm: Any, asked: dict[str, Any]) -> None:
    """Contract 5.17"""
    assert scm.refusal("POST", "/report/v1/ssl-certificates", asked) == (400, -1601)


def test_serial_numbers_lose_their_zeros_unless_they_are_asked_for(sandbox: Any, scm: Any) -> None:
    """Contract 3"""
    short = [one for one in sandbox.orders() if one["serial"] and len(one["serial"]) < 32]
    assert short
    plain, full = scm.report(), scm.report(serialNumberFormat="HEXWithLeadingZeros")
    for one in short:
        assert plain[one["ssl_id"]]["serialNumber"] == one["serial"].upper()
        assert full[one["ssl_id"]]["serialNumber"] == one["serial"].upper().zfill(32)
        shown = scm.get(f"/ssl/v1/{one['ssl_id']}").get("serialNumber")
        assert shown.replace(":", "") == one["serial"].upper().zfill(32)


def test_rows_of_the_two_hosts_differ_as_documented(scm: Any, admin_host: Any) -> None:
    """Contract 2: report rows"""
    old, new = scm.report(), admin_host.report(certificateStatus="0")
    assert set(old) == set(new)
    assert not any("issued" in row or "signatureAlg" in row for row in old.values())
    assert any(ISO_MS.fullmatch(row.get("issued") or "") for row in new.values())
    assert {row["status"] for row in new.values()} - {row["status"] for row in old.values()} == {"SA Approved"}
    for row in old.values():
        for name in ("requested", "approved", "expires", "revoked", "declined", "replaced"):
            assert not row.get(name) or ISO_MS.fullmatch(row[name]), row


def test_details_of_the_two_hosts_differ_as_documented(sandbox: Any, scm: Any, admin_host: Any) -> None:
    """Contract 2"""
    one = next(row for row in sandbox.orders() if row["status"] == "Revoked" and row["requested"] and not row["blank"])
    old, new = scm.get(f"/ssl/v1/{one['ssl_id']}"), admin_host.get(f"/ssl/v2/{one['ssl_id']}")
    revoked = moment(one["revoked"])
    assert old["revoked"] == revoked.strftime("%m/%d/%Y")
    assert moment(new["revoked"]) == revoked.replace(microsecond=revoked.microsecond // 1000 * 1000)
    assert (old["reasonCode"], new["reasonCode"]) == (one["reason_code"], str(one["reason_code"]))
    assert "sha256Hash" not in old["certificateDetails"]
    assert len(new["certificateDetails"]["sha256Hash"]) == 64
    assert isinstance(scm.get(f"/ssl/v1/{one['ssl_id']}/dcv"), dict)
    assert isinstance(admin_host.get(f"/ssl/v2/{one['ssl_id']}/dcv"), list)


@pytest.mark.parametrize(("asked", "pattern"), [
    ("ISO", "%Y-%m-%d"), ("eu", "%d.%m.%Y"), ("UK", "%d/%m/%Y"), ("yyyy/MM/dd", "%Y/%m/%d"), ("US_HMS", "%m/%d/%Y %H:%M:%S"),
    ("dd.mm.yyyy hh:mm:ss", "%d.%m.%Y %H:%M:%S"),
])
def test_dates_are_shown_as_asked_for(sandbox: Any, scm: Any, asked: str, pattern: str) -> None:
    """Contract 3: dateFormat"""
    one = next(row for row in sandbox.orders() if row["requested"])
    assert scm.get(f"/ssl/v1/{one['ssl_id']}", dateFormat=asked)["requested"] == moment(one["requested"]).strftime(pattern)
    assert scm.refusal("GET", f"/ssl/v1/{one['ssl_id']}?dateFormat=tomorrow") == (400, -1601)


def test_the_list_is_paged_by_entries(sandbox: Any, scm: Any) -> None:
    """Contract 3, 5.6"""
    numbers = [one["ssl_id"] for one in sandbox.orders()]
    walked: list[int] = []
    while len(walked) < len(numbers):
        answer = scm.call("GET", "/ssl/v1", params={"size": 7, "position": len(walked)})
        assert answer.headers["X-Total-Count"] == str(len(numbers))
        walked += [one["sslId"] for one in answer.json()]
    assert walked == numbers
    assert scm.get("/ssl/v1", position=len(numbers)) == []
    assert scm.get("/ssl/v1", size=0) == []
    assert all(set(one) <= {"sslId", "commonName", "subjectAlternativeNames", "serialNumber"} for one in scm.get("/ssl/v1"))


def test_filters_match_exactly_and_together(sandbox: Any, scm: Any, admin_host: Any) -> None:
    """Contract 5.6, 8"""
    truth = sandbox.orders()
    one = next(row for row in truth if row["serial"] and row["sans"] and row["status"] == "Issued")

    def ask(speaker: Any, **query: Any) -> set[int]:
        return {row["sslId"] for row in speaker.get("/ssl/v1", **query)}

    assert one["ssl_id"] in ask(scm, commonName=one["common_name"])
    assert ask(scm, commonName=one["common_name"][:-1]) == set()
    assert ask(scm, commonName=one["common_name"], status="Revoked") <= {row["ssl_id"] for row in truth if row["status"] == "Revoked"}
    assert ask(scm, serialNumber=one["serial"]) == {one["ssl_id"]}
    assert ask(scm, subjectAlternativeName=one["sans"][0], orgId=one["org_id"]) >= {one["ssl_id"]}
    assert ask(scm, status="Unmanaged") == set()
    acme = {row["ssl_id"] for row in truth if row["requested_via"] == "REST API" and row["status"] == "SA Approved"}
    assert ask(scm, requestedVia="REST", status="SAApproved") == acme == ask(admin_host, requestedVia="REST API", status="SA Approved")
    sha256 = admin_host.get(f"/ssl/v2/{one['ssl_id']}")["certificateDetails"]["sha256Hash"]
    assert ask(admin_host, sha256Hash=sha256) == {one["ssl_id"]}
    assert scm.call("HEAD", "/ssl/v1", params={"status": "Issued"}).headers["X-Total-Count"] == str(
        sum(row["status"] == "Issued" for row in truth))


def test_every_state_of_a_domain_is_there_in_three_vocabularies(scm: Any, admin_host: Any) -> None:
    """Contract 5.2, 5.3, 5.17"""
    old, new = ({one["domain"]: one for one in speaker.get(path)} for speaker, path in (
        (scm, "/dcv/v1/validation?domain=&expiresIn="), (admin_host, "/dcv/v2/validation")))
    assert {one["dcvStatus"] for one in old.values()} == {"VALIDATED", "NOT_VALIDATED", "EXPIRED"}
    assert {one["dcvStatus"] for one in new.values()} == {"Validated", "Not validated", "Expired"}
    assert {one["dcvOrderStatus"] for one in new.values()} == {"Not initiated", "Awaiting submission", "Submitted", "Rejected"}
    report = scm.call("POST", "/report/v1/domains").json()["reports"]
    assert {one["dcvStatus"] for one in report} == {"Not Initiated", "Validated", "Action Required", "Expired"}
    assert {one["status"] for one in report} == {"Active", "Suspended"}
    listed = scm.get("/domain/v1", size=200)
    assert len(listed) == len(report) == len(old)
    for one in listed:
        details = scm.get(f"/domain/v1/{one['id']}")
        status = scm.call("POST", "/dcv/v2/validation/status", {"domain": one["name"]}).json()["status"]
        assert details["validationStatus"] == old[one["name"]]["dcvStatus"] == status
    assert scm.refusal("POST", "/dcv/v2/validation/status", {"domain": "unknown.example"}) == (404, -727)


def test_a_validation_ends_with_its_day(sandbox: Any, scm: Any) -> None:
    """Contract 5.2"""
    assert scm.get("/domain/v1/6009")["validationStatus"] == "VALIDATED"
    sandbox.settings(clock_offset=7 * 86400)
    assert scm.get("/domain/v1/6009")["validationStatus"] == "EXPIRED"


def test_profiles_belong_to_organizations(scm: Any) -> None:
    """Contract 5.4"""
    everything = {one["id"] for one in scm.get("/ssl/v1/types")}
    offered = {org: {one["id"] for one in scm.get("/ssl/v1/types", organizationId=org)} for org in (3100, 3101, 3300)}
    assert offered[3101] < offered[3100] <= everything
    assert offered[3300] == set()
    assert any(set(one["keyTypes"]) == {"RSA"} for one in scm.get("/ssl/v1/types"))
    assert scm.refusal("GET", "/ssl/v1/types?organizationId=1") == (400, -1023)


def test_a_report_is_sent_as_it_is_made(sandbox_process: Any) -> None:
    """DESIGN 5: while a big report is made the others are served"""
    line = sandbox_process("--orders", "30000").line
    account = line["account"]
    headers = {"login": account["login"], "password": account["password"], "customerUri": account["customer_uri"]}
    with requests.post(f"{line['scm']}/report/v1/ssl-certificates", headers=headers, json={}, timeout=30, stream=True) as report:
        assert report.raw.read(100)
        assert requests.get(f"{line['scm']}/ssl/v1?size=1", headers=headers, timeout=60).status_code == 200
        assert b'"reports":' not in report.raw.read(100)
