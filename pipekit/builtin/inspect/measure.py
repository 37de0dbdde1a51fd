"""The measurements of one image: the file is read once and decoded once, in grey and reduced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from pipekit.contract import PAUSE, SMALL_BYTES, Params, Sample, SampleContext, param
from pipekit.errors import ImageError

SIDE_PX = 128
"""Images are measured at this shorter side, so that sharpness means the same for small and large ones."""


class MeasureParams(Params):
    side_px: int = param(SIDE_PX, "Images are reduced to this shorter side before they are measured", unit="px", ge=32)


def measure(sample: Sample, params: MeasureParams, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """One row per image. If ``problem`` is set, it says why the image can't be used, and the measures are missing.

    Keys: id, label, split, sha256, size_bytes, suffix, width_px, height_px, format, mode, orientation, frames, and

    * ``dark_level``, ``bright_level``: the 1st and 99th percentile of brightness, 0 to 255;
    * ``contrast``: the standard deviation of brightness; ``entropy_bits``: of its histogram;
    * ``sharpness``: the energy of the finest details (up to 1 px) over that of the next octave; independent of contrast;
    * ``cut_off``: the share of rows at the lower end that are plain medium grey, where the rest of the image is not;
    * ``print``: its fingerprint, see :func:`pipekit.images.near_duplicates.fingerprint`.
    """
    from pipekit import images
    from pipekit.builtin.inspect import image_statistics
    from pipekit.images import near_duplicates

    row: dict[str, Any] = {"id": sample.id, "label": sample.label, "split": sample.split, "sha256": sample.sha256}
    row["suffix"] = os.path.splitext(sample.image)[1].lower()  # noqa: PTH122 (a name of any encoding)
    try:
        data = images.read_bytes(sample.image)
        row["size_bytes"] = len(data)
        if len(data) <= SMALL_BYTES:
            yield PAUSE
        info = images.probe(data)
        gray = images.decode(data, at_least_hw=(params.side_px, params.side_px), gray=True)
        if gray.size + len(data) <= SMALL_BYTES:
            yield PAUSE
        small, blurred_px2 = image_statistics.reduced(gray[..., 0], params.side_px)
        del data, gray
    except ImageError as error:
        yield {**row, "problem": error.message}
        return
    yield PAUSE
    row.update(
        width_px=info.width_px,
        height_px=info.height_px,
        format=info.format,
        mode=info.mode,
        orientation=info.orientation,
        frames=info.frames,
        print=near_duplicates.fingerprint(small[..., None]),
    )
    yield PAUSE
    row |= image_statistics.measures(small, blurred_px2)
    yield PAUSE
    yield row
