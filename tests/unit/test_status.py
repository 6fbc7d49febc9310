"""What SCM's status words mean, and which steps a submission may take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.status import LIVING, OPEN, OPEN_AT_SCM, REFUSED_AT_SCM, STEPS, UNSETTLED_HERE, OrderStatus, SubmissionStatus, order_status

OURS = set(SubmissionStatus)


@pytest.mark.parametrize(("word", "status"), [
    ("Init", "init"), ("Requested", "requested"), ("SA Approved", "sa_approved"), ("SAApproved", "sa_approved"), ("sa_approved", "sa_approved"),
    ("SA-APPROVED", "sa_approved"), ("Approved", "approved"), ("Applied", "applied"), ("Issued", "issued"), (" ISSUED ", "issued"),
    ("Declined", "declined"), ("Invalid", "invalid"), ("Rejected", "rejected"), ("Revoked", "revoked"), ("Expired", "expired"),
    ("Replaced", "replaced"),
])
def test_scms_words_are_read_without_case_and_spelling(word: str, status: str) -> None:
    """Contract 2, 6.1"""
    assert order_status(word) == status


@pytest.mark.parametrize("word", ["", "Unmanaged", "Issued?", "Is sued!", "any", "0", "planned", "Submitted", "done", "withdrawn", "refused"])
def test_other_words_are_not_guessed_and_ours_are_not_scms(word: str) -> None:
    """RULES S4"""
    assert order_status(word) is None


@given(st.text())
def test_any_text_is_a_status_of_scm_or_none(word: str) -> None:
    """RULES S4"""
    found = order_status(word)
    assert found is None or (found in OrderStatus and found.value not in OURS)


def test_every_submission_status_is_an_order_status_too() -> None:
    """DESIGN 4: the same until SCM's word is known."""
    assert {status.value for status in OrderStatus} >= OURS


def test_every_status_has_its_steps_and_what_is_final_has_none() -> None:
    """DESIGN 8.6"""
    assert set(STEPS) == set(SubmissionStatus)
    assert {status for status, steps in STEPS.items() if not steps} == {"refused", "withdrawn", "done"}


def test_what_was_sent_is_planned_again_only_while_it_is_in_doubt() -> None:
    """RULES E1, E2: an order that SCM took is never sent again."""
    assert {status for status, steps in STEPS.items() if SubmissionStatus.PLANNED in steps} == {"submitting"}
    assert {status for status, steps in STEPS.items() if SubmissionStatus.SUBMITTING in steps} == {"planned"}


def test_open_and_living_fit_together() -> None:
    """RULES D2"""
    assert OPEN == OPEN_AT_SCM | UNSETTLED_HERE
    assert {OrderStatus.ISSUED} == LIVING - OPEN
    assert not LIVING & (REFUSED_AT_SCM | {OrderStatus.REVOKED, OrderStatus.EXPIRED, OrderStatus.REPLACED, OrderStatus.REFUSED})
