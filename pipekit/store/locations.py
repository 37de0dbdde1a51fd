"""Locations of image files in rows, stored so that a project can be moved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

Row = dict[str, Any]

IN_STORE = "@store/"
"""How the path of a file in the store begins in a row."""


NONE: Row = {}


class Locations:
    """Paths in rows: below the store as ``@store/…``, below the project as ``@project/…``, elsewhere absolute.

    Attributes:
        moved: the folder that a cached import was made from, and the present location of the same content: a moved dataset
            is found again without running anything. Rows always keep the first location.
        becomes: a scratch folder that is being filled, and its final location.
    """

    def __init__(self, store: Path, project: Path) -> None:
        self.store, self.project = store, project
        self._roots = [(IN_STORE, f"{store}{os.sep}"), ("@project/", f"{project}{os.sep}")]
        self.moved: dict[str, str] = {}
        self.becomes: dict[str, str] = {}

    def pack(self, path: str) -> str:
        for folder, place in self.becomes.items():
            path = replace_root(path, folder, place)
        for old, new in self.moved.items():
            path = replace_root(path, new, old)
        for token, root in self._roots:
            if path.startswith(root):
                return token + path[len(root) :].replace(os.sep, "/")
        return path

    def unpack(self, packed: str) -> str:
        path = packed
        for token, root in self._roots:
            if packed.startswith(token):
                path = root + packed[len(token) :]
                break
        for old, new in self.moved.items():
            path = replace_root(path, old, new)
        for folder, place in self.becomes.items():
            path = replace_root(path, place, folder)
        return path

    def plain(self, row: Row) -> Row:
        """A packed row with the present locations, for readers that don't know ``moved`` and ``becomes``."""
        if not self.moved:
            paths = row.get("image", ""), row.get("targets", NONE).get("mask", "")
            if not self.becomes or not any(path.startswith(IN_STORE) for path in paths):  # scratch folders lie in the store
                return row
        simple = Locations(self.store, self.project)
        return simple.pack_row(self.unpack_row(row))

    def pack_row(self, row: Row) -> Row:
        return self._relocate(row, self.pack)

    def unpack_row(self, row: Row) -> Row:
        return self._relocate(row, self.unpack)

    @staticmethod
    def _relocate(row: Row, place: Any) -> Row:
        if "image" in row:
            row = {**row, "image": place(row["image"])}
        if "mask" in row.get("targets", ()):
            row = {**row, "targets": {**row["targets"], "mask": place(row["targets"]["mask"])}}
        return row


def replace_root(path: str, old: str, new: str) -> str:
    if path.startswith(old) and path[len(old) : len(old) + 1] in ("", os.sep):
        return new + path[len(old) :]
    return path
