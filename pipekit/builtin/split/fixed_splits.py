"""Assign each image to a split, from the images, their groups, given splits and the split file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.split.allocate import Singles, Unit, by_hash, positions_of, stratified
from pipekit.builtin.split.groups import Items, batches
from pipekit.builtin.split.iterative import iterative
from pipekit.builtin.split.split_file import Remembered, SplitFile, equal_rows
from pipekit.columnar import Chosen, Few, distinct
from pipekit.contract import Call
from pipekit.errors import UserError
from pipekit.images.near_duplicates import Indices
from pipekit.learning.assigning import assigned, name_of
from pipekit.tasks import MULTILABEL, NUMBER

SPLITS = ("train", "val", "test")

PLACES = ("", *SPLITS)
"""Splits as numbers: 0 for none."""

TRAIN, VAL, TEST = 1, 2, 3

Codes: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True)
class Request:
    """The requested split. ``fractions`` are positive and in the order of ``SPLITS``; a ``splitter`` replaces ``mode``."""

    fractions: Mapping[str, float]
    mode: str
    seed: int
    folds: int = 0
    fold: int = 1
    splitter: Call | None = None


@dataclass(frozen=True, eq=False)
class Assignment:
    """The result.

    Attributes:
        places: the split of each item, as a number.
        folds: its fold, starting at 1, or 0.
        leaks: groups of items (as indices) that lie in more than one split.
        num_copies: number of items that share a group with another.
        to_remember: lines of the split file for items whose line may be new, in the order of ids; they can be taken once. Items
            that came with a split have none.
    """

    items: Items
    places: Codes
    folds: Codes
    leaks: list[list[int]]
    num_copies: int
    to_remember: Iterable[Remembered]
    warnings: list[str]

    def place(self, number: int) -> str:
        return PLACES[self.places[number]]

    def counts(self, without: Iterable[int] = ()) -> dict[str, int]:
        kept = np.ones(len(self.items), np.bool_)
        kept[list(without)] = False
        found = np.bincount(self.places[kept], minlength=len(PLACES)).tolist()
        return {name: found[number] for number, name in enumerate(PLACES) if name and found[number]}


def assign(items: Items, groups: Sequence[Sequence[int]], memory: SplitFile, request: Request) -> Assignment:
    """Assign every item to a split.

    Args:
        groups: the groups of several items.

    Raises:
        UserError: a requested split would be empty.
    """
    warnings: list[str] = []
    known = memory.find_all(items.names, items.contents) if len(memory) else np.full(len(items), -1, np.int64)
    given = _codes(items.givens, PLACES)
    base = _base_places(items, groups, given, _at(memory.splits, known, PLACES), request, warnings)
    folds, places = np.zeros(len(items), np.int32), base
    if request.folds:
        folds = _folds(items, groups, _at(memory.folds, known, _fold_names(request)), request, base)
        places = np.where(folds > 0, np.where(folds == request.fold, VAL, TRAIN), base).astype(np.int32)
    wanted = [name for name in SPLITS if _is_made(name, request)]
    warnings += _gaps(items, places, wanted, len(items) - sum(len(group) - 1 for group in groups))
    new = _new(items, given, base, folds, memory, known)
    lines = _lines(items, new, base, folds, memory, known, request)
    leaks = [list(group) for group in groups if len(set(places[group].tolist())) > 1]
    return Assignment(items, places, folds, leaks, sum(map(len, groups)), lines, warnings)


def _is_made(name: str, request: Request) -> bool:
    """Whether a split is among the fractions or, with folds, one of train and val; no fold need be val."""
    if not request.folds or name == "test":
        return name in request.fractions
    return name == "train" or request.fold > 0


def _codes(texts: Few, names: Sequence[str]) -> Codes:
    """The index of each text in ``names``; 0 for any other."""
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers.get(name, 0) for name in texts.names] or [0], np.int32)[texts.codes]


def _at(texts: Few, lines: Indices, names: Sequence[str]) -> Codes:
    """The same for the texts at some lines; 0 where there is no line."""
    return np.where(lines >= 0, np.append(_codes(texts, names), 0)[lines], 0).astype(np.int32)


def _fold_names(request: Request) -> list[str]:
    return ["", *(f"{number}/{request.folds}" for number in range(1, request.folds + 1))]


def _new(items: Items, given: Codes, places: Codes, folds: Codes, memory: SplitFile, known: Indices) -> Indices:
    """The items whose line in the split file is missing or may have to change."""
    came = (given > 0) & (given == places) & (folds == 0)
    has = known >= 0
    if not has.any():
        return np.flatnonzero(~came)
    lines = np.where(has, known, 0)
    same = has & equal_rows(memory.names, lines, items.names) & equal_rows(memory.contents, lines, items.contents)
    same &= _codes(items.labels, memory.labels.names) == memory.labels.codes[lines]
    same &= np.isin(items.labels.codes, [n for n, name in enumerate(items.labels.names) if name in memory.labels.names])
    same &= _at(memory.splits, known, PLACES) == places
    no_fold = [number for number, name in enumerate(memory.folds.names) if not name]
    fold_stays = (folds == 0) & (np.isin(memory.folds.codes[lines], no_fold) | (places != TEST))
    return np.flatnonzero(~came & ~(same & fold_stays))


def _lines(
    items: Items, numbers: Indices, places: Codes, folds: Codes, memory: SplitFile, known: Indices, request: Request
) -> Iterator[Remembered]:
    """The new lines of the split file. A plain split and folds share the file, and neither erases the other's entries."""
    for some in batches(numbers):
        values = (column[some].tolist() for column in (places, folds, known))
        texts = Chosen(items.columns["id"], items.order[some]), items.sha256s(some)
        for number, name, sha256, code, fold, line in zip(some.tolist(), *texts, *values, strict=True):
            before, place = memory.at(line), PLACES[code]
            named = f"{fold}/{request.folds}" if fold else ""
            if before and named and before.split == "val" and place == "train":
                place = "val"
            named = named or (before.fold if before and place != "test" else "")
            yield Remembered(name, sha256, items.label(number), place, named)


