"""Assign each image to a split, from the images, their groups, given splits and the split file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipekit.builtin.split.allocate import Unit, by_hash, stratified
from pipekit.builtin.split.groups import Item
from pipekit.builtin.split.split_file import Remembered
from pipekit.errors import UserError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Request:
    """The requested split. ``fractions`` are positive and in the order of ``SPLITS``."""

    fractions: Mapping[str, float]
    mode: str
    seed: int
    folds: int = 0
    fold: int = 1


@dataclass(frozen=True)
class Assignment:
    """The result.

    Attributes:
        places: the split of each item.
        folds: its fold, starting at 1, or 0.
        leaks: groups of items (as indices) that lie in more than one split.
        num_copies: number of items that share a group with another.
        to_remember: id -> line of the split file, for all items that did not come with a split.
    """

    items: Sequence[Item]
    places: list[str]
    folds: list[int]
    leaks: list[list[int]]
    num_copies: int
    to_remember: Mapping[str, Remembered]
    warnings: list[str]

    def count(self, name: str, without: Collection[int] = ()) -> int:
        return sum(place == name and number not in without for number, place in enumerate(self.places))


def assign(items: Sequence[Item], roots: Sequence[int], known: Mapping[str, Remembered], request: Request) -> Assignment:
    """Assign every item to a split.

    Args:
        roots: for each item, the index of the first item of its group.
        known: the content of the split file, by id.

    Raises:
        UserError: a requested split would be empty.
    """
    groups = _groups(roots)
    warnings: list[str] = []
    base = _base_places(items, groups, known, request, warnings)
    folds = _folds(items, groups, known, request, base) if request.folds else [0] * len(items)
    places = base
    if request.folds:
        places = [
            ("val" if fold == request.fold else "train") if fold else place for place, fold in zip(base, folds, strict=True)
        ]
    wanted = [name for name in SPLITS if name in request.fractions or (request.folds and name != "test")]
    warnings += _gaps(items, places, wanted, len(groups))
    lines = {
        item.id: _line(item, place, f"{fold}/{request.folds}" if fold else "", known.get(item.id))
        for item, place, fold in zip(items, base, folds, strict=True)
        if not item.given or item.given != place or fold
    }
    leaks = [group for group in groups if len({places[number] for number in group}) > 1]
    num_copies = sum(len(group) for group in groups if len(group) > 1)
    return Assignment(items, places, folds, leaks, num_copies, lines, warnings)


def _groups(roots: Sequence[int]) -> list[list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for number, root in enumerate(roots):
        members[root].append(number)
    return list(members.values())


def _line(item: Item, place: str, fold: str, before: Remembered | None) -> Remembered:
    """The new content of the split file. A plain split and folds share the file, and neither erases the other's entries."""
    if before and fold and before.split == "val" and place == "train":
        place = "val"
    return Remembered(
        item.id, item.key if item.hashed else "", item.label, place, fold or (before.fold if before and place != "test" else "")
    )


def _base_places(
    items: Sequence[Item],
    groups: Sequence[Sequence[int]],
    known: Mapping[str, Remembered],
    request: Request,
    warnings: list[str],
) -> list[str]:
    """The split of each item, before folds: with folds, val is a part of train."""
    fractions = dict(request.fractions)
    given = [item.given for item in items]
    if request.folds:
        fractions["train"] = fractions.get("train", 0) + fractions.pop("val", 0)
        given = ["train" if name == "val" else name for name in given]
    fractions = {name: fractions[name] for name in SPLITS if name in fractions}
    present = set(given) - {""}
    missing = [name for name in fractions if name not in present] if present else []
    pool = {name: share for name, share in fractions.items() if not missing or name == "train" or name in missing}
    pool = {name: share / sum(pool.values()) for name, share in pool.items()}

    def locked(number: int) -> str:
        if given[number] and not (missing and given[number] == "train"):
            return given[number]
        line = known.get(items[number].id)
        before = line.split if line else ""
        if before == "val" and request.folds:
            before = "train"
        return before if not given[number] or before in pool else ""

    places = [locked(number) for number in range(len(items))]
    free: list[Sequence[int]] = []
    for group in groups:
        loose = [number for number in group if not places[number]]
        pulls = Counter(places[number] for number in group if places[number] in pool)
        if loose and pulls:
            # Copies follow the split of the images that are already assigned; with several splits, the majority.
            target = max(SPLITS, key=lambda name: pulls[name])
            for number in loose:
                places[number] = target
        elif loose:
            free.append(loose)
    settled = {name: [items[n] for n, place in enumerate(places) if place == name] for name in pool}
    units = [Unit("", _class_counts(settled[name]), name) for name in pool if settled[name]]
    units += [Unit(_key(items, group), _class_counts(items[n] for n in group)) for group in free]
    deal = by_hash if request.mode == "hash" else stratified
    found = deal(units, pool, request.seed)[len(units) - len(free) :]
    for group, place in zip(free, found, strict=True):
        for number in group:
            places[number] = place
    if request.mode == "stratified" and free:
        warnings += _far_from_ideal(units, pool, Counter(place for place in places if place in pool))
    return places


