"""Section ``curves``: ROC and precision-recall curves, and a slider for the decision threshold of two classes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from pipekit.contract import Context, Figure, Section
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal
from pipekit.page.plots import COLOURS, DASHES, plot, shortened

MOST_CURVES = 12
"""Maximum number of classes drawn, those with the smallest areas: more lines can't be told apart."""
MOST_POINTS = 400


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    drawable = [i for i, row in enumerate(evaluation.metrics["per_class"]) if row["roc_auc"] is not None]
    if not drawable:
        return None
    two = len(evaluation.classes) == 2
    if two:
        drawable = [1]
    rows = evaluation.metrics["per_class"]
    shown = sorted(sorted(drawable, key=lambda i: rows[i]["roc_auc"])[:MOST_CURVES])
    words = (
        "What would another threshold give? The area under the ROC curve is the chance that a random image of the class gets "
        "a higher probability for it than a random other image: 0.5 is guessing, 1 is perfect. For a rare class, the "
        "precision-recall curve says more."
    )
    if len(shown) < len(drawable):
        words += f" The plots show the {len(shown)} classes with the smallest ROC areas."
    if two:
        words += f" The positive class is *{literal(evaluation.classes[1])}*."
    return Section(
        "ROC and precision-recall curves",
        words,
        figures=(*_roc(evaluation, shown), *_precision_recall(evaluation, shown)),
        html=_slider(evaluation) if two else "",
    )


def _roc(evaluation: Evaluation, shown: list[int]) -> tuple[Figure, Figure]:
    from sklearn.metrics import roc_curve

    names, rows = shortened(evaluation.classes), evaluation.metrics["per_class"]

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="#8b949e", linestyle=":", linewidth=1)
        for place, i in enumerate(shown):
            false, true, _ = roc_curve(evaluation.y_true == i, evaluation.probabilities[:, i])
            keep = _thinned(len(false))
            axes.plot(false[keep], true[keep], **_line(place), label=f"{names[i]} {rows[i]['roc_auc']:.3f}")
        axes.set(xlabel="false positive rate", ylabel="true positive rate (recall)", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(fontsize=8, title="area", loc="lower right")

    areas = ", ".join(f"{evaluation.classes[i]} {rows[i]['roc_auc']:.3f}" for i in shown)
    return plot(
        "roc",
        draw,
        alt=f"ROC curves. Areas: {areas}.",
        caption="ROC (receiver operating characteristic) curves, each class against the rest.",
    )


def _precision_recall(evaluation: Evaluation, shown: list[int]) -> tuple[Figure, Figure]:
    from sklearn.metrics import precision_recall_curve

    names, rows = shortened(evaluation.classes), evaluation.metrics["per_class"]

    def draw(axes: Any) -> None:
        for place, i in enumerate(shown):
            precision, recall, _ = precision_recall_curve(evaluation.y_true == i, evaluation.probabilities[:, i])
            keep = _thinned(len(precision))
            label = f"{names[i]} {rows[i]['average_precision']:.3f}"
            axes.step(recall[keep], precision[keep], where="post", **_line(place), label=label)
        axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
        axes.legend(fontsize=8, title="average precision", loc="lower left")

    areas = ", ".join(f"{evaluation.classes[i]} {rows[i]['average_precision']:.3f}" for i in shown)
    return plot(
        "precision_recall",
        draw,
        alt=f"Precision-recall curves. Average precisions: {areas}.",
        caption="Precision-recall curves as the threshold falls, each class against the rest.",
    )


def _line(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place // len(COLOURS) % len(DASHES)], "linewidth": 1.6}


def _thinned(length: int) -> Any:
    """At most ``MOST_POINTS`` positions, including both ends: a curve needs no more, and the file stays small."""
    return np.unique(np.linspace(0, length - 1, min(length, MOST_POINTS)).round().astype(int))


def threshold_counts(evaluation: Evaluation) -> dict[str, list[int]]:
    """Histograms of the probability of class 1, for images of class 1 and of class 0, in thousandths ``0`` to ``1000``."""
    place = np.floor(evaluation.probabilities[:, 1] * 1000 + 1e-6).astype(np.int64).clip(0, 1000)
    return {
        "positive": np.bincount(place[evaluation.y_true == 1], minlength=1001).tolist(),
        "negative": np.bincount(place[evaluation.y_true == 0], minlength=1001).tolist(),
    }


def _slider(evaluation: Evaluation) -> str:
    from markupsafe import Markup

    name = evaluation.classes[1]
    words = {
        "threshold": "threshold",
        "accuracy": "accuracy",
        "precision": "precision",
        "recall": "recall",
        "specificity": "specificity",
        "f1": "F1",
        "tp": "true positives",
        "fp": "false positives",
        "fn": "false negatives",
        "tn": "true negatives",
    }
    cells = Markup("").join(
        Markup('<div><dt>{}</dt><dd data-value="{}">–</dd></div>').format(word, key) for key, word in words.items()
    )
    counts = json.dumps(threshold_counts(evaluation), separators=(",", ":"))
    return Markup(
        '<div class="threshold needs-script" data-threshold hidden><label>Predict “{}” at or above this probability'
        '<input type="range" min="0" max="1000" value="500"></label><dl aria-live="polite">{}</dl>'
        '<script type="application/json">{}</script></div>'
    ).format(name, cells, Markup(counts))
