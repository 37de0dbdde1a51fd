"""All metrics of a classifier, from true classes and probabilities; scikit-learn computes those that it has."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import calibration, intervals
from pipekit.learning.temperature import log_loss

if TYPE_CHECKING:
    from pipekit.rng import Rng


def measure(
    y_true: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: tuple[str, ...],
    rng: Rng,
    *,
    baseline_class: int | None = None,
    top_k: tuple[int, ...] = (2, 3, 5),
    resamples: int = 2000,
    bins: int = 15,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Everything in ``metrics.json`` that depends only on the predictions.

    Args:
        y_true: ``(N,)`` positions in ``classes``; N at least 1.
        probabilities: ``(N, C)``.
        rng: for the simulation of perfect calibration.
        baseline_class: the most frequent class in training, which the simplest possible classifier would always predict;
            None: the most frequent one in ``y_true``.
        resamples: number of simulated test sets for the level of the calibration error; 0 omits it.
        groups: ``(N,)``, the group of each image (patient, video); None: the images are independent, as far as known.
    """
    from sklearn import metrics as sk

    numbers = np.arange(len(classes))
    predicted = probabilities.argmax(axis=1)
    matrix = np.asarray(sk.confusion_matrix(y_true, predicted, labels=numbers), np.int64)
    hits = int(np.trace(matrix))
    commonest = int(matrix.sum(axis=1).argmax()) if baseline_class is None else baseline_class
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a single class, or one without predictions, is reported as null without a warning
        matthews, kappa = float(sk.matthews_corrcoef(y_true, predicted)), float(sk.cohen_kappa_score(y_true, predicted))
        averages: dict[str, dict[str, Any]] = {
            name: dict(
                zip(
                    ("precision", "recall", "f1"),
                    map(
                        float,
                        sk.precision_recall_fscore_support(y_true, predicted, labels=numbers, average=name, zero_division=0)[
                            :3
                        ],
                    ),
                    strict=True,
                )
            )
            for name in ("macro", "micro", "weighted")
        }
    found = intervals.averages(matrix, y_true, predicted, groups)
    for name in ("macro", "weighted"):
        averages[name]["intervals"] = {key: _bounds(found[f"{name}_{key}"]) for key in ("precision", "f1")}
    correct = predicted == y_true
    confidence = probabilities.max(axis=1)
    return {
        "num_images": len(y_true),
        "classes": list(classes),
        "accuracy": {**_with_bounds(intervals.share_of(correct, groups)), "correct": hits},
        "baseline": {"class": classes[commonest], "accuracy": float((y_true == commonest).mean())},
        "balanced_accuracy": found["balanced_accuracy"],
        "macro_f1": {**found["macro_f1"], "value": averages["macro"]["f1"]},
        "averages": averages,
        "top_k": {str(k): _top_k(y_true, probabilities, k, groups) for k in sorted(set(top_k)) if 1 < k < len(classes)},
        "matthews": None if np.isnan(matthews) else matthews,
        "kappa": None if np.isnan(kappa) else kappa,
        "log_loss": log_loss(probabilities, y_true),
        "brier": float(((probabilities - np.eye(len(classes))[y_true]) ** 2).sum(axis=1).mean()),
        "calibration": {
            **calibration.calibration(probabilities, y_true, bins),
            "perfect": calibration.level_if_perfect(confidence, correct, bins, rng, resamples),
        },
        "per_class": _per_class(matrix, y_true, probabilities, classes, groups),
        "confusion_matrix": matrix.tolist(),
        "confused_most": _confused_most(matrix, classes),
    }


def _bounds(found: intervals.Estimate) -> dict[str, float | None]:
    return {"low": found["low"], "high": found["high"]}


def _with_bounds(found: intervals.Estimate) -> intervals.Estimate:
    """The accuracy always has bounds; with too few groups they are the widest possible."""
    return found if found["low"] is not None else {**found, "low": 0.0, "high": 1.0}


def _top_k(
    y_true: NDArray[np.int64], probabilities: NDArray[np.float64], k: int, groups: NDArray[np.int64] | None
) -> intervals.Estimate:
    """Top-k accuracy: the share of images whose true class is among the k most probable; ties go to the earlier class."""
    own = probabilities[np.arange(len(y_true)), y_true][:, None]
    earlier = np.arange(probabilities.shape[1])[None, :] < y_true[:, None]
    rank = ((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1)
    return intervals.share_of(rank < k, groups)


def _per_class(
    matrix: NDArray[np.int64],
    y_true: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: tuple[str, ...],
    groups: NDArray[np.int64] | None,
) -> list[dict[str, Any]]:
    from sklearn.metrics import average_precision_score

    rows = []
    total = int(matrix.sum())
    predicted = probabilities.argmax(axis=1)
    within = groups if groups is not None else np.zeros(len(y_true), np.int64)

    def of(part: NDArray[np.bool_], right: NDArray[np.bool_]) -> intervals.Estimate:
        return intervals.share_of(right[part], None if groups is None else within[part])

    for i, name in enumerate(classes):
        tp = int(matrix[i, i])
        fn, fp = int(matrix[i].sum()) - tp, int(matrix[:, i].sum()) - tp
        is_it, said = y_true == i, predicted == i
        jaccard = of(is_it | said, is_it & said)
        sides = None if groups is None else (groups[is_it], groups[~is_it])
        area = intervals.auc(probabilities[is_it, i], probabilities[~is_it, i], sides)
        rows.append(
            {
                "class": name,
                "support": tp + fn,
                "predicted": tp + fp,
                "tp": tp,
                "fp": fp,
                "fn": fn,
                "tn": total - tp - fn - fp,
                "precision": of(said, is_it),
                "recall": of(is_it, said),
                "specificity": of(~is_it, ~said),
                "f1": intervals.f1_of(jaccard),
                "roc_auc": area["value"],
                "roc_auc_interval": _bounds(area),
                "average_precision": float(average_precision_score(is_it, probabilities[:, i])) if is_it.any() else None,
            }
        )
    return rows


def _confused_most(matrix: NDArray[np.int64], classes: tuple[str, ...], limit: int = 10) -> list[dict[str, Any]]:
    """The largest cells off the diagonal, largest first."""
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    support = matrix.sum(axis=1)
    order = np.argsort(-off.ravel(), kind="stable")[:limit]
    pairs = ((int(place) // len(classes), int(place) % len(classes)) for place in order)
    return [
        {"true": classes[i], "predicted": classes[j], "count": int(off[i, j]), "share_of_true": float(off[i, j] / support[i])}
        for i, j in pairs
        if off[i, j]
    ]
