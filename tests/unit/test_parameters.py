"""What a flow may be asked to do: one sentence for each problem, and never the value, which may be a pasted secret."""

from datetime import date
from typing import Any

import pytest

from models.errors import InputError
from models.parameters import (
    COMMENTS_MAX,
    KINDS,
    ImportParameters,
    OrderParameters,
    Parameters,
    PollParameters,
    RevokeParameters,
    SyncParameters,
    checked,
    reason_word,
)
from models.status import OrderStatus

LEAST = {"common_name": "www.example.com", "organization": "Example University", "certificate_profile": "OV"}
SECRET = "hunter2"
KEY = "-----BEGIN PRIVATE KEY-----"


def order(**given: Any) -> OrderParameters:
    return checked(OrderParameters, {**LEAST, **given})


def refused(model: type[Parameters] = OrderParameters, **given: Any) -> tuple[str, ...]:
    with pytest.raises(InputError) as error:
        checked(model, {**(LEAST if model is OrderParameters else {}), **given})
    assert str(error.value) == "refused, nothing was sent: " + "; ".join(error.value.problems)
    return error.value.problems


def test_what_is_left_out_has_its_documented_default() -> None:
    """DESIGN 4"""
    wish = order()
    assert wish.model_dump() == {
        **LEAST, "account": "default", "subject_alternative_names": (), "term_days": None, "key_algorithm": "RSA", "key_size": None,
        "keystore_type": "PKCS12", "comments": "", "external_requester_emails": (), "custom_fields": {}, "requested_by": "", "wait_minutes": 0,
        "check_only": False, "send_anyway": False, "csr": None, "live_name": None, "keystore_password_path": None, "request_id": None,
    }
    assert (wish.size, order(key_algorithm="EC").size, order(key_size="4096").size) == ("2048", "P-256", "4096")


def test_all_problems_are_named_at_once() -> None:
    """RULES C1"""
    assert refused(common_name="", organization=None, term_days=0, colour="red") == (
        "common_name must not be empty", "organization: should be a valid string", "term_days: should be greater than or equal to 1",
        "there is no parameter 'colour'",
    )
    with pytest.raises(InputError, match=r"common_name is missing; organization is missing; certificate_profile is missing$"):
        checked(OrderParameters, {})


@pytest.mark.parametrize(("given", "sentence"), [
    ({"account": f"../{SECRET}"}, "account must be 1 to 63 lower-case letters, digits, - and _, with a letter or digit in front"),
    ({"account": "a" * 64}, "account: at most 63 characters are allowed"),
    ({"account": "default\n"}, "account must be 1 to 63 lower-case letters, digits, - and _, with a letter or digit in front"),
    ({"common_name": f"{SECRET}\nx"}, "common_name: must be one line"),
    ({"common_name": f"{SECRET}\u2028x"}, "common_name: must be one line"),
    ({"common_name": f"{SECRET}\ud800"}, "common_name: holds a control character or another character that cannot be shown"),
    ({"common_name": SECRET * 99}, "common_name: at most 255 characters are allowed"),
    ({"organization": "  "}, "organization must not be empty"),
    ({"subject_alternative_names": SECRET}, "subject_alternative_names: should be a valid tuple"),
    ({"subject_alternative_names": ["x"] * 1001}, "subject_alternative_names: at most 1000 entries are allowed"),
    ({"term_days": SECRET}, "term_days: should be a valid integer, unable to parse string as an integer"),
    ({"term_days": float("nan")}, "term_days: should be a finite number"),
    ({"key_algorithm": SECRET}, "key_algorithm: should be 'RSA' or 'EC'"),
    ({"key_size": "1024"}, "key_size: should be '2048', '3072', '4096', 'P-256' or 'P-384'"),
    ({"key_algorithm": "EC", "key_size": "2048"}, "key_size 2048 does not belong to EC: use P-256, P-384"),
    ({"key_size": "P-256"}, "key_size P-256 does not belong to RSA: use 2048, 3072, 4096"),
    ({"keystore_type": SECRET}, "keystore_type: should be 'PKCS12', 'PKCS12_LEGACY', 'JKS' or 'PEM'"),
    ({"comments": "x" * 979}, "comments: at most 978 characters are allowed"),
    ({"comments": f"{SECRET}\x00"}, "comments: holds a control character or another character that cannot be shown"),
    ({"external_requester_emails": [f"{SECRET}, b@example.com"]}, "external_requester_emails.0: is not an e-mail address"),
    ({"external_requester_emails": ["a@example.com", f"<{SECRET}@example.com>"]}, "external_requester_emails.1: is not an e-mail address"),
    ({"external_requester_emails": [f"{'a' * 60}{n}@example.com" for n in range(8)]},
     "external_requester_emails: the list is longer than 512 characters when joined"),
    ({"custom_fields": {"Cost": SECRET * 99}}, "custom_fields.Cost: at most 256 characters are allowed"),
    ({"custom_fields": {SECRET * 99: "x"}}, "custom_fields.a name: at most 256 characters are allowed"),
    ({"custom_fields": [SECRET]}, "custom_fields: should be a valid dictionary"),
    ({"wait_minutes": 1441}, "wait_minutes: should be less than or equal to 1440"),
    ({"check_only": SECRET}, "check_only: should be a valid boolean, unable to interpret input"),
    ({"csr": KEY + SECRET * 9999}, "csr: at most 32767 characters are allowed"),
    ({"csr": "x", "keystore_password_path": "a#b"}, "keystore_password_path goes with a key that is made here, not with a CSR of your own"),
    ({"keystore_password_path": SECRET},
     "keystore_password_path must be <name>#<field>, a path below passwords/ in Vault, never the password itself"),
    ({"request_id": "x" * 129}, "request_id: at most 128 characters are allowed"),
])
def test_each_problem_is_a_sentence_that_does_not_repeat_the_value(given: dict[str, Any], sentence: str) -> None:
    """RULES C1, C4, K1: somebody may have pasted a secret."""
    problems = refused(**given)
    assert problems == (sentence,)
    assert SECRET not in problems[0]


