"""Requests about recipes: the ops with their parameters, live variants, recipe files."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipekit import processes
from pipekit.commands import variants
from pipekit.errors import UserError
from pipekit.studio.answers import answered, asked, row_numbers
from pipekit.studio.project import Project
from pipekit.studio.thumbs import packed
from pipekit.studio.words import named

FOLDER = "recipes"
MAX_VARIANTS = 24
SIZES = (16, 1024)


MOST_TASKS = 500
"""Tasks of a process, after which a fresh one takes its place: native libraries keep some memory of each preview."""

_STARTING = threading.Lock()


def in_process(project: Project, function: Callable[..., Any], *values: Any) -> Future[Any]:
    """Call a function in a separate process: thumbnails that are made meanwhile would make a preview three times as slow."""
    with _STARTING:
        if project.previews is not None and project.num_tasks >= MOST_TASKS:
            project.previews.shutdown(wait=False)  # it ends what it was asked for
            project.previews = None
        if project.previews is None:
            project.previews, project.num_tasks = processes.pool(1) if processes.allowed() else ThreadPoolExecutor(1), 0
        project.num_tasks += 1
        found: Future[Any] = project.previews.submit(function, *values)
        return found


def preview(project: Project, request: Request, given: dict[str, Any]) -> Response:
    catalog = project.at(request.path_params["digest"])
    (row,) = row_numbers([given["row"]], len(catalog))
    size, count, seed = int(given["size"]), int(given["count"]), int(given["seed"])
    if not (SIZES[0] <= size <= SIZES[1] and 1 <= count <= MAX_VARIANTS and 0 <= seed < 2**31):
        raise UserError(f"expected a size of {SIZES[0]} to {SIZES[1]} px, 1 to {MAX_VARIANTS} variants and a seed from 0 on")
    sample = catalog.read([row])[row]
    path = sample.image
    key = catalog.hashes[row].tobytes().hex()
    options = project.options
    call = (path, key, sample.targets, given["ops"], size, count, seed, options.plugins, options.disable)
    try:
        captions, files = in_process(project, variants.variants_of, *call).result()
    except BrokenProcessPool as error:
        project.previews = None
        raise UserError("the process that makes previews ended", "Memory may be short. Try a smaller size.") from error
    return Response(packed([json.dumps([Path(path).name, captions]).encode(), *files]), media_type="application/octet-stream")


def ops(project: Project, request: Request) -> Any:
    presets = [{"name": one.name, "summary": one.summary} for one in project.registry.components("recipe")]
    return {"ops": variants.ops_of(project.registry), "presets": presets, "files": recipe_names(project)}


def op(project: Project, request: Request) -> Any:
    return variants.described_op(project.registry, request.query_params.get("name", ""))


def recipe_names(project: Project) -> list[str]:
    return sorted(path.stem for path in (project.source.base / FOLDER).glob("*.toml"))


def read(project: Project, request: Request) -> Any:
    """A preset, or a file of ``recipes/``."""
    name = request.path_params["name"]
    if request.query_params.get("preset") == "1":
        return {"ops": variants.read_recipe(project.registry, project.registry.get("recipe", name).name, project.source.base)}
    file = project.source.base / FOLDER / f"{named(name)}.toml"
    found = variants.read_recipe(project.registry, f"{FOLDER}/{file.name}", project.source.base)
    return {"ops": found, "known": variants.content_hash(file)}


def save(project: Project, request: Request, given: dict[str, Any]) -> Any:
    file = project.source.base / FOLDER / f"{named(request.path_params['name'])}.toml"
    return {"known": variants.write_recipe(project.registry, file, given["ops"], str(given.get("known", "")))}


ROUTES = [
    Route("/api/ops", answered(ops)),
    Route("/api/op", answered(op)),
    Route("/api/recipes/{name}", answered(read)),
    Route("/api/recipes/{name}", asked(save), methods=["POST"]),
    Route("/api/{digest}/preview", asked(preview), methods=["POST"]),
]
