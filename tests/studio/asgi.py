"""Ask an application without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pipekit.studio.guard import Guard
from pipekit.studio.project import Project
from pipekit.studio.server import application

HOST = "127.0.0.1:8470"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(app: Any, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """The answer to one request."""
    return asyncio.run(asked(app, path, method, headers, body))


async def asked(app: Any, path: str, method: str, headers: Mapping[str, str] | None, body: bytes = b"") -> Answer:
    """:func:`ask` in an event loop that runs already."""
    sent: list[Any] = []
    place, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": unquote(place),
        "raw_path": place.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 8470),
        "client": ("127.0.0.1", 1),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
    }
    parts = [body[at : at + 65536] for at in range(0, len(body), 65536)] or [b""]

    async def receive() -> Any:
        if parts:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    named = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], named, b"".join(one.get("body", b"") for one in sent[1:]))


class Page:
    """What a page of the studio sends: with the cookie, and its own header on POST."""

    def __init__(self, project: Project) -> None:
        self.app = Guard(application(project), 8470, "secret")
        self.own = {"Host": HOST, "Cookie": "pipekit-8470=secret"}
        self.posting = {**self.own, "Origin": f"http://{HOST}", "X-Pipekit": "1"}

    def get(self, path: str) -> Answer:
        return ask(self.app, path, headers=self.own)

    def post(self, path: str, value: Any) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return ask(self.app, path, "POST", self.posting, body)
