"""The main job as a program of the user does it: everything by Prefect's HTTP API, the certificate read in Vault."""

import re
from typing import Any

import pytest

pytestmark = pytest.mark.slow

NAMES = {
    "check-account": ["account"],
    "sync-reference-data": ["kinds", "account"],
    "import-orders": ["statuses", "organizations", "requested_since", "fetch_certificates", "include_deleted", "account"],
    "order-certificate": [
        "common_name", "organization", "certificate_profile", "subject_alternative_names", "term_days", "key_algorithm", "key_size",
        "keystore_type", "comments", "external_requester_emails", "custom_fields", "requested_by", "wait_minutes", "check_only",
        "send_anyway", "csr", "live_name", "keystore_password_path", "request_id", "account",
    ],
    "poll-orders": ["orders", "account"],
    "renew-or-reissue": [
        "action", "orders", "expiring_within_days", "add_names", "remove_names", "reason", "reuse_key", "csr", "because_of_key_compromise",
        "revoke_predecessor_after_days", "dry_run", "max_orders", "requested_by", "request_id", "account",
    ],
    "revoke": ["orders", "reason_code", "reason", "delete_from_repository", "confirm", "dry_run", "requested_by", "account"],
    "cancel-orders": ["orders", "message", "account"],
    "delete-orders": ["orders", "destroy_key", "confirm", "account"],
    "report-inventory": ["name", "statuses", "organization", "expiring_within_days", "issuer", "account"],
}
"""The parameters of each deployment, in the order of its form."""

NONSENSE = {
    "a name with a blank": {"common_name": "shop example.com"},
    "a control character": {"common_name": "shop\x07.example.com"},
    "HTML": {"common_name": "<script>alert(1)</script>"},
    "an organization that does not exist": {"organization": "Nobody"},
    "a blank profile": {"certificate_profile": "  "},
    "an unknown account": {"account": "nobody"},
    "an account that is a path": {"account": "../keys"},
    "a password instead of its path": {"keystore_password_path": "Invented-Password-1"},
    "a custom field that does not exist": {"custom_fields": {"Shoe size": "44"}},
    "a live name that leaves the folder": {"live_name": "../accounts/default"},
}
"""What the API lets pass, since it fits the schema, and the flow refuses."""

AGAINST_THE_SCHEMA = {
    "an unknown parameter": ({"comon_name": "shop.example.com"}, "comon_name"),
    "a wrong type": ({"term_days": "soon"}, "term_days"),
    "a list instead of a text": ({"common_name": ["shop.example.com"]}, "common_name"),
    "a value that is none of the choices": ({"key_algorithm": "DSA"}, "DSA"),
    "an empty name": ({"common_name": ""}, "common_name"),
    "a name that is too long": ({"common_name": "a" * 256}, "common_name"),
    "a comment that is too long": ({"comments": "x" * 979}, "comments"),
    "a missing parameter": ({"organization": None}, "organization"),
}


def is_a_sentence(text: str | None) -> bool:
    """Words that end a run: no repr of an exception, no line breaks, no payload."""
    return bool(text) and " " in str(text) and "\n" not in str(text) and not re.search(r"Traceback|Error\(|Exception|object at 0x|\{'", str(text))


@pytest.fixture(scope="module")
def keys_before(installation: Any, delivered: Any) -> list[str]:
    """The keys in Vault before any nonsense."""
    assert delivered
    return list(installation.names("keys"))


@pytest.fixture(scope="module")
def refusals(installation: Any, keys_before: list[str]) -> dict[str, dict[str, Any]]:
    """Every nonsense, run at the same time."""
    assert keys_before
    wishes = [installation.wish(**{"common_name": "nonsense.example.com", **wrong}) for wrong in NONSENSE.values()]
    found = installation.runs(*(("order-certificate", wish) for wish in wishes))
    return dict(zip(NONSENSE, found, strict=True))


