"""A server that is killed after a decision was answered has lost none of them. ``PIPEKIT_KILLS=100`` kills as often."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipekit.commands.browse import find_source
from pipekit.corrected import read_corrections
from pipekit.studio.project import Project
from pipekit.studio.server import serve
from tests.studio.chromium import Chromium
from tests.studio.clicking import tab_to
from tests.studio.running import held_to, opened

KILLS = int(os.environ.get("PIPEKIT_KILLS", "2"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


@contextmanager
def to_be_killed(port: int = 0, token: str = "") -> Iterator[Any]:
    """A server in a process that is killed at the end; what asks it for JSON.

    Args:
        port, token: those of another one, in whose place it is.
    """
    server = serve(Project(find_source("photos")), port)
    server.token = token or server.token
    child = os.fork()
    if not child:
        try:
            server.run()
        finally:
            os._exit(1)
    host = f"127.0.0.1:{server.port}"
    headers = {"Cookie": f"pipekit-{server.port}={server.token}", "Origin": f"http://{host}", "X-Pipekit": "1"}

    def ask(path: str, given: Any = None) -> Any:
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("GET" if given is None else "POST", path, None if given is None else json.dumps(given), headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return json.loads(answer.read())

    ask.server = server  # type: ignore[attr-defined]
    try:
        yield ask
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        server.socket.close()
        server.project.thumbs.close()


def test_a_kill_after_each_relabel_loses_none(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: dict[str, str] = {}
    first = Project(find_source("photos"))
    ids = list(first.catalog.ids)
    monkeypatch.setattr("pipekit.studio.project.registry_with", lambda *_: first.registry)  # loaded once
    for number in range(KILLS):
        with to_be_killed() as ask:
            row = number % len(ids)
            digest = ask("/api/index")["digest"]
            after = f"class {number}"
            decision = {"what": "label", "rows": [row], "before": [wanted.get(ids[row], "")], "after": after}
            assert ask(f"/api/{digest}/decide", decision)["labels"][str(row)] == after
        wanted[ids[row]] = after
        assert {one.id: one.new for one in read_corrections(work / "corrections.csv")} == wanted
    with to_be_killed() as ask:
        found = ask(f"/api/{ask('/api/index')['digest']}/undo", {})
        assert found["rows"] == [row], "undo after a restart undoes the last"
    left = {one.id: one.new for one in read_corrections(work / "corrections.csv")}
    assert (len(left), f"class {KILLS - 1}" in left.values()) == (min(KILLS - 1, len(ids)), False)


def test_a_kill_after_each_key_loses_none(browser: Chromium, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without a mouse, in one page that is never loaded again: it waits until the server is back."""
    first = Project(find_source("photos"))
    monkeypatch.setattr("pipekit.studio.project.registry_with", lambda *_: first.registry)
    port, token, wanted, now = 0, "", {}, "document.querySelector('.tile.at').title"
    said = "document.querySelector('.state').textContent"
    for number in range(KILLS):
        with to_be_killed(port, token) as ask:
            if not port:
                port, token = ask.server.port, ask.server.token
                opened(browser, ask.server)
                browser.until(f"document.querySelectorAll('.tile img[src]').length === 12 && {now}")
                tab_to(browser, ".grid")
            else:
                browser.until(f"!{said}.includes('does not answer')", "the page found the server again")
            identity = browser.do(now)
            key = "21"[identity.startswith("dog/")] if identity not in wanted else "12"[identity.startswith("dog/")]
            browser.do(f"{said} = ''")
            browser.press(key)
            browser.until(f"{said}.startsWith('1 image')", "it was answered")
        old, new = identity.split("/")[0], ("cat", "dog")[int(key) - 1]
        before = dict(wanted)
        wanted.pop(identity, None)
        if old != new:
            wanted[identity] = new
        assert {one.id: one.new for one in read_corrections(work / "corrections.csv")} == wanted
        if number == 0:
            browser.until(f"{said}.includes('does not answer')", "the page says that its server is gone")
        browser.press("ArrowRight" if number % 11 else "Home")
    with to_be_killed(port, token):
        browser.press("u")
        browser.until(f"{said}.startsWith('Undone')")
        assert {one.id: one.new for one in read_corrections(work / "corrections.csv")} == before
        browser.errors = [one for one in browser.errors if "ERR_" not in one]  # while no server was there
        held_to(browser)
