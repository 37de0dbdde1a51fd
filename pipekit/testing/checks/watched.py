"""The files that code in this process creates, changes or removes, as Python's audit events tell."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
"""Audit events of changes to the file system, besides opening a file for writing."""

AT_FOLDER = CHANGES - {"os.truncate"}
"""Those of them whose last argument is the file descriptor of a folder, or -1."""

_lists: list[list[str]] = []
"""Where the paths go now: one list for each :func:`written` that is open."""

_hooked: list[bool] = []


def changed_path(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The path that an audit event says is about to be written, created or removed; None for any other event."""
    if event == "open":
        path, mode, flags = arguments
        if not (any(letter in mode for letter in "wax+") if mode else bool(flags & (os.O_WRONLY | os.O_RDWR))):
            return None
    elif event in CHANGES:
        path = arguments[1] if event in ("os.rename", "os.link", "os.symlink") else arguments[0]
        if event in AT_FOLDER and arguments[-1] not in (-1, None):
            return None  # the path is below a folder that a file descriptor names: libraries remove trees like that
    else:
        return None
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else None


@contextmanager
def written() -> Iterator[list[str]]:
    """Collect the full paths of what any thread of this process writes, in order, each once."""
    if not _hooked:  # a hook can't be removed
        _hooked.append(True)
        sys.addaudithook(_audit)
    found: list[str] = []
    _lists.append(found)
    try:
        yield found
    finally:
        _lists.remove(found)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _lists:
        return
    path = changed_path(event, arguments)
    if path is not None:
        full = os.path.abspath(path)
        for found in _lists:
            if full not in found:
                found.append(full)


def outside(paths: Iterable[str], *allowed: str) -> list[str]:
    """Those of some paths that lie in none of the allowed folders. Byte code of what is imported is Python's own."""
    roots = [os.path.abspath(one) for one in allowed]
    roots += [os.path.realpath(one) for one in roots]
    ours = (path for path in paths if "__pycache__" not in Path(path).parts)
    return [path for path in ours if not any(path == root or path.startswith(f"{root}{os.sep}") for root in roots)]
