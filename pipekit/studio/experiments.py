"""Requests about trainings before and after they run: what one will take, several compared, a model's check of a recipe."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipekit.commands.check_augmentation import model_of_check
from pipekit.commands.compare import compared_in
from pipekit.commands.training_cost import amount_of, probes_of, summary_words, training_cost
from pipekit.errors import UserError
from pipekit.files import plain_rows
from pipekit.studio.answers import answered, asked, problem
from pipekit.studio.project import Project
from pipekit.studio.words import known_run, remeasured, training_values, words_of
from pipekit.studio.work import REPORT_POLICY

MOST_RUNS = 8
"""Runs that one comparison takes."""

MOST_SHOWN = 12
"""Images on each side of a comparison; its own page has more."""

CHECKED = "augment-check"
"""The run that `pipekit augment --check` writes."""


def cost(project: Project, request: Request, given: dict[str, Any]) -> Any:
    """What the training of a form will take; the page asks again until it is estimated."""
    values = training_values(project, given)
    amount = amount_of(*project.labels_and_splits(), project.registry)
    by_layers, options = bool(given.get("by_layers")), project.options
    size, epochs = values.get("input"), values.get("epochs")
    key = f"cost {project.catalog.address} {amount} {values.get('model')} {size} {epochs} {by_layers}"
    call = (values["model"], amount, probes_of(project.catalog), size, epochs, by_layers, options.plugins, options.disable)
    if not project.aside.has(key):
        project.aside.ask(key, training_cost, *call)
    if not project.aside.done(key):
        return {"state": "working"}
    found = project.aside.result(key)
    numbers = {name: getattr(amount, name) for name in ("images", "train", "val", "is_divided")}
    words = summary_words(values["model"], found["hw"], amount.classes, options.words)
    return {"state": "ready", **found, **numbers, "words": words}


# --- several runs --------------------------------------------------------------------------------------------------------


def _chosen(project: Project, request: Request) -> list[str]:
    """The runs of an address, in its order; each once.

    Raises:
        UserError: fewer than two, more than :data:`MOST_RUNS`, or one has no report.
    """
    names = list(dict.fromkeys(known_run(project, name, "report") for name in request.query_params.getlist("run")))
    if not 2 <= len(names) <= MOST_RUNS:
        raise UserError(f"expected 2 to {MOST_RUNS} runs to compare, got {len(names)}")
    return names


def _comparison_key(project: Project, names: list[str]) -> str:
    runs = project.source.base / "runs"
    return f"compare {[(name, (runs / name / 'run.json').stat().st_mtime_ns) for name in names]}"


def compare(project: Project, request: Request) -> Any:
    """The verdicts, and each run's figure with its interval; the page asks again until they are computed."""
    names = _chosen(project, request)
    words = ["compare", *(f"runs/{name}" for name in names), *project.options.words]
    key, options = _comparison_key(project, names), project.options
    if not project.aside.has(key):
        runs = tuple(f"runs/{name}" for name in names)
        project.aside.ask(key, compared_in, str(project.source.base.absolute()), runs, options.plugins, options.disable)
    if not project.aside.done(key):
        return {"state": "working", "words": words}
    found = project.aside.result(key)
    models = [_figure(one) for one in found.data["models"]]
    pairs = [_pair(project, pair) for pair in found.data["pairs"]]
    return {"state": "ready", "words": words, "models": models, "pairs": pairs}


