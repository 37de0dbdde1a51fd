"""Groups that must stay in one split: copies of one original, near duplicates, images of one patient, video or product."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipekit.columnar import Chosen, Column, Columns, Few, Texts, columns_of, distinct, makes_columns, short_hashes
from pipekit.contract import Context, Dataset, Params, Sample
from pipekit.corrected import Ledger
from pipekit.errors import UserError
from pipekit.files.buffers import release
from pipekit.images.name_groups import NameGroups, name_groups
from pipekit.images.near_duplicates import Indices, Miniatures, components, unpacked
from pipekit.images.origins import origin_columns, origin_pairs
from pipekit.images.recalled_pairs import recalled_pairs
from pipekit.quarantine import Exclusions
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, labels_in, stated

if TYPE_CHECKING:
    from pipekit.learning.near_copies import Copies

Hashes: TypeAlias = NDArray[np.uint64]

APART = 0.05
"""Share of the stems that may lie in several groups before a pattern is suggested."""


class GroupParams(Params):
    """What groups images: see the parameters of the stage."""

    column: str = ""
    pattern: str = ""


@makes_columns(version=1)
def split_columns(samples: Sequence[Sample], params: GroupParams) -> dict[str, Column]:
    """What the split depends on."""
    return {
        "id": Texts.of(sample.id for sample in samples),
        "sha256": Texts.of(sample.sha256 for sample in samples),
        "name": short_hashes(sample.id for sample in samples),
        "content": short_hashes(sample.sha256 for sample in samples),
        "label": Few.of(stated(sample) or "" for sample in samples),
        "given": Few.of(sample.split for sample in samples),
        "group": Few.of(_groups_of(samples, params)),
        **origin_columns(samples),
    }


def _groups_of(samples: Sequence[Sample], params: GroupParams) -> list[str]:
    """The group of each sample by column or pattern; "" for none."""
    if params.column:
        values = [sample.extra.get(params.column) for sample in samples]
        return ["" if value is None else f"column:{value}" for value in values]
    if params.pattern:
        compiled = re.compile(params.pattern)
        found = [compiled.search(sample.id) for sample in samples]
        return [f"pattern:{match.group(1) if compiled.groups else match.group()}" if match else "" for match in found]
    return [""] * len(samples)


@dataclass(frozen=True, eq=False)
class Items:
    """The samples to split, in the order of their ids, reduced to what the split needs.

    Attributes:
        columns: those of the whole dataset that are needed further, in the order of its parts.
        order: these samples, as indices into the columns.
        ids: of each, each read from the columns when it is asked for.
        labels, givens, groups: of each; "" for none. ``givens`` are the splits that they came with.
        relabelled: which labels a correction changed; None if none.
        task: what the labels are, as :func:`pipekit.tasks.stated` writes them.
    """

    columns: Columns
    order: Indices
    ids: Sequence[str]
    labels: Few
    givens: Few
    groups: Few
    relabelled: NDArray[np.bool_] | None = None
    task: str = CLASSES

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> Hashes:
        """``(N, 2) uint64``, hashes of the ids."""
        return self._ordered("name")

    @property
    def contents(self) -> Hashes:
        """``(N, 2) uint64``, hashes of the files' hashes; 0 where there is none."""
        return self._ordered("content")

    def _ordered(self, name: str) -> Hashes:
        column: Hashes = self.columns[name]
        found = column[self.order]
        release(column)
        return found

    def hashes_of(self, numbers: Sequence[int]) -> tuple[Hashes, Hashes]:
        """Of some samples, the hashes of their ids and of their contents."""
        rows = self.order[numbers]
        return self.columns["name"][rows], self.columns["content"][rows]

    def sha256(self, number: int) -> str:
        return str(self.columns["sha256"][int(self.order[number])])

    def label(self, number: int) -> str:
        return str(self.labels.names[self.labels.codes[number]])

    @cached_property
    def strata(self) -> list[tuple[str, ...]]:
        """What the split stratifies each of ``labels.names`` by: the class, the several labels, or the interval of a number."""
        if self.task == MULTILABEL:
            return [labels_in(name) or () if name else () for name in self.labels.names]
        if self.task == NUMBER:
            return intervals(self.labels)
        return [(name,) for name in self.labels.names]

    @cached_property
    def stratum_of(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """For images of one class (or interval) each: the class of each of ``labels.names``, as an index; and the classes."""
        names: dict[str, int] = {}
        codes = [names.setdefault(one[0], len(names)) for one in self.strata]
        return np.array(codes, np.int64), tuple(names)

    def classes(self, number: int) -> tuple[str, ...]:
        return self.strata[int(self.labels.codes[number])]

    def key(self, number: int) -> str:
        """What the random order of groups depends on: the group, or the content, or the id if the content is unknown."""
        return str(self.groups.names[self.groups.codes[number]]) or self.sha256(number) or self.ids[number]

    def keys(self, numbers: Indices) -> Iterator[str]:
        """:meth:`key` of some samples."""
        for some in batches(numbers):
            groups = map(self.groups.names.__getitem__, self.groups.codes[some].tolist())
            for number, group, sha256 in zip(some.tolist(), groups, self.sha256s(some), strict=True):
                yield str(group) or sha256 or self.ids[number]

    def sha256s(self, numbers: Indices) -> Sequence[str]:
        """:meth:`sha256` of some samples."""
        return Chosen(self.columns["sha256"], self.order[numbers])


BATCH = 10_000
"""Number of samples that are objects at once."""

FURTHER = ("id", "sha256", "name", "content", "stem", "marked", "row")
"""Columns that are needed once the samples are in the order of their ids; the others are then in memory no longer."""


def batches(numbers: Indices) -> Iterator[Indices]:
    return (numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH))


