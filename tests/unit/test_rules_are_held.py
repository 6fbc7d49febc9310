"""Each rule of the trade is held by a test that names it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

RULES = {
    "E": ("exactly one order", 7),
    "N": ("names", 6),
    "K": ("keys and keystores", 6),
    "D": ("delivery", 5),
    "C": ("checks before an order", 5),
    "R": ("renewal", 7),
    "V": ("revocation", 3),
    "S": ("SCM as a neighbour", 4),
}
"""The rules are numbered within their kind, from 1 to this number."""

NUMBERS = [f"{letter}{number}" for letter, (_, last) in RULES.items() for number in range(1, last + 1)]


@cache
def docstrings() -> tuple[str, ...]:
    """Of all tests of Certflow; tests of the sandbox, and docstrings of modules and fixtures, hold nothing."""
    return tuple(
        ast.get_docstring(node) or "" for file in TESTS.rglob("test_*.py") if file.parent.name != "sandbox"
        for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("number", NUMBERS)
def test_a_rule_is_named_by_the_test_that_holds_it(number: str) -> None:
    """DESIGN 8.10"""
    assert any(re.search(rf"\b{number}\b", text) for text in docstrings()), f"no test names rule {number} ({RULES[number[0]][0]})"


def test_no_test_names_a_rule_that_does_not_exist() -> None:
    """DESIGN 8.10"""
    after = {number for text in docstrings() for part in re.findall(r"RULES? ((?:[A-Z][0-9]+(?:, | and | to )?)+)", text)
             for number in re.findall(r"[A-Z][0-9]+", part)}
    assert after, "no test names any rule"
    assert after <= set(NUMBERS)
