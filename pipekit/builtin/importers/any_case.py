"""Find files whose names differ in case from what an annotation says: ``0af.jpg`` for ``0AF.jpg``, as Windows and macOS do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pipekit.builtin.importers.files import is_file, last_parts
from pipekit.builtin.importers.lookup import Lookup

BY_OTHER_CASE = "matched to images whose names differ in upper and lower case from what the annotations say"
"""What :class:`~pipekit.contract.Adjusted` says of an image that was found so."""

_SEVERAL = "/"
"""Stands for the names of a folder that differ in case alone; no file is called so."""


class AnyCase:
    """The names of folders without regard to case. A folder is listed once, when a name was not found in it."""

    def __init__(self, table: Lookup) -> None:
        """``table``: where the names are kept; it may hold other pairs, if no key begins with a zero byte."""
        self._table = table

    def find(self, folder: Path, name: str) -> Path | None:
        """The only file in ``folder`` that has this name in any case; None if there is none, or several."""
        try:
            name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON may hold
            return None
        here = folder
        for part in filter(None, name.split("/")):
            if part == "..":
                return None
            here = here / (part if _exists(here / part) else self._own_name(here, part))
        return here if here != folder and is_file(here) else None

    def find_among(self, folders: Iterable[Path], names: Iterable[str]) -> Path | None:
        """The only file in one of ``folders`` for the first of ``names``, or for its last parts, that has any."""
        folders = list(folders)
        for name in names:
            for part in last_parts(name):
                found = {file: None for folder in folders if (file := self.find(folder, part))}
                if found:
                    return next(iter(found)) if len(found) == 1 else None
        return None

    def _own_name(self, folder: Path, name: str) -> str:
        """The name of the file or folder; one that does not exist if there is none."""
        known = f"\0{folder}\0"
        if not self._table.get(known):
            self._table.add(known, "listed")
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        key = known + entry.name.casefold()
                        self._table.add(key, _SEVERAL if self._table.get(key) else entry.name)
            except OSError:
                pass
        found = self._table.get(known + name.casefold())
        return name if found == _SEVERAL else found or name


def _exists(path: Path) -> bool:
    """False also for an impossible name."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
