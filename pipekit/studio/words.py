"""The commands that the studio runs and shows: a request chooses among them, and gives no path and no option."""

from __future__ import annotations

import re
from typing import Any

from pipekit.commands.again import measured_on, record_of, refuse_to_run_again, training_words
from pipekit.commands.models import models
from pipekit.errors import PlanError, Problem, UserError
from pipekit.studio.edits import CORRECTIONS, QUARANTINE
from pipekit.studio.mapping import embed_words
from pipekit.studio.project import Project

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
"""A name of a run or a recipe: it is no path."""


def templates_of(project: Project) -> list[Any]:
    return list(models(plugins=project.options.plugins, disable=project.options.disable))


def words_of(project: Project, given: dict[str, Any]) -> list[str]:
    """The command line of a job. The request chooses among what the studio offers; it gives no path and no option.

    Raises:
        UserError: a value is none of these.
    """
    kind = given.get("kind")
    if kind == "inspect":
        out = str(project.inspection.parent)
        return ["inspect", *project.source.words, *decided(project, CORRECTIONS), *project.options.words, "--out", out]
    if kind == "embed":
        return embed_words(project)
    if kind == "run" and project.source.file is not None:
        return ["run", project.source.file.name, *project.options.words]
    if kind == "train":
        return [*_train(project, given), *project.options.words]
    if kind in AFTER_A_RUN:
        return [*AFTER_A_RUN[kind](project, given), *project.options.words]
    raise UserError(f"no job is called {kind!r}")


BOUNDS = {"epochs": (1, 10_000), "input": (8, 2048), "seed": (0, 2**31)}
"""Numbers of the form of a training."""


def training_values(project: Project, given: dict[str, Any]) -> dict[str, Any]:
    """The values of the form of a training that are set; ``model`` always is.

    Raises:
        PlanError: with the field of each value that is wrong.
    """
    values: dict[str, Any] = {"model": str(given.get("model") or "auto")}
    wrong = []
    if values["model"] != "auto" and values["model"] not in [one.name for one in templates_of(project)]:
        wrong.append(Problem("model", f"no model template is called {values['model']!r}", "Choose one of the list."))
    for name, (low, high) in BOUNDS.items():
        if given.get(name) in (None, ""):
            continue
        try:
            values[name] = int(given[name])
        except (TypeError, ValueError):
            values[name] = None
        if values[name] is None or not low <= values[name] <= high:
            unit = " px" if name == "input" else ""
            wrong.append(Problem(name, f"expected a whole number from {low} to {high:,}{unit}, got {given[name]!r}"))
    for name in ("ops", "name"):
        if given.get(name):
            try:
                values[name] = named(given[name])
            except UserError as error:
                wrong.append(Problem(name, error.message, error.hint))
    if wrong:
        raise PlanError(wrong, "the form")
    return values


def _train(project: Project, given: dict[str, Any]) -> list[str]:
    values = training_values(project, given)
    words = ["train", *project.source.words, "--model", values["model"]]
    for name in ("epochs", "seed"):
        words += [f"--{name}", str(values[name])] if name in values else []
    if "input" in values:
        words += ["--input", f"{values['input']}x{values['input']}"]
    if "ops" in values:
        words += ["--ops", f"recipes/{values['ops']}.toml"]
    if "name" in values:
        words += ["--name", values["name"]]
    return [*words, *decided(project, CORRECTIONS), *decided(project, QUARANTINE)]


def decided(project: Project, name: str) -> list[str]:
    """The option for a file of decisions, if there is one."""
    option = {CORRECTIONS: "--corrections", QUARANTINE: "--exclude"}[name]
    return [option, name] if (project.source.base / name).is_file() else []


def named(value: Any) -> str:
    """A name of a run.

    Raises:
        UserError: it could be a path or an option.
    """
    if not NAME.fullmatch(str(value)):
        raise UserError(
            f"{value!r} is no name", "Letters, digits, dots, hyphens and underscores; it begins with a letter or digit."
        )
    return str(value)


# --- commands about a run ------------------------------------------------------------------------------------------------


def known_run(project: Project, name: Any, has: str) -> str:
    """A run with a model, or with a report.

    Raises:
        UserError: there is no such run.
    """
    if not any(run["name"] == name and run[has] for run in project.runs()):
        raise UserError(f"there is no run with a {has} of that name", "Train one, or reload the page.")
    return str(name)


def _check(project: Project, given: dict[str, Any]) -> list[str]:
    """How much each op of a recipe lowers a model's accuracy."""
    run = known_run(project, given.get("run"), "model")
    images = measured_on(record_of(project.source.base, run), run)
    return ["augment", images, "--check", f"runs/{run}", "--ops", f"recipes/{named(given.get('ops') or '')}.toml"]


def _again(project: Project, given: dict[str, Any]) -> list[str]:
    """The training of a run with what was decided since."""
    base = project.source.base
    run = known_run(project, given.get("run"), "model")
    record, file = record_of(base, run), project.source.file
    name = ["--name", named(f"{run}-again")]
    if file is not None and record.get("file") == file.name:
        refuse_to_run_again(record, file)
        return ["run", file.name, *name]
    options = training_words(record, base, project.registry)
    return ["train", *project.source.words, *options, *name, *decided(project, CORRECTIONS), *decided(project, QUARANTINE)]


def _remeasure(project: Project, given: dict[str, Any]) -> list[str]:
    """The model from before on the images and labels that the model from after was measured on."""
    before, after = (known_run(project, given.get(name), has) for name, has in (("run", "model"), ("on", "report")))
    images = measured_on(record_of(project.source.base, after), after)
    return ["evaluate", f"runs/{before}", images, "--name", remeasured(before)]


def remeasured(run: str) -> str:
    """The run with the report of an earlier model on corrected labels."""
    return f"{run}-corrected"


AFTER_A_RUN = {"check": _check, "again": _again, "remeasure": _remeasure}