def _base_places(
    items: Items,
    groups: Sequence[Sequence[int]],
    given: Codes,
    remembered: Codes,
    request: Request,
    warnings: list[str],
) -> Codes:
    """The split of each item, before folds: with folds, val is a part of train."""
    fractions = dict(request.fractions)
    if request.folds:
        fractions["train"] = fractions.get("train", 0) + fractions.pop("val", 0)
        given, remembered = np.where(given == VAL, TRAIN, given), np.where(remembered == VAL, TRAIN, remembered)
    fractions = {name: fractions[name] for name in SPLITS if name in fractions}
    present = {PLACES[code] for code in distinct(given)[0] if code}
    missing = [name for name in fractions if name not in present] if present else []
    pool = {name: share for name, share in fractions.items() if not missing or name == "train" or name in missing}
    pool = {name: share / sum(pool.values()) for name, share in pool.items()}
    in_pool = np.array([name in pool for name in PLACES], np.bool_)
    stays = (given > 0) & ~((given == TRAIN) & bool(missing))
    places = np.where(stays, given, np.where((given == 0) | in_pool[remembered], remembered, 0)).astype(np.int32)
    free: list[tuple[int, list[int]]] = []
    for group in groups:
        inside = places[group].tolist()
        loose = [number for number, place in zip(group, inside, strict=True) if not place]
        pulls = Counter(place for place in inside if in_pool[place])
        if loose and pulls:
            # Copies follow the split of the images that are already assigned; with several splits, the majority.
            places[loose] = max((TRAIN, VAL, TEST), key=lambda place: pulls[place])
        elif loose:
            free.append((loose[0], loose))
    lone = places == 0
    lone[[number for group in groups for number in group]] = False
    placed = _placed(items, places, PLACES, pool)
    are_free = bool(free) or bool(lone.any())
    codes = np.array([PLACES.index(name) for name in pool], np.int32)
    for some, dealt in _deal(items, request, placed, free, np.flatnonzero(lone), pool):
        places[some] = codes[dealt]
    if request.mode == "stratified" and request.splitter is None and are_free:
        totals = dict(zip(PLACES, np.bincount(places, minlength=len(PLACES)).tolist(), strict=True))
        warnings += _far_from_ideal(
            max((len(group) for _, group in free), default=0), pool, Counter({name: totals[name] for name in pool})
        )
    return places


