"""A server on a socket: it says when it answers, and another thread can end it. The studio and `pipekit serve` are two."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

BACKLOG = 128
"""Connections that may wait to be accepted."""


def bound(place: Any, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
    """A socket that listens.

    Args:
        place: the address, as ``socket.bind`` takes it.

    Raises:
        OSError: the port is taken, or the address is not one of this machine.
    """
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(place)
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found


class SocketServer:
    """What answers on ``socket``.

    Attributes:
        socket: one that listens; :meth:`answer` closes it at its end.
    """

    socket: socket.socket
    _running: Any = None

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def answer(self, app: Any, started: Callable[[], None], grace_s: int, **options: Any) -> None:
        """Answer requests until Ctrl-C, or until :meth:`stop`.

        Args:
            app: an ASGI application.
            started: is called when requests are answered.
            grace_s: seconds that requests in work have after that.
            options: further ones of ``uvicorn.Config``.
        """
        import logging

        import uvicorn

        log = logging.getLogger("uvicorn.error")

        class Announcing(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets=sockets)
                started()

            async def shutdown(self, sockets: Any = None) -> None:
                log.disabled = True  # a request that Ctrl-C cuts short is no mistake, and 40 lines about it help nobody
                await super().shutdown(sockets=sockets)

        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=grace_s,
            server_header=False,
            **options,
        )
        self._running = Announcing(config)
        try:
            with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it has ended
                self._running.run(sockets=[self.socket])
        finally:
            log.disabled = False

    def stop(self) -> None:
        """End :meth:`answer`, from another thread."""
        if self._running is not None:
            self._running.should_exit = True
