"""The inventory's CSV: a spreadsheet shows it and never runs it; a program reads back what was there."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.spreadsheet import Safe, dashed, line, listed, moment, safe


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(("text", "shown"), [
    ("www.example.com", "www.example.com"), ("*.example.com", "*.example.com"), ("", ""), (None, ""),
    ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("  =1+1", "'=1+1"), ("\t=1+1", "'=1+1"), ("\r\n=1+1", "'=1+1"),
    ("\uff1d1+1", "'\uff1d1+1"), ("\u00a0=1", "'=1"), ('say "hello"', 'say "hello"'), ('="a"', "'=\"a\""),
    ("a\r\nb", "a  b"), ("a\x00b", "a b"), ("a,b;c", "a,b;c"),
    ("\ud800", ""), ("Müller & Söhne", "Müller & Söhne"),
])
def test_a_cell_is_one_line_of_text(text: str | None, shown: str) -> None:
    """Formula injection, quotes, line breaks"""
    for made in (safe(text), Safe()[text]):
        assert read(line((made, "next"))) == [[shown, "next"]]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_whatever_others_wrote_a_line_stays_one_line_without_a_formula(texts: list[str]) -> None:
    """Formula injection, quotes, line breaks"""
    text = line(tuple(safe(one) for one in texts))
    assert len(text.splitlines()) == 1
    cells, = read(text)
    assert len(cells) == len(texts)
    assert not any(cell.lstrip()[:1] in set("=+-@\uff1d\uff0b\uff0d\uff20") for cell in cells if cell)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_names_are_listed_as_they_are(names: list[str]) -> None:
    """Both databases store a list as JSON."""
    for ascii_only in (True, False):
        assert listed(json.dumps(names, ensure_ascii=ascii_only)) == " ".join(names)


def test_uuids_and_moments_look_the_same_from_both_databases() -> None:
    """SQLite keeps neither dashes nor zone."""
    assert dashed("0f8fad5bd9cb469fa16570867728950e") == dashed("0f8fad5b-d9cb-469f-a165-70867728950e") == "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert moment("2026-04-01 12:00:00.123456") == moment("2026-04-01 12:00:00.123456+00") == "2026-04-01 12:00:00"
    assert moment(None) == ""
