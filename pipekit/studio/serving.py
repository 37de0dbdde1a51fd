"""`pipekit serve`: a trained model behind a small HTTP API. Pictures of requests are neither logged nor kept."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipekit.commands.serve import is_served_format, shortened
from pipekit.studio.assets import static
from pipekit.studio.metrics import Metrics
from pipekit.studio.openapi import document
from pipekit.studio.serve_page import page
from pipekit.studio.worker import LostError, Worker

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_HELD_BYTES = 256 * 1024 * 1024
"""Bytes of all bodies that wait; further requests are answered with 503."""

MAX_IMAGES = 64
"""Images of one request."""

MAX_WAITING = 256
"""Images that wait for the model; further requests are answered with 503."""

READ_S, ANSWER_S = 30.0, 60.0
"""Time for a client to send its body, and for the model to answer; after the latter its process is started again."""

TOP_K = 5

STATIC = ("common.js", "bars.js", "serve.js", "studio.css")


class RefusedError(Exception):
    """A request that is answered with a status of 4xx or 503."""

    def __init__(self, status: int, error: str, hint: str = "", **more: Any) -> None:
        super().__init__(error)
        self.status, self.error, self.hint, self.more = status, error, hint, more

    def response(self) -> Response:
        headers = {"cache-control": "no-store", **({"retry-after": "1"} if self.status == 503 else {})}
        return JSONResponse({"error": self.error, "hint": self.hint, **self.more}, self.status, headers=headers)


@dataclass
class Serving:
    """What requests share: the process of the model, and the bodies that are in memory."""

    worker: Worker
    held: int = 0
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        worker = self.worker
        self.metrics = Metrics(lambda: worker.waiting, lambda: worker.restarts, lambda: float(worker.ready))

    async def body(self, request: Request, parts: list[bytes]) -> bytes:
        """The body of a request, which is collected in ``parts``.

        Raises:
            RefusedError: it is empty or too large, or it does not arrive.
        """
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            raise _too_large()
        try:
            await asyncio.wait_for(self._collect(request, parts), READ_S)
        except TimeoutError:
            raise RefusedError(408, f"the body did not arrive within {READ_S:.0f} s") from None
        except ClientDisconnect:
            raise RefusedError(400, "the client has gone") from None
        if not any(parts):
            raise RefusedError(400, "the body is empty", HOW)
        return b"".join(parts)

    async def _collect(self, request: Request, parts: list[bytes]) -> None:
        size = 0
        async for part in request.stream():
            parts.append(part)
            self.held += len(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise _too_large()
            if self.held > MAX_HELD_BYTES:
                raise RefusedError(503, "too many requests are waiting", "Try again in a second.")

    async def predict(self, files: Sequence[bytes]) -> list[dict[str, Any]]:
        """The answer to each file.

        Raises:
            RefusedError: too much waits, or the process of the model has ended.
        """
        if self.worker.waiting + len(files) > MAX_WAITING:
            raise RefusedError(503, f"{self.worker.waiting} images are waiting already", "Try again in a second.")
        try:
            future = self.worker.predict(files)
            frame = await asyncio.wait_for(asyncio.wrap_future(future), ANSWER_S)
        except LostError as error:
            raise RefusedError(503, error.message, error.hint) from None
        except TimeoutError:
            self.worker.kill()
            raise RefusedError(503, f"the model did not answer within {ANSWER_S:.0f} s; it is started again") from None
        found: list[dict[str, Any]] = frame["answers"]
        return found


HOW = 'Send the bytes of a JPEG, PNG or WebP file: curl --data-binary @photo.jpg, or JSON: {"instances": [{"b64": "..."}]}.'


def _too_large() -> RefusedError:
    return RefusedError(413, f"the body is larger than {MAX_BODY_BYTES // 1024**2} MB")


async def predict(request: Request) -> Response:
    """``POST /predict``: the bytes of an image, or JSON as TensorFlow Serving takes it."""
    serving: Serving = request.app.state.serving
    started, parts = time.perf_counter(), list[bytes]()
    try:
        top_k, body = _top_k(request), await serving.body(request, parts)
        if is_served_format(body):
            files, one = [body], True
        else:
            files, one = await run_in_threadpool(instances_of, body), False
        answers = await serving.predict(files)
        serving.metrics.predicted(answers, time.perf_counter() - started)
        return _sent(answers, top_k, one)
    except RefusedError as refused:
        return refused.response()
    finally:
        serving.held -= sum(map(len, parts))


def _top_k(request: Request) -> int:
    text = request.query_params.get("top_k", str(TOP_K))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) < 10**8):
        raise RefusedError(400, f"top_k must be a whole number from 1 up, got {text[:40]!r}")
    return int(text)


def _sent(answers: Sequence[dict[str, Any]], top_k: int, one: bool) -> Response:
    failed = next((answer["failed"] for answer in answers if "failed" in answer), None)
    if failed is not None:
        return JSONResponse({"error": f"the model failed: {failed}", "hint": ""}, 500)
    refused = [(place, answer["refused"]) for place, answer in enumerate(answers) if "refused" in answer]
    if refused:
        place, reason = refused[0]
        where = "the image" if one else f"instance {place}"
        problems = [{"instance": at, "message": why} for at, why in refused]
        return RefusedError(422, f"{where} can't be used: {reason}", problems=problems).response()
    shown = [shortened({name: value for name, value in answer.items() if name != "batch"}, top_k) for answer in answers]
    return JSONResponse(shown[0] if one else {"predictions": shown}, headers={"cache-control": "no-store"})


def instances_of(body: bytes) -> list[bytes]:
    """The files of a JSON body: ``{"instances": [{"b64": "..."}]}``; each may lie below a name, as for a SavedModel of pipekit:
    ``{"instances": [{"image_bytes": {"b64": "..."}}]}``.

    Raises:
        RefusedError: it is not that.
    """
    if not body.lstrip()[:1] == b"{":
        raise RefusedError(415, "the body is neither a JPEG, PNG or WebP file nor JSON", HOW)
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body begins as JSON and is none", HOW) from None
    listed = given.get("instances")
    if not isinstance(listed, list) or not listed:
        raise RefusedError(400, "expected a list of images as 'instances'", HOW)
    if len(listed) > MAX_IMAGES:
        raise RefusedError(413, f"{len(listed)} instances; a request has at most {MAX_IMAGES}", "Send several requests.")
    return [_instance(place, one) for place, one in enumerate(listed)]


def _instance(place: int, given: Any) -> bytes:
    if isinstance(given, dict) and len(given) == 1 and isinstance(next(iter(given.values())), dict):
        given = next(iter(given.values()))
    text = given.get("b64") if isinstance(given, dict) and len(given) == 1 else None
    if not isinstance(text, str):
        raise RefusedError(400, f'instance {place}: expected {{"b64": "..."}}, the base64 text of a file', HOW)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(400, f"instance {place}: its b64 is not base64 (RFC 4648, with padding)") from None


def healthz(request: Request) -> Response:
    """For probes: whether the model can predict."""
    ready = request.app.state.serving.worker.ready
    return JSONResponse({"status": "ok" if ready else "the model is being opened"}, 200 if ready else 503)


def metrics(request: Request) -> Response:
    text = request.app.state.serving.metrics.text()
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


def model(request: Request) -> Response:
    """What the model is: its classes, its input size, its task."""
    return JSONResponse(request.app.state.serving.worker.facts, headers={"cache-control": "no-store"})


def openapi(request: Request) -> Response:
    return JSONResponse(document(str(request.base_url).rstrip("/"), request.app.state.needs_token))


def _wrong_address(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    message = "there is no such address" if status == 404 else f"{request.method} is not allowed here"
    return JSONResponse({"error": message, "hint": "GET /openapi.json lists the addresses."}, status)


def _broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the server made a mistake; its output says which", "hint": ""}, 500)


OPEN = ("/", "/healthz", "/openapi.json", *(f"/static/{name}" for name in STATIC))
"""Addresses that need no token: they say nothing about the model."""


def application(worker: Worker, needs_token: bool = False) -> Starlette:
    """All addresses, without the guard."""
    routes = [
        Route("/", page),
        Route("/predict", predict, methods=["POST"]),
        Route("/v1/models/{name}:predict", predict, methods=["POST"]),
        Route("/model", model),
        Route("/healthz", healthz),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        *(Route(f"/static/{name}", static(name)) for name in STATIC),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _wrong_address, Exception: _broken})
    app.state.serving, app.state.needs_token = Serving(worker), needs_token
    return app
