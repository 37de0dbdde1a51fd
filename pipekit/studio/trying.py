"""Requests of the page Try: predict an image with a run's model, explain it, find the known images that are most like it.

The models are in separate processes, that of predictions being the one of `pipekit serve`: this one loads no TensorFlow.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipekit.commands.serve import Wanted, is_served_format, shortened
from pipekit.commands.trying import has_grad_cam
from pipekit.errors import PipekitError, UserError
from pipekit.studio.answers import answered, body_of, problem, project_of
from pipekit.studio.project import GoneError, Project
from pipekit.studio.worker import Worker

MAX_BODY_BYTES = 32 * 1024 * 1024
ANSWER_S = 300.0
"""The first Grad-CAM loads TensorFlow, which takes long on a busy machine."""

TOP_K = 10
NEAREST = 8

IDLE_S = 180.0
"""The process with TensorFlow takes most of a gigabyte: it ends when nobody has asked it for so long."""


class Trying:
    """The processes of one run's model. They start with the first image, and end with the next run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[Any, ...] = ()
        self._workers: dict[str, Worker] = {}
        self._idle: threading.Timer | None = None

    def worker(self, project: Project, run: str, module: str) -> Worker:
        """The process of a module of ``commands/`` for a run; a run that was trained again has another one.

        Raises:
            UserError: the model can't be opened.
        """
        folder = project.source.base / "runs" / run
        key = (run, (folder / "model.json").stat().st_mtime_ns)
        with self._lock:
            if key != self._key:
                self._end()
                self._key = key
            found = self._workers.get(module)
            if found is None or not found.ready:
                if found is not None:
                    found.close()
                wanted = Wanted(str(folder), plugins=project.options.plugins, disable=project.options.disable)
                found = self._workers[module] = Worker(wanted.plain(), f"pipekit.commands.{module}").wait()
            if module == "try_process":
                self._forget_later()
        return found

    def _forget_later(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = threading.Timer(IDLE_S, self.end)
        self._idle.daemon = True
        self._idle.start()

    def _end(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers = {}

    def end(self) -> None:
        """End all processes."""
        with self._lock:
            self._end()
            if self._idle is not None:
                self._idle.cancel()


def trying_of(request: Request) -> Trying:
    found: Trying = request.app.state.trying
    return found


def named_run(project: Project, request: Request) -> str:
    """The run of an address.

    Raises:
        UserError: there is no such run, or it has no model.
    """
    name = str(request.path_params["run"])
    if not any(run["name"] == name and run["model"] for run in project.runs()):
        raise UserError("there is no such model", "Train one, or reload the page.")
    return name


def listed(project: Project, request: Request) -> Any:
    """The runs with a model, the newest first; what each can show; and whether known images can be compared."""
    base = project.source.base
    runs = [run for run in project.runs() if run["model"]]
    features = project.features(project.catalog)
    return {
        "runs": [{**run, "no_grad_cam": has_grad_cam(base / "runs" / run["name"])} for run in runs],
        "features": None if features is None else features.folder.name,
        "options": project.options.words,
    }


def tried(work: Callable[[Project, Trying, Request, bytes], Response]) -> Any:
    """A POST request with an image file as its body, answered in a thread."""

    async def handle(request: Request) -> Response:
        try:
            body = await body_of(request, MAX_BODY_BYTES)
        except ClientDisconnect:
            return problem("the page has gone", "", 400)
        if body is None:
            return problem(f"the file is larger than {MAX_BODY_BYTES // 1024**2} MB", "", 413)
        if not is_served_format(body):
            return problem("this is no JPEG, PNG or WebP file", "", 415)
        project, trying = project_of(request), trying_of(request)
        try:
            return await run_in_threadpool(work, project, trying, request, body)
        except GoneError as error:
            return problem(error.message, error.hint, 410)
        except (PipekitError, TimeoutError) as error:
            return problem(str(error) or "the model does not answer", "", 422)

    return handle


def predict(project: Project, trying: Trying, request: Request, body: bytes) -> Response:
    worker = trying.worker(project, named_run(project, request), "serve_process")
    (found,) = worker.predict([body]).result(ANSWER_S)["answers"]
    reason = found.get("refused") or found.get("failed")
    if reason:
        return problem(f"the image can't be predicted: {reason}", "", 422)
    return _sent({**shortened(found, TOP_K), "task": worker.facts["task"]})


def grad_cam(project: Project, trying: Trying, request: Request, body: bytes) -> Response:
    """The image with the places that are evidence for a class, as a JPEG file."""
    run = named_run(project, request)
    reason = has_grad_cam(project.source.base / "runs" / run)
    if reason:
        return problem(reason, "", 422)
    worker = trying.worker(project, run, "try_process")
    found = worker.ask([body], do="grad_cam", about=request.query_params.get("about", "")).result(ANSWER_S)
    if "refused" in found:
        return problem(found["refused"], "", 422)
    return Response(base64.b64decode(found["file"]), media_type="image/jpeg", headers={"cache-control": "no-store"})


def nearest(project: Project, trying: Trying, request: Request, body: bytes) -> Response:
    """The rows of the known images that are most like it, the nearest first."""
    catalog = project.at(request.query_params.get("digest", ""))
    features = project.features(catalog)
    if features is None:
        raise UserError("there are no features of these images yet")
    worker = trying.worker(project, named_run(project, request), "try_process")
    head: dict[str, Any] = {"do": "nearest", "folder": str(features.folder.absolute()), "count": 4 * NEAREST}
    found = worker.ask([body], **head).result(ANSWER_S)
    if "refused" in found:
        return problem(found["refused"], "", 422)
    labels = catalog.categories["label"]
    listed = [
        {"row": int(row), "label": labels.names[code] if (code := labels.codes[row]) >= 0 else "", "similarity": near}
        for at, near in found["nearest"]
        for row in (features.rows == at).nonzero()[0][:1]  # the run may have images that this dataset has not
    ]
    return _sent(listed[:NEAREST])


def _sent(value: Any) -> Response:
    return JSONResponse(value, headers={"cache-control": "no-store"})


ROUTES = [
    Route("/api/try", answered(listed)),
    Route("/api/try/{run}", tried(predict), methods=["POST"]),
    Route("/api/try/{run}/grad_cam", tried(grad_cam), methods=["POST"]),
    Route("/api/try/{run}/nearest", tried(nearest), methods=["POST"]),
]
