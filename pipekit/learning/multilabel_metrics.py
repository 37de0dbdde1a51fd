"""Metrics of several labels for each image, from true labels and probabilities, in NumPy alone.

Definitions are scikit-learn's, with ``zero_division=0``: a ratio without a denominator counts as 0. Where scikit-learn has no
value, because all images have a label or none has it, the value is None: AUC and average precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Interval = dict[str, float | None]

FEWEST = 5
"""Images with a label, and without it, below which its intervals are not stated."""


def _ratio(above: Any, below: Any) -> Any:
    return np.divide(above, below, out=np.zeros_like(np.asarray(above, np.float64)), where=np.asarray(below) > 0)


def precision_recall_f1(true: Bools, predicted: Bools) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each label, ``(C,)``, from ``(N, C)``."""
    hits = (true & predicted).sum(axis=0).astype(np.float64)
    found, there = predicted.sum(axis=0), true.sum(axis=0)
    return _ratio(hits, found), _ratio(hits, there), _ratio(2 * hits, found + there)


def average_precision(true: Bools, scores: Floats) -> float | None:
    """The sum of precisions at each step of recall, without interpolation, of one label; None if no image has it."""
    if not true.any():
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(true[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def resampled_precision(true: Bools, scores: Floats) -> Callable[[NDArray[np.int64]], float]:
    """:func:`average_precision` of one label for images that count several times, without sorting them each time.

    Returns:
        A function from the count of each image, ``(N,)``, to the average precision; NaN if no counted image has the label.
    """
    order = np.argsort(-scores, kind="stable")
    has = true[order]
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))

    def of(counts: NDArray[np.int64]) -> float:
        ordered = counts[order]
        hits, chosen = np.cumsum(ordered * has)[ends], np.cumsum(ordered)[ends]
        if not hits[-1]:
            return float("nan")
        return float(np.sum(np.diff(hits, prepend=0) * _ratio(hits, chosen)) / hits[-1])

    return of


def auc(true: Bools, scores: Floats) -> float | None:
    """The area under the ROC curve of one label, ties by halves (Mann and Whitney 1947); None without either kind of image."""
    positive = int(true.sum())
    negative = len(true) - positive
    if not positive or not negative:
        return None
    rank_sum = float(_ranks(scores)[true].sum())
    return (rank_sum - positive * (positive + 1) / 2) / (positive * negative)


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, equal values share the mean of theirs."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0))
    ends = np.append(starts[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks


def averages(true: Bools, predicted: Bools) -> dict[str, float]:
    """Micro, macro, weighted and samples' averages of precision, recall and F1; subset accuracy; Hamming loss.

    The averages over samples are those of the images: one without labels, for which none is predicted, counts as 0.
    """
    found: dict[str, float] = {}
    by_label = precision_recall_f1(true, predicted)
    by_image = precision_recall_f1(true.T, predicted.T)
    flat = precision_recall_f1(true.reshape(-1, 1), predicted.reshape(-1, 1))
    weights = true.sum(axis=0)
    for name, label, image, one in zip(("precision", "recall", "f1"), by_label, by_image, flat, strict=True):
        found[f"micro_{name}"] = float(one[0])
        found[f"macro_{name}"] = float(label.mean())
        found[f"weighted_{name}"] = float(_ratio((label * weights).sum(), weights.sum()))
        found[f"samples_{name}"] = float(image.mean())
    found["subset_accuracy"] = float((true == predicted).all(axis=1).mean())
    found["hamming_loss"] = float((true != predicted).mean())
    return found


def mean_average_precision(true: Bools, scores: Floats) -> float | None:
    """The mean of the average precisions of all labels that an image has; None if there is none."""
    found = [average_precision(true[:, at], scores[:, at]) for at in range(true.shape[1])]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def co_occurrence(true: Bools) -> NDArray[np.int64]:
    """The number of images that have both labels, ``(C, C)``; on the diagonal, those that have the label."""
    counts = true.astype(np.int64)
    return np.asarray(counts.T @ counts)


def confusions(true: Bools, predicted: Bools) -> NDArray[np.int64]:
    """The number of images where label ``i`` was missed and label ``j`` was predicted wrongly, ``(C, C)``."""
    missed, wrong = (true & ~predicted).astype(np.int64), (predicted & ~true).astype(np.int64)
    return np.asarray(missed.T @ wrong)


def interval(value: float | None, low: float, high: float, known: bool = True) -> Interval:
    """``{"value", "low", "high"}``; the bounds include the value."""
    if value is None or not known or np.isnan(low):
        return {"value": value, "low": None, "high": None}
    return {"value": value, "low": float(min(low, value)), "high": float(max(high, value))}


def baseline_of(share: Floats, true: Bools) -> Mapping[str, float]:
    """What always predicting the labels of more than half of the training images reaches.

    Args:
        share: of the training images with each label, ``(C,)``.
    """
    constant = np.broadcast_to(share > 0.5, true.shape)
    return averages(true, np.ascontiguousarray(constant))


def calibration_error(true: Bools, probabilities: Floats, bins: int = 15) -> float:
    """The expected calibration error of one label: equal bins of probability, weighted by their images."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    gaps = np.abs(np.bincount(place, true, bins) - np.bincount(place, probabilities, bins))
    return float(gaps.sum() / max(1, counts.sum()))


def suspects(true: Bools, probabilities: Floats, labels: Sequence[str]) -> list[tuple[int, str, str, float]]:
    """Suspected missing and wrong labels, by confident learning for each label (Northcutt, Jiang and Chuang 2021, section 3).

    An image counts as surely with the label if its probability reaches the mean of the images that have it, and as surely
    without it in the same way. The shares of sure images against their label estimate how many labels are missing and how many
    are wrong (the calibrated joint); so many images with the most certain contradictions are suspects (prune by noise rate).
    The probabilities must be those of a model that did not learn from the images.

    Returns:
        (image, label, ``missing`` or ``wrong``, probability of the label), the most certain first.
    """
    found = []
    for at, label in enumerate(labels):
        have, p = true[:, at], probabilities[:, at]
        if min(have.sum(), (~have).sum()) < FEWEST:
            continue
        sure, sure_not = p >= p[have].mean(), 1 - p >= (1 - p[~have]).mean()
        for kind, group, against, agreeing, certain in (
            ("missing", ~have, sure & (p > 0.5), sure_not, p),
            ("wrong", have, sure_not & (p < 0.5), sure, 1 - p),
        ):
            both = int((group & against).sum() + (group & agreeing).sum())
            number = round(group.sum() * (group & against).sum() / both) if both else 0
            rows = np.flatnonzero(group & (certain > 0.5))
            rows = rows[np.argsort(-certain[rows], kind="stable")][:number]
            found += [(int(row), label, kind, float(p[row])) for row in rows]
    return sorted(found, key=lambda one: (-abs(one[3] - 0.5), one[0], one[1]))
