"""Starts worker processes early, while the rest of pipekit is still loading."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

MANY = 500
"""Minimum number of files for which worker processes pay off; the executor decides again, by its number of images."""


def start_workers_for(source: str, workers: int | None, modules: Iterable[str] = ()) -> None:
    """Start the process that workers are forked from, if ``source`` is a folder of many files that no run has read yet.

    Args:
        modules: modules to load besides those that every worker needs: the ``preload`` of the stage that will run.

    This is a guess: a wrong one costs half a second on another core, or half a second of waiting for the first shard.
    """
    folder = Path(os.path.abspath(os.path.expanduser(source)))  # noqa: PTH111
    if workers == 1 or (os.cpu_count() or 1) == 1 or not folder.is_dir():
        return
    first = _folder_of_many(folder)
    if first is None or _is_known(first):
        return
    from pipekit import processes

    if processes.allowed():
        processes.preload(modules)
        processes.start_early()


def preload_of(stage: str) -> Iterable[str]:
    """The modules that worker processes load for a built-in stage; no plugin is imported to find them."""
    from pipekit.registry.registry import load_registry

    return load_registry(installed=False).get("stage", stage).preload


def _folder_of_many(folder: Path) -> Path | None:
    """The first folder with files, if there are at least ``MANY`` files below ``folder``; counting stops there."""
    waiting, first, count = [folder], None, 0
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir():
                        if not entry.is_symlink():  # a link may form a loop
                            waiting.append(Path(entry.path))
                        continue
                    first = first or here
                    count += 1
                    if count == MANY:
                        return first
        except OSError:
            continue
    return None


def _is_known(folder: Path) -> bool:
    from pipekit.store.file_hashes import HashMemory
    from pipekit.store.store import store_of

    return HashMemory(store_of(Path.cwd()) / "tree", read_only=True).knows(folder)