@pytest.mark.parametrize("value", [SECRET, "a/../b#c", "../a#b", "/a#b", "a#", "#b", "a#b#c", "a b#c", "a//b#c", "a#b/c"])
def test_a_password_path_stays_below_passwords(value: str) -> None:
    """RULES K3: a path, never the password."""
    assert refused(keystore_password_path=value)[0].startswith("keystore_password_path must be <name>#<field>")
    assert order(keystore_password_path="web/shop.1#key_store").keystore_password_path == "web/shop.1#key_store"


def test_what_a_form_sends_is_understood() -> None:
    """DESIGN 4: emptied texts, numbers as ids, blanks around a pasted text."""
    wish = order(
        common_name="  www.example.com ", organization=12, certificate_profile=7, csr="", live_name="", keystore_password_path="", request_id="",
        key_size="", term_days="199",
    )
    assert (wish.common_name, wish.organization, wish.certificate_profile, wish.term_days) == ("www.example.com", "12", "7", 199)
    assert (wish.csr, wish.live_name, wish.keystore_password_path, wish.request_id, wish.key_size) == (None,) * 5


def test_comments_may_fill_what_scm_leaves_us_in_several_lines() -> None:
    """RULES C4"""
    text = ("Für die Webserver 🔐\n\tbis 2027\n" * 100)[:COMMENTS_MAX]
    assert order(comments=text).comments == text


def test_a_second_request_is_compared_without_who_asks_and_how_long_he_waits() -> None:
    """RULES E6"""
    one = order(requested_by="ann", wait_minutes=5, check_only=True, request_id="r1", custom_fields={"Cost": "1"})
    assert one.wish() == order(requested_by="bob", request_id="r2", custom_fields={"Cost": "1"}).wish()
    for other in ({"term_days": 90}, {"custom_fields": {"Cost": "2"}}, {"send_anyway": True}, {"live_name": "x"}, {"account": "other"}):
        assert order(**{"custom_fields": {"Cost": "1"}, **other}).wish() != one.wish()


def test_parameters_do_not_change() -> None:
    """DESIGN 3: frozen."""
    with pytest.raises(ValueError, match="frozen"):
        order().term_days = 90  # type: ignore[misc]


def test_a_status_may_be_written_as_scm_writes_it() -> None:
    """DESIGN 4, contract 2"""
    wish = checked(ImportParameters, {"statuses": ["SA Approved", "SAApproved", "ISSUED", "applied"], "requested_since": "2026-01-31"})
    assert wish.statuses == ("sa_approved", "sa_approved", "issued", "applied")
    assert wish.requested_since == date(2026, 1, 31)
    assert [wish.wants(status) for status in (OrderStatus.ISSUED, OrderStatus.REVOKED, None)] == [True, False, False]
    for given in ([SECRET], [["issued"]], ["planned"], [None]):
        assert refused(ImportParameters, statuses=given)[0].startswith("statuses.0: should be 'init', 'requested'")
    assert SECRET not in refused(ImportParameters, requested_since=SECRET)[0]


def test_an_import_of_everything_narrows_nothing() -> None:
    """RULES S3: only such an import is incremental."""
    assert checked(ImportParameters, {"fetch_certificates": False}).everything
    assert checked(ImportParameters, {}).wants(None)
    for narrow in ({"statuses": ["issued"]}, {"organizations": ["3"]}, {"requested_since": "2026-01-01"}):
        assert not checked(ImportParameters, narrow).everything


def test_no_kinds_mean_all_and_some_keep_their_order() -> None:
    """DESIGN 1.2"""
    assert checked(SyncParameters, {}).wanted == KINDS
    assert checked(SyncParameters, {"kinds": ["domains", "organizations"]}).wanted == ("organizations", "domains")
    assert refused(SyncParameters, kinds=[SECRET])[0].startswith("kinds.0: should be 'organizations'")


def test_orders_are_texts_of_a_reasonable_length() -> None:
    """DESIGN 4"""
    assert checked(PollParameters, {"orders": [7, " www.example.com "]}).orders == ("7", "www.example.com")
    assert refused(PollParameters, orders=["", "x" * 257]) == ("orders.0 must not be empty", "orders.1: at most 256 characters are allowed")
    assert refused(PollParameters, orders=["x"] * 10_001) == ("orders: at most 10000 entries are allowed",)


@pytest.mark.parametrize(("given", "code", "word"), [
    ("keyCompromise", 1, "keyCompromise (1)"), ("1", 1, "keyCompromise (1)"), (4, 4, "superseded (4)"), (0, 0, "unspecified (0)"),
])
def test_a_reason_code_is_a_word_or_a_number(given: object, code: int, word: str) -> None:
    """RULES V1"""
    assert checked(RevokeParameters, {"orders": ["1"], "reason": "x", "reason_code": given}).code == code
    assert reason_word(code) == word


@pytest.mark.parametrize("given", [2, "2", True, 1.0, None, "KeyCompromise", "9" * 400, [1]])
def test_scm_takes_no_other_reason_code(given: object) -> None:
    """Contract 5.12"""
    assert refused(RevokeParameters, orders=["1"], reason="x", reason_code=given)[0].startswith("reason_code: should be 'unspecified'")
