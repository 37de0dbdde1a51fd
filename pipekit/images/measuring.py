"""One reading of an image for all stages: verified, fingerprinted and measured from one reduced grey decode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.columnar import Column, Few, makes_columns
from pipekit.contract import PAUSE, SMALL_BYTES, Sample, SampleContext, shared

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE_PX = 128
"""Images are measured at this shorter side, so that sharpness means the same for small and large ones."""


@shared(version=3, libraries=("numpy", "opencv-python-headless", "pillow", "simplejpeg"))
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
        * ``jpeg_quality``: 1 to 100, 0 for other formats; ``border_level``: the level of a plain border, -1 for none;
        * ``cut_off``: the share of rows at the lower end that are plain medium grey, where the rest of the image is not.

    Raises:
        ImageError: the image can't be used.
    """
    from pipekit import images
    from pipekit.images import near_duplicates, statistics
    from pipekit.images.jpeg_quality import jpeg_quality

    data = images.read_bytes(sample.image)
    size_bytes = len(data)
    if size_bytes <= SMALL_BYTES:
        yield PAUSE
    info, quality = images.probe(data), jpeg_quality(data)
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
        "jpeg_quality": quality,
        "print": near_duplicates.fingerprint(small[..., None]),
    }
    yield PAUSE
    row |= statistics.measures(small, blurred_px2)
    yield PAUSE
    yield row


@makes_columns(version=2)
def measured_columns(rows: Sequence[Mapping[str, Any]], params: Any) -> dict[str, Column]:
    """The results of :func:`measure_image` as columns.

    ``print`` holds packed fingerprints (:func:`pipekit.images.near_duplicates.packed`). For an image that can't be used,
    ``problem`` says why, and the other columns are 0; ``problem`` is None for the others.
    """
    import numpy as np

    from pipekit.images import near_duplicates

    good = np.array(["problem" not in row for row in rows], np.bool_)
    measured = [row for row in rows if "problem" not in row]

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        column = np.zeros((len(rows), *values.shape[1:]), values.dtype)
        column[good] = values
        return column

    made: dict[str, Column] = {
        "problem": Few.of(row.get("problem") for row in rows),
        "print": spread(near_duplicates.packed([row["print"] for row in measured])),
    }
    made |= {name: Few.of(row.get(name) for row in rows) for name in ("format", "mode")}
    made |= {name: spread(np.array([row[name] for row in measured], np.int64)) for name in WHOLE_NUMBERS}
    return made | {name: spread(np.array([row[name] for row in measured], np.float64)) for name in REAL_NUMBERS}


WHOLE_NUMBERS = ("size_bytes", "width_px", "height_px", "orientation", "frames", "jpeg_quality")
REAL_NUMBERS = ("dark_level", "bright_level", "contrast", "entropy_bits", "sharpness", "cut_off", "border_level")


@shared(version=1, libraries=("pillow", "simplejpeg"))
def check_header(sample: Sample, params: Any, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """Read an image's header, and nothing of its pixels.

    Raises:
        ImageError: the file is no image.
    """
    from pipekit import images

    images.probe(images.read_bytes(sample.image))
    yield {"id": sample.id}
