"""What is measured on one image: the file is read once and decoded once, grey and reduced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Params, Sample, SampleContext, param
from pipekit.errors import ImageError

SIDE_PX = 128
"""The shorter side at which pictures are measured, so that sharpness means the same for small and large ones."""


class MeasureParams(Params):
    side_px: int = param(SIDE_PX, "The shorter side at which pictures are measured", unit="px", ge=32)


def measure(sample: Sample, params: MeasureParams, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """One row about the image; ``problem`` says why it can't be used, and the measures are left out then.

    Keys: id, label, split, sha256, size_bytes, suffix, width_px, height_px, format, mode, orientation, frames, and

    * ``dark_level``, ``bright_level``: the 1st and 99th percentile of brightness, 0 to 255;
    * ``contrast``: the standard deviation of brightness; ``entropy_bits``: of its histogram;
    * ``sharpness``: the energy of the finest details (up to 1 px) over that of the next octave; it does not hang on contrast;
    * ``cut_off``: the share of rows at the lower end that are plain medium grey, where the rest of the picture is not;
    * ``print``: see :func:`pipekit.similar.fingerprint`.
    """
    from pipekit import images, similar

    row: dict[str, Any] = {"id": sample.id, "label": sample.label, "split": sample.split, "sha256": sample.sha256}
    row["suffix"] = os.path.splitext(sample.image)[1].lower()  # noqa: PTH122 (a name of any encoding)
    try:
        data = images.read_bytes(sample.image)
        row["size_bytes"] = len(data)
        info = images.probe(data)
        gray = _reduced(images.decode(data, at_least_hw=(params.side_px, params.side_px), gray=True)[..., 0], params.side_px)
    except ImageError as error:
        yield {**row, "problem": error.message}
        return
    row.update(
        width_px=info.width_px,
        height_px=info.height_px,
        format=info.format,
        mode=info.mode,
        orientation=info.orientation,
        frames=info.frames,
        print=similar.fingerprint(gray[..., np.newaxis]),
    )
    yield {**row, **_looks(gray)}


def _reduced(gray: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Brought to a shorter side of ``side_px``; never enlarged."""
    height, width = gray.shape
    scale = side_px / min(height, width)
    if scale >= 1:
        return gray
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(np.ascontiguousarray(gray), size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _looks(gray: NDArray[np.uint8]) -> dict[str, float]:
    histogram = np.bincount(gray.ravel(), minlength=256)
    share = histogram / gray.size
    upto = np.cumsum(share)
    some = share[share > 0]
    pixels = gray.astype(np.float32)
    fine = cv2.GaussianBlur(pixels, (7, 7), 1)
    coarse = cv2.GaussianBlur(fine, (11, 11), 1.732)  # together a blur of 2 px
    finest = cv2.norm(pixels, fine, cv2.NORM_L2SQR) / gray.size
    next_octave = cv2.norm(fine, coarse, cv2.NORM_L2SQR) / gray.size
    return {
        "dark_level": float(np.searchsorted(upto, 0.01)),
        "bright_level": float(np.searchsorted(upto, 0.99)),
        "contrast": round(float(cv2.meanStdDev(pixels)[1][0, 0]), 3),
        "entropy_bits": round(float(-(some * np.log2(some)).sum()), 4) + 0.0,
        "sharpness": round(finest / (next_octave + 0.01), 5),
        "cut_off": round(_cut_off(gray), 3),
    }


def _cut_off(gray: NDArray[np.uint8]) -> float:
    """The share of rows at the lower end that are plain medium grey, which is what a decoder puts where data is missing (the
    middle of each channel); 0 where the rest of the picture is plain too."""
    last = int(gray[-1, -1])
    if not 118 <= last <= 138:
        return 0.0
    if np.abs(gray[-1].astype(np.int16) - last).max() > 1:
        return 0.0
    plain = (np.abs(gray.astype(np.int16) - last) <= 1).all(axis=1)
    rest = np.flatnonzero(~plain)
    if not len(rest) or gray[: rest[-1] + 1].std() < 5:
        return 0.0
    return float(len(gray) - 1 - rest[-1]) / len(gray)
