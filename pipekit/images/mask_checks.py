"""Masks as an import and ``inspect`` verify them: the size of the image, class numbers and not colours, no JPEG artefacts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pipekit.contract import Sample, SampleContext, unseeded
from pipekit.errors import ImageError
from pipekit.images.warping import Image
from pipekit.params import Params, param

JPEG_VALUES, OTHER_VALUES = 2, 60
"""Numbers of different values above which a mask is taken for a damaged one; if it is no JPEG now, only if few of them cover
nearly all of it. In a JPEG, class numbers close to one another mix at their edges: of 0, 3 and 9 came 0 to 6 and 9."""

MAIN_VALUES, MAIN_SHARE = 8, 0.9


class MaskParams(Params):
    colours: tuple[str, ...] = param((), "The colours of a colour-coded mask, in the order of the class numbers")
    strict: bool = param(True, "Raise for a mask that can't be used; otherwise leave it to `inspect`")


@unseeded
def prepare(sample: Sample, params: MaskParams, ctx: SampleContext) -> Iterator[Sample]:
    """The sample with a mask that fits its image: colours replaced by class numbers, and turned as EXIF turns the image.

    Raises:
        ImageError: the mask can't be used, or has another size than its image; if ``strict``.
    """
    try:
        yield _prepared(sample, params, ctx) if sample.targets.mask else sample
    except ImageError:
        if params.strict:
            raise
        yield sample


def _prepared(sample: Sample, params: MaskParams, ctx: SampleContext) -> Sample:
    from pipekit import images
    from pipekit.images.pixels import turn

    mask = images.read_mask(sample.targets.mask, params.colours)
    info = images.probe(images.read_bytes(sample.image))
    size_hw = (info.height_px, info.width_px)
    turned = mask.shape != size_hw and info.orientation > 4 and mask.shape == size_hw[::-1]
    if turned:
        mask = turn(mask[..., None], info.orientation)[..., 0]
    if reason := problem(mask, size_hw, images.read_bytes(sample.targets.mask)[:3] == b"\xff\xd8\xff"):
        raise ImageError(reason)
    if turned or params.colours:
        path = ctx.write(f"masks/{sample.id}.png", images.encode(mask, "png"))
        return replace(sample, targets=replace(sample.targets, mask=path, mask_sha256=""))
    return sample


@unseeded
def look(sample: Sample, params: Any, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """The values of a sample's mask: id, height_px, width_px, and ``values``, the number of pixels of each."""
    from pipekit import images

    if not sample.targets.mask:
        return
    mask = images.read_mask(sample.targets.mask)
    if reason := problem(mask, mask.shape, images.read_bytes(sample.targets.mask)[:3] == b"\xff\xd8\xff"):
        raise ImageError(reason)
    counts = np.bincount(mask.ravel(), minlength=256)
    values = {str(value): int(counts[value]) for value in np.flatnonzero(counts)}
    yield {"id": sample.id, "height_px": mask.shape[0], "width_px": mask.shape[1], "values": values}


def problem(mask: Image, size_hw: tuple[int, ...], is_jpeg: bool) -> str:
    """Why a mask does not belong to its image, or is damaged; "" if it is neither."""
    if mask.shape != tuple(size_hw):
        return (
            f"its mask has {mask.shape[1]} x {mask.shape[0]} px, and the image {size_hw[1]} x {size_hw[0]} px; "
            "they must have the same size"
        )
    counts = np.bincount(mask.ravel(), minlength=256)
    num_values = int(np.count_nonzero(counts))
    if num_values <= (JPEG_VALUES if is_jpeg else OTHER_VALUES):
        return ""
    if is_jpeg and num_values <= MAIN_VALUES:
        values = ", ".join(map(str, np.flatnonzero(counts)))
        return f"its mask is a JPEG with {num_values} values ({values}), which may be JPEG artefacts. Export masks as PNG"
    share = float(np.sort(counts)[-MAIN_VALUES:].sum() / mask.size)
    if not is_jpeg and share < MAIN_SHARE:
        return ""
    return (
        f"its mask has JPEG artefacts: {num_values} values, and {share:.0%} of the pixels have one of {MAIN_VALUES}. "
        "Export masks as PNG"
    )
