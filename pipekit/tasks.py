"""Tasks: what a dataset states of each image (one class, several labels, or a number), and which components support which."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from math import isfinite
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


Check = Callable[[str, Any], Iterable[tuple[str, str]]]
"""A function from a task and a stage's parameters to those that don't fit it: the parameter's name, and a message."""


def supports(
    *tasks: str, why: Mapping[str, str] | None = None, check: Check | None = None, keeps: bool = True
) -> Callable[[F], F]:
    """Mark a stage by the tasks of the datasets, models and reports that it accepts. A stage without the mark accepts classes.

    Args:
        why: for tasks that it can't support, the reason, and what to do instead.
        check: called when a pipeline file is read, before anything runs, for any task but classes that the file states.
        keeps: whether what the stage makes has the task of its inputs.

    >>> @supports("classes", "multilabel")
    ... def count(): ...
    >>> supported_by(count)
    ('classes', 'multilabel')
    """
    if unknown := [name for name in tasks if name not in TASKS]:
        raise ValueError(f"unknown task {unknown[0]!r}; the tasks are {', '.join(TASKS)}")

    def mark(function: F) -> F:
        function.__pipekit_tasks__ = tasks  # type: ignore[attr-defined]
        function.__pipekit_why__ = why or {}  # type: ignore[attr-defined]
        function.__pipekit_check__ = check  # type: ignore[attr-defined]
        function.__pipekit_keeps__ = keeps  # type: ignore[attr-defined]
        return function

    return mark


def supported_by(component: Any) -> tuple[str, ...]:
    """The tasks that a component accepts: by :func:`supports`, or by ``TASKS`` of an exporter's module."""
    found: Iterable[str] = getattr(component, "__pipekit_tasks__", getattr(component, "TASKS", (CLASSES,)))
    return tuple(found)


def reasons_of(component: Any) -> Mapping[str, str]:
    """Why a component can't support a task, by task: see :func:`supports`."""
    found: Mapping[str, str] = getattr(component, "__pipekit_why__", {})
    return found


def check_of(component: Any) -> Check:
    """The check of a stage's parameters by task: see :func:`supports`."""
    return getattr(component, "__pipekit_check__", None) or (lambda task, params: ())


def keeps_task(component: Any) -> bool:
    """Whether what a stage makes has the task of its inputs: see :func:`supports`."""
    return bool(getattr(component, "__pipekit_keeps__", True))


def require(who: str, task: str, tasks: Collection[str], why: Mapping[str, str] | None = None) -> None:
    """The one gate by task: every stage, exporter and command passes it before it does anything.

    Args:
        why: the reason for tasks that are never supported.

    Raises:
        UserError: ``who`` does not support the task.
    """
    if task not in tasks:
        if reason := (why or {}).get(task):
            raise UserError(f"{who} does not support {TASKS.get(task, task)} (task {task!r}): {reason}")
        supported = " and ".join(TASKS[name] for name in TASKS if name in tasks)
        raise UserError(
            f"{who} does not support {TASKS.get(task, task)} yet (task {task!r})",
            f"It supports {supported}." if supported else "",
        )


def require_inputs(who: str, inputs: Iterable[Any], tasks: Collection[str], why: Mapping[str, str] | None = None) -> None:
    """:func:`require` for each artifact among a stage's inputs."""
    for found in inputs:
        for artifact in found if isinstance(found, tuple) else (found,):
            if artifact is not None:
                require(who, task_of(artifact), tasks, why)


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


# --- the label of a sample as a person writes it: corrections files --------------------------------------------------------


def written(sample: Sample) -> str | None:
    """What a sample is labelled with, as a corrections file has it: ``cat``, ``cat|indoor``, ``12.5``; None if unlabelled."""
    if sample.labels is not None:
        return several_as_text(sample.labels)
    return sample.label if sample.value is None else repr(sample.value)


def several_as_text(labels: Iterable[str]) -> str:
    """Several labels in one text: sorted, with ``|`` between them; ``[]`` for none, and a list in JSON if that were ambiguous.

    >>> several_as_text(["indoor", "cat"]), several_as_text([]), several_as_text(["a|b"])
    ('cat|indoor', '[]', '["a|b"]')
    """
    found = sorted({*labels})
    plain = found and all(name and "|" not in name and name == name.strip() for name in found) and not found[0].startswith("[")
    return "|".join(found) if plain else json.dumps(found, ensure_ascii=False)


def label_from(text: str, task: str) -> dict[str, Any]:
    """The fields of a sample that a text labels: ``label``, ``labels`` or ``value``.

    >>> label_from("indoor|cat", "multilabel"), label_from("12.50", "number")
    ({'labels': ('cat', 'indoor')}, {'value': 12.5})

    Raises:
        ValueError: it is none of the task, with what was expected.
    """
    if task == MULTILABEL:
        return {"labels": _several_from(text)}
    if task != NUMBER:
        return {"label": text}
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not isfinite(value):
        raise ValueError(f"{text!r} is no finite number")
    return {"value": value}


def _several_from(text: str) -> tuple[str, ...]:
    if not text.startswith("["):
        found: Any = [part.strip() for part in text.split("|")]
    else:
        try:
            found = json.loads(text)
        except ValueError:
            found = None
    if not isinstance(found, list) or not all(isinstance(name, str) and name for name in found):
        raise ValueError(f"{text!r} is no list of labels: expected 'a|b', or '[]' for none")
    return tuple(sorted({*found}))


def canonical(text: str, task: str) -> str:
    """The same label in the one text that :func:`written` has for it; "" stays "", which is no label.

    Raises:
        ValueError: as :func:`label_from`.
    """
    if not text or task not in (MULTILABEL, NUMBER):
        return text
    fields = label_from(text, task)
    return several_as_text(fields["labels"]) if task == MULTILABEL else repr(fields["value"])


def classes_in(text: str, task: str) -> tuple[str, ...]:
    """The classes or labels that a text of :func:`written` names."""
    if not text or task == NUMBER:
        return ()
    return _several_from(text) if task == MULTILABEL else (text,)
