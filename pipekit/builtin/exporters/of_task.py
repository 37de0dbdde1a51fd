"""Exports of several labels and of numbers: the prediction as outputs, the scale, how predictions are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Sample
from pipekit.learning.decisions import OUTPUT
from pipekit.learning.exported import PROBABILITIES, VALUE
from pipekit.learning.predictions import DECIMALS
from pipekit.tasks import MULTILABEL, NUMBER, task_named

if TYPE_CHECKING:
    from pipekit.builtin.exporters.models import Trained

NEARLY = 0.1
"""Two numbers are nearly the same if they differ by at most this share of the training targets' standard deviation."""


def with_scale(info: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """``model.json`` with the mean and the spread of a number, as its last layer has them; the same for other models."""
    last = model.layers[-1]
    if task_named(info.get("task")) != NUMBER or last.name != VALUE:
        return dict(info)
    return {**info, VALUE: {**info.get(VALUE, {}), "mean": float(last.offset), "spread": float(last.scale)}}


def spread_of(info: Mapping[str, Any], values: NDArray[Any]) -> float:
    """The standard deviation of a number over the training images; of a template without a scale, over the predictions."""
    found = float(info.get(VALUE, {}).get("spread") or np.std(values, dtype=np.float64))
    return found if found > 0 else 1.0


def interval_of(info: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The interval around a number: ``level``, ``half_width``, ``images``; None if too few images of val were there."""
    found = info.get(VALUE, {}).get("interval")
    return found if isinstance(found, Mapping) else None


def predicted(tf: Any, trained: Trained, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Further outputs of a SavedModel: the name of the class as ``label``; which labels are above their thresholds as
    ``predicted``, of bool ``(N, C)``; around a number, the bounds of its interval as ``low`` and ``high``.
    """
    if trained.task == MULTILABEL:
        return {"predicted": answers[PROBABILITIES] >= tf.constant(trained.thresholds, tf.float32)}
    if trained.task == NUMBER:
        found = interval_of(trained.info)
        half = None if found is None else tf.constant(found["half_width"], tf.float32)
        return {} if half is None else {"low": answers[VALUE] - half, "high": answers[VALUE] + half}
    chosen = tf.argmax(answers[PROBABILITIES], axis=-1) if trained.decision is None else tf.argmin(answers[OUTPUT], axis=-1)
    return {"label": tf.gather(tf.constant(trained.classes), chosen)}


def alike(trained: Trained, ours: NDArray[Any], theirs: NDArray[Any], samples: Sequence[Sample]) -> dict[str, Any]:
    """Entries of a comparison: the images that both models predict alike, and what either gets right where that is known."""
    if trained.task == NUMBER:
        return _numbers(trained, ours[:, 0].astype(np.float64), theirs[:, 0].astype(np.float64), samples)
    said, said_now = (np.round(rows.astype(np.float64), DECIMALS) >= trained.thresholds for rows in (ours, theirs))
    known = [(at, {*sample.labels}) for at, sample in enumerate(samples) if sample.labels is not None]

    def right(rows: NDArray[np.bool_]) -> int:
        return sum({name for name, has in zip(trained.classes, rows[at], strict=True) if has} == true for at, true in known)

    return {
        "same_class": int((said == said_now).all(axis=1).sum()),
        "labelled": len(known),
        "original_right": right(said),
        "exported_right": right(said_now),
    }


def _numbers(trained: Trained, ours: NDArray[Any], theirs: NDArray[Any], samples: Sequence[Sample]) -> dict[str, Any]:
    spread = spread_of(trained.info, ours)
    known = [(at, sample.value) for at, sample in enumerate(samples) if sample.value is not None]
    places, true = [at for at, _ in known], np.array([value for _, value in known], np.float64)
    errors = [float(np.abs(rows[places] - true).mean()) if known else None for rows in (ours, theirs)]
    return {
        "same_class": int((np.abs(ours - theirs) <= NEARLY * spread).sum()),
        "labelled": len(known),
        "spread": spread,
        "original_error": errors[0],
        "exported_error": errors[1],
    }


def usage_of(trained: Trained) -> str:
    """What a program does with the outputs, in Markdown; "" for classes."""
    if trained.task == MULTILABEL:
        return (
            "\n\nEach column is the probability of one label, in the order of `labels.txt`. An image has the labels whose "
            "probability reaches their threshold: `thresholds` in `model.json`."
        )
    if trained.task != NUMBER:
        return ""
    about = trained.info.get(VALUE, {})
    unit = f", in {about['unit']}" if about.get("unit") else ""
    words = (
        f"\n\n`value` is the number `{trained.classes[0]}`{unit}; the scale of the training targets is undone inside the model."
    )
    found = interval_of(trained.info)
    if found is None:
        return words
    held_out = "the images of the folds" if found.get("from") == "folds" else "those of val"
    return (
        f"{words} Of new numbers like {held_out}, {found['level']:.0%} lie within {found['half_width']:.4g} of it "
        "(`value.interval` in `model.json`)."
    )
