"""95 % intervals of figures of several labels that hold for few images and for results near 1 (``benchmarks/tasks.py``).

Each is the wider of two. One is a percentile interval of resampled images, with the quantiles of Student's t for the number of
images with the rarest label (the expanded percentile interval of T. Hesterberg, "What teachers should know about the
bootstrap", 2015). The other takes a figure as a mean of proportions, one for each label, and adds four
images to each before the variance is computed (A. Agresti and B. Coull 1998; R. Price and D. Bonett 2004): where no mistake
was seen, resampling shows no variance. For average precision, the proportion is of the images with the label (K. Boyd, K.
Eng, C. D. Page, "Area under the precision-recall curve: point estimates and confidence intervals", 2013).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import FEWEST_GROUPS, Z_AVERAGES, Groups
from pipekit.learning import multilabel_metrics as figures
from pipekit.learning.significance import design_effect

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Bounds = tuple[float, float]

NONE: Bounds = (float("nan"), float("nan"))
ADDED = 4.0
"""Images that are added to each proportion: half of them right, half wrong."""
AT_A_TIME = 4_000_000
"""Counts of images in memory: resamples are measured in portions."""


def rarest(true: Bools) -> Mapping[int, int]:
    """Labels that too few images have, or have not, for an interval: their place, and the number of images of that side."""
    each = np.minimum(true.sum(axis=0), (~true).sum(axis=0))
    return {int(at): int(each[at]) for at in np.flatnonzero(each < figures.FEWEST)}


def measured(
    true: Bools, scores: Floats, predicted: Bools, groups: Groups, resamples: int, rng: np.random.Generator
) -> dict[str, Bounds]:
    """The bounds of each average by its name, of ``map``, and of the average precision of each label by ``ap0``, ``ap1`` …

    An average over labels has no bounds (NaN) if fewer than five images have one of the labels, or all but so few have it; a
    label's average precision, if fewer than five have it. None has any for a single image, or for fewer than six groups.
    """
    number = len(true)
    once = figures_of(true, scores, predicted, np.ones((1, number)))
    names = list(once)
    if number < 2 or resamples < 1 or (groups is not None and len(np.unique(groups)) < FEWEST_GROUPS):
        return dict.fromkeys(names, NONE)
    wrong = (true != predicted).sum(axis=1).astype(np.float64)
    effect = 1.0 if groups is None else design_effect(wrong, groups)
    tables = [figures_of(true, scores, predicted, counts) for counts in counts_of_resamples(number, groups, resamples, rng)]
    each = np.minimum(true.sum(axis=0), (~true).sum(axis=0)) / effect
    found = {}
    for name in names:
        over_labels = name == "map" or name.startswith("macro")
        fewest = float(each[int(name[2:])]) if name.startswith("ap") else float(each.min()) if over_labels else number / effect
        if fewest * effect < figures.FEWEST:
            found[name] = NONE
            continue
        sample = np.concatenate([table[name] for table in tables])
        hits, total, weights = _proportions(name, true, predicted, once)
        ends = [*percentiles(sample, max(2.0, fewest)), *_added(hits / effect, total / effect, weights)]
        found[name] = float(max(0.0, min(ends))), float(min(1.0, max(ends)))
    return found


def figures_of(true: Bools, scores: Floats, predicted: Bools, counts: NDArray[np.float64]) -> dict[str, Floats]:
    """The figures of images that count several times: those of :func:`pipekit.learning.multilabel_metrics.averages`, and more.

    Args:
        counts: ``(B, N)``, how often each image counts.

    Returns:
        ``(B,)`` for each average, for ``map``, and for the average precision of each label; NaN where it is not defined.
    """
    hits, predicted_, there = counts @ (true & predicted), counts @ predicted, counts @ true
    total = counts.sum(axis=1)
    found: dict[str, Floats] = {}
    by_image = figures.precision_recall_f1(true.T, predicted.T)
    over = {"precision": (hits, predicted_), "recall": (hits, there), "f1": (2 * hits, predicted_ + there)}
    for (name, (above, below)), image in zip(over.items(), by_image, strict=True):
        each = _ratio(above, below)
        found[f"micro_{name}"] = _ratio(above.sum(axis=1), below.sum(axis=1))
        found[f"macro_{name}"] = each.mean(axis=1)
        found[f"weighted_{name}"] = _ratio((each * there).sum(axis=1), there.sum(axis=1))
        found[f"samples_{name}"] = counts @ image / total
    found["subset_accuracy"] = counts @ (true == predicted).all(axis=1) / total
    found["hamming_loss"] = counts @ (true != predicted).mean(axis=1) / total
    precisions = np.stack([_precisions(true[:, at], scores[:, at], counts) for at in range(true.shape[1])], axis=1)
    known = ~np.isnan(precisions)
    mean = _ratio(np.where(known, precisions, 0).sum(axis=1), known.sum(axis=1))
    found["map"] = np.where(known.any(axis=1), mean, np.nan)
    return found | {f"ap{at}": precisions[:, at] for at in range(true.shape[1])}


def _precisions(true: Bools, scores: Floats, counts: NDArray[np.float64]) -> Floats:
    """The average precision of one label for each row of counts; NaN if no counted image has the label."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    ordered = counts[:, order]
    hits, chosen = np.cumsum(ordered * true[order], axis=1)[:, ends], np.cumsum(ordered, axis=1)[:, ends]
    sums = (np.diff(hits, axis=1, prepend=0) * _ratio(hits, chosen)).sum(axis=1)
    return np.where(hits[:, -1] > 0, _ratio(sums, hits[:, -1]), np.nan)


