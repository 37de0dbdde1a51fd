"""Requests about the map: the positions of all images by their features, and what features cost where there are none."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipekit.commands.browse import Catalog
from pipekit.commands.image_map import Features, cost_of, place_images, points_of, projections_of
from pipekit.errors import UserError
from pipekit.studio.answers import answered
from pipekit.studio.project import PROJECTION, UNREADABLE, Project

MOST_READ = 100
"""Images without features that are tried for whether they can be read; of more, the command says it."""


def embed_words(project: Project) -> list[str]:
    """The command that computes features."""
    return ["embed", *project.source.words, "--table", "none", *project.options.words]


def _projection(project: Project, request: Request) -> str:
    name = request.query_params.get("by") or PROJECTION
    return str(project.registry.get("projection", name).name)


def _unreadable(project: Project, catalog: Catalog, features: Features) -> int:
    """How many of the images without features can't be read, if few have none: no command computes features of those."""
    rows = [row for row, at in enumerate(features.rows.tolist()) if at < 0] if features.missing <= MOST_READ else []
    return sum(project.thumb(catalog, row) == UNREADABLE for row in rows)


def state(project: Project, request: Request) -> Any:
    """Whether there is a map. The first request for one starts the work, and the page asks again until it is there."""
    catalog = project.at(request.path_params["digest"])
    projection, features = _projection(project, request), project.features(catalog)
    missing = len(catalog) if features is None else features.missing
    found: dict[str, Any] = {
        "state": "none",
        "by": projection,
        "projections": projections_of(project.registry),
        "missing": missing,
        "unreadable": 0 if features is None else _unreadable(project, catalog, features),
        "cost": cost_of(missing),
        "words": embed_words(project),
    }
    if features is None:
        return found
    file = project.map_of(features, projection)
    if not file.is_file():
        options = project.options
        call = (str(features.folder), str(file), projection, options.plugins, options.disable)
        if not project.aside.ask(str(file), place_images, *call).done():
            return {**found, "state": "working"}
        project.aside.result(str(file))
        if not file.is_file():  # it was deleted meanwhile: the next request makes it again
            project.aside.forget(str(file))
            return {**found, "state": "working"}
    return {**found, "state": "ready", "run": features.folder.name}


def points(project: Project, request: Request) -> Response:
    """x of all rows, then y, ``float32``; NaN for images without features."""
    catalog = project.at(request.path_params["digest"])
    projection, features = _projection(project, request), project.features(catalog)
    if features is None or not (file := project.map_of(features, projection)).is_file():
        raise UserError("there is no map of these images", "Open the page Map: it makes one.")
    found = points_of(file, features.rows)
    return Response(found[:, :2].T.astype("<f4").tobytes(), media_type="application/octet-stream")


ROUTES = [
    Route("/api/{digest}/map", answered(state)),
    Route("/api/{digest}/points", answered(points)),
]
