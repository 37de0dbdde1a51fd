"""Images side by side in one picture, for comparison."""

from __future__ import annotations

from collections.abc import Sequence


def side_by_side(paths: Sequence[str], tile_px: int = 150) -> bytes | None:
    """A JPEG of the images side by side; None if one can't be read."""
    from pipekit import images
    from pipekit.errors import ImageError

    try:
        tiles = [images.thumbnail(images.read(path, at_least_hw=(tile_px, tile_px)), tile_px) for path in paths]
    except ImageError:
        return None
    return images.encode(images.contact_sheet(tiles, columns=len(tiles), tile_px=tile_px), "jpg", quality=82)
