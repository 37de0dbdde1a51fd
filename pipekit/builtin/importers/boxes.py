"""Shared by the importers of annotated images: validate boxes, find the image files that annotations name."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pipekit.builtin.importers.any_case import AnyCase
from pipekit.builtin.importers.files import is_file, last_parts
from pipekit.contract import Box
from pipekit.params import Params, param

LEAST_PX = 0.5
"""A box that is narrower than this after clipping to the image is refused."""


BEYOND = 0.02
"""A box that reaches further beyond its image than this share of the side was hardly drawn on it."""

CUT = (
    "whose boxes reach beyond the image and were cut at its edge: if there are many, the annotations may be for another size "
    "of the images, or in another order of numbers"
)
"""What :class:`~pipekit.contract.Adjusted` says of an image with such a box."""


class BoxedParams(Params):
    label: Literal["none", "single", "largest"] = param(
        "none", "The image's class from its boxes: none, the class if all boxes share one, or the class of the largest box"
    )


def checked_box(edges: Sequence[float], label: str, size_hw: tuple[int, int]) -> Box | str:
    """Clip a box (left, top, right, bottom in pixels) to its image, or return what is wrong with it."""
    if not all(math.isfinite(edge) for edge in edges):
        return f"a box of {label!r} is not made of numbers: {_shown(edges)}"
    left, top, right, bottom = edges
    if right <= left or bottom <= top:
        return f"a box of {label!r} has no size: {right - left:g} x {bottom - top:g} px"
    height, width = size_hw
    cut = max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)
    if cut[2] - cut[0] < LEAST_PX or cut[3] - cut[1] < LEAST_PX:
        return f"a box of {label!r} lies outside the image ({width} x {height} px): {_shown(edges)}"
    return Box(*cut, label)


def is_cut(edges: Sequence[float], size_hw: tuple[int, int]) -> bool:
    """Whether a box (left, top, right, bottom in pixels) reaches well beyond its image.

    >>> is_cut((0, 0, 101, 50), (50, 100)), is_cut((0, 0, 103, 50), (50, 100)), is_cut((-3, 0, 9, 9), (50, 100))
    (False, True, True)
    """
    height, width = size_hw
    left, top, right, bottom = edges
    return max(-left, right - width) > BEYOND * width or max(-top, bottom - height) > BEYOND * height


def _shown(edges: Sequence[float]) -> str:
    return ", ".join(f"{edge:g}" for edge in edges)


def outlined(box: Box, polygons: Sequence[Any], size_hw: tuple[int, int]) -> Box:
    """The box with polygons around its object (x, y, x, y …), clipped to the image; unchanged where they enclose no area."""
    from pipekit.images.polygons import area, clipped, plain, polygons_of

    edges = (float(size_hw[1]), float(size_hw[0]))
    inside = [part for polygon in polygons_of(polygons) if len(part := clipped(polygon, 0.0, edges)) >= 3 and area([part]) > 0]
    return replace(box, outline=plain(inside))


def is_rectangle(corners: Sequence[float]) -> bool:
    """Whether four corners (x, y, x, y …, in order) are those of a rectangle, turned or not, up to :data:`CROOKED`."""
    if len(corners) != 8:
        return False
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = zip(corners[::2], corners[1::2], strict=True)
    diagonals = math.hypot(cx - ax, cy - ay), math.hypot(dx - bx, dy - by)
    limit = CROOKED * max(diagonals)
    apart = math.hypot(ax + cx - bx - dx, ay + cy - by - dy) / 2
    return limit > 0 and apart <= limit and abs(diagonals[0] - diagonals[1]) <= limit


CROOKED = 0.02
"""Largest difference of the diagonals of a rectangle, in length and in their middles, as a share of their length."""


def label_of(boxes: Iterable[Box], rule: str) -> str | None:
    """The image's class from its boxes by the parameter ``label``; crowds do not count."""
    boxes = [box for box in boxes if not box.facts.get("iscrowd")]
    if not boxes or rule == "none":
        return None
    if rule == "largest":
        return max(boxes, key=lambda box: (box.x_max - box.x_min) * (box.y_max - box.y_min)).label
    counts = Counter(box.label for box in boxes)
    return next(iter(counts)) if len(counts) == 1 else None


class Finder:
    """Finds the image that an annotation file names, in the usual folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = list(folders)

    def find(self, name: str) -> Path | None:
        """The file, or None, also for a name that leads out of the folders. Tries the folder of the last hit first."""
        if Path(name).is_absolute() or ".." in Path(name).parts:
            return None
        for number, folder in enumerate(self._folders):
            path = folder / name
            if is_file(path):
                self._folders.insert(0, self._folders.pop(number))
                return path
        return None

    def part_of(self, name: str) -> str:
        """The last parts of another machine's path (``C:\\data\\train\\a.jpg``) that are an image here; "" if none are."""
        if ".." in re.split(r"[/\\\\]", name):
            return ""
        return next((part for part in last_parts(name) if part != name and self.find(part)), "")

    def in_any_case(self, name: str, names: AnyCase) -> tuple[str, Path] | None:
        """(name, file) of the image that has this name, or its last parts, in another case; None for a name with ``..``."""
        if ".." in re.split(r"[/\\\\]", name):
            return None
        found = names.find_among(self._folders, [name])
        of = next((folder for folder in self._folders if found and found.is_relative_to(folder)), None)
        return (found.relative_to(of).as_posix(), found) if found and of else None


def size_of(path: Path) -> tuple[int, int]:
    """Height and width after EXIF orientation. Raises ImageError."""
    from pipekit import images

    info = images.probe(images.read_bytes(path))
    return info.height_px, info.width_px
