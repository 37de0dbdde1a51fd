"""Class balance: the number of images of each class, in each split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.builtin.inspect import examples
from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Finding, Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

Rows = Sequence[Mapping[str, Any]]


class ImbalanceParams(Params):
    ratio: float = param(5.0, "Largest allowed ratio of the largest class to the smallest", ge=1)
    fewest: int = param(20, "Report classes with fewer images than this", unit="images", ge=0)


class SplitsParams(Params):
    """No parameters."""


@examples.example(examples.imbalance)
@supports(
    CLASSES,
    why={MULTILABEL: "co_occurrence reports rare labels", NUMBER: "outlying_numbers reports how the numbers are distributed"},
)
def imbalance(rows: Rows, ctx: Context, params: ImbalanceParams) -> Iterator[Finding]:
    """Classes of very different sizes, and classes that are too small to learn or to measure."""
    found = columns_in(rows)
    counts = found.tally("label", found.good)
    if len(counts) < 2:
        return
    (largest, most), (smallest, least) = counts.most_common()[0], counts.most_common()[-1]
    if most > params.ratio * least:
        yield Finding(
            "imbalance",
            "warning",
            f"{largest!r} has {most:,} images, {smallest!r} has {least:,}: {most / least:.1f} times as many",
            values={"counts": dict(sorted(counts.items()))},
        )
    small = {label: count for label, count in sorted(counts.items()) if count < params.fewest}
    if small:
        listed = ", ".join(f"{label!r} ({count})" for label, count in list(small.items())[:8])
        yield Finding("imbalance", "warning", f"fewer than {params.fewest} images: {listed}", values={"counts": small})


@examples.example(examples.missing_classes)
@supports(CLASSES, MULTILABEL, why={NUMBER: "numbers have no classes"})
def missing_classes(rows: Rows, ctx: Context, params: SplitsParams) -> Iterator[Finding]:
    """A class, or one of several labels, without images in an existing split."""
    found = columns_in(rows)
    have = found.label_counts()
    labels, splits = {label for _, label in have} - {"", "[]"}, set(found.tally("split")) - {""}
    for split in sorted(splits):
        absent = sorted(label for label in labels if (split, label) not in have)
        if absent:
            shown = ", ".join(map(repr, absent[:8])) + (" …" if len(absent) > 8 else "")
            yield Finding(
                "missing_classes", "warning", f"no image in {split} of {shown}", values={"split": split, "labels": absent}
            )


@examples.example(examples.unlabelled)
@supports(CLASSES, MULTILABEL, NUMBER)
def unlabelled(rows: Rows, ctx: Context, params: SplitsParams) -> Iterator[Finding]:
    """Images without a class in a dataset with classes."""
    found = columns_in(rows)
    without = found.ids_at(found.texts["label"].codes < 0)
    if without and len(without) < len(rows):
        yield Finding("unlabelled", "warning", "without a class", without, {"remove": []})