def counts_of_resamples(number: int, groups: Groups, resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """How often each image counts, in resamples of images or of whole groups."""
    places = np.arange(number) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(places.max()) + 1
    portion = max(1, AT_A_TIME // number)
    for start in range(0, resamples, portion):
        drawn = rng.multinomial(units, np.full(units, 1 / units), min(portion, resamples - start))
        yield drawn[:, places].astype(np.float64)


def percentiles(sample: Floats, fewest: float) -> Bounds:
    from scipy.stats import norm, t  # type: ignore[import-untyped]

    share = float(norm.cdf(-np.sqrt(fewest / (fewest - 1)) * t.ppf(0.975, fewest - 1)))
    low, high = np.quantile(sample[~np.isnan(sample)], (share, 1 - share))
    return float(low), float(high)


def _proportions(name: str, true: Bools, predicted: Bools, once: Mapping[str, Floats]) -> tuple[Floats, Floats, Floats]:
    """A figure as a mean of proportions: hits, their number and their weight, one or one for each label."""
    number, kind = len(true), name.rpartition("_")[2]
    one = np.ones(1)
    if name == "map" or name.startswith("ap"):
        wanted = range(true.shape[1]) if name == "map" else [int(name[2:])]
        there = np.array([true[:, at].sum() for at in wanted], np.float64)
        return there * np.array([once[f"ap{at}"][0] for at in wanted]), there, np.full(len(there), 1 / len(there))
    if name == "hamming_loss":
        return np.array([float((true != predicted).sum())]), np.array([float(true.size)]), one
    if not name.startswith(("micro", "macro", "weighted")):
        return once[name] * number, np.array([float(number)]), one
    hits, said, there = (true & predicted).sum(axis=0), predicted.sum(axis=0), true.sum(axis=0)
    total = {"precision": said, "recall": there, "f1": (said + there) / 2}[kind]
    if name.startswith("micro"):
        hits, total, there = hits.sum(keepdims=True), total.sum(keepdims=True), one
    weights = np.full(len(hits), 1.0) if name.startswith("macro") else there.astype(np.float64)
    return hits.astype(np.float64), total.astype(np.float64), weights / max(1.0, float(weights.sum()))


def _added(hits: Floats, total: Floats, weights: Floats) -> Bounds:
    shares = (hits + ADDED / 2) / (total + ADDED)
    half = Z_AVERAGES * float(np.sqrt((weights**2 * shares * (1 - shares) / (total + ADDED)).sum()))
    middle = float(weights @ shares)
    return middle - half, middle + half


def _ratio(above: Floats, below: NDArray[np.float64]) -> Floats:
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=np.asarray(below) > 0)
