"""ImageNet as the ILSVRC challenge lays it out: folders by synset, ``LOC_synset_mapping.txt``, and CSV files of boxes.
https://www.kaggle.com/competitions/imagenet-object-localization-challenge/data
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from pipekit.builtin.importers.boxes import checked_box, size_of
from pipekit.builtin.importers.files import NO_FOLDER, images_below, not_utf8
from pipekit.builtin.importers.lists import lines, listed_labels
from pipekit.builtin.importers.lookup import Lookup, lookup
from pipekit.contract import Box, Categories, Failure, Rejected, Sample, Targets
from pipekit.errors import ImageError, UserError
from pipekit.params import Params, param

MAPPING = "LOC_synset_mapping.txt"

SOLUTIONS = {"train": "LOC_train_solution.csv", "val": "LOC_val_solution.csv"}

PLACES = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", ".")

READS = (".txt", ".csv", ".xml")


class ImageNetParams(Params):
    label: Literal["name", "synset"] = param(
        "name", "The class: the first name of the synset (with its number where two share the name), or its number n01440764"
    )
    boxes: bool = param(True, "Read the boxes of LOC_train_solution.csv and LOC_val_solution.csv")


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is ImageNet in the challenge's layout, or what it lacks."""
    if not path.is_dir():
        return NO_FOLDER
    if not (path / MAPPING).is_file():
        return Rejected(f"no {MAPPING} in it")
    data = _data(path)
    return (
        f"ImageNet: {MAPPING}, images in {data.relative_to(path).as_posix()}"
        if data
        else Rejected("no folder 'train' or 'val'")
    )


def read(path: Path, params: ImageNetParams) -> Iterator[Sample | Failure | Categories]:
    """One sample per image in train, val and test; the id is its path below them: ``val/ILSVRC2012_val_00000001.JPEG``.

    The synset is the folder, or for images of val that lie in one folder, the first one in ``LOC_val_solution.csv``. Images of
    test have no class.

    Raises:
        UserError: it is another layout, or a list can't be read.
    """
    data = _data(path) if path.is_dir() and (path / MAPPING).is_file() else None
    if data is None:
        raise UserError(f"{path} is not ImageNet", f"Expected {MAPPING} and {PLACES[0]} with train and val.")
    names = class_names(path / MAPPING)
    numbered = {number: _label(synset, names, params) for number, synset in enumerate(names)}
    yield from listed_labels(numbered)
    if params.boxes and any((path / name).is_file() for name in SOLUTIONS.values()):
        yield from listed_labels(numbered, "boxes")
    for split in ("train", "val", "test"):
        with ExitStack() as stack:
            solutions = stack.enter_context(lookup(_solutions(path / SOLUTIONS[split]) if split in SOLUTIONS else ()))
            for below, full in images_below(data / split):
                yield from _image(below, Path(full), split, names, solutions, params)


def _image(
    below: str, image: Path, split: str, names: dict[str, str], solutions: Lookup, params: ImageNetParams
) -> Iterator[Sample | Failure]:
    identity = f"{split}/{below}"
    line, *words = solutions.get(image.stem).split() or ("0",)
    synset = below.split("/")[0] if "/" in below else words[0] if words else ""
    if split != "test" and synset not in names:
        listed = (
            f"synset {synset[:80]!r}, which {MAPPING} lacks"
            if synset
            else f"{SOLUTIONS[split]} lacks it, and it is in no folder"
        )
        yield Failure(identity, listed, str(image))
        return
    boxes: list[Box] = []
    if params.boxes and words:
        try:
            size_hw = size_of(image)
        except ImageError as error:
            yield Failure(identity, error.message, str(image))
            return
        for at in range(0, len(words), 5):
            box = _box(words[at : at + 5], names, size_hw, params)
            if isinstance(box, str):
                yield Failure(f"{identity} box {at // 5 + 1}", f"{SOLUTIONS[split]} line {line}: {box}", part_of=identity)
            else:
                boxes.append(box)
    label = _label(synset, names, params) if split != "test" else None
    yield Sample(identity, str(image), label=label, split=split, targets=Targets(boxes=tuple(boxes)))


def _box(words: list[str], names: dict[str, str], size_hw: tuple[int, int], params: ImageNetParams) -> Box | str:
    """``n01440764 111 108 370 407``: synset, left, top, right, bottom."""
    try:
        synset, *edges = words
        left, top, right, bottom = map(float, edges)
    except ValueError:
        return f"expected a synset and four numbers, got {' '.join(words)[:60]!r}"
    if synset not in names:
        return f"synset {synset[:80]!r}, which {MAPPING} lacks"
    return checked_box((left, top, right, bottom), _label(synset, names, params), size_hw)


def _label(synset: str, names: dict[str, str], params: ImageNetParams) -> str:
    return names[synset] if params.label == "name" else synset


def class_names(mapping: Path) -> dict[str, str]:
    """Synset -> name, in the order of the list. ``n02012849 crane`` and ``n03126707 crane`` become ``crane (n02012849)`` …

    Raises:
        UserError: it can't be read, or a line is no synset with a name.
    """
    first: dict[str, str] = {}
    for number, line in lines(mapping):
        synset, _, name = line.partition(" ")
        first[synset] = name.split(",")[0].strip().replace("/", "-")
        if not first[synset]:
            raise UserError(f"{mapping} line {number}: {line[:80]!r}; expected a synset and its names: n01440764 tench")
    counts = Counter(first.values())
    return {synset: name if counts[name] == 1 else f"{name} ({synset})" for synset, name in first.items()}


def _solutions(file: Path) -> Iterator[tuple[str, str]]:
    """(name of the image without its suffix, line and synsets with boxes)"""
    if not file.is_file():
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.reader(stream)
            next(table, None)
            yield from ((row[0], f"{table.line_num} {row[1]}") for row in table if len(row) > 1)
    except UnicodeDecodeError:
        raise UserError(f"can't read {file}: {not_utf8(file)}", "Save it as CSV in UTF-8.") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"can't read {file}: {error}") from error


def _data(path: Path) -> Path | None:
    return next((path / place for place in PLACES if any((path / place / split).is_dir() for split in ("train", "val"))), None)
