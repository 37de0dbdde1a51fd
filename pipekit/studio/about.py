"""Requests about single things: the images nearest to one, what was made of it, what a check means, mistakes of the pipeline
file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from pipekit.commands.components import meanings
from pipekit.commands.image_history import history_of
from pipekit.commands.image_map import nearest_to
from pipekit.commands.pipeline_edit import problems_of
from pipekit.errors import UserError
from pipekit.studio.answers import answered, row_numbers
from pipekit.studio.mapping import embed_words
from pipekit.studio.project import Project
from pipekit.studio.recipes import in_process

NEAREST = 8


def nearest(project: Project, request: Request) -> Any:
    """The rows of the images that are most like one, the nearest first; without features, the command that computes them."""
    catalog = project.at(request.path_params["digest"])
    (row,) = row_numbers([request.path_params["row"]], len(catalog))
    features = project.features(catalog)
    if features is None or features.rows[row] < 0:
        return {"state": "none", "words": embed_words(project), "has_some": features is not None}
    rows = {int(at): number for number, at in enumerate(features.rows.tolist()) if at >= 0}
    near = nearest_to(features.folder, int(features.rows[row]), 4 * NEAREST)
    found = [{"row": rows[at], "similarity": value} for at, value in near if at in rows and rows[at] != row]
    return {"state": "ready", "near": found[:NEAREST]}


def history(project: Project, request: Request) -> Any:
    catalog = project.at(request.path_params["digest"])
    (row,) = row_numbers([request.path_params["row"]], len(catalog))
    sha256 = catalog.hashes[row].tobytes().hex()
    return history_of(project.source.base.absolute(), catalog.ids[row], sha256)


def checks(project: Project, request: Request) -> Any:
    """What each check means."""
    return _apart(project, meanings, "check", project.options.plugins, project.options.disable)


def problems(project: Project, request: Request) -> Any:
    file = project.source.file
    return [] if file is None else _apart(project, problems_of, file, project.options.plugins, project.options.disable)


def _apart(project: Project, function: Callable[..., Any], *values: Any) -> Any:
    """Call a function in the process of the previews: the code of plugins that it imports may fail or end it."""
    try:
        return in_process(project, function, *values).result()
    except BrokenProcessPool as error:
        project.previews = None
        raise UserError("the process that reads the components of plugins ended", "Reload the page.") from error


ROUTES = [
    Route("/api/checks", answered(checks)),
    Route("/api/pipeline/problems", answered(problems)),
    Route("/api/{digest}/nearest/{row:int}", answered(nearest)),
    Route("/api/{digest}/history/{row:int}", answered(history)),
]
