"""Foreign images, suspected label errors, and classes that can't be told apart: what the checks by features compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.builtin.inspect.sight import FEWEST_A_CLASS, Judged, Sight
from pipekit.contract import Finding
from pipekit.learning.label_errors import suspects_of_dataset
from pipekit.tasks import CLASSES, MULTILABEL

FEWEST = 20
"""Minimum number of images to compare an image with."""

NEAREST = 5
Z_95 = 1.96
SHOWN = 10


def find_foreign(rows: Sequence[Mapping[str, Any]], sight: Sight, spreads: float) -> Iterator[Finding]:
    """Images far from all others: the mean similarity to the nearest ones, without near duplicates, is low for the class."""
    measured = MeasuredRows.of(rows)
    places = sight.places(measured)
    usable = places >= 0
    codes = measured.texts["label"].codes[places]
    if measured.task != CLASSES:  # an image is compared with all, not with those of the same labels or number
        codes = np.full_like(codes, -1)
    scores = _closeness(sight.neighbours.similarities, sight.neighbours.numbers, places, measured.groups)
    found: dict[int, float] = {}
    for code in np.unique(codes[usable]).tolist():
        own = np.flatnonzero(usable & (codes == code))
        if len(own) < FEWEST:
            continue
        limit, spread, middle = _limit(scores[own], spreads)
        far = own[scores[own] < limit]
        if len(far):  # neighbours in a large dataset are those of some cells: these few are compared with all images
            exact = sight.nearest_of(far, sight.neighbours.numbers.shape[1])
            again = _closeness(exact.similarities, exact.numbers, places, measured.groups, places[far])
            found |= {int(n): (s - middle) / spread for n, s in zip(far, again, strict=True) if s < limit}
    by_class: dict[int, list[int]] = {}
    for number in sorted(found, key=lambda n: found[n]):
        by_class.setdefault(int(codes[number]), []).append(number)
    names = measured.texts["label"].names
    for code, numbers in by_class.items():
        ids = [sight.embedded.ids[n] for n in numbers]
        whose = f"of {names[code]} " if code >= 0 else ""
        yield Finding(
            "foreign",
            "warning",
            f"an image {whose}that resembles no other by its features: another subject, or a rare view",
            tuple(ids),
            {"scores": {name: round(found[n], 1) for name, n in zip(ids, numbers, strict=True)}, "remove": []},
        )


def _closeness(
    similarities: NDArray[np.float32],
    numbers: NDArray[np.int64],
    places: NDArray[np.int64],
    groups: NDArray[np.int64],
    own: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """The mean similarity to the :data:`NEAREST` images that are no near duplicates."""
    own = places if own is None else own
    other = places[numbers]
    copy = (numbers < 0) | (groups[other] == groups[own][:, None]) & (groups[own][:, None] >= 0)
    values = np.where(copy, np.nan, similarities.astype(np.float64))
    values = -np.sort(-values, axis=1)[:, :NEAREST]  # NaN sorts to the end
    counts = np.maximum(1, (~np.isnan(values)).sum(1))
    return np.asarray(np.where(np.isnan(values).all(1), 1.0, np.nansum(values, axis=1) / counts), np.float64)


def _limit(scores: NDArray[np.float64], spreads: float) -> tuple[float, float, float]:
    """(the limit, the spread, the median): the spread is the distance of the lower quartile, as of a normal distribution."""
    low, middle = (float(value) for value in np.quantile(scores, [0.25, 0.5]))
    spread = max((middle - low) / 0.6745, 0.01)
    return middle - spreads * spread, spread, middle


def find_suspects(rows: Sequence[Mapping[str, Any]], sight: Sight) -> Iterator[Finding]:
    """Suspected label errors, one finding for each pair of classes, by the number of images."""
    judged = sight.judged(MeasuredRows.of(rows))
    if judged is None:
        return
    by_pair: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in suspected(judged):
        by_pair.setdefault((row["label"], row["suggested"]), []).append(row)
    for (label, suggested), found in sorted(by_pair.items(), key=lambda item: (-len(item[1]), item[0])):
        captions = {
            row["id"]: f"labelled {label} ({row['p_label']:.2f}), looks like {suggested} ({row['p_suggested']:.2f})"
            for row in found
        }
        yield Finding(
            "suspected_labels",
            "warning",
            f"labelled {label}, looks like {suggested}",
            tuple(captions),
            {"suspects": found, "captions": captions, "remove": []},
        )


def suspected(judged: Judged) -> list[dict[str, Any]]:
    """The suspects, in the form of those of ``evaluate``."""
    found = suspects_of_dataset(
        judged.ids, judged.labels, judged.found.probabilities, judged.classes, float(judged.found.doubted.mean())
    )
    return [row | {name: round(row[name], 4) for name in ("p_label", "p_suggested")} for row in found]


def find_alike(rows: Sequence[Mapping[str, Any]], sight: Sight, apart: float) -> Iterator[Finding]:
    """Pairs of classes with a low accuracy between them, out of fold, each class counted alike."""
    measured = MeasuredRows.of(rows)
    if measured.task == MULTILABEL:
        yield from _alike_labels(measured, sight, apart)
        return
    judged = sight.judged(measured)
    if judged is None:
        return
    found = []
    for first in range(len(judged.classes)):
        for second in range(first + 1, len(judged.classes)):
            accuracy, high = _between(judged, first, second)
            if high < apart:
                found.append((accuracy, high, judged.classes[first], judged.classes[second]))
    for accuracy, high, one, other in sorted(found)[:SHOWN]:
        message = (
            f"{one} and {other} can hardly be told apart: a classifier on features finds the right one of the two for "
            f"{100 * accuracy:.0f} % (at most {100 * high:.0f} %) of images that it did not learn from; chance is 50 %. Are "
            "the labels mixed, or is the difference too small for the picture's size? Consider merging them"
        )
        yield _alike(message, one, other, accuracy, high)


def _alike(message: str, one: str, other: str, accuracy: float, high: float) -> Finding:
    values = {"classes": [one, other], "balanced_accuracy": round(accuracy, 4), "high": round(high, 4), "remove": []}
    return Finding("alike_classes", "warning", message, (), values)


def _alike_labels(rows: MeasuredRows, sight: Sight, apart: float) -> Iterator[Finding]:
    """The same for several labels, on the images that have one of the two; by the picture alone, since the other labels of an
    image tell which of two labels it has.
    """
    judged = sight.judged_labels(rows)
    if judged is None:
        return
    share = judged.given.mean(axis=0)
    p = judged.found.by_picture.clip(1e-6, 1 - 1e-6)
    odds = np.log(p / (1 - p)) - np.log(share / (1 - share))
    found = []
    for first, second in combinations(range(len(judged.labels)), 2):
        one, other = judged.given[:, first], judged.given[:, second]
        if min((one & ~other).sum(), (other & ~one).sum()) < FEWEST_A_CLASS:
            continue
        more = odds[:, first] > odds[:, second]
        accuracy, high = _balanced(more[one & ~other], ~more[other & ~one])
        if high < apart:
            found.append((accuracy, high, judged.labels[first], judged.labels[second]))
    for accuracy, high, name, another in sorted(found)[:SHOWN]:
        message = (
            f"the labels {name} and {another} can hardly be told apart: of images with one of them, a classifier on features "
            f"finds the right one for {100 * accuracy:.0f} % (at most {100 * high:.0f} %); chance is 50 %. Are the labels "
            "mixed, or is the difference too small for the picture's size?"
        )
        yield _alike(message, name, another, accuracy, high)


def _between(judged: Judged, first: int, second: int) -> tuple[float, float]:
    """The balanced accuracy between two classes, and the upper end of its 95 % interval."""
    found = judged.found.probabilities
    rights = []
    for one, other in ((first, second), (second, first)):
        rows = found[judged.labels == one]
        rights.append(rows[:, one] > rows[:, other])
    return _balanced(*rights)


def _balanced(*rights: NDArray[np.bool_]) -> tuple[float, float]:
    """The mean of two recalls, and the upper end of its 95 % interval, from which images of each class are right."""
    recalls, variance = [], 0.0
    for right in rights:
        share = (int(right.sum()) + 0.5) / (len(right) + 1)
        recalls.append(int(right.sum()) / len(right))
        variance += share * (1 - share) / (len(right) + 1)
    accuracy = sum(recalls) / 2
    return accuracy, min(1.0, accuracy + Z_95 * sqrt(variance) / 2)
