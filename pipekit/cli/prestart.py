"""Starts worker processes early, while the rest of pipekit is still loading."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MANY = 500
"""Minimum number of files for which worker processes pay off; the executor decides again, by its number of images."""


def start_workers_for(source: str, workers: int | None, modules: Iterable[str] = ()) -> None:
    """Start the process that workers are forked from, if ``source`` is a folder of many files that no run has read yet.

    Args:
        modules: modules to load besides those that every worker needs: the ``preload`` of the stage that will run.

    This is a guess: a wrong one costs half a second on another core, or half a second of waiting for the first shard.
    """
    if workers != 1 and (os.cpu_count() or 1) > 1 and _is_new(source, Path.cwd()):
        _start(modules)


def start_workers_for_file(file: Path, workers: int | None, executor: str | None) -> None:
    """The same for a pipeline file with a stage whose ``path`` is such a folder. What is wrong in the file is said later."""
    import tomllib

    file = file / "pipeline.toml" if file.is_dir() else file
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return
    if (workers or table.get("workers")) == 1 or (os.cpu_count() or 1) == 1:
        return
    if (executor or table.get("executor", EXECUTORS[0])) not in EXECUTORS:
        return
    found = table.get("stages")
    stages: list[Any] = [one for one in found.values() if isinstance(one, dict)] if isinstance(found, dict) else []
    paths = [stage["path"] for stage in stages if isinstance(stage.get("path"), str)]
    if any(_is_new(str(file.parent / path), file.parent) for path in paths):
        uses = [stage["use"] for stage in stages if isinstance(stage.get("use"), str)]
        _start(module for use in uses for module in preload_of(use))


EXECUTORS = ("auto", "processes")
"""The executors that start worker processes; the first is the default."""


def _start(modules: Iterable[str]) -> None:
    from pipekit import processes

    if processes.allowed():
        processes.preload(modules)
        processes.start_early()


def _is_new(source: str, base: Path) -> bool:
    """Whether ``source`` is a folder of many files that no run of the project at ``base`` has read."""
    folder = Path(os.path.abspath(os.path.expanduser(source)))  # noqa: PTH111
    first = _folder_of_many(folder) if folder.is_dir() else None
    return first is not None and not _is_known(first, base)


def preload_of(stage: str) -> Iterable[str]:
    """The modules that worker processes load for a built-in stage, none for another; no plugin is imported to find them."""
    from pipekit.registry.registry import load_registry

    found = load_registry(installed=False).found("stage", stage)
    return found.preload if found else ()


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


def _is_known(folder: Path, base: Path) -> bool:
    from pipekit.store.file_hashes import HashMemory
    from pipekit.store.store import store_of

    return HashMemory(store_of(base) / "tree", read_only=True).knows(folder)
