"""Requests about the dataset: its columns, thumbnails, images, facts, and the decisions about images."""

from __future__ import annotations

import json
import struct
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipekit.commands.browse import Catalog, facts_of, picture
from pipekit.errors import ImageError, UserError
from pipekit.studio.answers import FOREVER, answered, asked, body_of, problem, project_of, row_numbers
from pipekit.studio.edits import LABEL, LEAVE_OUT
from pipekit.studio.project import GoneError, Project
from pipekit.studio.thumbs import packed

MAX_THUMBS = 1024


def _catalog(project: Project, request: Request) -> Catalog:
    return project.at(request.path_params["digest"])


def index(project: Project, request: Request) -> Any:
    """What there is to browse now: the number of rows, and the columns in the order of :func:`columns`."""
    catalog = project.read()
    categories = [{"name": name, "kind": "category", "values": few.names} for name, few in catalog.categories.items()]
    numbers = [{"name": name, "kind": "number"} for name in catalog.numbers]
    return {
        "digest": catalog.address,
        "count": len(catalog),
        "columns": [*categories, *numbers],
        "source": {"words": project.source.words, "options": project.options.words, "base": project.source.base.name},
        "pipeline": project.source.file.name if project.source.file else "",
        "inspected": project.inspection.is_file(),
    }


def columns(project: Project, request: Request) -> Response:
    """All columns, one after another, little-endian: ``int32`` codes (-1: none) of categories, ``float32`` numbers."""
    catalog = _catalog(project, request)
    parts = [few.codes.astype("<i4").tobytes() for few in catalog.categories.values()]
    parts += [column.astype("<f4").tobytes() for column in catalog.numbers.values()]
    return Response(b"".join(parts), media_type="application/octet-stream", headers=FOREVER)


def search(project: Project, request: Request) -> Response:
    import numpy as np

    found = _catalog(project, request).search(request.query_params.get("q", ""))
    return Response(np.array(found, "<u4").tobytes(), media_type="application/octet-stream")


def order(project: Project, request: Request) -> Response:
    catalog, name = _catalog(project, request), request.query_params.get("by", "")
    if name not in catalog.numbers and name not in catalog.categories:
        raise UserError(f"no column called {name!r}")
    return Response(catalog.order(name).tobytes(), media_type="application/octet-stream", headers=FOREVER)


async def thumbs(request: Request) -> Response:
    """Row numbers in (``uint32``), ids and JPEG files out: one request for all that are in view."""
    project = project_of(request)
    body = await body_of(request, 4 * MAX_THUMBS)
    if body is None:
        return problem(f"expected at most {MAX_THUMBS} rows", "", 413)
    try:
        catalog = project.at(request.path_params["digest"])
        rows = row_numbers(struct.unpack(f"<{len(body) // 4}I", body), len(catalog), MAX_THUMBS)
    except GoneError as error:
        return problem(error.message, error.hint, 410)
    except (UserError, struct.error) as error:
        return problem(str(error), "", 400)

    def make() -> bytes:
        head = json.dumps([catalog.ids[row] for row in rows]).encode()
        return packed([head, *(project.thumb(catalog, row) for row in rows)])

    return Response(await run_in_threadpool(make), media_type="application/octet-stream")


def image(project: Project, request: Request) -> Response:
    catalog = _catalog(project, request)
    (row,) = row_numbers([request.path_params["row"]], len(catalog))
    try:
        data, kind = picture(catalog.read([row])[row], drawn=request.query_params.get("drawn") == "1")
    except (OSError, ImageError) as error:
        return problem(f"the image can't be shown: {error}", "", 422)
    return Response(data, media_type=kind, headers=FOREVER)


def facts(project: Project, request: Request) -> Any:
    catalog = _catalog(project, request)
    (row,) = row_numbers([request.path_params["row"]], len(catalog))
    found = facts_of(catalog.read([row])[row])
    listed = project.inspected().get("findings", ())
    identity = catalog.ids[row]
    about = [one for one in listed if identity in one.get("samples", ())]
    found["findings"] = [{"check": one["check"], "severity": one["severity"], "message": one["message"]} for one in about]
    return found


