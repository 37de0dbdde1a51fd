"""The dataset check `${component}`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    min_px: int = pipekit.param(24, "Shorter side below which an image is reported", unit="px", ge=1, le=100_000)


def ${component}(
    rows: Sequence[Mapping[str, Any]], ctx: pipekit.Context, params: ${Component}Params
) -> Iterator[pipekit.Finding]:
    """Images that are too small.

    `rows` has one mapping per image: id, label, split, size_bytes, width_px, height_px, format, sharpness and more. An unusable
    image has a `problem` and no measurements. A finding's severity is "error", "warning" or "info".
    """
    small = [
        row["id"] for row in rows if "problem" not in row and min(row["width_px"], row["height_px"]) < params.min_px
    ]
    if small:
        message = f"{len(small):,} images have a side of less than {params.min_px} px"
        yield pipekit.Finding("${component}", "warning", message, tuple(small))
