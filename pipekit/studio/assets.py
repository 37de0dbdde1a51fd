"""Files of the pages: scripts and styles that lie in the package."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from pipekit.page import tokens

KINDS = {"css": "text/css", "js": "text/javascript"}


_IMPORTED = re.compile(r'from "\./([a-z]+\.js)"')


@cache
def modules(page: str) -> tuple[str, ...]:
    """The scripts that a page's script imports, directly or not: named in the page, they are all asked for at once."""
    found: dict[str, None] = {}
    waiting = [f"{page}.js"]
    while waiting:
        text = files("pipekit.studio").joinpath("static", waiting.pop()).read_text("utf-8")
        new = [name for name in _IMPORTED.findall(text) if name not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return tuple(found)


def static(name: str) -> Callable[[Request], Response]:
    """A file of the package's own."""
    text = files("pipekit.studio").joinpath("static", name).read_text("utf-8")
    kind = KINDS[name.rpartition(".")[2]]
    if name == "studio.css":
        text = tokens() + text

    def answer(request: Request) -> Response:
        return Response(text, media_type=kind, headers={"cache-control": "no-cache"})

    return answer
