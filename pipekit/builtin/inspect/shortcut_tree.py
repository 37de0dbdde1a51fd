"""The tree of the check ``shortcuts``: whether the properties of files predict the class.

A network learns such a shortcut (Geirhos et al., "Shortcut learning in deep neural networks", 2020), and every split of the
dataset has it, so that the test accuracy does not show it. Properties that follow from what is on the picture, such as its
brightness or the bytes that its details take, are not among them. A second tree looks for a colour cast, which is in the light
and not in the object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.inspect.measured import MeasuredRows, name_hashes, sample_columns
from pipekit.builtin.inspect.small_tree import Node, fit_tree
from pipekit.columnar import columns_of
from pipekit.contract import Context, Dataset, Finding
from pipekit.images.colour_cast import measure_cast

FEWEST_A_CLASS = 10
"""Minimum number of images of a class; smaller classes are left out."""

FOLDS = 5
BINS = 16
DEPTH = 3
GRAY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")
MAX_ROWS = 20_000
"""Maximum number of images that the tree is fitted to, drawn at random."""

Z_95 = 1.96
SHOWN = 3

NUMBERS = {
    "width_px": ("width", "px"),
    "height_px": ("height", "px"),
    "aspect": ("width / height", ""),
    "jpeg_quality": ("JPEG quality", ""),
    "border_level": ("level of a plain border", ""),
}
CASTS = {"red": ("red / green", ""), "blue": ("blue / green", "")}
WORDS = NUMBERS | CASTS
CAST_A_CLASS, CAST_IMAGES = 100, 2000
"""Maximum number of images of a class, and of all, whose colours are measured: each is decoded once more, in colour."""
TEXTS = {"format": "format", "mode": "mode", "suffix": "suffix"}


def find(rows: Sequence[Mapping[str, Any]], ctx: Context, margin: float) -> Iterator[Finding]:
    """The shortcut of a dataset, if a tree's accuracy lies clearly beyond ``margin`` of the way from chance to certainty."""
    found = MeasuredRows.of(rows)
    number_of_class, chosen = _classes(found)
    if len(set(number_of_class.tolist())) < 2:
        return
    names, values = _properties(found, chosen)
    if not names:
        return
    chance = 1 / len(set(number_of_class.tolist()))
    limit = chance + margin * (1 - chance)
    if _at_most(values, number_of_class) < limit:
        return
    groups = found.groups[chosen]
    accuracy, low = _cross_validated(ctx, values, number_of_class, groups)
    if low <= limit:
        return
    labels = found.texts["label"].names
    rules = _rules(values, number_of_class, names, labels)
    yield Finding(
        "shortcuts",
        "warning",
        f"the class follows from the files, without the picture: {'; '.join(rules)}. A tree on {_listed(names)} finds the "
        f"class of {100 * accuracy:.0f} % (at least {100 * low:.0f} %) of images that it was not fitted to; chance is "
        f"{100 * chance:.0f} %. "
        f"{_left_out(found)}A network can learn this instead of the object, and the test split does not show it",
        (),
        {"balanced_accuracy": round(accuracy, 4), "low": round(low, 4), "chance": round(chance, 4), "rules": rules},
    )


def find_cast(rows: Sequence[Mapping[str, Any]], ctx: Context, dataset: Dataset, margin: float) -> Iterator[Finding]:
    """The colour cast that predicts the class, by a tree on the casts of a sample of the images."""
    found = MeasuredRows.of(rows)
    classes, chosen = _sampled(found)
    if len(set(classes.tolist())) < 2:
        return
    columns = columns_of(dataset, sample_columns)
    if len(found.order):
        places = found.order[chosen].tolist()
    else:
        wanted = {found.ids[number] for number in chosen.tolist()}
        places = [place for place, name in enumerate(columns["id"].tolist()) if name in wanted]
    samples = sorted(columns.rows(places).values(), key=lambda sample: sample.id)
    measured = {row["id"]: row for row in ctx.map(measure_cast, samples, label="colours", problems=True)}
    seen = np.array(["red" in measured.get(found.ids[number], {}) for number in chosen.tolist()], np.bool_)
    classes, chosen = classes[seen], chosen[seen]
    values = np.array([[measured[found.ids[number]][name] for name in CASTS] for number in chosen.tolist()])
    if len(set(classes.tolist())) < 2:
        return
    chance = 1 / len(set(classes.tolist()))
    limit = chance + margin * (1 - chance)
    if _at_most(values, classes) < limit:
        return
    accuracy, low = _cross_validated(ctx, values, classes, found.groups[chosen], "colour cast")
    if low <= limit:
        return
    rules = _rules(values, classes, list(CASTS), found.texts["label"].names)
    yield Finding(
        "shortcuts",
        "warning",
        f"the class follows from a colour cast of the whole picture: {'; '.join(rules)}. A tree on the light's colour, by "
        f"mean, edges and highlights, finds the class of {100 * accuracy:.0f} % (at least {100 * low:.0f} %) of "
        f"{len(classes):,} images that it was not fitted to; chance is {100 * chance:.0f} %. Where the objects don't explain "
        "it, a network can learn the camera or the light instead",
        (),
        {"balanced_accuracy": round(accuracy, 4), "low": round(low, 4), "chance": round(chance, 4), "rules": rules},
    )


