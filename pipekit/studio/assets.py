"""Files of the pages: scripts and styles that lie in the package."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from pipekit.page import tokens

KINDS = {"css": "text/css", "js": "text/javascript"}


def static(name: str) -> Callable[[Request], Response]:
    """A file of the package's own."""
    text = files("pipekit.studio").joinpath("static", name).read_text("utf-8")
    kind = KINDS[name.rpartition(".")[2]]
    if name == "studio.css":
        text = tokens() + text

    def answer(request: Request) -> Response:
        return Response(text, media_type=kind, headers={"cache-control": "no-cache"})

    return answer
