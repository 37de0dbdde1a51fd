"""Caltech-UCSD Birds-200-2011: lists by the images' numbers. https://www.vision.caltech.edu/datasets/cub_200_2011/"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from pipekit.builtin.importers.boxes import Finder, checked_box, size_of
from pipekit.builtin.importers.files import NO_FOLDER
from pipekit.builtin.importers.lists import MOST_DIGITS, base_with, lines, listed_labels, pairs
from pipekit.builtin.importers.lookup import lookup
from pipekit.contract import Box, Categories, Failure, Rejected, Sample, Targets
from pipekit.errors import ImageError, UserError
from pipekit.params import Params, param

IMAGES, LABELS, SPLITS, BOXES, CLASSES = (
    "images.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "bounding_boxes.txt",
    "classes.txt",
)

NEEDED = (IMAGES, LABELS, CLASSES)

READS = (".txt",)


class CubParams(Params):
    boxes: bool = param(True, "Read the bird's box from bounding_boxes.txt")


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is CUB-200-2011 or a dataset in its format, or what it lacks."""
    if not path.is_dir():
        return NO_FOLDER
    base = base_with(path, NEEDED)
    return f"lists of CUB-200-2011: {', '.join(NEEDED)}" if base else Rejected(f"it lacks one of {', '.join(NEEDED)}")


def read(path: Path, params: CubParams) -> Iterator[Sample | Failure | Categories]:
    """One sample per line of ``images.txt``; the id is the image's path below ``images``. The class is one of ``classes.txt``.

    The splits are train (1) and test (0). Locations of parts are not read.

    Raises:
        UserError: a list is missing or can't be read.
    """
    base = base_with(path, NEEDED)
    if base is None:
        raise UserError(f"{path} is not CUB-200-2011", f"Expected {', '.join(NEEDED)} and a folder 'images'.")
    classes = dict(pairs(base / CLASSES))
    numbered = {int(number): name for number, name in classes.items() if number.isdecimal() and len(number) <= MOST_DIGITS}
    yield from listed_labels(numbered)
    if params.boxes and (base / BOXES).is_file():
        yield from listed_labels(numbered, "boxes")
    finder = Finder([base / "images"])
    with ExitStack() as stack:
        labels, splits, boxes = (stack.enter_context(lookup(pairs(base / name))) for name in (LABELS, SPLITS, BOXES))
        for number, line in lines(base / IMAGES):
            where = f"{IMAGES} line {number}"
            identity, _, name = line.partition(" ")
            image = finder.find(name.strip()) if name.strip() else None
            if image is None:
                yield Failure(
                    name.strip() or f"{IMAGES} line {number}", f"{IMAGES} line {number}: no such image: {(name or line)[:80]!r}"
                )
                continue
            label, split = labels.get(identity), splits.get(identity)
            if label not in classes:
                reason = f"{where}: {LABELS} says class {label[:80]!r}, which {CLASSES} lacks"
                yield Failure(name, reason if label else f"{where}: {LABELS} lacks image {identity[:80]}", str(image))
                continue
            if split not in ("", "0", "1"):
                yield Failure(name, f"{where}: {SPLITS} says {split[:80]!r}, expected 0 or 1", str(image))
                continue
            box: Box | str | None = None
            if params.boxes and (text := boxes.get(identity)):
                box = _box(text, classes[label], image)
                if isinstance(box, str):
                    yield Failure(f"{name} box", f"{where}: {BOXES}: {box}", part_of=name)
            found = (box,) if isinstance(box, Box) else ()
            yield Sample(
                name,
                str(image),
                label=classes[label],
                split={"1": "train", "0": "test"}.get(split, ""),
                targets=Targets(boxes=found),
            )


def _box(text: str, label: str, image: Path) -> Box | str:
    """``60.0 27.0 325.0 304.0``: left, top, width, height."""
    try:
        left, top, width, height = map(float, text.split())
    except ValueError:
        return f"{text[:80]!r} is not four numbers"
    try:
        return checked_box((left, top, left + width, top + height), label, size_of(image))
    except ImageError as error:
        return error.message
