"""Tasks: what a dataset states of each image (one class, several labels, or a number), and which components support which."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipekit.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from pipekit.artifacts import Artifact, Sample

F = TypeVar("F", bound=Callable[..., Any])

CLASSES: Final = "classes"
MULTILABEL: Final = "multilabel"
NUMBER: Final = "number"

TASKS: Mapping[str, str] = {
    CLASSES: "one class for each image",
    MULTILABEL: "several labels for each image",
    NUMBER: "a number for each image",
}
"""The tasks, with the words of messages."""

OF_MODELS: Mapping[str, str] = {CLASSES: "classification", MULTILABEL: MULTILABEL, NUMBER: "regression"}
"""How ``model.json`` and ``metrics.json`` name a task."""

DESCRIBED_IN = ("model.json", "metrics.json")
"""Files of a model and of a report that state their task."""


def supports(*tasks: str) -> Callable[[F], F]:
    """Mark a stage by the tasks of the datasets, models and reports that it accepts. A stage without the mark accepts classes.

    >>> @supports("classes", "multilabel")
    ... def count(): ...
    >>> supported_by(count)
    ('classes', 'multilabel')
    """
    if unknown := [name for name in tasks if name not in TASKS]:
        raise ValueError(f"unknown task {unknown[0]!r}; the tasks are {', '.join(TASKS)}")

    def mark(function: F) -> F:
        function.__pipekit_tasks__ = tasks  # type: ignore[attr-defined]
        return function

    return mark


def supported_by(component: Any) -> tuple[str, ...]:
    """The tasks that a component accepts: by :func:`supports`, or by ``TASKS`` of an exporter's module."""
    found: Iterable[str] = getattr(component, "__pipekit_tasks__", getattr(component, "TASKS", (CLASSES,)))
    return tuple(found)


def require(who: str, task: str, tasks: Collection[str]) -> None:
    """The one gate by task: every stage, exporter and command passes it before it does anything.

    Raises:
        UserError: ``who`` does not support the task.
    """
    if task not in tasks:
        supported = " and ".join(TASKS[name] for name in TASKS if name in tasks)
        raise UserError(
            f"{who} does not support {TASKS.get(task, task)} yet (task {task!r})",
            f"It supports {supported}." if supported else "",
        )


def require_inputs(who: str, inputs: Iterable[Any], tasks: Collection[str]) -> None:
    """:func:`require` for each artifact among a stage's inputs."""
    for found in inputs:
        for artifact in found if isinstance(found, tuple) else (found,):
            if artifact is not None:
                require(who, task_of(artifact), tasks)


def task_of(artifact: Artifact) -> str:
    """The task of a dataset, of a model or of a report: by its ``meta``, else by the file that describes it."""
    stated = artifact.meta.get("task")
    if stated in TASKS:
        return str(stated)
    return task_in(artifact.path) if artifact.kind in ("model", "report") else CLASSES


def task_in(folder: Path) -> str:
    """The task of the model or the report in a folder; classes if it states none, as an autoencoder does."""
    for name in DESCRIBED_IN:
        try:
            described = json.loads((folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(described, dict) and (task := task_named(described.get("task"))):
            return task
    return CLASSES


def task_named(name: Any) -> str:
    """The task that ``model.json`` or ``metrics.json`` calls ``name``; "" for none of them."""
    return next((task for task, said in OF_MODELS.items() if name in (said, task)), "")


# --- the label of a sample as one text -----------------------------------------------------------------------------------


def stated(sample: Sample) -> str | None:
    """What a sample is labelled with as one text, for columns and tables; None if it is unlabelled.

    A class as it is, several labels as a list in JSON, a number in its shortest form.
    """
    if sample.labels is not None:
        return json.dumps(sample.labels, ensure_ascii=False)
    return sample.label if sample.value is None else repr(sample.value)


def labels_in(text: str | None) -> tuple[str, ...] | None:
    """The several labels that :func:`stated` wrote."""
    return None if text is None else tuple(json.loads(text))
