"""The server of the studio: a socket on this machine, the pages, and a table of addresses."""

from __future__ import annotations

import contextlib
import html
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from types import MappingProxyType
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipekit.errors import UserError
from pipekit.studio import about, dataset, experiments, labelling, mapping, pages, recipes, trying, work
from pipekit.studio.assets import KINDS, modules, static
from pipekit.studio.guard import Guard
from pipekit.studio.project import Project
from pipekit.studio.sockets import SocketServer, bound

PORT = 8470
TRIES = 30
"""Ports that are tried, from the wanted one on."""

PAGES = {
    "browse": "Browse",
    "findings": "Findings",
    "map": "Map",
    "label": "Label",
    "recipe": "Recipe",
    "train": "Train",
    "compare": "Compare",
    "try": "Try",
}
"""Name -> what the menu calls it. Addresses name pages by this table alone."""

_SHELL = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · pipekit studio</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/static/studio.css">
{early}<script type="module" src="/static/{page}.js"></script></head>
<body data-page="{page}" data-name="{name}"><a class="skip" href="#main">To the content</a>
<header class="bar"><span class="brand">pipekit</span><nav aria-label="Pages"><ul class="menu">{menu}</ul></nav>
<span class="state" role="status"></span></header>
<main id="main" tabindex="-1"><p class="empty loading">Loading …</p></main>
<noscript>The studio needs JavaScript, which this server sends itself; it loads nothing from elsewhere.</noscript></body></html>
"""


def address(name: str) -> str:
    return "/" if name == "browse" else f"/{name}"


def page(name: str, of_plugins: Mapping[str, str] = MappingProxyType({}), plugin: str = "") -> Callable[[Request], Response]:
    """The page of a name: a menu and an empty content, which its script fills.

    Args:
        of_plugins: name of a plugin's page -> what the menu calls it.
        plugin: the name of the plugin's page that this one is, if ``name`` is ``plugin``.
    """
    found = [(address(one), one == name, shown) for one, shown in PAGES.items()]
    found += [(f"/x/{quote(one)}", one == plugin, shown) for one, shown in of_plugins.items()]
    menu = "".join(
        f'<li><a href="{html.escape(where)}"{" aria-current=page" if current else ""}>{html.escape(shown)}</a></li>'
        for where, current, shown in found
    )
    title = html.escape(of_plugins[plugin] if plugin else PAGES[name])
    early = "".join(f'<link rel="modulepreload" href="/static/{one}">' for one in modules(name))
    text = _SHELL.format(title=title, page=name, name=html.escape(plugin), menu=menu, early=early)

    def answer(request: Request) -> Response:
        return Response(text, media_type="text/html", headers={"cache-control": "no-store"})

    return answer


def application(project: Project) -> Starlette:
    """All addresses, without the guard."""
    names = sorted(one.name for one in files("pipekit.studio").joinpath("static").iterdir() if one.name[:1] != ".")
    of_plugins = pages.menu(project)
    routes = [
        *(Route(address(name), page(name, of_plugins)) for name in PAGES),
        *(Route(f"/x/{name}", page("plugin", of_plugins, name)) for name in of_plugins),
        *pages.ROUTES,
        *(Route(f"/static/{name}", static(name)) for name in names if name.rpartition(".")[2] in KINDS),
        *recipes.ROUTES,
        *trying.ROUTES,
        *experiments.ROUTES,
        *about.ROUTES,
        *work.ROUTES,  # before those with a digest in their place
        *mapping.ROUTES,
        *labelling.ROUTES,
        *dataset.ROUTES,
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: dataset.not_found})
    app.state.project, app.state.trying = project, trying.Trying()
    return app


def listening(port: int) -> socket.socket:
    """A socket on 127.0.0.1: the wanted port, or the next free one; any with port 0.

    Raises:
        UserError: none is free.
    """
    for wanted in range(port, min(port + TRIES, 65536)) if port else (0,):
        with contextlib.suppress(OSError):
            return bound(("127.0.0.1", wanted))
    raise UserError(f"no port from {port} to {port + TRIES - 1} is free", "Choose another one: --port N; 0 takes any free one.")


@dataclass
class Server(SocketServer):
    """A server that is ready to run.

    Attributes:
        address: with the token, to be opened once; the page then has a cookie.
    """

    project: Project
    socket: socket.socket
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Serve until Ctrl-C, or until ``stop``. ``started`` is called when requests are answered."""
        self.answer(Guard(application(self.project), self.port, self.token), started, grace_s=1)


def serve(project: Project, port: int = PORT) -> Server:
    """A server for a project, on the wanted port or the next free one."""
    return Server(project, listening(port))
