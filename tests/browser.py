"""Opens a page in Debian's chromium, over the DevTools protocol on a pair of pipes: no port, no driver.

Use in a test:
    from browser import chromium_or_skip, look
    view = look(path, width=390, scheme="dark")
    assert not view.complaints and not view.requests and not view.overflow
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_PATIENCE = 30.0

# What sticks out of the page to the right, boxes that scroll by themselves left out.
_OVERFLOW = """(() => {
  const width = document.documentElement.clientWidth, out = [];
  if (document.documentElement.scrollWidth > width) out.push("page: " + document.documentElement.scrollWidth);
  for (const node of document.querySelectorAll("body *")) {
    const box = node.getBoundingClientRect();
    if (box.width && box.right > width + 1 && !node.closest(".scroll, pre"))
      out.push(node.tagName + "." + (node.getAttribute("class") || "") + ": " + Math.round(box.right));
  }
  return out.slice(0, 10);
})()"""


@dataclass(frozen=True)
class View:
    """What a page did when it was opened.

    Attributes:
        complaints: Console messages, uncaught exceptions and what the browser logged (security policy, parsing).
        requests: Addresses asked for, the file itself and data: left out.
        overflow: Elements that stick out to the right of the page.
        height: Of the whole page, in px.
        answers: Results of the expressions that were asked for.
    """

    complaints: list[str]
    requests: list[str]
    overflow: list[str]
    height: int
    answers: list[object]


def chromium_or_skip() -> str:
    """Path of chromium; without one the test is skipped, or fails where KRONOSCOPE_REQUIRE_BROWSER=1."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        message = "chromium is not installed"
        if os.environ.get("KRONOSCOPE_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


def look(
    path: str | Path,
    width: int = 1280,
    height: int = 900,
    scheme: str = "light",
    ask: tuple[str, ...] = (),
    screenshot: str | Path | None = None,
) -> View:
    """Open the file ``path`` on a screen of ``width`` x ``height`` px and report what happened."""
    with _chromium(chromium_or_skip()) as session:
        address = Path(path).resolve().as_uri()
        for domain in ("Page", "Network", "Runtime", "Log"):
            session.call(f"{domain}.enable")
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        session.call("Emulation.setDeviceMetricsOverride", **screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        session.call("Emulation.setEmulatedMedia", features=features)
        session.call("Page.navigate", url=address)
        session.wait_for("Page.loadEventFired")
        overflow, tall, *answers = [
            session.evaluate(e) for e in (_OVERFLOW, "document.documentElement.scrollHeight", *ask)
        ]
        if screenshot is not None:
            clip = {"x": 0, "y": 0, "width": width, "height": tall, "scale": 1}
            picture = session.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
            Path(screenshot).write_bytes(base64.b64decode(picture["data"]))
        requests = [e["request"]["url"] for e in session.events("Network.requestWillBeSent")]
        complaints = [json.dumps(e) for e in session.events("Runtime.consoleAPICalled")]
        complaints += [json.dumps(e) for e in session.events("Runtime.exceptionThrown")]
        complaints += [e["entry"]["text"] for e in session.events("Log.entryAdded")]
        outside = [url for url in requests if url != address and not url.startswith("data:")]
        return View(complaints, outside, overflow, tall, answers)


@contextmanager
def _chromium(program: str) -> Iterator[_Session]:
    """A headless chromium with one empty tab; it and its profile are gone afterwards."""
    their_in, our_out = os.pipe()
    our_in, their_out = os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    options += ["--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The protocol wants descriptors 3 and 4, which a shell can set from any others.
        shell = f'exec "$@" 3<&{their_in} 4>&{their_out}'
        process = subprocess.Popen(
            ["/bin/bash", "-c", shell, "chromium", program, *options, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(their_in, their_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(their_in)
        os.close(their_out)
        try:
            yield _Session(our_in, our_out)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(our_in)
            os.close(our_out)


class _Session:
    """Commands to one tab and the events that came from it."""

    def __init__(self, our_in: int, our_out: int) -> None:
        self._in, self._out = our_in, our_out
        self._buffer = b""
        self._count = 0
        self._events: list[dict] = []
        self._tab: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._tab = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **params: object) -> dict:
        """The result of a command."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._tab is not None:
            message["sessionId"] = self._tab
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._events.append(answer)

    def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, event: str) -> None:
        """Return as soon as ``event`` has come."""
        while not self.events(event):
            self._events.append(self._next())

    def events(self, method: str) -> list[dict]:
        """Parameters of the events of one kind that came so far."""
        return [event["params"] for event in self._events if event.get("method") == method]

    def _next(self) -> dict:
        limit = time.monotonic() + _PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, limit - time.monotonic()))
            chunk = os.read(self._in, 1 << 16) if ready else b""
            if not chunk:
                raise RuntimeError("chromium fell silent")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
