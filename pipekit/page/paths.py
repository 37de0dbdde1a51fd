"""Paths in what is made to be shared: a page or a card names no folder of this machine and nobody's home folder."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

_PART = r"""[^\s/\\<>"'&;,:()\[\]{}|*?`=]+"""
_PATHS = re.compile(
    rf"""data:[\w.+/-]*;base64,[A-Za-z0-9+/=]*            # bytes of an image: left alone
    | (?<![\w./:~<\\-])(?P<posix>/(?:{_PART}/)+{_PART}/?)
    | (?<![\w])(?P<windows>[A-Za-z]:[\\/](?:{_PART}[\\/])+{_PART})""",
    re.VERBOSE,
)


def without_paths(text: str) -> str:
    """The text with every absolute path shortened: what lies below the working folder is relative to it, the home folder is
    ``~``, and of other paths the last part remains.

    Only paths whose first folder exists here count, so that an address such as ``/v1/models/pets`` stays.

    >>> without_paths("C:/Users/anna/photos/cat.jpg and /v1/models/pets")
    '…/cat.jpg and /v1/models/pets'
    """
    here, home = _folders()

    def shortened(found: re.Match[str]) -> str:
        path = found["posix"] or found["windows"]
        if path is None:
            return found[0]
        for folder, shown in ((here, ""), (home, "~/")):
            if folder and path.startswith(f"{folder}/"):
                return f"{shown}{path[len(folder) + 1 :]}"
        if home and path.rstrip("/") == home:
            return "~"
        if found["posix"] and not _exists("/" + path.split("/")[1]):
            return path
        return "…/" + re.split(r"[/\\]", path.rstrip("/"))[-1]

    return _PATHS.sub(shortened, text)


def _folders() -> tuple[str, str]:
    """The working folder and the home folder; empty where that would be the root or one below it."""
    found = []
    for folder in (Path.cwd(), Path.home()):
        found.append(folder.as_posix() if len(folder.parts) > 2 or folder == Path.home() else "")
    return found[0], found[1] if found[1] not in ("/", "") else ""


@cache
def _exists(folder: str) -> bool:
    return os.path.isdir(folder)  # noqa: PTH112 - cached by its text
