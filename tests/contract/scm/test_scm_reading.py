"""What SCM shows, in both dialects, as our records (contract 2, 3, 5)."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
import requests
import responses
from responses.matchers import json_params_matcher, query_param_matcher

from models.errors import RightsError, TransientError
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
        "domain": "example.com", "dcvStatus": "VALIDATED", "dcvOrderStatus": "NOT_INITIATED", "expirationDate": "2026-10-04",
        "dcvOrderMethod": "CNAME",
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
    ({"statusCode": -3, "message": "not authorized"}, RightsError), ({"reports": []}, TransientError),
    ({"statusCode": 0, "reports": 5}, TransientError),
])
def test_a_domain_report_that_failed_is_an_error(body: dict[str, Any], kind: type[Exception]) -> None:
    """contract 5.17"""
    responses.post(f"{API}/report/v1/domains", json=body)
    with pytest.raises(kind):
        client().domain_report()


@responses.activate
def test_profiles_are_asked_per_organization() -> None:
    """contract 5.4"""
    row = {"id": 52, "name": "OV", "terms": [90, "199", 365.0], "keyTypes": {"RSA": ["2048", 3072], "EC": ["P-256"], "X": None}, "description": None}
    responses.get(f"{API}/ssl/v1/types", json=[row], match=[query_param_matcher({"organizationId": 3})])
    assert client().profiles(3) == [
        ProfileRecord(id=52, name="OV", terms=(90, 199, 365), key_types={"RSA": ("2048", "3072"), "EC": ("P-256",), "X": ()}),
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
@pytest.mark.parametrize("body", [
    "<html>", "", "{}", "null", "[1]", '[{"name": "no id"}]', '[{"id": -1, "name": "x"}]', '[{"id": true, "name": "x"}]', "[" * 99999,
])
def test_an_answer_that_cannot_be_read_is_an_error_and_not_an_empty_list(body: str) -> None:
    """DESIGN 8.8"""
    responses.get(f"{API}/organization/v1", body=body, content_type="text/html")
    with pytest.raises(TransientError, match="SCM's answer to the organizations cannot be read"):
        client().organizations()


@responses.activate
@pytest.mark.parametrize(("count", "total", "most"), [
    (0, 0, 200), (0, None, 200), (450, 450, 200), (400, 400, 200), (400, None, 200), (130, 130, 50),
])
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