# --- decisions -----------------------------------------------------------------------------------------------------------


def marks(project: Project, request: Request) -> Any:
    return project.marks(_catalog(project, request))


def decide(project: Project, request: Request, given: dict[str, Any]) -> Any:
    """``{what, rows, before, after}``: answered when it is on the disk."""
    catalog = _catalog(project, request)
    what = given["what"]
    if what not in (LABEL, LEAVE_OUT):
        raise UserError(f"no decision is called {what!r}")
    rows = row_numbers(given["rows"], len(catalog), 100_000)
    before, after = [str(one) for one in given["before"]], str(given["after"]).strip()
    check = str(given.get("check", ""))
    if any(ord(letter) < 32 for letter in after + check):
        raise UserError("a label is one line of text")
    changes = project.changes(catalog, what, rows, before, after, check)
    if changes:
        project.edits.apply(changes)
    return project.marks(catalog)


def undo(project: Project, request: Request, given: dict[str, Any]) -> Any:
    return _stepped(project, request, project.edits.undo())


def redo(project: Project, request: Request, given: dict[str, Any]) -> Any:
    return _stepped(project, request, project.edits.redo())


def _stepped(project: Project, request: Request, changes: Any) -> Any:
    catalog = _catalog(project, request)
    rows = [catalog.rows[change.id] for change in changes if change.id in catalog.rows]
    return {**project.marks(catalog), "steps": len(changes), "rows": rows[:1]}


def state(project: Project, request: Request) -> Any:
    """What a page asks for each second: whether another page or program has changed something."""
    from pipekit.studio.jobs import known

    running = [job.folder.name for job in known(project.state / "jobs") if job.running]
    return {"decisions": project.edits.revision, "running": running, "digest": project.catalog.address}


def findings(project: Project, request: Request) -> Any:
    """What ``inspect`` found, in groups: the rows of each finding, those that it suggests to leave out,
    and whether they are copies of one image."""
    catalog, found = _catalog(project, request), project.inspected()
    remove = {(one["id"], one["check"]): one["reason"] for one in found.get("remove", ())}
    groups = []
    for one in found.get("findings", ()):
        known = [identity for identity in one.get("samples", ()) if identity in catalog.rows]
        groups.append(
            {
                "check": one["check"],
                "severity": one["severity"],
                "message": one["message"],
                "rows": [catalog.rows[identity] for identity in known],
                "remove": [catalog.rows[identity] for identity in known if (identity, one["check"]) in remove],
                "copies": bool((one.get("values") or {}).get("together")),
            }
        )
    errors = [{**one, "row": catalog.rows[one["id"]]} for one in found.get("label_errors", ()) if one["id"] in catalog.rows]
    return {"inspected": bool(found), "groups": groups, "label_errors": errors, "summary": found.get("summary", [])}


def not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"message": "there is no such page", "hint": ""}, getattr(error, "status_code", 404))


ROUTES = [
    Route("/api/state", answered(state)),
    Route("/api/index", answered(index)),
    Route("/api/{digest}/columns", answered(columns)),
    Route("/api/{digest}/search", answered(search)),
    Route("/api/{digest}/order", answered(order)),
    Route("/api/{digest}/thumbs", thumbs, methods=["POST"]),
    Route("/api/{digest}/image/{row:int}", answered(image)),
    Route("/api/{digest}/facts/{row:int}", answered(facts)),
    Route("/api/{digest}/marks", answered(marks)),
    Route("/api/{digest}/findings", answered(findings)),
    Route("/api/{digest}/decide", asked(decide), methods=["POST"]),
    Route("/api/{digest}/undo", asked(undo), methods=["POST"]),
    Route("/api/{digest}/redo", asked(redo), methods=["POST"]),
]
