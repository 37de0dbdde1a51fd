"""Read the names in a folder before any image is read: do they look like groups, such as patients?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.errors import UserError
from pipekit.files import expanded
from pipekit.files.urls import is_url, located

if TYPE_CHECKING:
    from pipekit.images.name_groups import NameGroups

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
MOST = 50_000
"""Of larger folders, nothing is suggested here; ``split`` does it."""


def names_in_folder(source: str | Path) -> NameGroups | None:
    """The groups that the names of a folder's images suggest, with the images' folders as classes; None for anything else."""
    folder: Path | None
    if is_url(source):
        try:
            folder = located(source)
        except UserError:  # the command itself says what is wrong, when it has loaded its plugins
            return None
    else:
        folder = expanded(Path(source)) if ":" not in str(source) else None
    if folder is None or not folder.is_dir() or (folder / "run.json").exists():
        return None
    found: list[tuple[str, str]] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(place).relative_to(folder)
        found += [
            ((inside / name).as_posix(), inside.name)
            for name in files
            if os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122
        ]
        if len(found) > MOST:
            return None
    from pipekit.images.name_groups import name_groups

    found.sort()
    return name_groups([name for name, _ in found], [label for _, label in found])
