"""Tasks in a plan: what an import states of each image, followed through the stages; what doesn't fit is listed early."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.contract import Dataset
from pipekit.errors import PlanError, Problem, UserError, place_text
from pipekit.tasks import CLASSES, MULTILABEL, TASKS, check_of, keeps_task, reasons_of, require, supported_by, task_of

if TYPE_CHECKING:
    from pipekit.contract import Artifact
    from pipekit.pipeline.plan import Plan, PlannedStage
    from pipekit.pipeline.toml_lines import Place

FROM = ("boxes", "copies")
"""Values of ``labels_from`` that make several labels for each image."""


def task_problems(
    stages: Mapping[str, PlannedStage], order: Sequence[str], tables: Mapping[str, Any], known: Mapping[str, str] | None = None
) -> Iterator[tuple[Place, str, str]]:
    """Stages and parameters that don't fit the task of their inputs: place, message and hint.

    What counts is what the file states: ``task`` or ``labels_from`` of a stage without inputs. Where the data decide,
    :func:`refuse_unfit` does the same after the import.

    Args:
        known: tasks of datasets that are there already, by the name of what made them; "" for classes.
        tables: the stages as the file has them: those of an import with another mistake state its task too.
    """
    tasks: dict[str, str] = dict(known or {})
    for name in order:
        stage = stages[name]
        function = stage.component.load()
        of_inputs = {tasks.get(source, "") for sources in stage.inputs.values() for source in sources}
        valid = isinstance(stage.params, stage.contract.params_type)  # an invalid one has a stand-in
        if stage.inputs:
            task = of_inputs.pop() if len(of_inputs) == 1 else ""
        else:
            task = tasks.get(name) or stated_by(vars(stage.params) if valid else tables[name])
        tasks[name] = task if keeps_task(function) else ""
        if not task or not stage.inputs:
            continue
        try:
            require(f"the stage {stage.use!r}", task, supported_by(function), reasons_of(function))
        except UserError as error:
            yield ("stages", name, "use"), error.message, error.hint
            continue
        if valid:
            for param, message in check_of(function)(task, stage.params):
                yield ("stages", name, param), message, f"The dataset has {TASKS[task]}."


def tasks_of(artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    """The tasks of datasets among artifacts, by name; "" for classes."""
    found = {name: task_of(one) for name, one in artifacts.items() if isinstance(one, Dataset)}
    return {name: "" if task == CLASSES else task for name, task in found.items()}


def refuse_unfit(plan: Plan, made: Mapping[str, Artifact], name: str) -> None:
    """After the import ``name``: list everything in the plan that does not fit the task that its data have.

    Raises:
        PlanError: something does not fit, and the file did not state the task.
    """
    stages = {stage.name: stage for stage in plan.stages}
    known = tasks_of({**plan.given, **made})
    if stages[name].inputs or not known.get(name) or stated_by(vars(stages[name].params)):
        return
    found = [
        Problem(place_text(place), message, hint, plan.line(*place))
        for place, message, hint in task_problems(stages, list(stages), {}, known)
    ]
    if found:
        raise PlanError(found, plan.shown, ran=name)


def stated_by(params: Mapping[str, Any]) -> str:
    """The task that the parameters of an import state; "" for classes and where they state none."""
    if params.get("labels_from") in FROM:
        return MULTILABEL
    task = params.get("task")
    return task if isinstance(task, str) and task in TASKS and task != CLASSES else ""
