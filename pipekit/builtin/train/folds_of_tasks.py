"""Cross-validation of several labels and of numbers: what a fold gives, and what the predictions out of fold fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.train.params import TrainParams
from pipekit.builtin.train.tasks import fitted, targets_of
from pipekit.contract import Context, Dataset
from pipekit.learning import multilabel_metrics
from pipekit.learning.cross_validation import HeldOut, fold_of
from pipekit.tasks import MULTILABEL, NUMBER

Float = NDArray[np.float64]


def check_sizes(ctx: Context, dataset: Dataset, folds: Sequence[int]) -> None:
    """Warn of labels that are not in all folds."""
    there: dict[str, set[int]] = {}
    for sample in dataset:
        for name in sample.labels or ():
            there.setdefault(name, set()).add(fold_of(sample))
    if absent := [name for name in sorted(there) if len(there[name] - {0}) < len(folds)]:
        listed = ", ".join(f"{name!r} (in {len(there[name] - {0})})" for name in absent[:5])
        ctx.warn(f"not all of the {len(folds)} folds have images with {listed}: they are few, or belong together")


def figure(dataset: Dataset, held: HeldOut) -> tuple[str, float]:
    """The name and the value of the figure of all folds: mAP, or the mean absolute error."""
    return _figure(dataset, *_answers(dataset, held))


def rows(dataset: Dataset, held: HeldOut, folds: Sequence[int], infos: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each fold: images, its figure, what its model was, and what that model fitted on its own val images."""
    true, found = _answers(dataset, held)
    used = np.array([not problem for problem in held.problems], np.bool_)
    listed = []
    for fold, info in zip(folds, infos, strict=True):
        mine = held.folds[used] == fold
        name, value = _figure(dataset, true[mine], found[mine])
        listed.append(
            {
                "fold": fold,
                "images": int(mine.sum()),
                name: None if np.isnan(value) else value,
                "template": info["template"],
                "kept_epoch": info["kept_epoch"],
                "learned_from": int(info["images"]["train"]),
                "val": int(info["images"].get("val", 0)),
                **({"thresholds": info["thresholds"]} if "thresholds" in info else {}),
                **({"interval": info["value"].get("interval")} if dataset.task == NUMBER else {}),
            }
        )
    return listed


def fitted_on_folds(dataset: Dataset, held: HeldOut, final: Mapping[str, Any], params: TrainParams) -> dict[str, Any]:
    """Thresholds or the prediction interval of the model of all images, which has no val, from the predictions out of fold.

    The models of the folds learned from fewer images, so their errors are rather larger. An interval from the errors of
    cross-validation holds about as often as stated (R. F. Barber et al., "Predictive inference with the jackknife+", 2021).
    """
    found = fitted(*_answers(dataset, held), dataset.task, final["classes"], params)
    if dataset.task != NUMBER:
        return found | {"fitted_on": "folds"}
    interval = found["value"]["interval"]
    return {"value": {**final["value"], "interval": None if interval is None else {**interval, "from": "folds"}}}


def _answers(dataset: Dataset, held: HeldOut) -> tuple[Float, Float]:
    """Targets and predictions ``(N, C)`` of the images that could be used, in the order of ``held``."""
    samples = {sample.id: sample for sample in dataset}
    used = [place for place, problem in enumerate(held.problems) if not problem]
    true = targets_of([samples[held.ids[place]] for place in used], dataset)
    return np.asarray(true, np.float64), np.asarray(held.rows[used], np.float64)


def _figure(dataset: Dataset, true: Float, found: Float) -> tuple[str, float]:
    if dataset.task == MULTILABEL:
        value = multilabel_metrics.mean_average_precision(true > 0.5, found)
        return "mAP", float("nan") if value is None else value
    return "MAE", float(np.abs(true - found).mean()) if len(true) else float("nan")
