"""What SCM shows, in both dialects, as our records (contract 2, 3, 5)."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
import requests
import responses
from responses.matchers import json_params_matcher, query_param_matcher

from models.errors import NotFoundError, RightsError, TransientError
from models.records import AdminRecord, CustomFieldRecord, Delegation, DomainRecord, DomainValidation, OrganizationRecord, ProfileRecord
from tasks.adapters.scm import ScmClient, credentials_from

API = "https://scm.example.com/api"


def client() -> ScmClient:
    """A client that does not really sleep."""
    ticks = [0.0]
    login = {"base_url": API, "customer_uri": "example", "login": "api", "password": "Tr0ub4dor"}
    return ScmClient(credentials_from(login), clock=lambda: ticks[0], sleep=lambda seconds: ticks.__setitem__(0, ticks[0] + seconds))


def pages(rows: list[dict[str, Any]], *, total: int | None, most: int = 200) -> Callable[[requests.PreparedRequest], Any]:
    """An SCM that lists `rows` page by page, at most `most` of them on one."""
    def answer(request: requests.PreparedRequest) -> Any:
        query = request.params  # type: ignore[attr-defined]
        start, size = int(query["position"]), int(query["size"])
        headers = {} if total is None else {"X-Total-Count": str(total)}
        return 200, headers, requests.compat.json.dumps(rows[start:start + min(size, most)])
    return answer


@responses.activate
def test_departments_follow_their_organization() -> None:
    """contract 5.1"""
    responses.get(f"{API}/organization/v1", json=[
        {"id": 1, "name": "Example", "departments": [{"id": 2, "name": "Library", "parentName": "Example"}], "unknown": {}},
        {"id": "3", "name": " Institute ", "departments": None},
    ])
    assert client().organizations() == [
        OrganizationRecord(id=1, name="Example"),
        OrganizationRecord(id=2, name="Library", parent_id=1, parent_name="Example"),
        OrganizationRecord(id=3, name="Institute"),
    ]


@responses.activate
def test_an_organization_tells_whether_the_api_may_order() -> None:
    """contract 5.1, RULES N5"""
    row = {"id": 1, "name": "Example", "sslCertsApiEnabled": False, "certTypes": ["SSL", "SMIME"], "alias": "", "parentId": 9}
    responses.get(f"{API}/organization/v1/1", json=row)
    found = client().organization(1)
    assert (found.api_allowed, found.certificate_types, found.parent_id) == (False, ("SSL", "SMIME"), 9)


@responses.activate
@pytest.mark.parametrize("word", ["Not validated", "NOT_VALIDATED", "NotValidated", "not validated"])
def test_a_domain_is_read_in_both_spellings(word: str) -> None:
    """contract 2, 5.2"""
    responses.get(f"{API}/domain/v1/6", json={
        "id": 6, "name": "example.com", "delegationStatus": "REQUESTED", "state": "Suspended", "validationStatus": word,
        "validationMethod": "CNAME_CSR_HASH", "dcvValidation": "2026-03-20", "dcvExpiration": "2026-10-04",
        "delegations": [{"orgId": 1, "certTypes": ["SSL"], "domainCertificateRequestPrivileges": ["DOMAIN"], "status": "REQUESTED"}],
    })
    assert client().domain(6) == DomainRecord(
        id=6, name="example.com", delegation_active=False, suspended=True, validation_status="not_validated",
        validation_method="CNAME_CSR_HASH", validated_on=date(2026, 3, 20), validation_expires_on=date(2026, 10, 4),
        delegations=(Delegation(organization_id=1, certificate_types=("SSL",), privileges=("DOMAIN",), active=False),),
    )


@responses.activate
def test_a_domain_without_validation_shows_none() -> None:
    """contract 5.2, RULES C3"""
    responses.get(f"{API}/domain/v1/6", json={"id": 6, "name": "example.com", "validationStatus": "", "delegations": []})
    found = client().domain(6)
    assert (found.validation_status, found.validation_expires_on, found.suspended, found.delegations) == (None, None, None, ())


@responses.activate
def test_a_domain_is_found_by_its_exact_name_only() -> None:
    """contract 5.2: whether the filter matches parts is not documented"""
    responses.get(f"{API}/domain/v1", json=[{"id": 5, "name": "www.example.com"}, {"id": 6, "name": "Example.com"}])
    responses.get(f"{API}/domain/v1/6", json={"id": 6, "name": "Example.com"})
    scm = client()
    found = scm.find_domain("example.com")
    assert found is not None
    assert found.id == 6
    assert scm.find_domain("ample.com") is None


@responses.activate
def test_validations_are_read_from_the_path_that_the_host_has() -> None:
    """contract 2: v1 on one host, v2 on the other; remembered"""
    missing = responses.get(f"{API}/dcv/v1/validation", status=404)
    responses.get(f"{API}/dcv/v2/validation", json=[{
        "domain": "example.com", "dcvStatus": "VALIDATED", "dcvOrderStatus": "NOT_INITIATED", "expirationDate": "2026-10-04", "dcvOrderMethod": "CNAME",
    }])
    scm = client()
    expected = DomainValidation(
        domain="example.com", status="validated", order_status="not_initiated", method="CNAME", expires_on=date(2026, 10, 4),
    )
    assert scm.validations() == [expected]
    assert scm.validations() == [expected]
    assert missing.call_count == 1


@responses.activate
def test_one_validation_is_asked_by_name() -> None:
    """contract 5.3"""
    path = f"{API}/dcv/v2/validation/status"
    responses.post(path, json={"status": "Expired", "orderStatus": "Awaiting submission"}, match=[json_params_matcher({"domain": "example.com"})])
    found = client().validation("example.com")
    assert (found.domain, found.status, found.order_status) == ("example.com", "expired", "awaiting_submission")


@responses.activate
def test_the_domain_report_speaks_the_words_of_the_details() -> None:
    """contract 5.17"""
    words = {"Validated": "validated", "Not Initiated": "not_validated", "Action Required": "not_validated", "Expired": "expired"}
    rows = [
        {"id": at, "name": f"{at}.example.com", "status": "Active", "dcvStatus": word, "stickyUntil": "2026-10-04T00:00:00.000Z"}
        for at, word in enumerate(words, start=1)
    ]
    responses.post(f"{API}/report/v1/domains", json={"statusCode": 0, "reports": rows})
    found = client().domain_report()
    assert [one.validation_status for one in found] == list(words.values())
    assert {one.validation_expires_on for one in found} == {date(2026, 10, 4)}


@responses.activate
@pytest.mark.parametrize(("body", "kind"), [
    ({"statusCode": -3, "message": "not authorized"}, RightsError), ({"reports": []}, TransientError), ({"statusCode": 0, "reports": 5}, TransientError),
])
def test_a_domain_report_that_failed_is_an_error(body: dict[str, Any], kind: type[Exception]) -> None:
    """contract 5.17"""
    responses.post(f"{API}/report/v1/domains", json=body)
    with pytest.raises(kind):
        client().domain_report()


@responses.activate
def test_profiles_are_asked_per_organization() -> None:
    """contract 5.4"""
    row = {"id": 52, "name": "OV", "terms": [90, "199", 365.0], "keyTypes": {"RSA": ["2048", 3072], "EC": ["P-256"], "DSA": None}, "description": None}
    responses.get(f"{API}/ssl/v1/types", json=[row], match=[query_param_matcher({"organizationId": 3})])
    assert client().profiles(3) == [
        ProfileRecord(id=52, name="OV", terms=(90, 199, 365), key_types={"RSA": ("2048", "3072"), "EC": ("P-256",), "DSA": ()}),
    ]


@responses.activate
def test_a_custom_field_is_mandatory_when_it_is_so_for_the_api() -> None:
    """contract 5.5; certType is spelt `ssl` or `SSL`"""
    responses.get(f"{API}/customField/v2", json=[
        {"id": 1, "name": "Cost centre", "certType": "ssl", "state": "ACTIVE", "mandatories": ["REST_API"],
         "input": {"type": "TEXT_OPTION", "options": ["A", "B"]}},
        {"id": 2, "name": "Ticket", "certType": "SSL", "state": "INACTIVE", "mandatories": ["WEB_FORM"]},
        {"id": 3, "name": "Other", "certType": "SMIME"},
    ], match=[query_param_matcher({"certType": "SSL"})])
    assert client().custom_fields() == [
        CustomFieldRecord(id=1, name="Cost centre", mandatory=True, input_type="TEXT_OPTION", options=("A", "B")),
        CustomFieldRecord(id=2, name="Ticket", mandatory=False, active=False),
    ]


@responses.activate
@pytest.mark.parametrize("status", [400, 403, 404])
def test_the_short_list_of_custom_fields_serves_where_the_long_one_is_refused(status: int) -> None:
    """contract 5.5"""
    responses.get(f"{API}/customField/v2", status=status)
    responses.get(f"{API}/ssl/v1/customFields", json=[{"id": 1, "name": "Cost centre", "mandatory": True}])
    assert client().custom_fields() == [CustomFieldRecord(id=1, name="Cost centre", mandatory=True)]


@responses.activate
def test_ones_own_administrator_is_found_by_the_exact_login() -> None:
    """contract 5.18"""
    responses.get(f"{API}/admin/v1", json=[{"id": 72, "login": "api-test"}, {"id": 71, "login": "api"}])
    responses.get(f"{API}/admin/v1/71", json={
        "id": 71, "login": "api", "type": "API", "credentials": [{"role": "MRAO"}, {"role": "RAO_SSL", "orgId": 3}], "privileges": ["sslApprove"],
        "activeStatus": "ACTIVE", "failedAttempts": 0,
    })
    assert client().own_admin() == AdminRecord(
        id=71, login="api", kind="API", roles=(("MRAO", None), ("RAO_SSL", 3)), privileges=("sslApprove",), active=True, failed_attempts=0,
    )


@responses.activate
def test_the_password_state_is_none_where_it_is_not_offered() -> None:
    """contract 5.18"""
    responses.get(f"{API}/admin/v1/password", json={"state": "ALIVE", "expirationDate": "2026-12-01"})
    state = client().password_state()
    assert state is not None
    assert (state.state, state.expires_on) == ("ALIVE", date(2026, 12, 1))
    responses.replace("GET", f"{API}/admin/v1/password", status=404)
    assert client().password_state() is None


@responses.activate
@pytest.mark.parametrize("body", ["<html>", "", "{}", "null", "[1]", '[{"name": "no id"}]', '[{"id": -1, "name": "x"}]', '[{"id": true, "name": "x"}]', "[" * 99999])
def test_an_answer_that_cannot_be_read_is_an_error_and_not_an_empty_list(body: str) -> None:
    """DESIGN 8.8"""
    responses.get(f"{API}/organization/v1", body=body, content_type="text/html")
    with pytest.raises(TransientError, match="SCM's answer to the organizations cannot be read"):
        client().organizations()


@responses.activate
@pytest.mark.parametrize(("count", "total", "most"), [(0, 0, 200), (0, None, 200), (450, 450, 200), (400, 400, 200), (400, None, 200), (130, 130, 50)])
def test_a_list_is_walked_to_its_end(count: int, total: int | None, most: int) -> None:
    """contract 3: by short page or X-Total-Count, whatever size of page the server allows"""
    rows = [{"sslId": at, "commonName": "www.example.com"} for at in range(1, count + 1)]
    responses.add_callback("GET", f"{API}/ssl/v1", pages(rows, total=total, most=most))
    assert [one.ssl_id for one in client().listed()] == list(range(1, count + 1))


@responses.activate
def test_a_list_that_shifts_while_it_is_walked_loses_nothing() -> None:
    """contract 3: the sort order is not documented"""
    rows = [{"sslId": at} for at in range(1, 401)]
    asked = []

    def shifting(request: requests.PreparedRequest) -> Any:
        asked.append(request.params)  # type: ignore[attr-defined]
        if len(asked) == 2:
            rows.insert(0, rows.pop())    # moves every row by one: the last of page two was seen by nobody
        return pages(rows, total=400)(request)

    responses.add_callback("GET", f"{API}/ssl/v1", shifting)
    found = [one.ssl_id for one in client().listed()]
    assert sorted(found) == list(range(1, 401))
    assert len(asked) == 4


@responses.activate
def test_a_server_that_ignores_the_position_does_not_hold_us_for_ever() -> None:
    """contract 3"""
    rows = [{"sslId": at} for at in range(1, 201)]
    responses.get(f"{API}/ssl/v1", json=rows, headers={"X-Total-Count": "100000"})
    scm = client()
    assert len(list(scm.listed())) == 200
    assert scm.calls < 10


@responses.activate
def test_the_count_is_the_header_or_none() -> None:
    """contract 5.6"""
    responses.get(f"{API}/ssl/v1", json=[{"sslId": 1}], headers={"X-Total-Count": "1234"})
    assert client().count() == 1234
    responses.replace("GET", f"{API}/ssl/v1", json=[{"sslId": 1}], headers={"X-Total-Count": "many"})
    assert client().count() is None


@responses.activate
@pytest.mark.parametrize(("given", "expected"), [
    ("03/16/2026", datetime(2026, 3, 16, tzinfo=UTC)), ("3/6/2026", datetime(2026, 3, 6, tzinfo=UTC)),
    ("2026-03-16", datetime(2026, 3, 16, tzinfo=UTC)), ("16.03.2026", datetime(2026, 3, 16, tzinfo=UTC)),
    ("2026/03/16", datetime(2026, 3, 16, tzinfo=UTC)), ("03/16/2026 08:15:02", datetime(2026, 3, 16, 8, 15, 2, tzinfo=UTC)),
    ("2026-03-16T08:15:02.123Z", datetime(2026, 3, 16, 8, 15, 2, 123000, tzinfo=UTC)), ("2026-03-16T08:15:02Z", datetime(2026, 3, 16, 8, 15, 2, tzinfo=UTC)),
    ("2026-03-16T08:15:02.000+00:00", datetime(2026, 3, 16, 8, 15, 2, tzinfo=UTC)), ("2026-03-16T08:15:02+0200", datetime(2026, 3, 16, 6, 15, 2, tzinfo=UTC)),
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
    assert (found.status_word, found.serial_number, found.issuer) == ("SA Approved", "abbcc", "CN=CA")
    assert (found.profile_id, found.profile_name, found.organization_id, found.term_days) == (5201, "OV", 3100, 199)
    assert (found.key_algorithm, found.key_size, found.auto_renew, found.renewed) == ("EC", "256", "Not scheduled", False)
    assert found.subject_alternative_names == ("www.example.com", "api.example.com")
    assert found.custom_fields == (("Cost centre", "A"),)
    assert found.approver == "Api Master"


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
    assert {getattr(found, field) for field in found.__slots__ if field not in {"ssl_id", "status_word"}} == {None}


@responses.activate
def test_names_hidden_in_the_certificate_details_are_found() -> None:
    """contract 5.7"""
    row = {"id": 7, "status": "Issued", "certificateDetails": {"subjectAltNames": "dNSName=a.example.com, dNSName=*.example.com, iPAddress=192.0.2.1"}}
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