def _pair(project: Project, pair: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict, and the rows of the images that are open which only one of the two models gets right."""
    shown = {name: pair.get(name) for name in ("first", "other", "verdict", "num_images", "gained", "lost", "groups")}
    rows = project.catalog.rows
    changed = [
        (rows[one["id"]], bool(one["gained"])) for one in pair.get("changed", ()) if one["id"] in rows and "gained" in one
    ]
    for name, wanted in (("only_other", True), ("only_first", False)):
        shown[name] = [row for row, gained in changed if gained == wanted][:MOST_SHOWN]
    return shown


def _figure(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's name, its figure, and the ends of the 95 % interval; None where there is none."""
    metric = next(name for name in model if name != "name")
    value = model[metric] if isinstance(model[metric], Mapping) else {"value": model[metric]}
    return {"name": model["name"], "metric": metric, **{name: value.get(name) for name in ("value", "low", "high")}}


def comparison_page(project: Project, request: Request) -> Response:
    """The page that ``pipekit compare`` writes."""
    key = _comparison_key(project, _chosen(project, request))
    if not project.aside.has(key) or not project.aside.done(key):
        return problem("these runs are not compared yet", "Open the page Compare.", 404)
    return _own_page(project.aside.result(key).page.encode())


def _own_page(data: bytes) -> Response:
    headers = {"content-security-policy": REPORT_POLICY, "cache-control": "no-store"}
    return Response(data, media_type="text/html", headers=headers)


# --- before and after corrections ----------------------------------------------------------------------------------------


def again(project: Project, request: Request) -> Any:
    """The steps from a run to its paired comparison with a training on the corrected labels: commands, and which are done;
    or the reason why this run has none."""
    before = known_run(project, request.query_params.get("run", ""), "model")
    after, measured = f"{before}-again", remeasured(before)
    decided = [path for path in (project.edits.corrections, project.edits.quarantine) if path.is_file()]
    newest = max((path.stat().st_mtime_ns for path in decided), default=0)
    trained = _newer(project, after, newest)
    found = {"before": before, "after": after, "measured": measured, **_numbers(project)}
    try:
        words = words_of(project, {"kind": "again", "run": before})
    except UserError as error:
        return {**found, "steps": [], "reason": f"{error.message}. {error.hint}"}
    steps = [{"kind": "again", "words": words, "done": trained}]
    steps.append({"kind": "remeasure", "words": [], "done": False})  # its command names a dataset of the first step
    if trained:
        words = words_of(project, {"kind": "remeasure", "run": before, "on": after})
        since = (project.source.base / "runs" / after / "run.json").stat().st_mtime_ns
        steps[1] = {"kind": "remeasure", "words": words, "done": _newer(project, measured, since)}
    return {**found, "steps": steps, "reason": ""}


def _numbers(project: Project) -> dict[str, int]:
    marks = project.marks(project.catalog)
    return {"relabelled": len(marks["labels"]), "left_out": len(marks["left_out"])}


def _newer(project: Project, run: str, than: int) -> bool:
    """Whether a run has a report that is newer than a file."""
    folder: Path = project.source.base / "runs" / run
    try:
        return (folder / "report.html").is_file() and (folder / "run.json").stat().st_mtime_ns > than
    except OSError:
        return False


# --- the check of a recipe -----------------------------------------------------------------------------------------------


def check(project: Project, request: Request) -> Any:
    """What the last check found: a row for each op and strength, as in ``augment_check.csv``, and the run of its model."""
    folder = project.source.base / "runs" / CHECKED
    try:
        with (folder / "augment_check.csv").open(encoding="utf-8", newline="") as file:
            rows = list(plain_rows(csv.DictReader(file)))
        at = (folder / "run.json").stat().st_mtime_ns
    except (OSError, csv.Error):
        return {"rows": [], "at": 0}
    runs = [run["name"] for run in project.runs() if run["model"]]
    return {"rows": rows, "at": at, "headline": _headline(folder), "model": model_of_check(project.source.base, CHECKED, runs)}


def _headline(folder: Path) -> str:
    import json

    try:
        return str(json.loads((folder / "run.json").read_text("utf-8")).get("headline", ""))
    except (OSError, ValueError):
        return ""


def check_page(project: Project, request: Request) -> Response:
    """The page that ``pipekit augment --check`` writes."""
    try:
        return _own_page((project.source.base / "runs" / CHECKED / "augment_check.html").read_bytes())
    except OSError:
        return problem("no recipe was checked yet", "Check one on the page Recipe.", 404)


ROUTES = [
    Route("/api/cost", asked(cost), methods=["POST"]),
    Route("/api/compare", answered(compare)),
    Route("/api/again", answered(again)),
    Route("/api/check", answered(check)),
    Route("/compared", answered(comparison_page)),
    Route("/checked", answered(check_page)),
]
