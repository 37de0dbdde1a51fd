"""Draw for people: thumbnails, boxes, masks and points on an image, and contact sheets with captions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from pipekit.images.warping import Image, Interpolation, resize

if TYPE_CHECKING:
    from pipekit.contract import Box, Keypoint

COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito's palette, distinguishable with colour blindness (https://jfly.uni-koeln.de/color/)."""


def thumbnail(image: Image, max_px: int, interpolation: Interpolation = "area") -> Image:
    """The image with its longer side at most ``max_px``; never enlarged.

    >>> import numpy as np
    >>> from pipekit import images
    >>> images.thumbnail(np.zeros((480, 640, 3), np.uint8), 160).shape
    (120, 160, 3)
    """
    height, width = image.shape[:2]
    scale = max_px / max(height, width)
    if scale >= 1:
        return image
    return resize(image, (max(1, round(height * scale)), max(1, round(width * scale))), interpolation)


def draw_targets(
    image: Image, mask: Image | None = None, boxes: Sequence[Box] = (), keypoints: Sequence[Keypoint] = ()
) -> Image:
    """A copy of the image with a mask's classes tinted (except 0), boxes outlined, visible keypoints as dots."""
    drawn = image.copy()
    if mask is not None:
        for value in np.unique(mask):
            if value:
                inside = mask == value
                tint = np.array(COLOURS[(int(value) - 1) % len(COLOURS)], np.uint16)
                drawn[inside] = ((drawn[inside].astype(np.uint16) + tint) // 2).astype(np.uint8)
    thick = max(1, round(min(image.shape[:2]) / 150))
    colour_of = _colours([*(box.label for box in boxes), *(point.label for point in keypoints)])
    for box in boxes:
        corners = (round(box.x_min), round(box.y_min)), (round(box.x_max) - 1, round(box.y_max) - 1)
        cv2.rectangle(drawn, corners[0], corners[1], colour_of[box.label], thick)
    for point in keypoints:
        if point.visible:
            place = (round(point.x), round(point.y))
            cv2.circle(drawn, place, 2 * thick + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(drawn, place, 2 * thick, colour_of[point.label], -1, cv2.LINE_AA)
    return drawn


def _colours(labels: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    return {label: COLOURS[place % len(COLOURS)] for place, label in enumerate(sorted(set(labels)))}


def contact_sheet(
    tiles: Sequence[Image],
    captions: Sequence[str] = (),
    columns: int | None = None,
    *,
    tile_px: int = 240,
    font_px: int = 13,
    max_lines: int = 6,
    background: tuple[int, int, int] = (255, 255, 255),
    ink: tuple[int, int, int] = (40, 40, 40),
) -> Image:
    """A contact sheet: images in rows, each fitted into a square, with its caption below.

    Args:
        tiles: images of any size; larger ones are reduced to ``tile_px``, smaller ones enlarged by a whole factor.
        captions: one for each tile, or none; wrapped to the tile's width. Line breaks are kept.
        columns: by default about as many as rows.
        max_lines: a longer caption ends in "…".

    Returns:
        ``(H, W, 3) uint8`` RGB.
    """
    if not tiles:
        raise ValueError("a contact sheet needs at least one image")
    if captions and len(captions) != len(tiles):
        raise ValueError(f"expected {len(tiles)} captions, one for each image, got {len(captions)}")
    columns = min(len(tiles), columns or int(np.ceil(np.sqrt(len(tiles)))))
    font = _font(font_px)
    lines = [_wrap(caption, font, tile_px, max_lines) for caption in captions] or [[] for _ in tiles]
    gap, line_px = max(6, tile_px // 30), round(font_px * 1.35)
    rows = [range(start, min(start + columns, len(tiles))) for start in range(0, len(tiles), columns)]
    fitted = [_fit(tile, tile_px) for tile in tiles]
    heights = [max(fitted[i].shape[0] for i in row) + line_px * max(len(lines[i]) for i in row) + 2 * gap for row in rows]
    width = columns * tile_px + (columns + 1) * gap
    line = np.full((1, width, 3), background, np.uint8)
    sheet = np.repeat(line, sum(heights) + gap, axis=0)  # a tenth of the time of filling it with three numbers per pixel
    texts = []
    top = gap
    for row, height in zip(rows, heights, strict=True):
        row_px = max(fitted[i].shape[0] for i in row)
        for column, i in enumerate(row):
            left = gap + column * (tile_px + gap)
            tile = fitted[i]
            x, y = left + (tile_px - tile.shape[1]) // 2, top + row_px - tile.shape[0]
            sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            texts += [(left, top + row_px + 3 + n * line_px, line) for n, line in enumerate(lines[i])]
        top += height
    return _write_texts(sheet, texts, font, ink)


def _fit(tile: Image, tile_px: int) -> Image:
    tile = np.repeat(tile.reshape(*tile.shape[:2], -1), 3, axis=2) if tile.ndim == 2 or tile.shape[2] == 1 else tile
    grow = tile_px // max(tile.shape[:2])
    if grow > 1:
        return resize(tile, (tile.shape[0] * grow, tile.shape[1] * grow), "nearest")
    return thumbnail(tile, tile_px)


@lru_cache(maxsize=4)
def _font(font_px: int) -> Any:
    """DejaVu Sans from matplotlib, which has accents, Greek and Cyrillic; else the font inside Pillow."""
    from importlib.util import find_spec

    from PIL import ImageFont

    package = find_spec("matplotlib")  # locates the package without importing it
    if package is not None and package.origin:
        face = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if face.is_file():
            return ImageFont.truetype(str(face), font_px)
    return ImageFont.load_default(font_px)


def _wrap(caption: str, font: Any, width_px: int, max_lines: int) -> list[str]:
    """Lines of at most ``width_px``, broken at spaces where there are any."""
    letters = max(8, int(width_px / max(1.0, font.getlength("abcdefghijklmnopqrstuvwxyz0123456789 ") / 37)))
    lines: list[str] = []
    for part in caption.splitlines():
        size = letters
        while any(font.getlength(line) > width_px for line in textwrap.wrap(part, size)) and size > 8:
            size -= 1
        lines += textwrap.wrap(part, size) or [""]
    return lines if len(lines) <= max_lines else [*lines[: max_lines - 1], "…"]


def _write_texts(sheet: Image, texts: Sequence[tuple[int, int, str]], font: Any, ink: tuple[int, int, int]) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageDraw

    if not texts:
        return sheet
    picture = Pillow.fromarray(sheet)
    draw = ImageDraw.Draw(picture)
    for x, y, line in texts:
        draw.text((x, y), line, fill=ink, font=font)
    return np.array(picture)
