"""What takes long to start, begun while the rest of pipekit is still being loaded."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

MANY = 500
"""From so many files on, a folder is worth worker processes; the executor decides anew, by the images that it gets."""


def start_workers_for(source: str, workers: int | None, modules: Iterable[str] = ()) -> None:
    """Start the process that workers are copied from where ``source`` is a folder of many files that are new here.

    Args:
        modules: what it loads besides what every worker needs: the ``preload`` of the stage that will run.

    It is a guess: a wrong one costs half a second of another core, or of the wait for the first shard.
    """
    folder = Path(os.path.abspath(Path(source).expanduser()))
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
    """What a built-in stage has worker processes load; no plugin is imported to know it."""
    from pipekit.registry.registry import load_registry

    return load_registry(installed=False).get("stage", stage).preload


def _folder_of_many(folder: Path) -> Path | None:
    """The first folder with files, where all below ``folder`` together have many; no more is looked at than says so."""
    waiting, first, count = [folder], None, 0
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir():
                        if not entry.is_symlink():  # which may lead back
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

    memory = store_of(Path.cwd()) / "hashes.sqlite"
    if not memory.is_file():
        return False
    with closing(HashMemory(memory)) as hashes:
        return hashes.knows(folder)
