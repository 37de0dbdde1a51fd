"""A server on a socket: what it says, and what not."""

from __future__ import annotations

import asyncio
import http.client
import threading
from typing import Any

import pytest

from pipekit.studio.sockets import SocketServer, bound


def test_a_request_that_the_end_cuts_short_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    server, ready, asked = SocketServer(), threading.Event(), threading.Event()
    server.socket = bound(("127.0.0.1", 0))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await asyncio.sleep(60)

    thread = threading.Thread(target=server.answer, args=(app, ready.set, 0))
    thread.start()
    assert ready.wait(60)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/")
    assert asked.wait(60)
    server.stop()
    thread.join(30)
    connection.close()
    assert not thread.is_alive()
    assert capfd.readouterr().err == ""
