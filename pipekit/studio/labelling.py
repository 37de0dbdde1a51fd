"""Requests about images without a class: which to label next, with a suggestion, and what more labels are likely to bring."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from pipekit.commands.browse import Catalog
from pipekit.commands.image_map import cost_of
from pipekit.commands.labelling import suggest
from pipekit.studio.answers import answered
from pipekit.studio.mapping import embed_words
from pipekit.studio.project import Project

LEFT_OUT = "-"


def queue(project: Project, request: Request) -> Any:
    """The next images to label. ``at`` names a round: the first request with it starts the work, and the page asks again until
    it is done. So a person can label on while the next round is computed."""
    catalog, at = project.at(request.path_params["digest"]), request.query_params.get("at", "")[:80]
    features = project.features(catalog)
    if features is None:
        return {"state": "none", "cost": cost_of(len(catalog)), "words": embed_words(project)}
    key = f"label {catalog.address} {features.digest} {at}"
    if not project.aside.has(key):
        labels = _labels(project, catalog)
        project.aside.ask(key, suggest, str(features.folder), features.rows.tolist(), labels)
    if not project.aside.done(key):
        return {"state": "working"}
    return {"state": "ready", **project.aside.result(key)}


def _labels(project: Project, catalog: Catalog) -> list[str]:
    """The class of each image as it is now: "" for none, :data:`LEFT_OUT`."""
    marks = project.marks(catalog)
    labels = [label or "" for label in catalog.categories["label"].tolist()]
    for row, label in marks["labels"].items():
        labels[row] = label
    for row in marks["left_out"]:
        labels[row] = LEFT_OUT
    return labels


ROUTES = [Route("/api/{digest}/labelling", answered(queue))]
