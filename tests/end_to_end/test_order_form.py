"""The order form with the account's own choices, by Prefect's API and in a real browser."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

CHOICES = {"organizations": "organization", "profiles": "certificate_profile"}


@pytest.fixture(scope="module")
def synced(up: Any) -> Any:
    """The session's `up`, whose account is synced and has taken an order."""
    run = up.run("sync-reference-data")
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["state"]["message"].endswith("; the order form is up to date")
    return up


def control(up: Any, method: str, path: str, body: Any = None) -> Any:
    """A call of the sandbox's control API: the truth about the account."""
    answer = requests.request(method, up.told(r"SCM +(\S+)/api") + f"/_control/{path}", json=body, timeout=60)
    assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def fields(up: Any) -> dict[str, Any]:
    return dict(up.form()["parameter_openapi_schema"]["properties"])


def by_form(up: Any, *, expect: int | None = None, **parameters: Any) -> Any:
    """Start a run of the form, as its Submit button does."""
    return up.call("POST", f"/deployments/{up.form()['id']}/create_flow_run", {"parameters": parameters}, expect=expect)


@pytest.mark.parametrize("kind", CHOICES)
def test_a_sync_offers_what_the_account_has(synced: Any, kind: str) -> None:
    """DESIGN 1, line 4: names with their ids, each once."""
    offered = fields(synced)[CHOICES[kind]]["enum"]
    there = {str(one["id"]): one["name"] for one in control(synced, "GET", f"reference/{kind}")}
    ids = [re.fullmatch(r".* \((\d+)\)", text).group(1) for text in offered]    # type: ignore[union-attr]
    assert sorted(ids) == sorted(there)
    for id_, text in zip(ids, offered, strict=True):
        assert text.removesuffix(f" ({id_})").endswith(there[id_])


def test_departments_stand_below_their_organization_and_terms_are_numbers(synced: Any) -> None:
    """RULES N5"""
    assert "Example University / Library (3102)" in fields(synced)["organization"]["enum"]
    assert {90, 199} < set(fields(synced)["term_days"]["enum"])
    assert fields(synced)["keystore_type"]["enum"] == ["PKCS12", "PKCS12_LEGACY", "JKS", "PEM"]


def test_programs_keep_their_free_texts(synced: Any) -> None:
    """DESIGN 4: `organization` is name, id or `Parent / Department`."""
    own = synced.deployment("order-certificate")["parameter_openapi_schema"]["properties"]
    assert "enum" not in own["organization"]
    assert own.keys() == fields(synced).keys()
    assert {name: one["position"] for name, one in own.items()} == {name: one["position"] for name, one in fields(synced).items()}


def test_the_form_refuses_what_it_does_not_offer(synced: Any) -> None:
    """DESIGN 6: 409, before a run exists."""
    wish = {"common_name": "form.example.com", "organization": "Example University (3100)", "certificate_profile": "OV Multi-Domain (5201)"}
    for wrong in ({"organization": "Nobody (1)"}, {"term_days": 91}, {"account": "second"}, {"comon_name": "x.example.com"}):
        assert next(iter(wrong)) in by_form(synced, expect=409, **{**wish, **wrong})["detail"]


def test_a_choice_that_vanished_in_the_meantime_is_refused_with_a_sentence(synced: Any) -> None:
    """RULES C1, C2: the form still shows it; the next sync does not."""
    gone = "Example Archive (3400)"
    [facts] = [one for one in control(synced, "GET", "reference/organizations") if one["id"] == 3400]
    control(synced, "DELETE", "reference/organizations/3400")
    started = by_form(synced, common_name="gone.example.com", organization=gone, certificate_profile="OV Multi-Domain (5201)")
    run = synced.wait_for_end(started["id"], seconds=300)
    assert run["state"]["type"] == "FAILED"
    assert f"organization {gone!r} is unknown: choose one of " in run["state"]["message"]
    assert run["state"]["message"].endswith("3400 is not, or no longer, among them")
    synced.run("sync-reference-data", kinds=["organizations"])
    assert gone not in fields(synced)["organization"]["enum"]
    control(synced, "PUT", "reference/organizations/3400", {name: value for name, value in facts.items() if name != "id"})    # orders name it


