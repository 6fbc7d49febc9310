"""`python -m deployments up` as a user starts it: once for the session, with its sandbox, on a free port."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import websocket

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 180
BUSY_SECONDS = 30

MOUSE = "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"
"""Without a mouse the drop-downs of Prefect's UI are those of a telephone."""

FIELD = """label => [...document.querySelectorAll('.schema-form-property')].find(one =>
    one.querySelector('.schema-form-property__label')?.innerText.trim().replace(/ \\(Optional\\)$/, '') === label)?.querySelector('.p-label__body')"""
OPTIONS = """() => [...document.querySelectorAll('.p-select-option, [role=option]')].filter(one => one.offsetParent !== null)"""
MIDDLE = """element => { const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] }"""
HITTABLE = f"""element => {{
    if (!element || element.disabled) return false
    element.scrollIntoView({{block: 'center', behavior: 'instant'}})
    const hit = document.elementFromPoint(...({MIDDLE})(element))
    return element.contains(hit) || Boolean(hit?.contains(element))
}}"""


def _eventually(look: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds"
        time.sleep(0.2)
    return answer


class Up:
    """A running `python -m deployments up`, and Prefect's API as a program of the user calls it."""

    def __init__(self, env: Mapping[str, str], temporary: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(env.get("CERTFLOW_UI_PORT") or free.getsockname()[1])
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.temporary = temporary
        self.env = {**_foreign_free(), **env, "CERTFLOW_UI_PORT": str(self.port), "TMPDIR": str(temporary)}
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deployments", "up"], cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def wait_until_ready(self) -> "Up":
        """Until it says so. A process that ends before is a failure with its words."""
        _eventually(lambda: self._says("ready ") or self.process.poll() is not None, READY_SECONDS, "up is ready")
        assert self.process.poll() is None, self.said
        return self

    def end(self, number: int = signal.SIGTERM) -> float:
        """Send a signal and wait until it has ended; the seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        return time.monotonic() - began

    def call(self, method: str, path: str, body: Any = None, *, expect: int | None = None) -> Any:
        """One call of Prefect's API; the answer's JSON. Its 503, SQLite being locked for long, is asked again, as Prefect's own client does."""
        deadline = time.monotonic() + BUSY_SECONDS
        while (answer := requests.request(method, f"{self.api}{path}", json=body, timeout=60)).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert answer.status_code == expect if expect else answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/deployments/name/{name}/{name}")
        return found

    def start(self, name: str, **parameters: Any) -> str:
        """Start a run by the API; its id."""
        return str(self.call("POST", f"/deployments/{self.deployment(name)['id']}/create_flow_run", {"parameters": parameters})["id"])

    def run(self, name: str, *, seconds: float = 120, **parameters: Any) -> dict[str, Any]:
        """Start a run and wait until it has ended: Prefect's record of it, with its summary for programs under `summary`."""
        run_id = self.start(name, **parameters)
        ended = self.wait_for_end(run_id, seconds=seconds)
        written = self.call("POST", "/artifacts/filter", {"artifacts": {"key": {"any_": [f"summary-{run_id}"]}}})
        return {**ended, "summary": json.loads(written[0]["data"]) if written else None}

    def wait_for_end(self, run_id: str, *, seconds: float) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            record: dict[str, Any] = self.call("GET", f"/flow_runs/{run_id}")
            return record if record["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

        found: dict[str, Any] = _eventually(ended, seconds, f"run {run_id} has ended")
        return found

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            self.lines.extend(iter(said.readline, ""))

    def _says(self, words: str) -> bool:
        return any(line.startswith(words) for line in list(self.lines))

    def told(self, pattern: str) -> str:
        """What stands in its lines after a pattern, for example the sandbox's address."""
        found = re.search(pattern, self.said)
        assert found, f"{pattern} is not in: {self.said}"
        return found.group(1)



class Browser:
    """Headless Chromium, driven as a person does it, by what is written on the page: Prefect's UI, of which every form is made alike.

    Whatever does not come about within `seconds` is a failure that shows the page's text. `requests` are the addresses of all that
    its pages have asked for, by any means.
    """

    seconds = 60.0

    def __init__(self, program: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--no-proxy-server", "--lang=en",
             "--hide-scrollbars", MOUSE, "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "TZ": "UTC"},
        )
        port = _eventually(lambda: self._port(folder), self.seconds, "Chromium listens")
        pages = requests.get(f"http://127.0.0.1:{port}/json", timeout=30).json()
        page = next(one for one in pages if one["type"] == "page")
        self._socket = websocket.create_connection(page["webSocketDebuggerUrl"], suppress_origin=True, timeout=self.seconds)
        self._sent = 0
        self._requests: list[str] = []
        for domain in ("Page", "Network", "Runtime"):
            self._call(f"{domain}.enable")
        self.resize(1400, 1000)

    def end(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(timeout=30)

    def open(self, url: str) -> None:
        """Go to an address. The page's script fills it later: wait for a text of it."""
        answer = self._call("Page.navigate", url=url)
        assert not answer.get("errorText"), f"{url}: {answer}"
        self._until("document.readyState === 'complete'", f"{url} is loaded")

    def wait_for(self, text: str, *, seconds: float | None = None) -> None:
        """Until the text is seen on the page."""
        self._until(f"document.body.innerText.includes({json.dumps(text)})", f"the page says {text!r}", seconds)

    def fill(self, label: str, text: str) -> None:
        """Type into the field with this label, in place of what it holds."""
        self._click(f"({FIELD})({json.dumps(label)})?.querySelector('input, textarea')", f"the field {label!r}")
        self._js("document.activeElement.select()")
        self._call("Input.insertText", text=text)

    def choose(self, label: str, option: str) -> None:
        """Open the drop-down with this label and choose an option."""
        self._click(f"({FIELD})({json.dumps(label)})?.querySelector('.p-select button, .p-select')", f"the drop-down {label!r}")
        self._click(f"({OPTIONS})().find(one => one.innerText.trim() === {json.dumps(option)})", f"the option {option!r} of {label!r}")

    def options(self, label: str) -> list[str]:
        """What the drop-down with this label offers."""
        self._click(f"({FIELD})({json.dumps(label)})?.querySelector('.p-select button, .p-select')", f"the drop-down {label!r}")
        self._until(f"({OPTIONS})().length > 0", f"the drop-down {label!r} is open")
        found: list[str] = self._js(f"({OPTIONS})().map(one => one.innerText.trim())")
        self._call("Input.dispatchKeyEvent", type="keyDown", key="Escape", windowsVirtualKeyCode=27)
        self._call("Input.dispatchKeyEvent", type="keyUp", key="Escape", windowsVirtualKeyCode=27)
        return found

    def press(self, text: str) -> None:
        """Press the button, the tab or the link that bears exactly this text."""
        clickable = "[...document.querySelectorAll('button, a, [role=tab]')]"
        self._click(f"{clickable}.find(one => one.innerText.trim() === {json.dumps(text)} && one.offsetParent !== null)", f"the button {text!r}")

    @property
    def text(self) -> str:
        return str(self._js("document.body.innerText"))

    @property
    def url(self) -> str:
        return str(self._js("location.href"))

    @property
    def requests(self) -> list[str]:
        """All addresses asked for since the start, WebSockets too; without those that hold their content themselves."""
        self._js("0")    # takes in what was said until now
        return [one for one in self._requests if not one.startswith(("data:", "blob:", "about:"))]

    def resize(self, width: int, height: int) -> None:
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _click(self, element: str, what: str) -> None:
        """With the mouse, in the middle of what a person would see; an element that something else covers is waited for."""
        self._until(f"({HITTABLE})({element})", f"{what} can be clicked")
        x, y = self._js(f"({MIDDLE})({element})")
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def _until(self, condition: str, what: str, seconds: float | None = None) -> None:
        deadline = time.monotonic() + (seconds or self.seconds)
        while not self._js(condition):
            assert time.monotonic() < deadline, f"not in time: {what}. The page {self.url} says: {self.text[:3000]}"
            time.sleep(0.1)

    def _js(self, expression: str) -> Any:
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("method") == "Network.requestWillBeSent":
                self._requests.append(said["params"]["request"]["url"])
            elif said.get("method") == "Network.webSocketCreated":
                self._requests.append(said["params"]["url"])
            elif said.get("id") == self._sent:
                assert "error" not in said, f"{method}: {said['error']}"
                return dict(said["result"])

    @staticmethod
    def _port(folder: Path) -> str:
        with suppress(FileNotFoundError, IndexError):
            port, path = (folder / "DevToolsActivePort").read_text().splitlines()[:2]
            return port if path else ""
        return ""


def _foreign_free() -> dict[str, str]:
    """The environment of a user who has set nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CERTFLOW_", "PREFECT_", "VAULT_", "COV_", "PYTEST_"))}


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], Any], float, str], Any]:
    """eventually(look, seconds, what): ask again until the answer is true."""
    return _eventually


@pytest.fixture(scope="session")
def start_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Up]]:
    """start_up(**environment): another `up`, ended with the session at the latest."""
    started: list[Up] = []

    def start(**env: str) -> Up:
        started.append(Up(env, tmp_path_factory.mktemp("up")))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end()
        one._reader.join(timeout=30)


@pytest.fixture(scope="session")
def up(start_up: Callable[..., Up]) -> Up:
    """The session's `up`, ready, with its sandbox."""
    return start_up(CERTFLOW_GRACE_SECONDS="1").wait_until_ready()


@pytest.fixture(scope="session")
def started_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for the session; ask for `browser`."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        if "browser" in os.environ.get("CERTFLOW_TEST_REQUIRE", "").split(","):
            pytest.fail("CERTFLOW_TEST_REQUIRE names browser, but there is no `chromium` on PATH")
        pytest.skip("needs Chromium on PATH")
    browser = Browser(program, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.end()


@pytest.fixture
def browser(started_browser: Browser) -> Iterator[Browser]:
    """The browser, with nothing asked for yet."""
    started_browser.open("about:blank")
    started_browser.forget()
    return started_browser