def _deal(
    items: Items,
    request: Request,
    placed: Sequence[Unit],
    groups: Sequence[tuple[int, list[int]]],
    lone: Indices,
    fractions: Mapping[str, float],
) -> Iterator[tuple[Any, Any]]:
    """Assign the free images.

    Args:
        placed: what has a place already.
        groups: free images that stay together, with the number that decides their turn among equals.
        lone: the other free images.

    Yields:
        images, and their places as indices into ``fractions``: one for all of them, or one each.
    """
    names = list(fractions)
    call = request.splitter
    if call is not None or (items.task == MULTILABEL and request.mode != "hash"):
        listed = [group for _, group in sorted([*groups, *((number, [number]) for number in lone.tolist())])]
        units = [*placed, *(_unit(items, group, named=call is not None) for group in listed)]
        if call is not None:
            found = assigned(call.load(), units, fractions, call.params, request.seed, name_of(call))[len(placed) :]
        else:
            found = iterative(units, fractions, request.seed)[len(placed) :]
        yield from zip(listed, map(names.index, found), strict=True)
        return
    if alone := [(turn, group[0]) for turn, group in groups if len(group) == 1]:
        turns = np.concatenate([np.array(alone, np.int64), np.stack([lone, lone], axis=1)])
        lone = turns[np.argsort(turns[:, 0]), 1]
    listed = [group for _, group in sorted(groups) if len(group) > 1]
    units = [_unit(items, group) for group in listed]
    positions = positions_of(request.seed, items.keys(lone), len(lone))
    if request.mode == "hash":
        yield lone, by_hash(positions, fractions)
        of_units = positions_of(request.seed, (unit.key for unit in units), len(units))
        yield from zip(listed, by_hash(of_units, fractions), strict=True)
        return
    of_labels, strata = items.stratum_of
    singles = Singles(positions, of_labels[items.labels.codes[lone]], strata)
    found, places = stratified([*placed, *units], fractions, request.seed, singles)
    yield lone, places
    yield from zip(listed, map(names.index, found[len(placed) :]), strict=True)


def _size(items: Items, number: int) -> int | None:
    """The number of images of a unit, where its classes do not say it."""
    return number if items.task == MULTILABEL else None


def _unit(items: Items, group: Sequence[int], named: bool = False) -> Unit:
    """Args: named: with the group and the ids of the images, for a plugin's splitter."""
    of_plugin = (_group_of(items, group), tuple(items.ids[number] for number in group)) if named else ()
    counts = Counter(name for number in group for name in items.classes(number))
    return Unit(min(map(items.key, group)), tuple(sorted(counts.items())), "", _size(items, len(group)), *of_plugin)


def _group_of(items: Items, group: Sequence[int]) -> str:
    """The value of the column or pattern of a group; of images that are copies, the first one's."""
    names = (items.groups.names[items.groups.codes[number]] for number in group)
    return next((name.partition(":")[2] for name in names if name), "")


def _placed(items: Items, places: Codes, names: Sequence[str], wanted: Collection[str]) -> list[Unit]:
    """What has a place already: one unit for each of the wanted places.

    Args:
        names: those of the codes in ``places``.
    """
    classes, sizes = _class_counts(items, places), np.bincount(places, minlength=len(names)).tolist()
    there = [(code, name) for code, name in enumerate(names) if name in wanted and sizes[code]]
    return [Unit("", classes.get(code, ()), name, _size(items, sizes[code])) for code, name in there]


