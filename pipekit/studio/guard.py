"""Who may speak to the server: a page that it served, opened by the person who started it, under this machine's own name."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.datastructures import Headers, QueryParams
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; media-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}

OWN_HEADER = "x-pipekit"
"""A header that no page of another origin can send without being asked first."""


def with_policy(send: Send, answered: Callable[[int], None] = lambda status: None) -> Send:
    """``send``, with :data:`POLICY` in each answer that does not state its own. ``answered`` is called with its status."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message["headers"]}
            policy = [(name.encode(), value.encode()) for name, value in POLICY.items() if name.encode() not in own]
            message["headers"] = [*message["headers"], *policy]
            answered(message["status"])
        await send(message)

    return sending


class Guard:
    """Checks the Host (a name of another site may point here), then the token (other users of the machine), then the Origin
    (pages of other sites), for every request."""

    def __init__(self, app: ASGIApp, port: int, token: str = "") -> None:
        self.app = app
        self.token = token or secrets.token_urlsafe(24)
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.cookie = f"pipekit-{port}"
        """Cookies know no ports: two studios must not take each other's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        refused = self._refuse(scope)
        await (refused or self.app)(scope, receive, with_policy(send))

    def _refuse(self, scope: Scope) -> ASGIApp | None:
        """The answer to a request that goes no further; None lets it through."""
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or headers["host"] not in self.hosts:
            return PlainTextResponse("This server answers to 127.0.0.1 and localhost only.", 403)
        query = QueryParams(scope["query_string"])
        if scope["method"] == "GET" and _same(query.get("token", ""), self.token):
            rest = urlencode([(name, value) for name, value in query.multi_items() if name != "token"])
            moved = RedirectResponse("/" + scope["path"].lstrip("/\\") + (f"?{rest}" if rest else ""), 303)
            moved.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
            return moved
        if not _same(_cookie(headers, self.cookie), self.token):
            return PlainTextResponse("Open the address that `pipekit studio` printed: it has the token.", 401)
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin", "")
            if origin.removeprefix("http://") not in self.hosts or origin in self.hosts or headers.get(OWN_HEADER) != "1":
                return PlainTextResponse("Only a page of this server may do that.", 403)
        return None


def _same(given: str, token: str) -> bool:
    return bool(given) and hmac.compare_digest(given.encode(), token.encode())


def _cookie(headers: Headers, name: str) -> str:
    for part in headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""
