"""Requests about jobs and runs: start, follow and stop a command; what runs there are, and their reports."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipekit.commands import pipeline_edit
from pipekit.commands.variants import content_hash
from pipekit.errors import UserError
from pipekit.studio import jobs
from pipekit.studio.answers import answered, asked, problem, project_of
from pipekit.studio.project import Project
from pipekit.studio.words import templates_of, words_of

WITH_EVENTS = ("train", "run", "embed", "evaluate", "augment")
"""Commands that print events with ``--json``."""

WAIT_S = 1.0
"""A request for events is answered after this at the latest. A browser opens six connections to a server, so none is held."""

REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A report has its own policy: its page runs its script, and may ask this server for nothing."""


def pipeline(project: Project, request: Request) -> Any:
    """The files of decisions that the pipeline file does not read, and the hash of its content."""
    file = project.source.file
    if file is None:
        return {"ignored": [], "known": ""}
    ignored = [pipeline_edit.FILES[param] for param in pipeline_edit.ignored_decisions(file)]
    return {"ignored": ignored, "known": content_hash(file)}


def read_decisions(project: Project, request: Request, given: dict[str, Any]) -> Any:
    if project.source.file is None:
        raise UserError("there is no pipeline file")
    return {"added": pipeline_edit.read_decisions(project.source.file, str(given["known"]))}


def templates(project: Project, request: Request) -> Any:
    return [{"name": one.name, "summary": one.summary} for one in templates_of(project)]


def command(project: Project, request: Request, given: dict[str, Any]) -> Any:
    """What :func:`start` would run, for a person to copy."""
    return {"words": words_of(project, given)}


def start(project: Project, request: Request, given: dict[str, Any]) -> Any:
    words = words_of(project, given)
    running = [job for job in jobs.known(project.state / "jobs") if job.running]
    if any(job.facts["words"] == words for job in running):
        raise UserError("this command is running already", "Wait for it, or stop it.")
    shown = [*words, "--json"] if words[0] in WITH_EVENTS else words
    job = jobs.start(project.state / "jobs", words[0], words, project.source.base, shown)
    return job.described()


def listed(project: Project, request: Request) -> Any:
    return [job.described() for job in jobs.known(project.state / "jobs")]


def stop(project: Project, request: Request, given: dict[str, Any]) -> Any:
    job = _job(project, request)
    job.stop()
    return job.described()


def _job(project: Project, request: Request) -> jobs.Job:
    job = jobs.job_of(project.state / "jobs", request.path_params["job"])
    if job is None:
        raise UserError("there is no such job")
    return job


async def events(request: Request) -> Response:
    """The events after an offset, as soon as there are any."""
    project = project_of(request)
    try:
        job, offset = _job(project, request), int(request.query_params.get("from", "0"))
    except (UserError, ValueError) as error:
        return problem(str(error), "", 404)
    for _ in range(int(WAIT_S / 0.1)):
        running = await run_in_threadpool(lambda: job.described()["running"])
        lines, after = await run_in_threadpool(job.read, offset)
        if lines or not running or "wait" not in request.query_params:
            break
        await asyncio.sleep(0.1)
    found = {"lines": lines, "next": after, "running": running, "errors": "" if running or lines else job.errors}
    return JSONResponse(found, headers={"cache-control": "no-store"})


def runs(project: Project, request: Request) -> Any:
    return project.runs()


def report(project: Project, request: Request) -> Response:
    name = request.path_params["run"]
    if not any(run["name"] == name and run["report"] for run in project.runs()):
        return problem("there is no such report", "", 404)
    data = (project.source.base / "runs" / name / "report.html").read_bytes()
    headers = {"content-security-policy": REPORT_POLICY, "cache-control": "no-store"}
    return Response(data, media_type="text/html", headers=headers)


ROUTES = [
    Route("/api/jobs", answered(listed)),
    Route("/api/jobs", asked(start), methods=["POST"]),
    Route("/api/command", asked(command), methods=["POST"]),
    Route("/api/jobs/{job}/stop", asked(stop), methods=["POST"]),
    Route("/api/jobs/{job}/events", events),
    Route("/api/pipeline", answered(pipeline)),
    Route("/api/pipeline/decisions", asked(read_decisions), methods=["POST"]),
    Route("/api/templates", answered(templates)),
    Route("/api/runs", answered(runs)),
    Route("/runs/{run}/report", answered(report)),
]