@pytest.mark.parametrize("deployment", NAMES)
def test_a_form_asks_in_the_order_of_the_design_and_describes_each_field(installation: Any, deployment: str) -> None:
    """DESIGN 4"""
    properties = installation.up.deployment(deployment)["parameter_openapi_schema"]["properties"]
    assert sorted(properties, key=lambda name: properties[name]["position"]) == NAMES[deployment]
    assert [name for name in properties if not re.match(r"\S.*\.$", properties[name].get("description", ""))] == []


def test_a_form_offers_what_can_be_chosen(installation: Any) -> None:
    """DESIGN 4"""
    order = installation.up.deployment("order-certificate")["parameter_openapi_schema"]["properties"]
    assert order["key_algorithm"]["enum"] == ["RSA", "EC"]
    assert order["keystore_type"]["enum"] == ["PKCS12", "PKCS12_LEGACY", "JKS", "PEM"]
    assert order["key_size"]["anyOf"][0]["enum"] == ["2048", "3072", "4096", "P-256", "P-384"]
    kinds = installation.up.deployment("sync-reference-data")["parameter_openapi_schema"]["properties"]["kinds"]
    assert kinds["items"]["enum"] == ["organizations", "domains", "certificate_profiles", "custom_fields"]
    statuses = installation.up.deployment("import-orders")["parameter_openapi_schema"]["properties"]["statuses"]
    assert statuses["items"]["enum"][0] == "init"
    assert len(statuses["items"]["enum"]) == 12
    reasons = installation.up.deployment("revoke")["parameter_openapi_schema"]["properties"]["reason_code"]["enum"]
    assert reasons == ["unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "0", "1", "3", "4", "5"]


def test_the_morning_runs_end_with_a_sentence_and_a_summary(synced: dict[str, dict[str, Any]]) -> None:
    """DESIGN 4: the fields that callers rely on."""
    for name, run in synced.items():
        assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
        assert is_a_sentence(run["state"]["message"]), name
    assert synced["check-account"]["summary"]["healthy"] is True
    for finding in synced["check-account"]["summary"]["findings"]:
        assert finding["severity"] in {"error", "warning", "unknown"}
        assert finding["code"]
        assert is_a_sentence(finding["message"])


def test_reference_data_are_counted_by_kind(installation: Any, synced: dict[str, dict[str, Any]]) -> None:
    """DESIGN 4: the first sync finds everything new, and as much as SCM has."""
    summary = synced["sync-reference-data"]["summary"]
    truth = {"organizations": "organizations", "domains": "domains", "certificate_profiles": "profiles", "custom_fields": "custom_fields"}
    for kind, name in truth.items():
        there = len(installation.sandbox.control("GET", f"reference/{name}"))
        assert summary[kind] == {"seen": there, "new": there, "changed": 0, "vanished": 0}, kind


def test_an_import_counts_what_it_found(synced: dict[str, dict[str, Any]]) -> None:
    """DESIGN 4"""
    summary = synced["import-orders"]["summary"]
    assert summary["orders_seen"] == summary["orders_new"] == 400
    assert 0 < summary["certificates_fetched"] <= 400
    assert (summary["orders_changed"], summary["certificates_waiting"], summary["unreadable"]) == (0, 0, 0)


def test_an_order_answers_with_its_numbers(installation: Any, ordered: dict[str, Any]) -> None:
    """DESIGN 4, RULES E1"""
    assert ordered["state"]["type"] == "COMPLETED", ordered["state"]["message"]
    there = installation.sandbox.orders("shop.example.com")
    assert [one["ssl_id"] for one in there] == [ordered["summary"]["ssl_id"]]
    assert ordered["summary"]["status"] in {"applied", "issued"}
    assert is_a_sentence(ordered["state"]["message"])
    assert "shop.example.com" in ordered["state"]["message"]


def test_the_certificate_lies_in_vault_with_everything_that_a_consumer_needs(delivered: dict[str, Any]) -> None:
    """RULES D1, K3"""
    assert sorted(delivered) == [
        "account", "certificate", "chain", "fullchain", "keystore", "keystore_password", "keystore_type", "names", "not_after", "order",
        "private_key", "serial_number", "sha256", "status",
    ]
    assert delivered["names"] == ["shop.example.com", "www.shop.example.com"]
    assert delivered["status"] == "issued"
    assert delivered["keystore_password"] == "Invented-keystore-password-7"


def test_an_order_by_oauth2_gets_a_password_of_our_own_making(installation: Any, delivered: dict[str, Any]) -> None:
    """DESIGN 1, line 1; RULES K3"""
    entry = installation.poll_until_live("cloud.example.com", account="cloud")
    assert entry["account"] == "cloud"
    assert len(entry["keystore_password"]) >= 8
    assert entry["keystore_password"] != delivered["keystore_password"]


def test_retry_in_the_ui_does_not_order_twice(installation: Any, ordered: dict[str, Any], delivered: dict[str, Any]) -> None:
    """RULES E6: a retried run keeps its id, which is the order's request id."""
    assert delivered
    again = installation.retry(ordered["id"])
    assert again["state"]["type"] == "COMPLETED", again["state"]["message"]
    assert again["run_count"] == 2
    assert again["summary"]["order_id"] == ordered["summary"]["order_id"]
    assert again["summary"]["status"] == "issued"
    assert len(installation.sandbox.orders("shop.example.com")) == 1


def test_an_order_whose_answer_is_lost_is_found_and_delivered(installation: Any, delivered: dict[str, Any]) -> None:
    """RULES E3"""
    assert delivered
    installation.sandbox.lose_next_answer("enroll")
    run = installation.run("order-certificate", **installation.wish("lost.example.com"))
    assert run["state"]["type"] == "COMPLETED"
    assert "in doubt" in run["state"]["message"]
    assert run["summary"]["ssl_id"] is None
    assert run["summary"]["status"] == "submitting"
    poll = installation.run("poll-orders")
    assert (poll["summary"]["settled"], poll["summary"]["in_doubt"], poll["summary"]["failed"]) == (1, 0, 0)
    assert installation.poll_until_live("lost.example.com")["names"] == ["lost.example.com"]
    assert len(installation.sandbox.orders("lost.example.com")) == 1


def test_a_poll_counts_what_it_did(installation: Any, delivered: dict[str, Any]) -> None:
    """DESIGN 4"""
    assert delivered
    run = installation.run("poll-orders", orders=["shop.example.com"])
    assert run["summary"].items() >= {"orders_checked": 1, "certificates_waiting": 0, "settled": 0, "in_doubt": 0, "failed": 0}.items()
    assert {"orders_changed", "certificates_fetched"} < set(run["summary"])
    assert is_a_sentence(run["state"]["message"])


@pytest.mark.parametrize("case", AGAINST_THE_SCHEMA)
def test_the_api_refuses_what_does_not_fit_the_form(installation: Any, case: str) -> None:
    """DESIGN 6: 409, before a run exists."""
    wrong, named = AGAINST_THE_SCHEMA[case]
    given = {name: value for name, value in {**installation.wish("form.example.com"), **wrong}.items() if value is not None}
    path = f"/deployments/{installation.up.deployment('order-certificate')['id']}/create_flow_run"
    assert named in installation.up.call("POST", path, {"parameters": given}, expect=409)["detail"]


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_ends_as_failed_with_a_sentence_and_without_a_traceback(refusals: dict[str, dict[str, Any]], case: str) -> None:
    """DESIGN 4, 6"""
    run = refusals[case]
    assert run["state"]["type"] == "FAILED"
    assert is_a_sentence(run["state"]["message"]), run["state"]["message"]
    assert [line for line in run["log"] if "Traceback" in line] == []
    assert run["summary"] == {"order_id": None, "ssl_id": None, "status": "refused", "notes": []}


def test_a_pasted_password_is_not_repeated(refusals: dict[str, dict[str, Any]]) -> None:
    """DESIGN 8.2: messages hold no secrets. (The parameter itself is kept by Prefect, which is why it is a path.)"""
    run = refusals["a password instead of its path"]
    assert "Invented-Password-1" not in run["state"]["message"] + "".join(run["log"])


def test_of_nonsense_nothing_is_sent_and_no_key_is_made(installation: Any, keys_before: list[str], refusals: dict[str, dict[str, Any]]) -> None:
    """RULES C1"""
    assert refusals
    assert installation.sandbox.orders("nonsense.example.com") == []
    assert installation.names("keys") == keys_before


@pytest.mark.parametrize(("case", "env", "says"), [
    ("Vault is away", {"VAULT_ADDR": "http://127.0.0.1:9"}, "Vault at http://127.0.0.1:9 cannot be reached"),
    ("Vault is not set", {"VAULT_ADDR": ""}, "VAULT_ADDR is not set"),
    ("the token is wrong", {"VAULT_TOKEN": "invented-token"}, "VAULT_TOKEN"),
    ("a setting is wrong", {"CERTFLOW_SCM_CONCURRENCY": "many"}, "CERTFLOW_SCM_CONCURRENCY"),
])
def test_a_worker_that_is_set_up_wrongly_says_so(installation: Any, delivered: Any, case: str, env: dict[str, str], says: str) -> None:
    """DESIGN 4, 8.2"""
    assert delivered, case
    _fails_with_a_sentence(installation, says, env)


@pytest.mark.postgres
def test_a_database_that_lacks_its_tables_is_named_with_the_way_out(installation: Any, delivered: Any, postgres_address: str) -> None:
    """DESIGN 4: PostgreSQL is brought to the newest migration only on command."""
    assert delivered
    _fails_with_a_sentence(installation, "python -m deployments migrate", {"CERTFLOW_DATABASE_URL": postgres_address})


def _fails_with_a_sentence(installation: Any, says: str, env: dict[str, str]) -> None:
    before = installation.sent()
    run = installation.on_another_worker("order-certificate", installation.wish("worker.example.com"), **env)
    assert run["state"]["type"] == "FAILED", run["state"]
    assert says in run["state"]["message"]
    assert is_a_sentence(run["state"]["message"])
    assert [line for line in run["log"] if "Traceback" in line] == []
    assert installation.sent() == before


def test_what_ends_an_order_answers_with_a_sentence_and_lists(installation: Any, delivered: Any) -> None:
    """DESIGN 4, RULES V2: a dry run that tells, an order that is issued already, a served one that nobody confirmed."""
    assert delivered
    shop = {"orders": ["shop.example.com"]}
    dry, cancelled, deleted, unknown = installation.runs(
        ("revoke", {**shop, "reason_code": "keyCompromise", "reason": "drill", "dry_run": True, "confirm": ["shop.example.com"]}),
        ("cancel-orders", {**shop, "message": "ordered by mistake"}), ("delete-orders", shop),
        ("revoke", {"orders": ["01:02:03"], "reason_code": "4", "reason": "drill"}),
    )
    assert [run["state"]["type"] for run in (dry, cancelled, deleted, unknown)] == ["COMPLETED", "FAILED", "FAILED", "FAILED"]
    assert all(is_a_sentence(run["state"]["message"]) for run in (dry, cancelled, deleted, unknown))
    assert "live/shop.example.com serves it" in dry["summary"]["done"][0]["reason"]
    assert "revoke it" in cancelled["summary"]["failed"][0]["reason"]
    assert "in confirm" in deleted["summary"]["failed"][0]["reason"]
    assert unknown["summary"] == {"done": [], "failed": [], "planned": [], "calls": 0}
    assert "serial number '01:02:03'" in unknown["state"]["message"]
    assert installation.sandbox.orders("shop.example.com")[0]["status"] == "Issued"
