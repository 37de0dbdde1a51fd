"""The server of `pipekit serve`: a socket, the process of the model, and who may ask."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipekit.commands.serve import Wanted
from pipekit.errors import UserError
from pipekit.studio.serve_guard import ServeGuard
from pipekit.studio.serving import OPEN, application
from pipekit.studio.sockets import SocketServer, bound
from pipekit.studio.worker import Worker

PORT = 8480

MIN_TOKEN = 16
"""Characters of a token: a shorter one can be guessed by trying."""

MAX_CONNECTIONS = 256
"""Further ones are answered with 503."""

KEEP_ALIVE_S = 30
"""An idle connection stays open: a client that asks now and then need not connect again."""

GRACE_S = 10
"""Time for requests in work to be answered after Ctrl-C."""

_KNOWN = {*OPEN, "/predict", "/model", "/metrics"}


@dataclass
class ModelServer(SocketServer):
    """A server that is ready to run.

    Attributes:
        token: what requests must have; "" for none.
    """

    worker: Worker
    socket: socket.socket
    host: str
    token: str = field(default="", repr=False)

    @property
    def is_local(self) -> bool:
        return is_loopback(self.host)

    @property
    def address(self) -> str:
        shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self.host, self.host)
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"

    @property
    def app(self) -> Any:
        """The application behind its guard."""
        inner = application(self.worker, bool(self.token))
        own = f"[{self.host}]" if ":" in self.host else self.host
        hosts = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", own)} if self.is_local else ()
        metrics = inner.state.serving.metrics
        return ServeGuard(inner, hosts, self.token, OPEN, lambda path, status: metrics.answered(_counted(path), status))

    def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Serve until Ctrl-C, or until ``stop``. Requests in work are answered first."""
        limits = {"timeout_keep_alive": KEEP_ALIVE_S, "limit_concurrency": MAX_CONNECTIONS}
        try:
            self.answer(self.app, started, GRACE_S, **limits)
        finally:
            self.worker.close()


def _counted(path: str) -> str:
    """What metrics call a path: they must not grow with what clients send."""
    return path if path in _KNOWN else "/v1/models" if path.startswith("/v1/models/") else "other"


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int) -> socket.socket:
    """A socket on an address.

    Raises:
        UserError: the port is taken, or the address is none of this machine.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UserError(
            f"{host!r} is no address: {error.strerror}", "For all addresses of this machine: --host 0.0.0.0"
        ) from None
    try:
        return bound(place, family, kind, protocol)
    except OSError as error:
        raise UserError(
            f"can't listen on {host}, port {port}: {error.strerror}", "Choose another port: --port N; 0 takes any free one."
        ) from None


def serve(wanted: Wanted, host: str = "127.0.0.1", port: int = PORT, token: str = "", batch_size: int = 32) -> ModelServer:
    """A server for a model, once the model is open.

    Args:
        token: what requests must have; made if it is empty and others than this machine can reach the server.

    Raises:
        UserError: the port is taken, the token is short, or the model can't be opened.
    """
    if token and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise UserError(
            f"the token must have at least {MIN_TOKEN} letters or digits, without spaces", "Leave it out, and one is made."
        )
    found = listening(host, port)
    worker = Worker({**wanted.plain(), "max_batch": batch_size})
    try:
        worker.wait()
    except BaseException:
        worker.close()
        found.close()
        raise
    if not token and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    return ModelServer(worker, found, host, token)
