"""A studio that answers a browser, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipekit.studio.project import Project
from pipekit.studio.server import Server, serve
from tests.studio.chromium import Chromium


@contextmanager
def running(project: Project, port: int = 0, token: str = "") -> Iterator[Server]:
    """A server in a thread; with ``port`` and ``token``, in the place of another one."""
    ready = threading.Event()
    server = serve(project, port)
    server.token = token or server.token
    thread = threading.Thread(target=server.run, args=(ready.set,))
    thread.start()
    assert ready.wait(60)
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)
        project.thumbs.close()


def held_to(browser: Chromium) -> None:
    """At the end of a test: nothing left this machine, and no script failed."""
    browser.call("Page.navigate", url="about:blank")  # the page asks each second, also when its server has ended
    elsewhere = [
        address
        for _, address in browser.requests
        if not address.startswith(("http://127.0.0.1:", "data:", "blob:http://127.0.0.1:", "about:", "chrome:"))
    ]
    errors = browser.errors
    left(browser)
    assert not errors, errors
    assert not elsewhere, elsewhere


def left(browser: Chromium) -> None:
    """Leave the page, and forget what it did: the next test shall not fail because this one did."""
    browser.call("Page.navigate", url="about:blank")
    browser.errors, browser.requests = [], []


def reloaded(browser: Chromium) -> None:
    """Load the page again. A reload begins later: until then, the old page would answer in the place of the new one."""
    browser.do("window.old = true")
    browser.call("Page.reload")
    browser.until("!window.old && document.readyState === 'complete'", "the page is loaded again")


def opened(browser: Chromium, server: Server, path: str = "/") -> None:
    """Open a page with the token, which leaves its address at once."""
    browser.open(f"http://127.0.0.1:{server.port}{path}{'&' if '?' in path else '?'}token={server.token}")
    browser.until("!document.querySelector('.loading')")
