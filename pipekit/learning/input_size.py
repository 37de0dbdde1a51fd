"""The size of a model's images, where neither a person nor the template states one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from pipekit import images
from pipekit.contract import Params, Sample
from pipekit.errors import ImageError, UserError
from pipekit.learning.templates import finer_hw_of, input_hw_of

PROBED = 64
"""Number of image headers that are read to find the images' sizes."""


def infer_size(samples: Sequence[Sample]) -> tuple[int, int]:
    """The images' own size if all probed ones share one of at most 256 pixels; else 160, or less for small images."""
    sizes = Counter((info.height_px, info.width_px) for info, _ in probed(samples))
    if not sizes:
        raise UserError(
            f"none of the {min(PROBED, len(samples))} training images that were tried can be read; "
            f"the first is {samples[0].image}",
            "Run `pipekit inspect` on the dataset.",
        )
    if len(sizes) == 1 and max(one := next(iter(sizes))) <= 256:
        return max(8, one[0]), max(8, one[1])
    side = int(min(160, max(32, median(min(size) for size in sizes.elements()))))
    return side, side


def size_for(template: Any, params: Params, samples: Callable[[], Sequence[Sample]]) -> tuple[int, int]:
    """The input size of a template, where nobody states one: its finer one for photographs that have the pixels, its usual one,
    or one that the images suggest.

    Args:
        samples: the training images; not asked where the template alone decides.
    """
    usual, finer = input_hw_of(template, params), finer_hw_of(template, params)
    if finer is not None and shorter_side(samples()) >= max(finer):
        return finer
    return usual or infer_size(samples())


def shorter_side(samples: Sequence[Sample]) -> int:
    """The median of the shorter sides of the probed images, in pixels; 0 if none can be read."""
    sides = [min(info.height_px, info.width_px) for info, _ in probed(samples)]
    return int(median(sides)) if sides else 0


def probed(samples: Sequence[Sample]) -> Iterator[tuple[images.ImageInfo, bytes]]:
    """Header information of a sample of files, evenly spaced over the list; unreadable ones are omitted."""
    step = max(1, len(samples) // PROBED)
    for sample in samples[::step][:PROBED]:
        try:
            data = images.read_bytes(sample.image)
            yield images.probe(data), data
        except ImageError:
            continue
