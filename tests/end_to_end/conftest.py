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
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import websocket

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 180
BUSY_SECONDS = 180

PAGE = """
    const words = one => one.innerText.trim()
    const all = selector => [...document.querySelectorAll(selector)]
    const label = text => all('label').find(one => words(one).replace(/ \\(Optional\\)$/, '') === text)
    const field = text => document.getElementById(label(text)?.htmlFor)
    const adds = one => [...(one?.querySelectorAll('button') ?? [])].find(button => words(button) === 'Add item')
    const list = (text, one = label(text)) => !one || adds(one) ? one : list(text, one.parentElement)
    const items = text => [...(list(text)?.querySelectorAll('textarea, input') ?? [])]
    const reading = (selector, text) => all(selector).find(one => words(one) === text)
    const pressable = text => reading('button, a, [role=tab], [role=menuitem]', text) ?? all('a').find(one => words(one).split('\\n').includes(text))
    const middle = one => { const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] }
    const reachable = one => {
        if (!one || one.disabled) return false
        one.scrollIntoView({block: 'center', behavior: 'instant'})
        return one.contains(document.elementFromPoint(...middle(one)))
    }
"""
"""How Prefect's pages are read, the same for every run form: a label names its field; a list has a button that adds an item."""


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
        while (answer := self._asked(method, path, body)) is None or answer.status_code == 503:
            assert time.monotonic() < deadline, f"{method} {path}: the Prefect server has been busy for {BUSY_SECONDS} seconds"
            time.sleep(0.5)
        assert answer.status_code == expect if expect else answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None

    def _asked(self, method: str, path: str, body: Any) -> requests.Response | None:
        """None when a question that changes nothing was not answered in time."""
        try:
            return requests.request(method, f"{self.api}{path}", json=body, timeout=60)
        except requests.ReadTimeout:
            if method == "GET" or path.endswith("/filter"):
                return None
            raise

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/deployments/name/{name}/{name}")
        return found

    def form(self, account: str = "") -> dict[str, Any]:
        """The deployment that is the order form of an account."""
        found: dict[str, Any] = self.call("GET", f"/deployments/name/order-certificate/form{account and f'-{account}'}")
        return found

    def start(self, name: str, **parameters: Any) -> str:
        """Start a run by the API; its id."""
        return str(self.call("POST", f"/deployments/{self.deployment(name)['id']}/create_flow_run", {"parameters": parameters})["id"])

    def run(self, name: str, *, seconds: float = 300, **parameters: Any) -> dict[str, Any]:
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
    """Headless Chromium, driven as a person uses Prefect's UI: by what is written there. What does not come about in time shows the page."""

    seconds = 60.0

    def __init__(self, program: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run",
             "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking",
             "--hide-scrollbars", "--window-size=1400,1000", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        active = folder / "DevToolsActivePort"
        port = _eventually(lambda: active.exists() and "/" in active.read_text() and active.read_text().split()[0], self.seconds, "Chromium listens")
        page = next(one for one in requests.get(f"http://127.0.0.1:{port}/json", timeout=30).json() if one["type"] == "page")
        self._socket = websocket.create_connection(page["webSocketDebuggerUrl"], suppress_origin=True, timeout=self.seconds)
        self._sent, self._requests = 0, list[str]()
        for domain in ("Page", "Network", "Runtime"):
            self._call(f"{domain}.enable")

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
        self._type(f"field({json.dumps(label)})", f"the field {label!r}", text)

    def add(self, label: str, text: str) -> None:
        """Add an item to the list with this label."""
        name = json.dumps(label)
        before = self._js(f"items({name}).length")
        self._click(f"adds(list({name}))", f"Add item of {label!r}")
        self._until(f"items({name}).length > {before}", f"the list {label!r} has another item")
        self._type(f"items({name})[{before}]", f"the new item of {label!r}", text)

    def options(self, label: str) -> list[str]:
        """What the drop-down with this label offers; it is open then."""
        self._click(f"field({json.dumps(label)})", f"the drop-down {label!r}")
        self._until("all('[role=option]').length", f"the drop-down {label!r} is open")
        return list(self._js("all('[role=option]').map(words)"))

    def choose(self, label: str, option: str) -> None:
        """Choose the option that reads so in the drop-down with this label."""
        assert option in (offered := self.options(label)), f"{label} does not offer {option!r} but {offered}"
        self._click(f"reading('[role=option]', {json.dumps(option)})", f"the option {option!r} of {label!r}")
        self._until("!all('[role=option]').length", f"the drop-down {label!r} has closed")

    def switch(self, label: str) -> None:
        """Turn the switch with this label."""
        self._click(f"field({json.dumps(label)})", f"the switch {label!r}")

    def press(self, text: str, *, shows: str = "") -> None:
        """Press the button, the tab, the entry of a menu or the link that reads exactly so, or a link one line of which does.

        With `shows`, press it again until the page says that: a page that is still being drawn may lose a click.
        """
        element, deadline = f"pressable({json.dumps(text)})", time.monotonic() + self.seconds
        self._click(element, f"the button {text!r}")
        while shows not in self.text:
            assert time.monotonic() < deadline, f"{text!r} was pressed and {shows!r} is not shown, but: {self.text[:3000]}"
            time.sleep(1)
            if self._js(f"!!{element}"):
                self._click(element, f"the button {text!r}")

    @property
    def text(self) -> str:
        return str(self._js("document.body.innerText"))

    @property
    def requests(self) -> list[str]:
        """All addresses asked for, WebSockets too; without those that hold their content themselves."""
        self._js("0")    # takes in what was said until now
        return [one for one in self._requests if not one.startswith(("data:", "blob:", "about:"))]

    def screenshot(self, path: Path, *, width: int = 1400, height: int = 1000) -> None:
        """What a window of this size shows, as PNG."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _type(self, element: str, what: str, text: str) -> None:
        self._click(element, what)
        self._js("document.activeElement.select()")
        self._call("Input.insertText", text=text)

    def _click(self, element: str, what: str) -> None:
        """With the mouse, in the middle of what a person sees; what something else covers, or what still moves, is waited for."""
        before, now, deadline = None, self._where(element, what), time.monotonic() + self.seconds
        while not now or now != before:
            assert time.monotonic() < deadline, f"{what} does not stand still"
            time.sleep(0.1)
            before, now = now, self._where(element, what)
        x, y = now
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def _where(self, element: str, what: str) -> Any:
        self._until(f"reachable({element})", f"{what} can be clicked")
        return self._js(f"reachable({element}) && middle({element})")

    def _until(self, condition: str, what: str, seconds: float | None = None) -> None:
        deadline = time.monotonic() + (seconds or self.seconds)
        while not self._js(condition):
            assert time.monotonic() < deadline, f"not in time: {what}. The page {self._js('location.href')} says: {self.text[:3000]}"
            time.sleep(0.1)

    def _js(self, expression: str) -> Any:
        answer = self._call("Runtime.evaluate", expression=f"{{{PAGE};{expression}}}", returnByValue=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("method") in {"Network.requestWillBeSent", "Network.webSocketCreated"}:
                self._requests.append(said["params"].get("request", said["params"])["url"])
            elif said.get("id") == self._sent:
                assert "result" in said, f"{method}: {said}"
                return dict(said["result"])


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


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        missing = pytest.fail if "browser" in os.environ.get("CERTFLOW_TEST_REQUIRE", "").split(",") else pytest.skip
        missing("needs Chromium: there is no `chromium` on PATH")
    started = Browser(program, tmp_path / "browser")
    yield started
    started.end()
