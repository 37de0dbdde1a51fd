"""All metrics of a classifier, from true classes and probabilities; scikit-learn computes those that it has."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import calibration, intervals

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
) -> dict[str, Any]:
    """Everything in ``metrics.json`` that depends only on the predictions.

    Args:
        y_true: ``(N,)`` positions in ``classes``; N at least 1.
        probabilities: ``(N, C)``.
        rng: for the bootstrap.
        baseline_class: the most frequent class in training, which the simplest possible classifier would always predict;
            None: the most frequent one in ``y_true``.
        resamples: number of bootstrap resamples; 0 omits the bootstrap intervals.
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
        averages = {
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
    bounds = _bootstrapped(matrix, rng, resamples)
    balanced = float(intervals.balanced_accuracy(matrix[None].astype(np.float64))[0])
    return {
        "num_images": len(y_true),
        "classes": list(classes),
        "accuracy": {**intervals.share(hits, len(y_true)), "correct": hits},
        "baseline": {"class": classes[commonest], "accuracy": float((y_true == commonest).mean())},
        "balanced_accuracy": {"value": balanced, **_pair(bounds, "balanced_accuracy")},
        "macro_f1": {"value": averages["macro"]["f1"], **_pair(bounds, "macro_f1")},
        "averages": averages,
        "top_k": {str(k): _top_k(y_true, probabilities, k) for k in sorted(set(top_k)) if 1 < k < len(classes)},
        "matthews": None if np.isnan(matthews) else matthews,
        "kappa": None if np.isnan(kappa) else kappa,
        "log_loss": calibration.log_loss(probabilities, y_true),
        "brier": float(((probabilities - np.eye(len(classes))[y_true]) ** 2).sum(axis=1).mean()),
        "calibration": calibration.calibration(probabilities, y_true, bins),
        "per_class": _per_class(matrix, y_true, probabilities, classes, bounds),
        "confusion_matrix": matrix.tolist(),
        "confused_most": _confused_most(matrix, classes),
    }


def _bootstrapped(matrix: NDArray[np.int64], rng: Rng, resamples: int) -> dict[str, tuple[Any, Any]]:
    if not resamples:
        return {}
    statistics = {
        "balanced_accuracy": intervals.balanced_accuracy,
        "macro_f1": intervals.macro_f1,
        "f1": intervals.f1_per_class,
    }
    return intervals.bootstrap_matrix(matrix, statistics, rng, resamples)


def _pair(bounds: dict[str, tuple[Any, Any]], name: str, place: int | None = None) -> dict[str, float | None]:
    """The bounds of a bootstrapped metric; None if all resamples are equal (no mistakes), since they say nothing then."""
    if name not in bounds:
        return {"low": None, "high": None}
    low, high = (bound if place is None else bound[place] for bound in bounds[name])
    known = bool(np.isfinite(low) and np.isfinite(high) and low < high)
    return {"low": float(low) if known else None, "high": float(high) if known else None}


def _top_k(y_true: NDArray[np.int64], probabilities: NDArray[np.float64], k: int) -> dict[str, float | None]:
    """Top-k accuracy: the share of images whose true class is among the k most probable; ties go to the earlier class."""
    own = probabilities[np.arange(len(y_true)), y_true][:, None]
    earlier = np.arange(probabilities.shape[1])[None, :] < y_true[:, None]
    rank = ((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1)
    return intervals.share(int((rank < k).sum()), len(y_true))


def _per_class(
    matrix: NDArray[np.int64],
    y_true: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: tuple[str, ...],
    bounds: dict[str, tuple[Any, Any]],
) -> list[dict[str, Any]]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    rows = []
    total = int(matrix.sum())
    for i, name in enumerate(classes):
        tp = int(matrix[i, i])
        fn, fp = int(matrix[i].sum()) - tp, int(matrix[:, i].sum()) - tp
        is_it = y_true == i
        both = bool(is_it.any() and not is_it.all())
        rows.append(
            {
                "class": name,
                "support": tp + fn,
                "predicted": tp + fp,
                "tp": tp,
                "fp": fp,
                "fn": fn,
                "tn": total - tp - fn - fp,
                "precision": intervals.share(tp, tp + fp),
                "recall": intervals.share(tp, tp + fn),
                "specificity": intervals.share(total - tp - fn - fp, total - tp - fn),
                "f1": {
                    "value": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
                    **_pair(bounds, "f1", i),
                },
                "roc_auc": float(roc_auc_score(is_it, probabilities[:, i])) if both else None,
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
