"""A page in the system's headless Chromium, driven through a pipe (DevTools protocol): no port, no further library.

The browser may reach 127.0.0.1 alone. Errors of the page and requests to anywhere else are collected.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

ANSWER_S = 60.0
"""After this a browser that does not answer is an error of the test's surroundings."""

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Chromium:
    """One browser with one page.

    Attributes:
        errors: of scripts and of the console; violations of the page's security policy are among them.
        requests: (method, address) of each request that a page made.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        assert found, "this test needs Chromium (Debian package chromium)"
        to_browser, ours = os.pipe()
        from_browser, theirs = os.pipe()
        own = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (to_browser, theirs))  # neither is 3 or 4

        def as_the_browser_wants() -> None:
            for end, number in zip(own, (3, 4), strict=True):  # it reads from 3 and writes to 4
                os.dup2(end, number)

        self._process = subprocess.Popen(
            [found, *OPTIONS, *options, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            preexec_fn=as_the_browser_wants,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (to_browser, theirs, *own):
            os.close(end)
        self._out, self._in = ours, from_browser
        self._waiting = b""
        self._number = 0
        self._session = ""
        self.errors: list[str] = []
        self.requests: list[tuple[str, str]] = []
        # A page of this call's own: at its start the browser lists others too, which may be gone a moment later.
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    # --- what a person does ---

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def size(self, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=theme)

    def do(self, script: str) -> Any:
        """The value of an expression, or of an async function's body that begins with ``await``."""
        expression = f"(async () => {{ {script} }})()" if "return " in script else script
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def until(self, expression: str, what: str = "") -> Any:
        """Wait until an expression is true; its value."""
        end = time.monotonic() + ANSWER_S
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError):
                if (found := self.do(expression)) not in (None, False, 0, "", []):
                    return found
            self._pump(0.05)
        raise AssertionError(
            f"never true: {what or expression}; errors: {self.errors}; shown: {self.do('document.body.innerText')}"
        )

    def press(self, key: str, *, shift: bool = False, ctrl: bool = False) -> None:
        code = {" ": "Space"}.get(key, key if len(key) > 1 else f"Key{key.upper()}")
        numbers = {"Enter": 13, "Escape": 27, "Tab": 9, "End": 35, "Home": 36, "PageDown": 34, "PageUp": 33}
        numbers |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"text": "\r" if key == "Enter" else key} if (len(key) == 1 or key == "Enter") and not ctrl else {}
        values = {
            "key": key,
            "code": code,
            "modifiers": 8 * shift + 2 * ctrl,
            "windowsVirtualKeyCode": numbers.get(key, ord(key[0].upper())),
        }
        self.call("Input.dispatchKeyEvent", type="keyDown", **values, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click in the middle of the first element that a CSS selector finds."""
        place = self.do(
            f"return (() => {{ const found = document.querySelector({json.dumps(selector)}); "
            "found.scrollIntoView({block: 'center'}); const box = found.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def focus(self, selector: str) -> None:
        self.do(f"document.querySelector({json.dumps(selector)}).focus()")

    def drag(self, points: list[tuple[float, float]]) -> None:
        for number, (x, y) in enumerate([*points, points[-1]]):
            kind = "mousePressed" if number == 0 else "mouseReleased" if number == len(points) else "mouseMoved"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def picture(self) -> bytes:
        """A PNG file of what is shown."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    # --- the protocol ---

    def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + ANSWER_S
        while time.monotonic() < end:
            for answer in self._pump(0.2, number):
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
        raise AssertionError(f"the browser does not answer {method}")

    def _pump(self, seconds: float, wanted: int = 0) -> list[Any]:
        """Read what the browser says; the answer to a call, if it is among it."""
        ready, _, _ = select.select([self._in], [], [], seconds)
        if ready:
            self._waiting += os.read(self._in, 1 << 20)
        *whole, self._waiting = self._waiting.split(b"\0")
        answers = []
        for text in whole:
            message = json.loads(text)
            if wanted and message.get("id") == wanted:
                answers.append(message)
            elif "method" in message:
                self._note(message["method"], message.get("params", {}))
        return answers

    def _note(self, method: str, params: Any) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(json.dumps(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append((params["request"]["method"], params["request"]["url"]))
