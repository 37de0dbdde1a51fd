"""Answers that several pages need: JSON, numbers, errors, and the values of a request."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipekit.commands.variants import ChangedError
from pipekit.errors import PipekitError, PlanError, UserError
from pipekit.studio.edits import ConflictError
from pipekit.studio.project import GoneError, Project

FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
"""For addresses with the digest of what they show."""

MAX_BODY_BYTES = 1024 * 1024

Handler = Callable[[Request], Awaitable[Response]]


def project_of(request: Request) -> Project:
    found: Project = request.app.state.project
    return found


def answered(work: Callable[[Project, Request], Any]) -> Handler:
    """A GET request: ``work`` runs in a thread; its value is sent as JSON, or as it is if it is a response."""

    async def handle(request: Request) -> Response:
        return await _sent(lambda: work(project_of(request), request))

    return handle


def asked(work: Callable[[Project, Request, dict[str, Any]], Any]) -> Handler:
    """A POST request with a JSON object."""

    async def handle(request: Request) -> Response:
        body = await body_of(request, MAX_BODY_BYTES)
        if body is None:
            return problem("the request is too large", "", 413)
        try:
            given = json.loads(body)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            return problem("expected a JSON object", "", 400)
        return await _sent(lambda: work(project_of(request), request, given))

    return handle


async def body_of(request: Request, most: int) -> bytes | None:
    """The body; None if it is larger than ``most`` bytes, of which no more are read."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)


async def _sent(work: Callable[[], Any]) -> Response:
    try:
        found = await run_in_threadpool(work)
    except (GoneError, ConflictError, ChangedError) as error:
        return problem(error.message, error.hint, 410 if isinstance(error, GoneError) else 409)
    except PlanError as error:
        listed = [{"path": one.path, "message": one.message, "hint": one.hint} for one in error.problems]
        return JSONResponse({"message": error.message, "hint": error.hint, "problems": listed}, 422)
    except PipekitError as error:
        return problem(error.message, error.hint, 422)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return problem(f"a value of the request is missing or wrong: {type(error).__name__}: {error}", "", 400)
    except OSError as error:
        return problem(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "", 500)
    return found if isinstance(found, Response) else JSONResponse(found, headers={"cache-control": "no-store"})


def problem(message: str, hint: str, status: int) -> Response:
    return JSONResponse({"message": message, "hint": hint}, status, headers={"cache-control": "no-store"})


def row_numbers(values: Sequence[Any], count: int, most: int = 2000) -> list[int]:
    """Row numbers of a request.

    Raises:
        UserError: they are too many, or one is no row.
    """
    rows = [int(value) for value in values]
    if len(rows) > most or not all(0 <= row < count for row in rows):
        raise UserError(f"expected at most {most} rows of {count}")
    return rows
