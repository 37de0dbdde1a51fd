"""Who may ask a served model: programs of this machine, or whoever has the token."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from pipekit.studio.guard import with_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.types import ASGIApp, Receive, Scope, Send


class ServeGuard:
    """Checks the Host, if only this machine is answered (a name of another site may point here), the Origin (pages of other
    sites), and the token.

    Args:
        hosts: values of ``Host`` that are answered; empty: all, for a server that others reach under names of theirs.
        token: "" for none.
        open_to_all: paths that need no token.
        answered: is called with the path and the status of each answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        token: str,
        open_to_all: Collection[str],
        answered: Callable[[str, int], None] = lambda path, status: None,
    ) -> None:
        self.app, self.hosts, self.token = app, frozenset(hosts), token
        self.open_to_all, self.answered = frozenset(open_to_all), answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        refused = self._refuse(scope)
        sending = with_policy(send, lambda status: self.answered(scope["path"], status))
        await (refused or self.app)(scope, receive, sending)

    def _refuse(self, scope: Scope) -> ASGIApp | None:
        """The answer to a request that goes no further; None lets it through."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.hosts and (len(headers.getlist("host")) != 1 or host not in self.hosts):
            return _problem(
                403,
                "this server answers to the name and port that it printed only",
                "Start it with --host to reach it by another.",
            )
        if self.token and scope["path"] not in self.open_to_all and not self._has_token(headers):
            return _problem(401, "the token is missing or wrong", "Send it as a header: Authorization: Bearer TOKEN")
        if origin is not None and not self.token and origin != f"http://{host}":
            return _problem(403, "pages of other sites may not ask this server", "Start it with --token, and send the token.")
        return None

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode())


def _problem(status: int, error: str, hint: str) -> JSONResponse:
    more = {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse({"error": error, "hint": hint}, status, headers=more)
