"""`python -m deployments demo`: what a newcomer sees first."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "shop.example.com"


@pytest.mark.slow
def test_the_demo_tells_the_whole_story_and_leaves_nothing(tmp_path: Path) -> None:
    """DESIGN 4, RULES E3: the whole life of a certificate, from an order whose answer is lost to the end; a temporary home; nothing of the user's."""
    user = tmp_path / "user"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "VAULT_", "PREFECT_"))}
    # What a user may have set must neither be used nor touched.
    env |= {
        "TMPDIR": str(scratch), "HOME": str(user), "CERTFLOW_HOME": str(user / "certflow"), "CERTFLOW_ACCOUNTS": "somebody",
        "CERTFLOW_DATABASE_URL": f"sqlite:///{user}/mine.db", "VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": "invented",
        "PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_HOME": str(user / "prefect"),
    }
    done = subprocess.run([sys.executable, "-m", "deployments", "demo"], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    steps = [line.split()[0] for line in done.stdout.splitlines() if re.match(r"[a-z]+ ", line)]
    assert steps == ["start", "account", "sync", "import", "order", "settle", "deliver", "renew", "reissue", "revoke", "delete", "proof"]
    assert re.search(r"^import   2,000 orders, 1,\d{3} certificates, [\d,]+ calls, \d+ s$", done.stdout, re.MULTILINE)
    assert f"secret/certflow/live/{NAME}, version 1" in done.stdout
    assert f"exactly one order for {NAME} and its renewal" in done.stdout
    assert "PRIVATE KEY" not in done.stdout
    assert list(scratch.iterdir()) == []
    assert not user.exists()
