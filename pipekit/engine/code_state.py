"""The states of code: of pipekit, of plugins, and of the folders where packages are looked for.

It imports little, because it answers before anything else is loaded.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType


def code_state(path: str) -> str:
    """The state of a file of code, of all files in a package, or of a folder of packages: what can be imported from it, and
    the metadata of the distributions in it."""
    if not os.path.isdir(path):  # noqa: PTH112
        return hashed(state_of(path))
    if os.path.exists(f"{path}{os.sep}__init__.py"):  # noqa: PTH110
        return hashed(state for name in files_in(path) for state in state_of(name))
    names = sorted(name for name in os.listdir(path) if not name.startswith((".", "__pycache__")))  # noqa: PTH208
    infos = [f"{path}{os.sep}{name}{os.sep}" for name in names if name.endswith((".dist-info", ".egg-info"))]
    listed = (f"{info}{file}" for info in infos for file in ("METADATA", "PKG-INFO", "entry_points.txt"))
    return hashed((*names, *(state for name in listed for state in state_of(name))))


def files_in(folder: str) -> Iterator[str]:
    """The files below a folder in a fixed order, without compiled code."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            yield f"{place}{os.sep}{name}"


def state_of(path: str) -> tuple[str, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return path, f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def hashed(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


# --- what was loaded -----------------------------------------------------------------------------------------------------


def loaded_code(packages: Iterable[str], path: Sequence[str]) -> list[str]:
    """Files and packages of code outside Python's own that were loaded, and the folders where packages are looked for.

    Args:
        packages: places of plugins, which count in full; pipekit's own is one more.
        path: where Python looked for modules when it started.
    """
    import sysconfig

    import pipekit

    whole = {place_of(pipekit), *packages}
    named = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    inside = tuple(f"{folder}{os.sep}" for folder in {*named, *map(os.path.realpath, named), *whole})
    files = {one for one in _loaded() if not one.startswith(inside) and not os.path.realpath(one).startswith(inside)}
    return sorted({*whole, *files, *(folder for folder in path if os.path.exists(folder))})  # noqa: PTH110


def place_of(module: ModuleType) -> str:
    """The file of a module, or the folder of a package."""
    file = str(module.__file__)
    return os.path.dirname(file) if hasattr(module, "__path__") else file  # noqa: PTH120


def _loaded() -> Iterator[str]:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and os.path.exists(file):  # noqa: PTH110
            yield os.path.abspath(file)


def is_young(path: str, since_ns: int) -> bool:
    """Whether a file or a package has changed since it may have been loaded."""
    is_package = os.path.exists(f"{path}{os.sep}__init__.py")  # noqa: PTH110
    if os.path.isdir(path) and not is_package:  # noqa: PTH112
        return False
    files = files_in(path) if is_package else (path,)
    return any(os.stat(file).st_mtime_ns >= since_ns for file in files)  # noqa: PTH116