def test_a_sync_succeeds_although_prefect_refuses_the_form(synced: Any) -> None:
    """The reference data are what counts; that the form stays as it was is said."""
    form = synced.form()
    wrong = {"enforce_parameter_schema": False, "parameters": {**form["parameters"], "wait_minutes": "soon"}}
    synced.call("PATCH", f"/deployments/{form['id']}", wrong)
    run = synced.run("sync-reference-data", kinds=["organizations"])
    assert run["state"]["type"] == "COMPLETED"
    assert "the order form stays as it was, since Prefect refused the new one (HTTP 409)" in run["state"]["message"]
    assert "wait_minutes" in run["state"]["message"]
    synced.call("PATCH", f"/deployments/{form['id']}", {"parameters": form["parameters"]})
    assert synced.run("sync-reference-data", kinds=["organizations"])["state"]["message"].endswith("the order form is up to date")
    assert synced.form()["enforce_parameter_schema"] is True


@pytest.mark.browser
@pytest.mark.slow
def test_a_person_orders_by_the_form(synced: Any, browser: Any) -> None:
    """DESIGN 1: from the start page to the certificate, by what is written on the pages."""
    browser.open(f"http://127.0.0.1:{synced.port}")
    browser.press("Deployments")
    browser.press("form")
    browser.press("Run")
    browser.press("Custom run")
    browser.fill("common_name", "browser.example.com")
    browser.choose("organization", "Example University (3100)")
    browser.choose("certificate_profile", "OV Multi-Domain (5201)")
    browser.add("subject_alternative_names", "www.browser.example.com")
    browser.choose("term_days", "199")
    browser.choose("key_algorithm", "EC")
    browser.choose("keystore_type", "PEM")
    browser.choose("Cost centre", "B-200")
    browser.fill("Ticket", "T-1017")
    browser.fill("live_name", "touched")
    browser.fill("live_name", "")
    browser.fill("wait_minutes", "3")
    browser.press("Submit")
    browser.wait_for("order browser.example.com")
    browser.press("order browser.example.com")
    browser.wait_for("Completed", seconds=240)
    browser.press("Artifacts")
    page = synced.call("POST", "/artifacts/filter", {"sort": "CREATED_DESC", "artifacts": {"type": {"any_": ["markdown"]}}, "limit": 1})[0]
    browser.press(page["key"])
    browser.press(page["id"][:8], shows="browser.example.com: issued")
    for said in ("Example University (3100)", "OV Multi-Domain (5201)", "199 days", "EC P-256", "-----BEGIN CERTIFICATE-----"):
        assert said in browser.text
    order = control(synced, "GET", "orders?common_name=browser.example.com")[0]
    assert order["status"] == "Issued"
    assert dict(order["custom_fields"]) == {"Cost centre": "B-200", "Ticket": "T-1017"}


@pytest.mark.browser
@pytest.mark.slow
def test_the_pages_call_no_host_outside(synced: Any, browser: Any) -> None:
    """A Certflow without the internet works alike, and tells nobody that it is there."""
    run_id = synced.run("poll-orders")["id"]
    artifact = synced.call("POST", "/artifacts/filter", {"sort": "CREATED_DESC", "artifacts": {"type": {"any_": ["markdown"]}}, "limit": 1})[0]
    pages = {
        "": "Flow Runs", "deployments": "poll-orders", f"deployments/deployment/{synced.form()['id']}": "order-certificate",
        f"deployments/deployment/{synced.form()['id']}/run": "certificate_profile", "runs": "poll default",
        f"runs/flow-run/{run_id}": "Completed", f"artifacts/artifact/{artifact['id']}": artifact["key"], "settings": "Settings",
    }
    for older in ("v2/", ""):
        for path, says in pages.items():
            browser.open(f"http://127.0.0.1:{synced.port}/{older}{path}")
            browser.wait_for(says)
    asked = browser.requests
    assert any("/flow_runs/" in one for one in asked)
    assert {urlsplit(one).hostname for one in asked} == {"127.0.0.1"}
