"""What several importers need: walking a tree, the names of splits, ids from paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

OUTPUT_MARK = ".pipekit-output"
"""A folder with this file is pipekit's own output; it is never read as input."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""How people name the folders, files and columns of a split, in lower case."""


def split_of(name: str) -> str:
    """``Validation`` -> ``val``; "" where it names no split."""
    return SPLIT_NAMES.get(name.strip().lower(), "")


def is_image_name(name: str) -> bool:
    from pipekit.images import SUFFIXES

    return name.lower().endswith(SUFFIXES)


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Folders below ``root``, itself first, with the names of their files; sorted, one folder at a time in memory.

    Links are followed, each real folder once, so a loop of links ends. Hidden entries, what macOS puts into archives and
    pipekit's own output are passed over.
    """
    seen: set[tuple[int, int]] = set()
    stack = [str(root)]
    while stack:
        folder = stack.pop()
        try:
            stat = os.stat(folder)  # noqa: PTH116
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted((entry.name, entry.path, _is_folder(entry)) for entry in scan)
        except OSError:
            continue
        if any(name == OUTPUT_MARK for name, _, _ in entries):
            continue
        shown = [entry for entry in entries if not entry[0].startswith(".") and entry[0] != "__MACOSX"]
        yield folder, [name for name, _, is_dir in shown if not is_dir]
        stack.extend(path for _, path, is_dir in reversed(shown) if is_dir)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """False also for a link that leads back to itself: whoever opens it is told."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def images_below(root: Path) -> Iterator[tuple[str, str]]:
    """(path below ``root`` with ``/``, full path) of every file with an image's suffix, in a stable order."""
    for folder, names in walk(root):
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
        for name in names:
            if is_image_name(name):
                yield prefix + name, os.path.join(folder, name)  # noqa: PTH118


def subfolders(root: Path) -> list[str]:
    """The names of the visible folders directly below ``root``, sorted."""
    try:
        with os.scandir(root) as scan:
            found = sorted(entry.name for entry in scan if _is_folder(entry) and not entry.name.startswith("."))
    except OSError:
        return []
    return [name for name in found if name != "__MACOSX" and not (root / name / OUTPUT_MARK).exists()]
