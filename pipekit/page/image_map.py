"""A map of images on a page: a point for each image, in the colours of its class or another fact, and its picture on request.

The points and names are data on the page, and the pictures one image (a sprite); the script of the page draws them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit import images
from pipekit.errors import ImageError

MAX_BYTES = 2_500_000
"""Maximum size of the sprite; the page is a third larger, since it is text."""

TILE_PX = (96, 64, 48, 32, 24)
"""Sizes of the pictures in the sprite; the largest that keeps to the maximum is taken."""

MAX_PIXELS = 6_000_000
"""Maximum number of pixels of the sprite: phones refuse to draw larger images."""

QUALITY = 72

MOST_NAMES = 23
"""Maximum number of values with a separate mark: eight colours in three shapes; the rarer ones are "other"."""

OTHER = "other"


@dataclass(frozen=True)
class Sprite:
    """Pictures side by side in one JPEG, in rows of ``columns`` squares of ``tile_px``."""

    data: bytes
    tile_px: int
    columns: int


def sprite(paths: Sequence[str], workers: int = 1) -> Sprite:
    """The pictures of images, from the left to the right; a grey square stands for one that can't be read."""
    columns = ceil(sqrt(len(paths)))
    fitting = [px for px in TILE_PX if (columns * px) ** 2 <= MAX_PIXELS] or [TILE_PX[-1]]
    largest = fitting[0]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        tiles = list(pool.map(lambda path: _tile(path, largest), paths))
    made = b""
    for px in fitting:
        sheet = np.full((ceil(len(tiles) / columns) * px, columns * px, 3), 255, np.uint8)
        for number, tile in enumerate(tiles):
            top, left = number // columns * px, number % columns * px
            sheet[top : top + px, left : left + px] = tile if px == largest else images.resize(tile, (px, px))
        made = images.encode(sheet, "jpg", quality=QUALITY)
        if len(made) <= MAX_BYTES:
            break
    return Sprite(made, px, columns)


def _tile(path: str, px: int) -> NDArray[np.uint8]:
    """The picture in a square, its proportions kept."""
    square = np.full((px, px, 3), 128, np.uint8)
    try:
        small = images.thumbnail(images.read(path, at_least_hw=(px, px)), px)
    except (ImageError, OSError):
        return square
    square[:] = 255
    top, left = (px - small.shape[0]) // 2, (px - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


def image_map(
    points: NDArray[np.float32],
    ids: Sequence[str],
    facts: Mapping[str, Sequence[str]],
    pictures: Sprite,
    label: str,
) -> str:
    """The HTML of a map, for a section's ``html``.

    Args:
        points: ``(N, 2)`` in 0..1.
        ids: of the images.
        facts: what the points may be coloured by, and is said of each: ``{"class": [...], "split": [...]}``; "" for none.
        label: what the map shows, for people who don't see it.
    """
    from markupsafe import escape

    from pipekit.page import data_uri

    shown = {name: values for name, values in facts.items() if any(values)}
    data: dict[str, Any] = {
        "x": np.rint(points[:, 0] * 1000).astype(int).tolist(),
        "y": np.rint(points[:, 1] * 1000).astype(int).tolist(),
        "ids": list(ids),
        "facts": {name: _coded(values) for name, values in shown.items()},
        "columns": pictures.columns,
        "rows": ceil(len(ids) / pictures.columns),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&":  # so that a name can't end the script
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    options = "".join(f"<option>{escape(name)}</option>" for name in shown)
    uri = data_uri("image/jpeg", pictures.data)
    return (
        '<div class="map needs-script" data-map hidden>'
        f'<div class="menus"><label>colours<select>{options}</select></label></div>'
        f'<div class="plane"><canvas tabindex="0" role="img" aria-label="{escape(label)} Arrow keys move from image to image."'
        f' style="--count:{len(ids)}"></canvas><div class="card" aria-live="polite">'
        f'<div class="shot" role="img" aria-label="no image is chosen" style="background-image:url({uri})"></div>'
        "<p>Point at an image, touch it, or use the arrow keys.</p></div></div>"
        '<ul class="legend"></ul>'
        f'<script type="application/json">{text}</script></div>'
    )


def _coded(values: Sequence[str]) -> dict[str, Any]:
    """The values as numbers of names, the most frequent first; what has no name of its own is "other"."""
    counts = Counter(values)
    names = [name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    kept = names if len(names) <= MOST_NAMES + 1 else names[:MOST_NAMES]
    numbers = {name: number for number, name in enumerate(kept)}
    more = [OTHER] if len(kept) < len(names) else []
    return {
        "names": [*(name or "none" for name in kept), *more],
        "codes": [numbers.get(value, len(kept)) for value in values],
        "values": [name or "none" for name in names] if more else [],
        "exact": [names.index(value) for value in values] if more else [],
    }
