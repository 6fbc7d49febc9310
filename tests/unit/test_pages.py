"""Text of others on our pages: shown as it is, never understood as Markdown or HTML."""

import pytest
from prefect.client.schemas.actions import ArtifactCreate

from models.parameters import CheckParameters, checked
from models.summaries import Finding
from tasks.pages import account_page, plain, table
from tasks.runs import page_key

HOSTILE = ["<script>alert(1)</script>", "[press](javascript:alert(1))", "![x](https://example.net/x.png)", "a | b", "*bold* _x_ `code`",
           "line\nbreak"]


@pytest.mark.parametrize("text", HOSTILE)
def test_each_letter_with_a_meaning_is_escaped_and_none_is_lost(text: str) -> None:
    """DESIGN 4: what SCM or a user wrote reaches the page as text."""
    shown = plain(text)
    left = shown.replace("\\\\", "")
    assert not any(left[at] in "<>[]|*_`!:&" and left[at - 1] != "\\" for at in range(len(left)))
    assert shown.replace("\\", "") == text.replace("\n", " ")


def test_a_name_does_not_become_a_link() -> None:
    """Prefect's UI makes links of www. and of addresses by itself."""
    assert plain("www.example.com https://example.org") == "www\\.example.com https\\://example.org"


def test_a_cell_cannot_add_a_column() -> None:
    """A pipe of SCM's stays inside of its cell."""
    assert table(("Name",), [("a|b",)]).splitlines()[-1] == "| a\\|b |"


def test_a_finding_says_who_can_mend_it() -> None:
    """DESIGN 4: verdict first, then what to do."""
    page = account_page("default", [Finding(severity="error", code="no-profile", message="no profile", mended_by="SCM administrator")], healthy=False)
    assert page.splitlines()[0] == "# Account default cannot do its work"
    assert page.splitlines()[2] == "- **error**: no profile (no-profile). To be mended by: SCM administrator."


def test_the_pages_of_every_account_have_keys_that_prefect_takes() -> None:
    """DESIGN 6: an account may be named with an underscore"""
    assert checked(CheckParameters, {"account": "my_account"})
    assert ArtifactCreate(key=page_key("orders-my_account")).key == "orders-my-account"
