"""Masks beside their images, in the folders of classes: ``a_mask.png`` or ``a.png`` beside ``a.jpg``."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pipekit.builtin.importers.files import is_file
from pipekit.files import image_suffixes

FOUND_BESIDE = (
    "found beside them as pictures (a_mask.png, or a.png that is not the picture of a.jpg) and left out, because these are no "
    "images of a class; masks_beside = true reads them as images"
)
"""What :class:`~pipekit.contract.Adjusted` says of an image with such a mask."""

MAX_VALUES = 64
"""Grey values that a mask has at most, unless its edges are smooth. A photograph has more."""

MAX_DIFFERENCE, MAX_DIFFERENCE_OF_FEW = 12, 3
"""Mean difference in grey values between two copies of one picture, one of them compressed as JPEG; and where it has few."""

_MASK = re.compile(
    r"(.+?)[ _.-]+(?:masks?|seg|segmentation|gt|ground_?truth|labels?|labelids|instanceids|annotations?|trimap|matte|parts)"
    r"(?:[ _-]?\d+)?$",
    re.IGNORECASE,
)

_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
_EXACT = (".png", ".tif", ".tiff")


def with_owners(images: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """(id, path, id of the image whose mask it is, else "") of each image; those of one folder come sorted by name."""
    before = ""
    for identity, full in images:
        owner = _owner_by_name(identity, full) or (before if _is_its_mask(before, identity, full) else "")
        yield identity, full, owner
        before = identity


def has_namesake(root: Path, identity: str) -> bool:
    """Whether a file may be a mask of another one in its folder, or another one its mask, by their names alone."""
    folder, _, name = identity.rpartition("/")
    stem = _stem(name)
    if _MASK.match(stem):
        return True
    place = root / folder
    return stem in _related(place, place.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _related(folder: Path, mtime_ns: int) -> frozenset[str]:
    """The stems that two files of a folder have, or a file and what is called like its mask."""
    stems = [_stem(entry.name) for entry in os.scandir(folder)]
    twice = {stem for stem, number in Counter(stems).items() if number > 1}
    return frozenset(twice | {mask[1] for stem in stems if (mask := _MASK.match(stem))})


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _owner_by_name(identity: str, full: str) -> str:
    found = _MASK.match(_stem(identity.rpartition("/")[2]))
    if not found:
        return ""
    folder = Path(full).parent
    own = Path(full).suffix
    name = next((found[1] + end for end in dict.fromkeys((own, *image_suffixes())) if is_file(folder / (found[1] + end))), "")
    return identity.rpartition("/")[0] + "/" * ("/" in identity) + name if name else ""


def _is_its_mask(before: str, identity: str, full: str) -> bool:
    """Whether a file is called like the one before it, but for the suffix, and is not the same picture."""
    stem, _, suffix = identity.rpartition(".")
    other, _, lossy = before.rpartition(".")
    if stem != other or f".{suffix.lower()}" not in _EXACT or f".{lossy.lower()}" not in _LOSSY:
        return False
    import numpy as np

    from pipekit import images
    from pipekit.errors import ImageError

    path = Path(full)
    try:
        mask, image = (images.decode(images.read_bytes(file), gray=True) for file in (path, path.with_suffix(f".{lossy}")))
    except ImageError:
        return False
    few = np.count_nonzero(np.bincount(mask.ravel(), minlength=256)) <= MAX_VALUES
    if mask.shape != image.shape:
        return bool(few)
    return bool(np.abs(mask.astype(np.int16) - image).mean() > (MAX_DIFFERENCE_OF_FEW if few else MAX_DIFFERENCE))