MOST_INTERVALS, FEWEST_IN_ONE = 20, 10
"""Maximum number of intervals that numbers are stratified by, and the fewest images of each."""


def intervals(values: Few) -> list[tuple[str, ...]]:
    """The interval that each different number lies in, of intervals with about as many images each, by quantiles."""
    numbers = np.array([float(name) if name else np.nan for name in values.names])
    sorted_values = np.sort(numbers[values.codes])
    known = sorted_values[: np.count_nonzero(~np.isnan(sorted_values))]
    count = min(MOST_INTERVALS, len(known) // FEWEST_IN_ONE)
    borders = known[[len(known) * at // count for at in range(1, count)]] if count > 1 else known[:0]
    places = np.searchsorted(borders, numbers, side="right")
    return [("",) if np.isnan(number) else (f"{place:02}",) for number, place in zip(numbers, places, strict=True)]


def items_of(dataset: Dataset, excluded: Exclusions, column: str, pattern: str) -> Items:
    """The samples to split.

    Raises:
        UserError: no sample has the column, or matches the pattern.
    """
    columns = columns_of(dataset, split_columns, GroupParams(column=column, pattern=pattern))
    ids, order = columns["id"], columns["id"].sorted_order()
    if excluded:
        pairs = zip(Chosen(ids, order), Chosen(columns["sha256"], order), strict=True)
        order = order[np.array([not excluded.leaves_out(*pair) for pair in pairs], np.bool_)]
    labels, givens, groups = (columns[name][order] for name in ("label", "given", "group"))
    let_go(columns)
    columns = replace(columns, columns={name: columns[name] for name in FURTHER})
    items = Items(columns, order, Chosen(ids, order), labels, givens, groups, task=dataset.task)
    if len(items) and (column or pattern) and not any(items.groups.names[code] for code in distinct(items.groups.codes)[0]):
        if column:
            known = ", ".join(sorted({name for sample in dataset for name in sample.extra})) or "none"
            raise UserError(f"no image has a column {column!r} to group by", f"The images' columns are: {known}.")
        raise UserError(f"the group pattern {pattern!r} matches no id, such as {items.ids[0]!r}")
    return items


def let_go(columns: Mapping[str, Column]) -> None:
    """Give the memory of mapped columns back; it is read again where it is needed."""
    for column in columns.values():
        if isinstance(column, Texts):
            release(column.sizes)
            release(column.data)
        else:
            release(column.codes if isinstance(column, Few) else column)


def corrected(items: Items, ledger: Ledger) -> Items:
    """The samples with the labels that a person gave them, without those that a person removed."""
    changed: dict[int, str] = {}
    kept = np.ones(len(items), np.bool_)
    for number, name in enumerate(items.ids):
        label = items.label(number)
        keep, new = ledger.settle(name, label, partial(items.sha256, number))
        kept[number] = keep
        if keep and new != label:
            changed[number] = new or ""
    names = tuple(dict.fromkeys([*items.labels.names, *changed.values()]))
    codes = items.labels.codes.copy()
    for number, label in changed.items():
        codes[number] = names.index(label)
    relabelled = np.zeros(len(items), np.bool_)
    relabelled[list(changed)] = True
    order = items.order[kept]
    return replace(
        items,
        order=order,
        ids=Chosen(items.columns["id"], order),
        labels=Few(codes[kept], names),
        givens=items.givens[kept],
        groups=items.groups[kept],
        relabelled=relabelled[kept] if changed else None,
    )


def same_content(items: Items) -> list[list[int]]:
    """Items with the same content, for each content that is there several times."""
    contents = items.contents
    order = np.argsort(contents[:, 0], kind="stable")
    ordered = contents[order, 0]
    again = np.flatnonzero((np.diff(ordered) == 0) & (ordered[1:] != 0))
    found: dict[tuple[int, ...], list[int]] = {}
    for number in sorted({*order[again].tolist(), *order[again + 1].tolist()}):
        found.setdefault(tuple(contents[number].tolist()), []).append(number)
    return [group for group in found.values() if len(group) > 1]


def same_group(items: Items) -> list[list[int]]:
    """Items of the same group by column or pattern, for each group of several."""
    codes = items.groups.codes
    counts = np.bincount(codes, minlength=len(items.groups.names))
    grouped = (counts > 1) & np.array([bool(name) for name in items.groups.names], np.bool_)
    found: dict[int, list[int]] = {}
    for number in np.flatnonzero(grouped[codes]).tolist():
        found.setdefault(int(codes[number]), []).append(number)
    return list(found.values())


def label_conflicts(items: Items, same: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    """(the first image of a content, another one with the same content and another label), in the order of the latter.

    Args:
        same: items with the same content.
    """
    pairs = []
    for group in same:
        labelled = [number for number in group if items.label(number)]
        pairs += [(labelled[0], other) for other in labelled[1:] if items.label(other) != items.label(labelled[0])]
    return sorted(pairs, key=lambda pair: pair[1])


def groups_of(
    ctx: Context,
    items: Items,
    dataset: Dataset,
    same: Iterable[Sequence[int]],
    duplicates: str,
    distance_bits: int,
    copies: Copies | None = None,
) -> list[list[int]]:
    """The groups of several items that must stay together, each in the order of ids.

    Args:
        same: items with the same content.
        copies: near duplicates by features.
    """
    names, codes = items.labels.names, items.labels.codes
    pairs = origin_pairs(
        items.columns,
        items.order,
        items.ids,
        lambda number: names[codes[number]],
        lambda: Chosen(items.columns["sha256"], items.order),
    )
    shared = [*same_group(items), *(same if duplicates != "off" else ())]
    pairs += [(group[0], other) for group in shared for other in group[1:]]
    if duplicates == "near":
        pairs += _near(ctx, items, dataset, distance_bits)
    if copies is not None:
        numbers = {name: number for number, name in enumerate(items.ids)}
        pairs += copies.numbered(numbers)
    return components(pairs)


def _near(ctx: Context, items: Items, dataset: Dataset, distance_bits: int) -> list[tuple[int, int]]:
    from pipekit.images.measuring import measure_image, measured_columns

    rows = ctx.map(measure_image, dataset, label="near duplicates", problems=True)
    measured: Mapping[str, Any] = columns_of(rows, measured_columns)
    numbers = np.flatnonzero(measured["problem"].codes[items.order] < 0)
    prints = unpacked(measured["print"], items.order[numbers])
    pairs = np.concatenate(recalled_pairs(ctx, prints, distance_bits))
    return [(int(first), int(second)) for first, second in numbers[pairs].tolist()]


def suggested_groups(ctx: Context, items: Items, dataset: Dataset, groups: Sequence[Sequence[int]]) -> NameGroups | None:
    """Groups that the names suggest and nothing keeps together yet.

    Args:
        groups: what is kept together already.
    """

    def distances(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        from pipekit.images.measuring import measure_image, measured_columns

        rows = ctx.map(measure_image, dataset, label="near duplicates", problems=True)
        measured: Mapping[str, Any] = columns_of(rows, measured_columns)
        pixels = Miniatures(measured["print"])[items.order[pairs.ravel()]].astype(np.float64).reshape(len(pairs), 2, -1)
        return np.asarray(np.abs(pixels[:, 0] - pixels[:, 1]).mean(axis=1), np.float64)

    names = items.labels.names
    found = name_groups(items.ids, [names[code] for code in items.labels.codes.tolist()], distances)
    return None if found is None or _kept_together(items.ids, groups, found.pattern) else found


def _kept_together(ids: Sequence[str], groups: Sequence[Sequence[int]], pattern: str) -> bool:
    """Whether nearly all stems lie in one group each."""
    group_of = -1 - np.arange(len(ids))
    for place, group in enumerate(groups):
        group_of[list(group)] = place
    matches = (re.search(pattern, name) for name in ids)
    stems = short_hashes("" if match is None else f"_{match.group(1)}" for match in matches)[:, 0]
    order = np.lexsort((group_of, stems))
    order = order[stems[order] > 0]
    starts = np.diff(stems[order], prepend=np.uint64(0)) > 0
    num_groups = np.add.reduceat(starts | (np.diff(group_of[order], prepend=0) != 0), np.flatnonzero(starts), dtype=np.int64)
    return int((num_groups > 1).sum()) <= APART * len(num_groups)
