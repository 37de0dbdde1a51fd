"""Requests about the pages of plugins: a form made from their parameters, and what their function returns."""

from __future__ import annotations

from concurrent.futures import TimeoutError as TooLongError
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from pipekit.commands.plugin_page import described_page, pages_of, show_page
from pipekit.errors import UserError
from pipekit.studio.answers import answered, asked, row_numbers
from pipekit.studio.project import Project
from pipekit.studio.recipes import in_process

LONGEST_S = 120.0
"""A page that takes longer is given up; the process that runs it is replaced."""


def menu(project: Project) -> dict[str, str]:
    """Name of each plugin's page -> what the menu calls it: the qualified name where two plugins have one name."""
    found = pages_of(project.registry)
    return {one["name"]: one["name"] if ":" in one["name"] else one["shown"] for one in found}


def describe(project: Project, request: Request) -> Any:
    return described_page(project.registry, request.path_params["name"])


def show(project: Project, request: Request, given: dict[str, Any]) -> Any:
    """The section of a page. Its code runs in the process of the previews: if it fails or ends, the studio does not."""
    catalog = project.at(request.path_params["digest"])
    (row,) = row_numbers([given["row"]], len(catalog))
    name = project.registry.get("page", request.path_params["name"]).reference
    labels = {catalog.ids[number]: label for number, label in project.marks(catalog)["labels"].items()}
    options = project.options
    call = (name, dict(given["params"]), project.source, catalog.digest, row, labels, options.plugins, options.disable)
    try:
        return in_process(project, show_page, *call).result(LONGEST_S)
    except BrokenProcessPool as error:
        project.previews = None
        raise UserError(f"page {name!r} ended its process", "Memory may be short, or its plugin ends it.") from error
    except TooLongError as error:
        project.previews = None
        raise UserError(f"page {name!r} took longer than {LONGEST_S:.0f} s", "Its function must return sooner.") from error


ROUTES = [
    Route("/api/pages/{name}", answered(describe)),
    Route("/api/{digest}/pages/{name}", asked(show), methods=["POST"]),
]
