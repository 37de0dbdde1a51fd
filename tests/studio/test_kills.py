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

KILLS = int(os.environ.get("PIPEKIT_KILLS", "2"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


@contextmanager
def to_be_killed() -> Iterator[Any]:
    """A server in a process that is killed at the end; what asks it for JSON."""
    server = serve(Project(find_source("photos")), 0)
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
