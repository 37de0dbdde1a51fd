"""Releases: which distribution a plugin's code comes from, in which version. They are part of the keys of what it makes.

A distribution from a package index is known by its version. The code of one that was installed from elsewhere (a folder, a
repository, a wheel's file), or of a module without a distribution, changes without another version: it is known by its
content.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipekit.files import hash_file

OPT_OUT = "PIPEKIT_VERSION_IN_KEYS"
"""A plugin that sets this to False has only the versions of its components in keys."""

HashFile = Callable[[str], str]

_LOCK = threading.Lock()
_LOADED_NS: dict[str, int] = {}
"""When the code of each plugin was loaded first in this process: it is not loaded again after an edit."""

_RELEASES: dict[str, Release] = {}
"""The release of each top-level module of a plugin that is loaded in this process."""


@dataclass(eq=False)
class Release:
    """A distribution, or a module without one, in the state in which it was loaded.

    Attributes:
        name: the distribution's normalised name, or the module's.
        version: its version; "" if it has none.
        tops: the top-level modules with its code.
        loaded_ns: when its code was loaded.
        distribution: its metadata; None for a module without a distribution.
    """

    name: str
    version: str
    tops: tuple[str, ...]
    loaded_ns: int
    distribution: Any = None
    _identity: str = field(default="", repr=False)

    def extend(self, tops: Iterable[str]) -> None:
        """Add top-level modules in which components of the plugin lie."""
        self.tops = tuple(dict.fromkeys((*self.tops, *(top for top in tops if top != "pipekit"))))
        with _LOCK:
            for top in self.tops:
                _RELEASES.setdefault(top, self)

    def identity(self, hash_of: HashFile = hash_file) -> str:
        """``0.2.0``; for code that changes without another version ``0.2.0 (content 3f9a…)``.

        Args:
            hash_of: the hash of a file; a store remembers it by the file's state.
        """
        with _LOCK:
            if not self._identity:
                changes = self.distribution is None or may_change(self.distribution)
                self._identity = f"{self.version} (content {self._content(hash_of)})".strip() if changes else self.version
            return self._identity

    def _content(self, hash_of: HashFile) -> str:
        """The digest of the files of the code; one that nothing else has if a file has changed since it was loaded."""
        found, newest = hashlib.sha256(), 0
        for name, path in _files_of(self.tops):
            newest = max(newest, os.stat(path).st_mtime_ns)  # noqa: PTH116
            found.update(f"{name}\0{hash_of(path)}\n".encode("utf-8", "surrogatepass"))
        if newest > self.loaded_ns:
            found.update(f"edited after it was loaded {time.time_ns()}".encode())
        return found.hexdigest()[:16]


def release_of(plugin: Any, module: str, version: str, loaded_ns: int, distribution: Any) -> Release | None:
    """The release of a plugin that was loaded; None if it states that its version does not matter.

    Args:
        module: the module with its hooks.
        loaded_ns: when loading it began.
    """
    if getattr(plugin, OPT_OUT, True) is False:
        return None
    top = module.partition(".")[0]
    name = re.sub(r"[-_.]+", "-", distribution.name).lower() if distribution is not None else module
    with _LOCK:
        found = Release(name, version, (top,), _LOADED_NS.setdefault(top, loaded_ns), distribution)
        _RELEASES[top] = found
    return found


def released_as(module: str, hash_of: HashFile = hash_file) -> dict[str, str]:
    """The release that a module's code belongs to, by name; empty for what is no plugin's."""
    found = _RELEASES.get(module.partition(".")[0])
    return {} if found is None else {found.name: found.identity(hash_of)}


def may_change(distribution: Any) -> bool:
    """Whether a distribution's code may change without another version: no package index had it.

    An installer writes ``direct_url.json`` for what it took from a folder (``pip install .``, editable or not), a repository
    or a single file (PEP 610).
    """
    return (
        str(getattr(distribution, "_path", "")).endswith(".egg-info") or distribution.read_text("direct_url.json") is not None
    )


def _files_of(tops: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The files of top-level modules, with their names below; of further modules only those that no installer put there."""
    named = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    installed = tuple(f"{folder}{os.sep}" for folder in {*named, *map(os.path.realpath, named)})
    for number, top in enumerate(tops):
        place = _place_of(top)
        if place is None or (number and place.startswith(installed)):
            continue
        if not os.path.isdir(place):  # noqa: PTH112
            yield top, place
            continue
        for folder, folders, names in os.walk(place):
            folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
            for name in sorted(name for name in names if not name.endswith((".pyc", ".pyo")) and not name.startswith(".")):
                path = os.path.join(folder, name)  # noqa: PTH118
                yield f"{top}/{Path(path).relative_to(place).as_posix()}", path


def _place_of(top: str) -> str | None:
    """The file of a module, or the folder of a package."""
    module = sys.modules.get(top)
    spec = getattr(module, "__spec__", None)
    try:
        spec = spec or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        file = getattr(module, "__file__", None)
        return str(file) if file else None
    folders = list(spec.submodule_search_locations or ())
    return str(folders[0]) if folders else spec.origin
