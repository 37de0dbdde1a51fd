"""Draw the contact sheet of a dataset that is too large to show as folders: the engine chooses the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipekit.engine.contact_sheets import SheetImage

TILE_PX = 160
COLUMNS = 8


def draw_sheet(file: Path, images: Sequence[SheetImage]) -> bool:
    """Draw images with their captions into a JPEG file; those that can't be read are omitted.

    Returns:
        False if no image can be read; then there is no file.
    """
    from pipekit.errors import ImageError
    from pipekit.images import contact_sheet, read, thumbnail, write

    tiles: list[Any] = []
    captions: list[str] = []
    for image in images:
        try:
            tiles.append(thumbnail(read(image.path, at_least_hw=(TILE_PX, TILE_PX)), TILE_PX))
        except (ImageError, OSError):
            continue
        captions.append(image.caption)
    if not tiles:
        return False
    write(file, contact_sheet(tiles, captions, COLUMNS, tile_px=TILE_PX, max_lines=2), quality=88)
    return True
