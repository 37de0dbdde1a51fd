"""Which images the contact sheet of a large dataset shows. What draws it is passed in, since the engine decodes no images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pipekit.engine.view_parts import PartToShow
from pipekit.store.rows import dumps
from pipekit.tasks import written

SHEET = "contact_sheet.jpg"

MAX_IMAGES = 48


class SheetImage(NamedTuple):
    """An image of a contact sheet: its path, the hash of its bytes, and the text below it."""

    path: str
    sha256: str
    caption: str


DrawSheet = Callable[[Path, Sequence[SheetImage]], bool]
"""Draws images into a file; returns False if it could read none, and there is no file."""


def images_for_sheet(parts: Sequence[PartToShow]) -> tuple[SheetImage, ...]:
    """Up to :data:`MAX_IMAGES` images, spread evenly over the classes of each split; sorted by class and split.

    Parts are filled by a hash of the ids, so those of the first few parts are a random choice, and few parts are read.
    """
    wanted = _shares(parts)
    found: list[tuple[str, str, str, SheetImage]] = []
    for part in sorted(parts, key=lambda part: part.order):
        if not any(wanted.values()):
            break
        if not any(wanted.get(group) for group in part.counts()):
            continue
        for sample in part.samples():
            group = (sample.split, sample.label or "")
            if wanted.get(group):
                wanted[group] -= 1
                caption = "  ".join(filter(None, (written(sample) or "(no class)", sample.split)))
                found.append((group[1], group[0], sample.id, SheetImage(sample.image, sample.sha256, caption)))
    return tuple(image for *_, image in sorted(found))


def _shares(parts: Sequence[PartToShow]) -> dict[tuple[str, str], int]:
    """The number of images of each split and class."""
    counts: dict[tuple[str, str], int] = {}
    for part in parts:
        for group, number in part.counts().items():
            counts[group] = counts.get(group, 0) + number
    drawn = sorted(counts, key=lambda group: hashlib.sha256(dumps(group).encode("utf-8", "surrogatepass")).digest())
    rounds = (group for number in range(MAX_IMAGES) for group in drawn if counts[group] > number)
    shares: dict[tuple[str, str], int] = {}
    for group in islice(rounds, MAX_IMAGES):
        shares[group] = shares.get(group, 0) + 1
    return shares
