"""The rows that the checks of ``inspect`` see, as columns: a check reads arrays, or a few rows as dicts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from pipekit.columnar import Chosen, Column, Columns, Few, Texts, distinct, makes_columns, short_hashes
from pipekit.contract import Sample
from pipekit.images.measuring import REAL_NUMBERS, WHOLE_NUMBERS
from pipekit.images.near_duplicates import Indices, Prints, components, fingerprint_of, unpacked
from pipekit.images.origins import origin_columns, origin_pairs
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, labels_in, stated

if TYPE_CHECKING:
    from pipekit.learning.near_copies import Copies

NUMBERS = (*WHOLE_NUMBERS, *REAL_NUMBERS)
TEXTS = ("label", "split", "suffix", "format", "mode")

NONE = -1
"""No group, no origin."""


@makes_columns(version=2)
def sample_columns(samples: Sequence[Sample], params: Any) -> dict[str, Column]:
    """What the dataset says of its images."""
    return {
        "id": Texts.of(sample.id for sample in samples),
        "name": name_hashes(sample.id for sample in samples),
        "sha256": Texts.of(sample.sha256 for sample in samples),
        "content": short_hashes(sample.sha256 for sample in samples),
        "label": Few.of(map(stated, samples)),
        "split": Few.of(sample.split for sample in samples),
        "suffix": Few.of(suffix_of(sample.image) for sample in samples),
        **origin_columns(samples),
    }


def name_hashes(ids: Iterable[str]) -> NDArray[np.uint64]:
    """The first 64 bits of the SHA-256 of each id: in their order, images lie in few parts of a dataset."""
    return short_hashes(ids)[:, 0].byteswap()


def suffix_of(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122 (a name of any encoding)


@dataclass(frozen=True, eq=False)
class MeasuredRows(Sequence[Mapping[str, Any]]):
    """Rows of images, in the order of their ids; those that failed in earlier stages come last.

    As a sequence, it has a dict for each image, as :mod:`pipekit.builtin.inspect.checks` describes it.

    Attributes:
        ids: of the images.
        good: ``(N,) bool``, False for an image that can't be used.
        problems: why, by the image's number.
        texts: ``label``, ``split``, ``suffix``, ``format``, ``mode``.
        numbers: the measures; 0 where the image can't be used.
        contents: ``(N,) int64``, equal for equal files; -1 for an unknown one.
        groups, origins: ``(N,) int64``, equal for near duplicates, and for copies of one original; -1 for none.
        sha256, fingerprint: of a usable image, by its number.
        row: a row as a dict.
        names: :func:`name_hashes` of the images of the dataset; none if they are not known.
        order: the number of each of these among the columns of the dataset.
        differences: how near duplicates differ, by the two ids: those found by features, mirrored and brighter ones.
        task: what ``label`` says, as :func:`pipekit.tasks.stated` writes it.
    """

    ids: Sequence[str]
    good: NDArray[np.bool_]
    problems: Mapping[int, str]
    texts: Mapping[str, Few]
    numbers: Mapping[str, NDArray[Any]]
    contents: NDArray[np.int64]
    groups: NDArray[np.int64]
    origins: NDArray[np.int64]
    sha256: Callable[[int], str]
    fingerprint: Callable[[int], str]
    row: Callable[[int], Mapping[str, Any]] | None = field(default=None, repr=False)
    differences: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)
    task: str = CLASSES
    names: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64), repr=False)
    order: Indices = field(default_factory=lambda: np.empty(0, np.int64), repr=False)

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> MeasuredRows:
        """Rows that may be dicts, with the values that are missing in them."""
        if isinstance(rows, MeasuredRows):
            return rows
        return cls(
            [row["id"] for row in rows],
            np.array(["problem" not in row for row in rows], np.bool_),
            {number: row["problem"] for number, row in enumerate(rows) if "problem" in row},
            {name: Few.of(row.get(name) for row in rows) for name in TEXTS},
            {name: np.array([row.get(name, DEFAULTS.get(name, 0)) for row in rows]) for name in NUMBERS},
            _numbered(row.get("sha256") for row in rows),
            _numbered(row.get("group") for row in rows),
            _numbered(row.get("origin") for row in rows),
            lambda number: str(rows[number]["sha256"]),
            lambda number: str(rows[number]["print"]),
            lambda number: rows[number],
        )

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, number: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, number: int | slice) -> Any:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.row(number) if self.row is not None else self._row(number)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return (self[number] for number in range(len(self)))

    def _row(self, number: int) -> dict[str, Any]:
        row: dict[str, Any] = {"id": self.ids[number], "sha256": self.sha256(number)}
        texts: Sequence[str] = TEXTS
        if number in self.problems:
            texts, row["problem"] = texts[:3], self.problems[number]
        else:
            row |= {name: self.numbers[name][number].item() for name in NUMBERS} | {"group": int(self.groups[number])}
            row["print"] = self.fingerprint(number)
        row |= {name: self.text(name, number) for name in texts}
        return row | ({"origin": int(self.origins[number])} if self.origins[number] >= 0 else {})

    def text(self, name: str, number: int) -> str | None:
        column = self.texts[name]
        code = column.codes[number]
        return column.names[code] if code >= 0 else None

    def ids_at(self, numbers: NDArray[Any]) -> tuple[str, ...]:
        """The ids of the images with these numbers, or where a mask is True."""
        chosen = np.flatnonzero(numbers) if numbers.dtype == np.bool_ else numbers
        return tuple(self.ids[number] for number in chosen.tolist())

    @cached_property
    def number_of(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.ids)}

    def tally(self, name: str, among: NDArray[np.bool_] | None = None) -> Counter[str]:
        """How often a text is there, in the order of first appearance."""
        column = self.texts[name]
        codes = column.codes[column.codes >= 0] if among is None else column.codes[among & (column.codes >= 0)]
        found, first, counts = distinct(codes)
        return Counter({column.names[found[n]]: int(counts[n]) for n in np.argsort(first).tolist()})

    def count_pairs(self, first: str, second: str, among: NDArray[np.bool_]) -> dict[tuple[str | None, str | None], int]:
        """How often two texts are there together, None for a missing one; in the order of first appearance."""
        one, other = self.texts[first], self.texts[second]
        width = len(other.names) + 1
        codes = (one.codes[among].astype(np.int64) + 1) * width + other.codes[among] + 1
        found, at, counts = distinct(codes)
        left, right = (None, *one.names), (None, *other.names)
        return {(left[found[n] // width], right[found[n] % width]): int(counts[n]) for n in np.argsort(at).tolist()}

    def label_counts(self) -> Counter[tuple[str, str]]:
        """The number of usable images of each split and class; "" for none. An image with several labels counts for each."""
        counts = Counter[tuple[str, str]]()
        for (split, said), count in self.count_pairs("split", "label", self.good).items():
            names: tuple[str, ...] = (said or "",)
            if said is not None and self.task == MULTILABEL:
                names = labels_in(said) or ("[]",)
            elif said is not None and self.task == NUMBER:
                names = ("a number",)
            counts.update(dict.fromkeys(((split or "", name) for name in names), count))
        return counts

    def sharing(self, values: NDArray[np.int64]) -> list[list[int]]:
        """The numbers of usable images that share a value, in the order of ids; by the first image of each group."""
        known = np.flatnonzero(self.good & (values >= 0))
        order = known[np.argsort(values[known], kind="stable")]
        again = np.flatnonzero(np.diff(values[order]) == 0)
        found: dict[int, list[int]] = {}
        for number in sorted({*order[again].tolist(), *order[again + 1].tolist()}):
            found.setdefault(int(values[number]), []).append(number)
        return [sorted(group, key=self.ids.__getitem__) for group in found.values()]


def measured_rows(
    samples: Columns,
    measured: Columns,
    failed: Sequence[tuple[str, str]],
    near: Callable[[Prints], Indices],
    words: Mapping[tuple[int, int], str] | None = None,
    by_features: Copies | None = None,
) -> tuple[MeasuredRows, Indices]:
    """The rows of a dataset.

    Args:
        samples: those of :func:`sample_columns`.
        measured: those of :func:`pipekit.images.measuring.measured_columns`, of the same images.
        failed: (id, reason) of the images that failed in earlier stages.
        near: finds the pairs of near duplicates.
        words: how two of the images that ``near`` saw differ, by their numbers; read after ``near`` was called.
        by_features: further near duplicates.

    Returns:
        the rows, and for those of the dataset their numbers in the columns.
    """
    ids, order, more = samples["id"].tolist(), samples["id"].sorted_order(), len(failed)
    names = [ids[number] for number in order.tolist()]
    why = measured["problem"][order]
    problems = {int(number): why.names[why.codes[number]] for number in np.flatnonzero(why.codes >= 0)}
    problems |= {len(names) + number: reason for number, (_, reason) in enumerate(failed)}
    texts = {name: _padded(samples[name][order], more, "" if name in ("split", "suffix") else None) for name in TEXTS[:3]}
    texts |= {name: _padded(measured[name][order], more, None) for name in TEXTS[3:]}
    contents = _numbered_hashes(samples["content"][order])
    good = np.append(why.codes < 0, np.zeros(more, np.bool_))
    usable = np.flatnonzero(good)
    pairs = near(unpacked(measured["print"], order[usable])).tolist()
    at = usable.tolist()
    differences = {(names[at[a]], names[at[b]]): said for (a, b), said in (words or {}).items()}
    if by_features is not None:
        pairs += by_features.numbered({names[number]: place for place, number in enumerate(at)})
        differences |= {(copy.first, copy.second): copy.words for copy in by_features.copies}
    groups, origins = (np.full(len(good), NONE, np.int64) for _ in range(2))
    groups[usable] = np.arange(len(usable))
    for group in components([*pairs, *_pairs_of(contents[usable])]):
        groups[usable[group]] = group[0]
    label = samples["label"][order]
    own = (*label.names, None)
    hashes, prints = samples["sha256"], measured["print"]
    copies = origin_pairs(samples, order, names, lambda n: own[label.codes[n]], lambda: Chosen(hashes, order))
    for group in components(copies):
        origins[group] = group[0]
    rows = MeasuredRows(
        [*names, *(name for name, _ in failed)],
        good,
        problems,
        texts,
        {name: np.append(measured[name][order], np.zeros(more, measured[name].dtype)) for name in NUMBERS},
        np.append(contents, np.full(more, NONE)),
        groups,
        origins,
        lambda number: hashes[int(order[number])] if number < len(order) else "",
        lambda number: fingerprint_of(prints[int(order[number])]),
        differences=differences,
        names=samples["name"][order],
        order=order,
    )
    return rows, order


def _padded(column: Few, more: int, value: str | None) -> Few:
    """A column with further rows of one value."""
    if value is None or not more:
        return Few(np.append(column.codes, np.full(more, -1, np.int32)), column.names)
    names = column.names if value in column.names else (*column.names, value)
    return Few(np.append(column.codes, np.full(more, names.index(value), np.int32)), names)


def _pairs_of(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of equal values with the first of them."""
    order = np.argsort(values, kind="stable")
    starts = np.diff(values[order], prepend=NONE - 1) != 0
    first = order[starts][np.cumsum(starts) - 1]
    again = ~starts & (values[order] >= 0)
    return list(zip(first[again].tolist(), order[again].tolist(), strict=True))


NO_VALUE = (None, "")

DEFAULTS = {"orientation": 1, "frames": 1, "border_level": -1}
"""Measures of an image that has none."""


def _numbered_hashes(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The same for ``(N, 2) uint64``; the hash of an unknown file is 0."""
    order = np.lexsort((values[:, 1], values[:, 0]))
    starts = (np.diff(values[order], axis=0, prepend=values[order[:1]]) != 0).any(1)
    numbers = np.empty(len(values), np.int64)
    numbers[order] = np.cumsum(starts)
    return np.where(values.any(1), numbers, NONE)


def _numbered(values: Iterable[Any]) -> NDArray[np.int64]:
    """Equal numbers for equal values; -1 for none."""
    numbers: dict[Any, int] = {}
    return np.array([NONE if value in NO_VALUE else numbers.setdefault(value, len(numbers)) for value in values], np.int64)
