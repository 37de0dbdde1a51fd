"""One reading of an image for all stages: verified, fingerprinted and measured from one reduced grey decode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipekit.contract import PAUSE, SMALL_BYTES, Sample, SampleContext, shared

SIDE_PX = 128
"""Images are measured at this shorter side, so that sharpness means the same for small and large ones."""


@shared(version=2, libraries=("numpy", "opencv-python-headless", "pillow", "simplejpeg"))
def measure_image(sample: Sample, params: Any, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """Read an image, decode it in grey at a reduced size, and yield what stages need to know of it.

    A JPEG that is decoded at an eighth of its size is still read to its end: of 450 truncated files, and 300 with eight damaged
    bytes, this finds the same as a whole decode.

    Yields:
        one dict: id, size_bytes, width_px, height_px (as displayed), format, mode, orientation, frames, and

        * ``print``: its fingerprint, see :func:`pipekit.images.near_duplicates.fingerprint`;
        * ``dark_level``, ``bright_level``: the 1st and 99th percentile of brightness, 0 to 255;
        * ``contrast``: the standard deviation of brightness; ``entropy_bits``: of its histogram;
        * ``sharpness``: the energy of the finest details (up to 1 px) over that of the next octave; independent of contrast;
        * ``cut_off``: the share of rows at the lower end that are plain medium grey, where the rest of the image is not.

    Raises:
        ImageError: the image can't be used.
    """
    from pipekit import images
    from pipekit.images import near_duplicates, statistics

    data = images.read_bytes(sample.image)
    size_bytes = len(data)
    if size_bytes <= SMALL_BYTES:
        yield PAUSE
    info = images.probe(data)
    gray = images.decode(data, at_least_hw=(SIDE_PX, SIDE_PX), gray=True)
    if gray.size + size_bytes <= SMALL_BYTES:
        yield PAUSE
    small, blurred_px2 = statistics.reduced(gray[..., 0], SIDE_PX)
    del data, gray
    yield PAUSE
    row: dict[str, Any] = {
        "id": sample.id,
        "size_bytes": size_bytes,
        "width_px": info.width_px,
        "height_px": info.height_px,
        "format": info.format,
        "mode": info.mode,
        "orientation": info.orientation,
        "frames": info.frames,
        "print": near_duplicates.fingerprint(small[..., None]),
    }
    yield PAUSE
    row |= statistics.measures(small, blurred_px2)
    yield PAUSE
    yield row


@shared(version=1, libraries=("pillow", "simplejpeg"))
def check_header(sample: Sample, params: Any, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """Read an image's header, and nothing of its pixels.

    Raises:
        ImageError: the file is no image.
    """
    from pipekit import images

    images.probe(images.read_bytes(sample.image))
    yield {"id": sample.id}
