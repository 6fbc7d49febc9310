"""The marker at the end of the comments, by which a lost order is found again."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.marker import marked_by, with_marker
from models.parameters import COMMENTS_MAX, COMMENTS_SCM

ONE = UUID("0b9d1c2e-7a51-4c0e-9d0a-5d2f0d1e7c11")
OTHER = UUID("5f64a1a4-1d84-4f47-8d53-2f1f3f5a9a44")


@given(st.text(max_size=COMMENTS_MAX), st.uuids())
def test_any_comments_fit_and_give_their_marker_back(comments: str, submission: UUID) -> None:
    """RULES C4, E3"""
    sent = with_marker(comments, submission)
    assert len(sent) <= COMMENTS_SCM
    assert sent.startswith(comments)
    assert marked_by(sent) == submission


def test_the_longest_comments_fill_the_field_exactly() -> None:
    """RULES C4: 978 characters of the user's own."""
    assert COMMENTS_MAX == 978
    assert len(with_marker("x" * COMMENTS_MAX, ONE)) == COMMENTS_SCM


def test_without_comments_the_marker_stands_alone() -> None:
    """RULES E3"""
    assert with_marker("", ONE) == f"certflow:{ONE}"


@pytest.mark.parametrize("comments", [
    f"a certflow:{ONE}\n", f"certflow:{str(ONE).upper()}  ", f"certflow:{OTHER} certflow:{ONE}", f"a\ncertflow:{ONE}",
])
def test_the_last_marker_counts_whatever_blanks_follow(comments: str) -> None:
    """RULES E3: a user may have pasted another order's comments."""
    assert marked_by(comments) == ONE


@pytest.mark.parametrize("comments", [
    None, "", "for the web", f"certflow:{ONE} (renewed)", str(ONE), "certflow:", f"certflow:{str(ONE)[:-1]}", f"certflow:{ONE.hex}",
    f"certflow: {ONE}",
])
def test_no_other_text_is_a_marker(comments: str | None) -> None:
    """RULES E3"""
    assert marked_by(comments) is None