def _sampled(rows: MeasuredRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As :func:`_classes`, some images of each class by a hash of their ids, and none of those that are stored as grey."""
    classes, chosen = _classes(rows)
    modes = rows.texts["mode"]
    gray = np.array([name in GRAY_MODES for name in modes.names] + [False])
    coloured = ~gray[modes.codes[chosen]]
    classes, chosen = classes[coloured], chosen[coloured]
    most = min(CAST_A_CLASS, max(FEWEST_A_CLASS, CAST_IMAGES // max(1, len(set(classes.tolist())))))
    hashes = rows.names[chosen] if len(rows.names) else name_hashes(rows.ids[number] for number in chosen.tolist())
    kept: list[int] = []
    for one in np.unique(classes).tolist():
        own = np.flatnonzero(classes == one)
        if len(own) < FEWEST_A_CLASS:
            continue
        kept += own[np.argsort(hashes[own], kind="stable")[:most]].tolist()  # equal hashes: by id, as rows are
    places = np.array(sorted(kept), np.int64)
    return classes[places], chosen[places]


def _classes(rows: MeasuredRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class of each image that takes part, and its number."""
    codes = rows.texts["label"].codes.astype(np.int64)
    usable = rows.good & (codes >= 0)
    counts = np.bincount(codes[usable], minlength=int(codes.max(initial=0)) + 1)  # a class may have unusable images only
    chosen = np.flatnonzero(usable & (counts[np.clip(codes, 0, None)] >= FEWEST_A_CLASS))
    return codes[chosen], chosen


def _left_out(rows: MeasuredRows) -> str:
    """A sentence on the classes that are too small to take part; "" for none."""
    small = [name for name, number in rows.tally("label", rows.good).items() if number < FEWEST_A_CLASS]
    return f"Classes with fewer than {FEWEST_A_CLASS} images are left out ({len(small)}). " if small else ""


def _properties(rows: MeasuredRows, chosen: NDArray[np.int64]) -> tuple[list[str], NDArray[np.float64]]:
    """The names and the values ``(N, P)`` of the properties that differ between images."""
    numbers = {name: rows.numbers[name][chosen].astype(np.float64) for name in NUMBERS if name != "aspect"}
    numbers["aspect"] = np.round(numbers["width_px"] / np.maximum(numbers["height_px"], 1), 3)
    is_jpeg = numbers["jpeg_quality"] > 0  # that others have none is the property "format"
    numbers["jpeg_quality"][~is_jpeg] = np.median(numbers["jpeg_quality"][is_jpeg]) if is_jpeg.any() else 0
    columns: dict[str, NDArray[np.float64]] = {}
    for name, source in TEXTS.items():
        text = rows.texts[source]
        codes = text.codes[chosen]
        for code in np.unique(codes[codes >= 0]).tolist():
            columns[f"{name} is {text.names[code]}"] = (codes == code).astype(np.float64)
    columns |= {name: numbers[name] for name in NUMBERS}
    kept: dict[str, NDArray[np.float64]] = {}
    for name, column in columns.items():
        says_the_same = any(np.array_equal(column, other) or np.array_equal(1 - column, other) for other in kept.values())
        if len(np.unique(column)) > 1 and not says_the_same:
            kept[name] = column
    return list(kept), np.column_stack(list(kept.values())) if kept else np.empty((len(chosen), 0))


def _at_most(values: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """The balanced accuracy of the best tree of depth :data:`DEPTH` is hardly above this sum of single properties' gains.

    Each property in :data:`BINS` bins, each bin with its commonest class, on the same images. It saves five trees where no
    property tells anything.
    """
    chance = 1 / len(np.unique(classes))
    gains = sorted((_by_bins(column, classes) - chance for column in values.T), reverse=True)
    return chance + sum(gains[:DEPTH])


def _by_bins(column: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    edges = np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, column, side="left")
    _, at = np.unique(classes, return_inverse=True)
    counts = np.zeros((int(bins.max()) + 1, int(at.max()) + 1))
    np.add.at(counts, (bins, at), 1)
    shares = counts / counts.sum(0)
    return float(shares.max(1).sum() / shares.shape[1])


def _cross_validated(
    ctx: Context,
    values: NDArray[np.float64],
    classes: NDArray[np.int64],
    groups: NDArray[np.int64],
    drawn: str = "shortcuts",
) -> tuple[float, float]:
    """The balanced accuracy on held-out images, and the lower end of its 95 % interval."""
    rng = ctx.rng(drawn)
    order = rng.permutation(len(classes))[:MAX_ROWS]
    values, classes, groups = values[order], classes[order], groups[order]
    names, group = np.unique(groups, return_inverse=True)
    fold = rng.integers(0, FOLDS, len(names))[group]
    right = np.zeros(len(classes), np.bool_)
    for number in range(FOLDS):
        inside, outside = fold != number, fold == number
        if not outside.any() or len(np.unique(classes[inside])) < 2:
            continue
        leaves = max(2, int(0.01 * inside.sum()))
        tree = fit_tree(values[inside], classes[inside], DEPTH, leaves)
        right[outside] = tree.predict(values[outside]) == classes[outside]
    recalls, variance = [], 0.0
    for one in np.unique(classes):
        of_class = right[classes == one]
        recalls.append(float(of_class.mean()))
        share = (of_class.sum() + 0.5) / (len(of_class) + 1)
        variance += share * (1 - share) / (len(of_class) + 1)
    accuracy = float(np.mean(recalls))
    return accuracy, max(0.0, accuracy - Z_95 * sqrt(variance) / len(recalls))


def _rules(values: NDArray[np.float64], classes: NDArray[np.int64], names: Sequence[str], labels: Sequence[str]) -> list[str]:
    """What the leaves with most images say: "format is PNG: 96 % cat"."""
    tree = fit_tree(values, classes, DEPTH, max(2, int(0.01 * len(classes))))
    found: list[tuple[int, str]] = []

    def walk(node: Node, conditions: dict[tuple[int, bool], str], inside: NDArray[np.bool_]) -> None:
        if node.below is None or node.above is None:
            own = classes[inside]
            if len(own):
                shares = {int(one): (own == one).sum() / (classes == one).sum() for one in np.unique(own)}
                best = max(shares, key=lambda one: shares[one])
                share = (own == best).mean()
                found.append((len(own), f"{' and '.join(conditions.values()) or 'always'}: {100 * share:.0f} % {labels[best]}"))
            return
        place, threshold = node.place, node.threshold
        below = inside & (values[:, place] <= threshold)
        # A condition on the same property further up is wider: the last one replaces it.
        for child, is_below, part in ((node.below, True, below), (node.above, False, inside & ~below)):
            condition = {(place, is_below): _condition(names[place], threshold, is_below)}
            walk(child, conditions | condition, part)

    walk(tree, {}, np.ones(len(classes), np.bool_))
    return [text for _, text in sorted(found, key=lambda pair: -pair[0])[:SHOWN]]


def _condition(name: str, threshold: float, below: bool) -> str:
    if name not in WORDS:
        return name.replace(" is ", " is not ") if below else name
    words, unit = WORDS[name]
    if name == "border_level" and threshold < 0:
        return "no plain border" if below else "a plain border"
    return f"{words} {'up to' if below else 'above'} {threshold:.4g}{f' {unit}' if unit else ''}"


def _listed(names: Sequence[str]) -> str:
    """The properties, each once: "format, width, JPEG quality"."""
    words = dict.fromkeys(NUMBERS[name][0] if name in NUMBERS else name.partition(" is ")[0] for name in names)
    return ", ".join(words)
