"""A page in headless Chromium, driven over the DevTools protocol: messages in JSON through two pipes."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "no chromium is installed"
PATIENCE = 20.0
"""Seconds to wait for what the page should become before the test fails."""
SILENCE = 120.0
"""Seconds without an answer after which the browser is given up."""


class BrowserError(AssertionError):
    """What the page or the browser complained of."""


class Browser:
    """One Chromium with one page. Use as a context manager: it ends what it started."""

    def __init__(self, profile: Path, *flags: str) -> None:
        assert CHROMIUM is not None, MISSING
        self.complaints: list[str] = []
        self._number, self._session = 0, ""
        self._pending, self._rest = deque[dict[str, Any]](), b""
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += ["--no-first-run", "--disable-background-networking", "--force-color-profile=srgb"]
        command += ["--remote-debugging-pipe", f"--user-data-dir={profile}", *flags, "about:blank"]
        # Chromium reads from descriptor 3 and writes to 4; whatever has these numbers here is moved first.
        high_in, high_out = os.dup(to_read), os.dup(to_write)
        line = f'exec 3<&{high_in} 4>&{high_out}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", line, "chromium", *command],
            pass_fds=(high_in, high_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for descriptor in (to_read, to_write, high_in, high_out):
            os.close(descriptor)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return what the browser answers; raises BrowserError where it refuses."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._hear(answer)

    def open(self, url: str) -> None:
        """Load a page and wait until it is loaded."""
        # A fragment alone would not load the page again.
        self.call("Page.navigate", url="about:blank")
        self._wait_for("Page.loadEventFired")
        self.call("Page.navigate", url=url)
        self._wait_for("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page, awaited; raises BrowserError where it throws."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            found = answer["exceptionDetails"]
            raise BrowserError(found.get("exception", {}).get("description", found["text"]))
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = PATIENCE) -> Any:
        """Return the first truthy value of an expression."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.run(script)
            if value:
                return value
            time.sleep(0.02)
        raise BrowserError(f"never true: {script}")

    def screen(self, width: int, height: int = 900, *, dark: bool = False, paper: bool = False) -> None:
        """Set the window's size, the system's theme and the medium."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "", features=[scheme])

    def press(self, key: str, **more: Any) -> None:
        """Press and release a key, for example ArrowRight, Enter, Escape, Tab, a."""
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        code = {**codes, "Tab": 9, " ": 32}.get(key, ord(key[0].upper()))
        facts = {"key": key, "windowsVirtualKeyCode": code, "code": key, **more}
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        self.call("Input.dispatchKeyEvent", type="keyDown", **facts, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one place of the window and release it at another."""
        moves = (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end))
        for kind, (x, y) in moves:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write a screenshot as PNG, of the window or of the whole page."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def heard(self) -> list[str]:
        """Return errors and warnings that the console got so far."""
        self.run("0")
        return list(self.complaints)

    def _wait_for(self, event: str) -> None:
        while True:
            answer = self._next()
            self._hear(answer)
            if answer.get("method") == event:
                return

    def _hear(self, message: Mapping[str, Any]) -> None:
        method, facts = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            found = facts["exceptionDetails"]
            self.complaints.append(found.get("exception", {}).get("description", found["text"]))
        elif method == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(item.get("value", item)) for item in facts["args"]))
        elif method == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
            self.complaints.append(facts["entry"]["text"])

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + SILENCE
        while not self._pending:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise BrowserError("the browser does not answer")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise BrowserError("the browser has ended")
            *whole, self._rest = (self._rest + part).split(b"\0")
            self._pending.extend(map(json.loads, whole))
        return self._pending.popleft()


@contextmanager
def browser(folder: Path, *flags: str) -> Iterator[Browser]:
    """Yield a browser whose profile lies in a folder of the test."""
    with Browser(folder / "profile", *flags) as found:
        yield found
