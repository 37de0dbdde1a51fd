"""What the checks of ``inspect`` see by features: near duplicates, neighbours, and out-of-fold probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.contract import Context, Dataset
from pipekit.images.near_duplicates import components
from pipekit.learning.embeddings import Embedded
from pipekit.learning.near_copies import Copies, find_copies, neighbours_of
from pipekit.learning.neighbours import Directions, Neighbours, nearest_of
from pipekit.learning.out_of_fold import FOLDS, OutOfFold, out_of_fold
from pipekit.learning.out_of_fold_tasks import LabelsOutOfFold, labels_out_of_fold, numbers_out_of_fold
from pipekit.tasks import labels_in

FEWEST_A_CLASS = 10
"""Minimum number of images of a class; smaller classes have no out-of-fold probabilities. As many images must also be
without it where images have several labels."""

FEWEST_NUMBERS = 20
"""Minimum number of images with a number."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Labelled images, and what a model says of them that did not learn from them.

    Attributes:
        ids: of the images.
        classes: their names.
        labels: ``(N,)``, the class of each image's label.
        found: the probabilities.
    """

    ids: Sequence[str]
    classes: Sequence[str]
    labels: NDArray[np.int64]
    found: OutOfFold


@dataclass(frozen=True, eq=False)
class JudgedLabels:
    """Images with several labels, and what a model says of them that did not learn from them.

    Attributes:
        numbers: ``(N,)``, the numbers of the images among the rows.
        labels: those that enough images have, and enough have not.
        given: ``(N, L)``, which of them the images have.
        left_out: the other labels.
    """

    ids: Sequence[str]
    numbers: NDArray[np.int64]
    labels: Sequence[str]
    given: NDArray[np.bool_]
    found: LabelsOutOfFold
    left_out: Sequence[str]


class Sight:
    """The features of a dataset.

    Attributes:
        embedded: the features.
    """

    def __init__(self, ctx: Context, dataset: Dataset, embedded: Embedded) -> None:
        self._ctx, self._dataset, self.embedded = ctx, dataset, embedded

    @cached_property
    def neighbours(self) -> Neighbours:
        """The nearest images of each, as rows of ``embedded``."""
        return neighbours_of(self._ctx, self.embedded)

    @cached_property
    def copies(self) -> Copies:
        return find_copies(self._ctx, self._dataset, self.embedded, self.neighbours)

    def nearest_of(self, asking: NDArray[np.int64], count: int) -> Neighbours:
        """The nearest images of a few, compared with all."""
        return nearest_of(Directions(self.embedded.table), asking, count)

    def places(self, rows: MeasuredRows) -> NDArray[np.int64]:
        """For each row of ``embedded``, the number of the image; -1 for one that can't be used."""
        numbers = rows.number_of
        places = np.array([numbers.get(name, -1) for name in self.embedded.ids], np.int64)
        return np.where((places >= 0) & rows.good[places], places, -1)

    def judged(self, rows: MeasuredRows) -> Judged | None:
        """The labelled images with out-of-fold probabilities; None with fewer than two classes."""
        if "_judged" not in self.__dict__:
            self.__dict__["_judged"] = self._judge(rows)
        judged: Judged | None = self.__dict__["_judged"]
        return judged

    def judged_labels(self, rows: MeasuredRows) -> JudgedLabels | None:
        """Images with several labels, with out-of-fold probabilities; None if too few images have each label."""
        if "_judged_labels" not in self.__dict__:
            self.__dict__["_judged_labels"] = self._judge_labels(rows)
        judged: JudgedLabels | None = self.__dict__["_judged_labels"]
        return judged

    def _judge_labels(self, rows: MeasuredRows) -> JudgedLabels | None:
        chosen, places, codes = self._labelled(rows)
        sets = [set(labels_in(name) or ()) for name in rows.texts["label"].names]
        names = sorted(set().union(*sets))
        given = np.array([[name in some for name in names] for some in sets], np.bool_).reshape(len(sets), len(names))[codes]
        having = given.sum(axis=0)
        enough = (having >= FEWEST_A_CLASS) & (len(given) - having >= FEWEST_A_CLASS)
        groups = _groups(rows, places)
        if not enough.any() or len(np.unique(groups)) < FOLDS:
            return None
        given = given[:, enough]
        found = labels_out_of_fold(self.embedded.table, given, groups, self._ctx.rng("out of fold"), rows=chosen)
        labels = [name for name, kept in zip(names, enough, strict=True) if kept]
        others = [name for name in names if name not in labels]
        return JudgedLabels([self.embedded.ids[n] for n in chosen.tolist()], places, labels, given, found, others)

    def judged_numbers(self, rows: MeasuredRows) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]] | None:
        """Ids, numbers, and predictions out of fold; None with fewer than :data:`FEWEST_NUMBERS` images."""
        chosen, places, codes = self._labelled(rows)
        groups = _groups(rows, places)
        if len(chosen) < FEWEST_NUMBERS or len(np.unique(groups)) < FOLDS:
            return None
        values = np.array([float(name) for name in rows.texts["label"].names])[codes]
        found = numbers_out_of_fold(self.embedded.table, values, groups, self._ctx.rng("out of fold"), rows=chosen)
        return [self.embedded.ids[n] for n in chosen.tolist()], values, found

    def _labelled(self, rows: MeasuredRows) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The rows of ``embedded`` with a label, the numbers of their images, and the codes of their labels."""
        places = self.places(rows)
        codes = np.where(places >= 0, rows.texts["label"].codes[places], -1)
        chosen = np.flatnonzero(codes >= 0)
        return chosen, places[chosen], codes[chosen]

    def _judge(self, rows: MeasuredRows) -> Judged | None:
        places = self.places(rows)
        label = rows.texts["label"]
        codes = np.where(places >= 0, label.codes[places], -1)
        counts = np.bincount(codes[codes >= 0], minlength=len(label.names))
        kept = np.flatnonzero(counts >= FEWEST_A_CLASS)
        chosen = np.flatnonzero(np.isin(codes, kept))
        groups = _groups(rows, places[chosen])
        if len(kept) < 2 or len(np.unique(groups)) < FOLDS:
            return None
        labels = np.searchsorted(kept, codes[chosen])
        found = out_of_fold(self.embedded.table, labels, groups, self._ctx.rng("out of fold"), rows=chosen)
        return Judged([self.embedded.ids[n] for n in chosen.tolist()], [str(label.names[n]) for n in kept], labels, found)


def _groups(rows: MeasuredRows, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Equal numbers for near duplicates and for copies of one original, among the images at ``places``."""
    numbers = np.arange(len(places))
    for values in (rows.groups[places], rows.origins[places]):
        first: dict[int, int] = {}
        for number, value in enumerate(values.tolist()):
            if value >= 0:
                first.setdefault(value, number)
        pairs = [(first[value], n) for n, value in enumerate(values.tolist()) if value >= 0 and first[value] != n]
        for group in components([*pairs, *((int(a), n) for n, a in enumerate(numbers.tolist()) if a != n)]):
            numbers[group] = group[0]
    return numbers
