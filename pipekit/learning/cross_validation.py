"""K-fold cross-validation: the folds of a dataset, and the prediction of each image by a model that did not learn from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Dataset, Sample
from pipekit.errors import ImageError, UserError
from pipekit.tasks import stated

OUT_OF_FOLD = "out-of-fold"
"""The split that `evaluate` is asked for to measure a model by its predictions out of fold."""

COLUMN = "fold"
"""The column in which `split` leaves the fold of each image, from 1 on."""

FEWEST = 3
"""Number of folds that leaves something to learn from: one is held out, one is val."""

FILE = "out_of_fold.npz"


def fold_of(sample: Sample) -> int:
    """The fold of a sample; 0 if it is in none."""
    value = sample.extra.get(COLUMN)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 and sample.split != "test" else 0


def folds_of(dataset: Dataset) -> tuple[int, ...]:
    """The numbers of the folds.

    Raises:
        UserError: there are fewer than three, or labelled images outside test are in none.
    """
    counts = Counter(fold_of(sample) for sample in dataset if stated(sample) is not None and sample.split != "test")
    outside = counts.pop(0, 0)
    hint = f"Set folds = 5 and fold = 0 in the `split` stage; at least {FEWEST} folds are needed."
    if len(counts) < FEWEST:
        found = f"{len(counts)} folds are too few" if counts else "the dataset has no folds"
        raise UserError(f"{found} for cross-validation, in which one fold is held out and one is val", hint)
    if outside:
        raise UserError(f"{outside:,} images outside test are in no fold", hint)
    return tuple(sorted(counts))


def val_fold(folds: Sequence[int], held_out: int) -> int:
    """The fold that is val while another is held out: the next one."""
    return folds[(folds.index(held_out) + 1) % len(folds)]


def leaving_out(dataset: Dataset, held_out: int) -> Dataset:
    """The dataset as a model of one fold sees it: that fold is in the split :data:`OUT_OF_FOLD`, the next one in val.

    Raises:
        UserError: the dataset has no such fold.
    """
    folds = folds_of(dataset)
    if held_out not in folds:
        raise UserError(f"the dataset has no fold {held_out}", f"It has the folds {', '.join(map(str, folds))}.")
    places = dict.fromkeys(folds, "train") | {held_out: OUT_OF_FOLD, val_fold(folds, held_out): "val"}
    return with_splits(dataset, lambda sample: places.get(fold_of(sample), sample.split))


def with_splits(dataset: Dataset, split_of: Callable[[Sample], str]) -> Dataset:
    """The same samples in other splits."""

    def read(path: Path) -> Iterator[Sample]:
        return (replace(sample, split=split_of(sample)) for sample in dataset.reader(path))

    counts: dict[str, Counter[str]] = defaultdict(Counter)
    splits = Counter[str]()
    for sample in read(dataset.path):
        splits[sample.split] += 1
        counts[sample.split].update(sample.labels or (() if sample.label is None else (sample.label,)))
    named = {name: dict(sorted(found.items())) for name, found in sorted(counts.items()) if found}
    meta = {**dataset.meta, "counts": named, "splits": dict(sorted(splits.items()))}
    return replace(dataset, reader=read, meta=meta, kept_columns=None, first_of=None)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions out of fold: of each image, by the model of the folds that it is not in.

    Attributes:
        ids, contents: of the images, and the hashes of their files.
        folds: ``(N,) int64``.
        rows: ``(N, num_classes) float32`` probabilities, or numbers in one column. Of classes, one more column may have the
            score for *none of these*.
            NaN for an image that can't be used.
        problems: why it can't; "" for the others.
    """

    ids: tuple[str, ...]
    contents: tuple[str, ...]
    folds: NDArray[np.int64]
    rows: NDArray[np.float32]
    problems: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, found: Iterable[tuple[Sample, NDArray[np.float32] | ImageError]]) -> HeldOut:
        """Predictions in any order."""
        listed = sorted(found, key=lambda pair: pair[0].id)
        width = min((len(row) for _, row in listed if not isinstance(row, ImageError)), default=0)
        nothing = np.full(width, np.nan, np.float32)
        return cls(
            tuple(sample.id for sample, _ in listed),
            tuple(sample.sha256 for sample, _ in listed),
            np.array([fold_of(sample) for sample, _ in listed], np.int64),
            np.array([nothing if isinstance(row, ImageError) else row[:width] for _, row in listed], np.float32),
            tuple(row.message if isinstance(row, ImageError) else "" for _, row in listed),
        )

    @classmethod
    def joined(cls, parts: Sequence[HeldOut]) -> HeldOut:
        """Those of several folds. A column that some lack, such as the score, is left out for all."""
        order = sorted((name, number, place) for number, part in enumerate(parts) for place, name in enumerate(part.ids))
        width = min(part.rows.shape[1] for part in parts)
        return cls(
            tuple(name for name, _, _ in order),
            tuple(parts[number].contents[place] for _, number, place in order),
            np.array([parts[number].folds[place] for _, number, place in order], np.int64),
            np.array([parts[number].rows[place, :width] for _, number, place in order], np.float32),
            tuple(parts[number].problems[place] for _, number, place in order),
        )

    @classmethod
    def read(cls, folder: Path) -> HeldOut:
        """Those of the model in a folder.

        Raises:
            UserError: it has none.
        """
        hint = "Train it with `pipekit train FOLDER --folds 5`, or with cross_validate = true in the `train` stage."
        try:
            with np.load(folder / FILE) as saved:
                texts = [tuple(saved[name].tolist()) for name in ("ids", "contents", "problems")]
                return cls(texts[0], texts[1], saved["folds"], saved["rows"], texts[2])
        except FileNotFoundError:
            raise UserError("the model has no predictions out of fold", hint) from None
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"the model's predictions out of fold can't be read: {error}", hint) from error

    def write(self, folder: Path) -> None:
        ids, contents, problems = (np.array(texts, np.str_) for texts in (self.ids, self.contents, self.problems))
        np.savez(folder / FILE, folds=self.folds, rows=self.rows, ids=ids, contents=contents, problems=problems)

    def plain(self) -> list[Any]:
        """What a digest covers: six decimals, which are coarser than the rounding by the order of sums."""
        rows = [f"{value:.6f}" for value in self.rows.ravel().tolist()]
        return [self.ids, self.contents, self.folds.tolist(), rows, self.problems]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.ids)}

    def place(self, sample: Sample) -> int:
        """The row of a sample; -1 if it has none, or its file is another one now."""
        found = self._places.get(sample.id, -1)
        return found if found >= 0 and self.contents[found] == sample.sha256 else -1

    def view(self, dataset: Dataset) -> Dataset:
        """The dataset with the predicted images in the split :data:`OUT_OF_FOLD`."""
        return with_splits(dataset, lambda sample: OUT_OF_FOLD if self.place(sample) >= 0 else sample.split)

    def of_samples(self, samples: Iterable[Sample]) -> Iterator[tuple[Sample, NDArray[np.float32] | ImageError]]:
        """Each sample of a :meth:`view` with its row, or the reason why its image can't be used."""
        for sample in samples:
            place = self.place(sample)
            problem = self.problems[place]
            yield sample, ImageError(problem) if problem else self.rows[place]