def _class_counts(items: Items, places: Codes) -> dict[int, tuple[tuple[str, int], ...]]:
    """For each place, as a number: (class, number of images)."""
    num_labels = len(items.labels.names)
    counts = np.bincount(places * num_labels + items.labels.codes)
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for number in np.flatnonzero(counts).tolist():
        for name in items.strata[number % num_labels]:
            found[number // num_labels][name] += int(counts[number])
    return {place: tuple(sorted(classes.items())) for place, classes in found.items()}


def _folds(items: Items, groups: Sequence[Sequence[int]], remembered: Codes, request: Request, places: Codes) -> Codes:
    """The fold of each item that is not in test, starting at 1; 0 for the others."""
    names = [str(number) for number in range(request.folds + 1)]
    in_train = places == TRAIN
    found = np.where(in_train, remembered, 0).astype(np.int32)
    free: list[tuple[int, list[int]]] = []
    for group in groups:
        loose = [number for number in group if in_train[number] and not found[number]]
        pulls = Counter(int(found[number]) for number in group if found[number])
        if pulls:
            found[loose] = min(pulls, key=lambda fold: (-pulls[fold], fold))
        elif loose:
            free.append((group[0], loose))
    lone = in_train & (found == 0)
    lone[[number for _, group in free for number in group]] = False
    num_units = int(np.count_nonzero(found)) + len(free) + int(lone.sum())
    if num_units < request.folds:
        raise UserError(
            f"{request.folds} folds need at least as many images (or groups), and there are {num_units}",
            "Ask for fewer folds.",
        )
    placed = _placed(items, found, names, names[1:])
    fractions = dict.fromkeys(names[1:], 1 / request.folds)
    for some, dealt in _deal(items, request, placed, free, np.flatnonzero(lone), fractions):
        found[some] = dealt + 1
    return found


def _gaps(items: Items, places: Codes, wanted: Sequence[str], num_units: int) -> list[str]:
    """Check for gaps. An empty split is an error, a class without images in a split is a warning."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for place, classes in _class_counts(items, places).items():
        for label, count in classes:
            counts[label][PLACES[place]] = count
    there = dict(zip(PLACES, np.bincount(places, minlength=len(PLACES)).tolist(), strict=True))
    for name in wanted:
        if not there[name]:
            units = f"{num_units} images" if num_units == len(items) else f"{len(items)} images in {num_units} groups"
            listed = "" if items.task == NUMBER else f", {len(counts)} class{'es' if len(counts) != 1 else ''}"
            raise UserError(
                f"no image is left for {name}: {units}{listed}",
                f"Add images, change 'fractions' (a split that is left out of them is not made), or give {name} a folder.",
            )
    warnings: list[str] = []
    if items.task == NUMBER:
        return warnings
    for name in wanted:
        without = [f"{label} ({of.total()} in all)" for label, of in sorted(counts.items()) if not of[name]]
        if without and len(counts) > 1:
            more = f" and {len(without) - 5} more" if len(without) > 5 else ""
            warnings.append(f"no image in {name} of the class{'es' if len(without) > 1 else ''} {', '.join(without[:5])}{more}")
    return warnings


def _far_from_ideal(largest: int, pool: Mapping[str, float], counts: Counter[str]) -> list[str]:
    """A warning if a split is far from its fraction.

    Args:
        largest: the number of images of the largest group that was assigned.
    """
    total = counts.total()
    for name, share in pool.items():
        if largest > 1 and abs(counts[name] - total * share) > max(0.05 * total, 1):
            return [
                f"{name} has {counts[name]} of {total} images, {share:.0%} were requested: groups stay together, and the "
                f"largest has {largest}"
            ]
    return []