def _folds(
    items: Sequence[Item],
    groups: Sequence[Sequence[int]],
    known: Mapping[str, Remembered],
    request: Request,
    places: Sequence[str],
) -> list[int]:
    """The fold of each item that is not in test, starting at 1; 0 for the others."""
    names = [str(number) for number in range(1, request.folds + 1)]
    found = [0] * len(items)
    for number, item in enumerate(items):
        fold, _, of = known[item.id].fold.partition("/") if item.id in known else ("", "", "")
        if places[number] == "train" and of == str(request.folds) and fold in names:
            found[number] = int(fold)
    units: list[Unit] = []
    members: list[list[int]] = []
    for group in groups:
        pool = [number for number in group if places[number] == "train"]
        loose = [number for number in pool if not found[number]]
        pulls = Counter(found[number] for number in pool if found[number])
        if pulls:
            target = min(pulls, key=lambda fold: (-pulls[fold], fold))
            for number in loose:
                found[number] = target
            for number in pool:
                units.append(Unit("", ((items[number].label, 1),), str(found[number])))
                members.append([number])
        elif loose:
            units.append(Unit(_key(items, loose), _class_counts(items[n] for n in loose)))
            members.append(loose)
    if len(units) < request.folds:
        raise UserError(
            f"{request.folds} folds need at least as many images (or groups), and there are {len(units)}",
            "Ask for fewer folds.",
        )
    deal = by_hash if request.mode == "hash" else stratified
    for group, fold in zip(members, deal(units, dict.fromkeys(names, 1 / request.folds), request.seed), strict=True):
        for number in group:
            found[number] = int(fold)
    return found


def _key(items: Sequence[Item], group: Sequence[int]) -> str:
    return min(items[number].group or items[number].key for number in group)


def _class_counts(items: Iterable[Item]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(item.label for item in items).items()))


def _gaps(items: Sequence[Item], places: Sequence[str], wanted: Sequence[str], num_units: int) -> list[str]:
    """Check for gaps. An empty split is an error, a class without images in a split is a warning."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item, place in zip(items, places, strict=True):
        counts[item.label][place] += 1
    for name in wanted:
        if not any(of[name] for of in counts.values()):
            units = f"{num_units} images" if num_units == len(items) else f"{len(items)} images in {num_units} groups"
            raise UserError(
                f"no image is left for {name}: {units}, {len(counts)} class{'es' if len(counts) != 1 else ''}",
                f"Add images, change 'fractions' (a split that is left out of them is not made), or give {name} a folder.",
            )
    warnings = []
    for name in wanted:
        without = [f"{label} ({of.total()} in all)" for label, of in sorted(counts.items()) if not of[name]]
        if without and len(counts) > 1:
            more = f" and {len(without) - 5} more" if len(without) > 5 else ""
            warnings.append(f"no image in {name} of the class{'es' if len(without) > 1 else ''} {', '.join(without[:5])}{more}")
    return warnings


def _far_from_ideal(units: Sequence[Unit], pool: Mapping[str, float], counts: Counter[str]) -> list[str]:
    total = counts.total()
    largest = max((unit.size for unit in units if not unit.place), default=0)
    for name, share in pool.items():
        if largest > 1 and abs(counts[name] - total * share) > max(0.05 * total, 1):
            return [
                f"{name} has {counts[name]} of {total} images, {share:.0%} were requested: groups stay together, and the "
                f"largest has {largest}"
            ]
    return []
