"""COCO segmentations as masks: polygons and run-length encodings, plain or compressed.

The run lengths follow ``maskApi.c`` of the reference implementation (https://github.com/cocodataset/cocoapi): column by column,
zeros first. The compressed form has 5 bits per character; from the fourth on, a count is the difference to the one two before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.importers.annotated import UnusableError
from pipekit.images.polygons import Polygon, drawn, polygons_of, traced

MAX_BITS = 60
"""Maximum size of a run length. Each character more would double the time, up to hours for a text of megabytes."""

Mask = NDArray[np.uint8]


def write_mask(
    path: Path,
    annotations: Iterable[tuple[int, Mapping[str, Any]]],
    size_hw: tuple[int, int],
    fit: Callable[[Mask], Mask] = lambda mask: mask,
) -> None:
    """Write ``(H, W) uint8`` as PNG: 0 for background, else the number given with the annotation; small objects on top.

    Args:
        size_hw: the size that the annotations were drawn on.
        fit: makes a mask of the image's size of one of that size.

    Raises:
        UnusableError: a segmentation can't be read; NumPy may raise other errors for it.
    """
    from pipekit import images

    mask = np.zeros(size_hw, np.uint8)
    parts = [(number, decode(entry.get("segmentation"), size_hw)) for number, entry in annotations if entry.get("segmentation")]
    for number, part in sorted(parts, key=lambda item: -int(item[1].sum())):
        mask[part > 0] = number
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write_bytes(path, images.encode(fit(mask)[..., None], "png"))


def polygons_in(segmentation: Any, size_hw: tuple[int, int]) -> list[Polygon]:
    """The polygons of a segmentation: its own, or traced around its run lengths.

    Raises:
        UnusableError: it can't be read; NumPy may raise other errors for it.
    """
    if isinstance(segmentation, list):
        polygons = polygons_of(segmentation)
        if not all(np.isfinite(polygon).all() for polygon in polygons):
            raise UnusableError("a polygon that is not made of numbers")
        return polygons
    return traced(decode(segmentation, size_hw))


def decode(segmentation: Any, size_hw: tuple[int, int]) -> Mask:
    """A segmentation as ``(H, W) uint8`` of 0 and 1."""
    if isinstance(segmentation, list):
        return _polygons(segmentation, size_hw)
    if isinstance(segmentation, Mapping):
        if tuple(segmentation["size"]) != tuple(size_hw):
            raise UnusableError(f"run lengths are for {segmentation['size']}, the image is {list(size_hw)}")
        counts = segmentation["counts"]
        return _runs(counts if isinstance(counts, list) else decompress(counts), size_hw)
    raise UnusableError(f"expected polygons or run lengths, got {type(segmentation).__name__}")


def decompress(text: str | bytes) -> list[int]:
    """Decode a compressed string into run lengths."""
    data = text.encode("ascii") if isinstance(text, str) else text
    counts: list[int] = []
    at = 0
    while at < len(data):
        value = shift = 0
        more = True
        while more:
            if at >= len(data):
                raise UnusableError("the run lengths end in the middle of a number")
            if shift > MAX_BITS:
                raise UnusableError(f"a run length has more than {MAX_BITS} bits")
            bits = data[at] - 48
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            at += 1
            shift += 5
            if not more and bits & 0x10:
                value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts


def _runs(counts: list[int], size_hw: tuple[int, int]) -> Mask:
    if any(not isinstance(count, int) or count < 0 for count in counts) or sum(counts) != size_hw[0] * size_hw[1]:
        raise UnusableError(f"the run lengths do not fill {size_hw[0]} x {size_hw[1]} pixels")
    values = np.arange(len(counts), dtype=np.uint8) % 2
    return np.repeat(values, counts).reshape(size_hw, order="F")


def _polygons(polygons: list[Any], size_hw: tuple[int, int]) -> Mask:
    found = [np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in polygons]
    if any(len(points) < 3 or not np.isfinite(points).all() for points in found):
        raise UnusableError("a polygon with fewer than three corners, or not made of numbers")
    return drawn(found, size_hw)
