"""Oxford-IIIT Pets: lists of images with breeds, and trimaps as masks. https://www.robots.ox.ac.uk/~vgg/data/pets/"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Literal

from pipekit.builtin.importers.files import NO_FOLDER, is_file
from pipekit.builtin.importers.lists import MOST_DIGITS, base_with, lines, listed_labels, pairs
from pipekit.builtin.importers.lookup import lookup
from pipekit.contract import Categories, Failure, Rejected, Sample, Targets
from pipekit.errors import UserError
from pipekit.params import Params, param

LIST, TRAIN, TEST = "annotations/list.txt", "annotations/trainval.txt", "annotations/test.txt"

READS = (".txt", ".xml", ".mat")

SPECIES = {"1": "cat", "2": "dog"}


class PetsParams(Params):
    label: Literal["breed", "species"] = param("breed", "The class of an image: its breed, or whether it is a cat or a dog")
    masks: bool = param(True, "Read the trimaps as masks: 1 is the pet, 2 the background, 3 the border")


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is Oxford-IIIT Pets or a dataset in its format, or what it lacks."""
    if not path.is_dir():
        return NO_FOLDER
    base = _base(path)
    return (
        f"breeds, and trimaps as masks, by the lists of Oxford-IIIT Pets: {TRAIN}, {TEST}"
        if base
        else Rejected(f"it lacks {TRAIN}, {TEST} or lines 'name 1 1 1' in them")
    )


def read(path: Path, params: PetsParams) -> Iterator[Sample | Failure | Categories]:
    """One sample per listed image; the id is its file's name. ``trainval.txt`` is the split train, ``test.txt`` the split test.

    The breed is the name without its number: ``Abyssinian_100``. An image that no list of a split has is in none.

    Raises:
        UserError: the lists are missing or can't be read.
    """
    base = _base(path)
    if base is None:
        raise UserError(f"{path} is not Oxford-IIIT Pets", f"Expected {TRAIN}, {TEST} and a folder 'images'.")
    by_species = params.label == "species"
    named = ((name, split) for file, split in ((TRAIN, "train"), (TEST, "test")) for name, _ in pairs(base / file))
    all_of_them = [LIST] if (base / LIST).is_file() else [TRAIN, TEST]
    yield from listed_labels(
        {int(number): name for number, name in SPECIES.items()} if by_species else _breeds(base, all_of_them)
    )
    with lookup(named) as splits, lookup(()) as seen:
        for file, (number, line) in chain.from_iterable(((file, row) for row in lines(base / file)) for file in all_of_them):
            name, *values = line.split()
            image = base / "images" / f"{name}.jpg"
            breed, _, _ = name.rpartition("_")
            if "/" in name or not breed or len(values) < 2:
                yield Failure(f"{file} line {number}", f"expected 'Breed_100 1 1 1', got {line[:80]!r}")
            elif by_species and values[1] not in SPECIES:
                yield Failure(f"{name}.jpg", f"{file} line {number}: species {values[1]!r}, expected 1 (cat) or 2 (dog)")
            elif not is_file(image):
                yield Failure(f"{name}.jpg", f"{file} line {number}: no such image in 'images'")
            elif before := seen.get(name):
                yield Failure(f"{name}.jpg again", f"{file} line {number}: listed before, in {before}")
            else:
                seen.add(name, f"{file} line {number}")
                trimap = base / "annotations/trimaps" / f"{name}.png"
                targets = Targets(str(trimap) if params.masks and is_file(trimap) else "")
                label = breed if params.label == "breed" else SPECIES[values[1]]
                yield Sample(f"{name}.jpg", str(image), label=label, split=splits.get(name), targets=targets)


def _breeds(base: Path, files: list[str]) -> dict[int, str]:
    """The number of each breed: the first value of a line."""
    found: dict[int, str] = {}
    for _, line in chain.from_iterable(lines(base / file) for file in files):
        name, *values = line.split()
        if values and values[0].isdecimal() and len(values[0]) <= MOST_DIGITS and (breed := name.rpartition("_")[0]):
            found.setdefault(int(values[0]), breed)
    return found


def _base(path: Path) -> Path | None:
    base = base_with(path, (TRAIN, TEST))
    if base is None or not (base / "images").is_dir():
        return None
    try:
        first = next(lines(base / TRAIN), (0, ""))[1].split()
    except UserError:
        return None
    return base if len(first) == 4 and all(word.isdecimal() for word in first[1:]) else None
