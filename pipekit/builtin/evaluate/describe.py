"""Describe an image: size, brightness, sharpness; and the fingerprint for finding near duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipekit.contract import Context, Sample, SampleContext

MEASURED_PX = 256
"""Brightness and sharpness are measured at this longer side, so that images of different sizes compare."""


def describe_image(sample: Sample, params: Any, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """Size, mean luma, and variance of the Laplacian (Pech-Pacheco et al. 2000)."""
    import cv2

    from pipekit import images

    data = images.read_bytes(sample.image)
    info = images.probe(data)
    gray = images.decode(data, at_least_hw=(MEASURED_PX, MEASURED_PX), gray=True)
    small = images.thumbnail(gray, MEASURED_PX)
    yield {
        "id": sample.id,
        "width_px": info.width_px,
        "height_px": info.height_px,
        "brightness": round(float(small.mean()), 3),
        "sharpness": round(float(cv2.Laplacian(small, cv2.CV_64F).var()), 3),
    }


def describe(ctx: Context, samples: Iterable[Sample], label: str) -> Mapping[str, Mapping[str, Any]]:
    """The description of each readable sample, by id."""
    return {row["id"]: row for row in ctx.map(describe_image, samples, label=label, name="describe_image")}


def fingerprints(ctx: Context, samples: Iterable[Sample], label: str) -> Mapping[str, str]:
    """The fingerprint of each readable sample, by id: the one that `split` and `inspect` use."""
    from pipekit.images.measuring import measure_image

    rows = ctx.map(measure_image, samples, label=label, problems=True)
    return {row["id"]: row["print"] for row in rows if "print" in row}
