"""Rows of several labels, or of numbers, as rows of two classes: for checks of classes that ask what tells the two apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.columnar import Few
from pipekit.tasks import CLASSES, MULTILABEL, labels_in

MOST = 10
"""Maximum number of labels, the most frequent ones: each costs as much as the check of a dataset with two classes."""


def two_sides(rows: MeasuredRows) -> Iterator[tuple[MeasuredRows, str]]:
    """Rows with two classes, and how a message about them begins; rows of classes as they are.

    One pair of classes for each label, with and without it; for numbers, those up to the median and those above it.
    """
    label = rows.texts["label"]
    if rows.task == CLASSES:
        yield rows, ""
    elif rows.task == MULTILABEL:
        counts = rows.label_counts()
        images: dict[str, int] = {}
        for (_, name), count in counts.items():
            images[name] = images.get(name, 0) + count
        for name in sorted(images.keys() - {"", "[]"}, key=lambda name: (-images[name], name))[:MOST]:
            has = np.array([name in (labels_in(said) or ()) for said in label.names], np.bool_)
            yield _two(rows, has, f"without {name}", f"with {name}"), f"label {name!r}: "
    elif len(label.names):
        values = np.array([float(said) for said in label.names])
        known = label.codes[rows.good & (label.codes >= 0)]
        middle = float(np.median(values[known])) if len(known) else 0.0
        yield _two(rows, values > middle, f"up to {middle:g}", f"above {middle:g}"), "the numbers, lower against upper half: "


def _two(rows: MeasuredRows, second: NDArray[np.bool_], *names: str) -> MeasuredRows:
    codes = rows.texts["label"].codes
    sides = np.where(codes >= 0, second[np.clip(codes, 0, None)].astype(np.int32), -1).astype(np.int32)
    return replace(rows, task=CLASSES, texts={**rows.texts, "label": Few(sides, names)})
