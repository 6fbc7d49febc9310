"""SECURITY.md: each line names the tests that hold it, and they exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text()
LINES = [line for line in SECURITY.splitlines() if line.startswith("| ") and not line.startswith("| By which way")]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@pytest.mark.parametrize("line", LINES, ids=[line.split("|")[1].strip()[:40] for line in LINES])
def test_each_way_has_a_test_that_exists(line: str) -> None:
    """A line without a test would be a hope."""
    named = TEST.findall(line.split("|")[3])
    assert named
    for file, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {test}"


def test_what_is_linked_is_a_heading_of_the_readme() -> None:
    """DESIGN 9: pages are checked against the program"""
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("#")}
    assert set(re.findall(r"README\.md#([\w-]+)", SECURITY)) <= headings
