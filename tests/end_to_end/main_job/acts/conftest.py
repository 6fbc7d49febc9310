"""What people do with certificates, one act of each kind, each by a run of the API; and what other programs are told of it."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
WAITS = "OV Multi-Domain (approval)"
SCRIPT_SECONDS = 300


@pytest.fixture(scope="session")
def told(installation: Any) -> Iterator[list[dict[str, Any]]]:
    """What a program was told by the webhook of README's script "Be told of certificates", which is run as it stands there; the address
    alone is another."""
    heard: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append({"headers": dict(self.headers), "body": json.loads(self.rfile.read(int(self.headers["Content-Length"])))})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    [script] = [one for one in re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S) if "CallWebhook" in one]
    there = "https://hooks.example.com/certflow"
    assert there in script
    subprocess.run(
        [sys.executable, "-c", script.replace(there, f"http://127.0.0.1:{server.server_port}/")], cwd=ROOT, check=True, timeout=SCRIPT_SECONDS,
        env={**installation.up.env, "PREFECT_API_URL": installation.up.api, "PREFECT_HOME": str(installation.folder / "script")},
    )
    yield heard
    server.shutdown()
    thread.join(timeout=30)
    server.server_close()


@pytest.fixture(scope="session")
def acts(installation: Any, delivered: Any, told: Any, own_csr: Callable[..., str]) -> dict[str, Any]:
    """One act of each kind on an order of its own, each by a run of the API, but for the renewal of what is due, by its schedule.

    The runs by name; `before`: the live entries before the acts.
    """
    assert delivered
    assert told == []
    wishes = {
        name: installation.wish(f"{name}.example.com", requested_by=f"owner of {name}")
        for name in ("by-hand", "due", "names", "gone", "old", "waits", "device")
    }
    wishes["waits"]["certificate_profile"] = WAITS
    wishes["device"]["csr"] = own_csr("device.example.com")
    ordered = installation.runs(*(("order-certificate", wish) for wish in wishes.values()))
    runs: dict[str, Any] = dict(zip((f"order {name}" for name in wishes), ordered, strict=True))
    for name in ("by-hand", "due"):
        installation.age(f"{name}.example.com", days=150)
    live = [f"live/{name}.example.com" for name in wishes if name != "waits"]
    installation.poll_until(lambda: all(installation.entry(path) for path in live), "all are delivered")
    runs["before"] = {path.split("/")[1].split(".")[0]: installation.entry(path) for path in live}
    runs |= dict(zip(("renew", "reissue", "revoke", "cancel", "delete"), installation.runs(
        ("renew-or-reissue", {"action": "renew", "orders": ["by-hand.example.com"], "requested_by": "who renews"}),
        ("renew-or-reissue", {"action": "reissue", "orders": ["names.example.com"], "add_names": ["more.example.com"], "requested_by": "who adds",
                              "reason": "another name"}),
        ("revoke", {"orders": ["gone.example.com"], "reason_code": "cessationOfOperation", "reason": "switched off", "confirm": ["gone.example.com"],
                    "delete_from_repository": True, "requested_by": "who revokes"}),
        ("cancel-orders", {"orders": ["waits.example.com"], "message": "ordered by mistake"}),
        ("delete-orders", {"orders": ["old.example.com"], "confirm": ["old.example.com"], "destroy_key": True}),
    ), strict=True))
    runs["by itself"] = installation.by_schedule("renew-or-reissue")
    refused = {name: run["state"]["message"] for name, run in runs.items() if name != "before" and run["state"]["type"] != "COMPLETED"}
    assert refused == {}
    installation.poll_until(lambda: all(
        installation.entry(f"live/{name}.example.com")["sha256"] != runs["before"][name]["sha256"] for name in ("by-hand", "due", "names")
    ), "what was renewed and reissued is delivered")
    return runs
