"""The inventory's CSV: a spreadsheet shows it and never runs it; a program reads back what was there."""

import io
import json
from csv import reader

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.spreadsheet import CELL, HEAD, LINE, csv, names, safe


def read(text: str) -> list[list[str]]:
    return list(reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(("text", "shown"), [
    ("www.example.com", "www.example.com"), ("*.example.com", "*.example.com"), ("", ""),
    ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("  =1+1", "'=1+1"), ("\t=1+1", "'=1+1"), ("\r\n=1+1", "'=1+1"),
    ("\uff1d1+1", "'\uff1d1+1"), ("\u00a0=1", "'=1"), ('say "hello"', 'say "hello"'), ('="a"', "'=\"a\""),
    ("a\r\nb", "a  b"), ("a\x00b", "a b"), ("a,b;c", "a,b;c"),
    ("\ud800", ""), ("Müller & Söhne", "Müller & Söhne"),
])
def test_a_cell_is_one_line_of_text(text: str, shown: str) -> None:
    """Formula injection, quotes, line breaks"""
    assert safe(text).replace('""', '"') == shown
    assert [cells[5] for cells in read(csv(LINE.join((row("before"), row(text), row("behind")))))] == ["before", shown, "behind"]


def row(*texts: str) -> str:
    """A line of a table with these texts from the common name on."""
    return CELL.join(["id", "1", "default", "issued", "yes", *texts, *[""] * (len(HEAD) - 5 - len(texts))])


@given(st.lists(st.text(st.characters(exclude_characters=[CELL, LINE])), min_size=1, max_size=17))
def test_whatever_others_wrote_a_line_stays_one_line_without_a_formula(texts: list[str]) -> None:
    """Formula injection, quotes, line breaks"""
    text = csv(row(texts[0], "www.example.com", *texts[1:]))
    assert len(text.splitlines()) == 1
    cells, = read(text)
    assert len(cells) == len(HEAD)
    assert not any(cell.lstrip()[:1] in set("=+-@\uff1d\uff0b\uff0d\uff20") for cell in cells if cell)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_names_that_had_to_be_escaped_are_listed_as_they_are(texts: list[str]) -> None:
    """Both databases store a list as JSON."""
    for ascii_only in (True, False):
        assert names(json.dumps(texts, ensure_ascii=ascii_only)) == " ".join(texts)
    assert names("www.example.com api.example.com") == "www.example.com api.example.com"
