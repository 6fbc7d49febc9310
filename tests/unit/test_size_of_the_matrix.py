"""How many combinations of a call or a step and a fault are tested is a figure of the README, and stays true."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("tests/contract/faults", "tests/end_to_end/stories/faults")


def test_the_readme_tells_how_many_combinations_there_are() -> None:
    """DESIGN 9: the README is checked against the program"""
    counted = subprocess.run(
        [sys.executable, "-m", "pytest", *FOLDERS, "--collect-only", "-q", "--ignore=tests/end_to_end/stories/faults/test_any_parameters.py"],
        cwd=ROOT, env={**os.environ, "PYTEST_ADDOPTS": ""}, capture_output=True, text=True, check=False, timeout=180,
    )
    found = re.search(r"^(\d+) tests collected", counted.stdout, re.MULTILINE)
    assert found, counted.stdout[-2000:]
    told = re.search(r"([\d,]+) combinations", (ROOT / "README.md").read_text())
    assert told
    assert told.group(1) == f"{int(found.group(1)):,}"
