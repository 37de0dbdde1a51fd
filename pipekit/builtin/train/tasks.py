"""Train on several labels or on a number: what has to fit the task, the outputs, and what is fitted on val."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.train.compiling import Labels, name_of
from pipekit.builtin.train.feed import Feed
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Call, Dataset, Sample
from pipekit.errors import UserError
from pipekit.learning.conformal import half_width
from pipekit.learning.outputs import Outputs, makes
from pipekit.learning.thresholds import Target, threshold_for
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, TASKS, supported_by

LOSSES = {
    MULTILABEL: ("binary_crossentropy", "binary_focal_crossentropy"),
    NUMBER: ("huber", "mean_squared_error", "mse", "mean_absolute_error", "mae", "log_cosh"),
}
METRICS = {
    MULTILABEL: ("f1", "precision", "recall", "auc", "binary_accuracy"),
    NUMBER: ("mae", "rmse", "mse", "mape", "r2_score", "mean_absolute_error", "mean_squared_error"),
}
DEFAULT = ("accuracy",)
"""The default metrics, which stand for those of the task."""


def check_task(dataset: Dataset, template: Any, params: TrainParams) -> None:
    """Compare task, template, loss, metrics, labels and ops, and list all that does not fit, before TensorFlow is loaded.

    Raises:
        UserError: something does not fit.
    """
    found = [message for _, message in problems_of(dataset.task, template, params)]
    found += _problems_of_data(dataset)
    if found:
        listed = "".join(f"\n    {problem}" for problem in found)
        raise UserError(f"the training does not fit a dataset with {TASKS[dataset.task]}:{listed}")


def problems_of(task: str, template: Any, params: TrainParams) -> Iterator[tuple[str, str]]:
    """Parameters that don't fit a task, whatever the images: the name, and what to do instead."""
    name = params.model.name
    if not getattr(template, "candidates", None) and task not in makes(template):
        yield "model", f"template {name!r}: it makes {TASKS[CLASSES]}; take another, or let its second argument be `outputs`"
    if params.label_mode != "auto":
        yield "label_mode", f"label_mode = {params.label_mode!r}: it is for classes; omit it"
    if params.loss is not None and not _fits(params.loss, LOSSES[task], task):
        yield "loss", f"loss = {name_of(params.loss)!r}: choose one of {', '.join(LOSSES[task])}"
    for metric in params.metrics if params.metrics != DEFAULT else ():
        if not _fits(metric, METRICS[task], task):
            yield "metrics", f"metric {name_of(metric)!r}: choose among {', '.join(METRICS[task])}"
    if params.class_weights == "balanced" and (task == NUMBER or hasattr(template, "fit")):
        what = "numbers have no classes" if task == NUMBER else f"{name!r} is not trained in epochs"
        yield "class_weights", f"class_weights = 'balanced': {what}; omit it"
    if task == NUMBER:
        yield from _problems_of_numbers(params)


def _problems_of_data(dataset: Dataset) -> Iterator[str]:
    if dataset.task == MULTILABEL and len(dataset.classes) < 1:
        yield "labels: no image has one"
    labelled = sum(_is_labelled(sample) for sample in dataset.split("train"))
    if labelled < 2:
        yield f"labels: {labelled} labelled images in the split 'train', and at least 2 are needed (a split stage makes it)"


def _fits(part: Call | str, known: Sequence[str], task: str) -> bool:
    """Whether a loss or metric suits the task; a plugin's says so with ``@pipekit.tasks.supports``."""
    return task in supported_by(part.load()) if isinstance(part, Call) else part.lower() in known


def _problems_of_numbers(params: TrainParams) -> Iterator[tuple[str, str]]:
    from pipekit.recipe.compiled import compile_recipe
    from pipekit.recipe.coordinates import refuse_moving

    for name in ("label_smoothing", "mixup", "cutmix", "mosaic"):
        if getattr(params, name):
            yield name, f"{name}: a number can't be blended; omit it"
    if params.threshold != "f1":
        yield "threshold", f"threshold = {params.threshold!r}: it is for several labels; omit it"
    if params.ops and not params.keep_value:
        try:
            refuse_moving(compile_recipe(params.ops, None).ops)
        except UserError as error:
            yield "ops", f"ops: {error.message}. {error.hint}"


def _is_labelled(sample: Sample) -> bool:
    return sample.labels is not None or sample.value is not None


def outputs_of(dataset: Dataset) -> Outputs:
    """What the model has to make; the mean and the spread of a number are those of the training images."""
    if dataset.task == NUMBER:
        values = [sample.value for sample in dataset.split("train") if sample.value is not None]
        return Outputs.of_number(dataset.value.name, values)
    return Outputs(dataset.task, dataset.classes)


def labels_for(outputs: Outputs, train: NDArray[Any], params: TrainParams) -> Labels:
    """The form of the targets, with the share of each label for its weights.

    Args:
        train: ``(N, C)`` targets of the training images.
    """
    shares: tuple[float, ...] = ()
    if outputs.task == MULTILABEL and params.class_weights == "balanced":
        shares = tuple(float(share) for share in np.asarray(train, np.float64).mean(axis=0))
    return Labels(outputs.task, outputs.names, outputs, shares)


def targets_of(samples: Sequence[Sample], dataset: Dataset) -> NDArray[Any]:
    """``(N, C) float32`` of 0 and 1, or ``(N, 1) float32``; NaN for an unlabelled sample."""
    if dataset.task == NUMBER:
        return np.array([[np.nan if sample.value is None else sample.value] for sample in samples], np.float32).reshape(-1, 1)
    place = {name: number for number, name in enumerate(dataset.classes)}
    table = np.zeros((len(samples), len(place)), np.float32)
    for row, sample in enumerate(samples):
        if sample.labels is None:
            table[row] = np.nan
        else:
            table[row, [place[name] for name in sample.labels]] = 1
    return table


def fit_on_val(model: Any, validation: Feed | None, labels: Labels, params: TrainParams) -> dict[str, Any]:
    """Entries of ``model.json`` that are fitted on val: a threshold for each label, or the width of a number's interval.

    Args:
        model: it takes the feed's batches.
    """
    rows, targets = [], []
    for batch, wanted, _ in validation.epoch(0) if validation is not None else ():
        rows.append(np.asarray(model(batch.astype(np.float32), training=False), np.float64))
        targets.append(np.asarray(wanted, np.float64))
    found, true = (np.concatenate(some) if some else np.zeros((0, len(labels.classes))) for some in (rows, targets))
    return fitted(true, found, labels.mode, labels.classes, params)


def fitted(
    true: NDArray[np.float64], found: NDArray[np.float64], task: str, names: Sequence[str], params: TrainParams
) -> dict[str, Any]:
    """:func:`fit_on_val` for held-out targets and predictions, ``(N, C)``."""
    if task == NUMBER:
        return {"value": {"name": names[0], "interval": half_width(true[:, 0], found[:, 0])}}
    target = Target.read(params.threshold)
    thresholds = [threshold_for(true[:, at] > 0.5, found[:, at], target) for at in range(len(names))]
    return {"thresholds": dict(zip(names, thresholds, strict=True)), "threshold_target": str(target)}
