"""Tasks in a plan: what an import states of each image, followed through the stages; what doesn't fit is listed early."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.errors import UserError
from pipekit.tasks import CLASSES, MULTILABEL, TASKS, check_of, keeps_task, reasons_of, require, supported_by

if TYPE_CHECKING:
    from pipekit.pipeline.plan import PlannedStage
    from pipekit.pipeline.toml_lines import Place

FROM = ("boxes", "copies")
"""Values of ``labels_from`` that make several labels for each image."""


def task_problems(
    stages: Mapping[str, PlannedStage], order: Sequence[str], tables: Mapping[str, Any]
) -> Iterator[tuple[Place, str, str]]:
    """Stages and parameters that don't fit the task of their inputs: place, message and hint.

    Only what the file states counts: ``task`` or ``labels_from`` of a stage without inputs. Where the data decide, the stage
    itself refuses when it starts.

    Args:
        tables: the stages as the file has them: those of an import with another mistake state its task too.
    """
    tasks: dict[str, str] = {}
    for name in order:
        stage = stages[name]
        function = stage.component.load()
        of_inputs = {tasks.get(source, "") for sources in stage.inputs.values() for source in sources}
        valid = isinstance(stage.params, stage.contract.params_type)  # an invalid one has a stand-in
        if stage.inputs:
            task = of_inputs.pop() if len(of_inputs) == 1 else ""
        else:
            task = stated_by(vars(stage.params) if valid else tables[name])
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


def stated_by(params: Mapping[str, Any]) -> str:
    """The task that the parameters of an import state; "" for classes and where they state none."""
    if params.get("labels_from") in FROM:
        return MULTILABEL
    task = params.get("task")
    return task if isinstance(task, str) and task in TASKS and task != CLASSES else ""
