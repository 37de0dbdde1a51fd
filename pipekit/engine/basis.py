"""Makes the basis of a finished run: what :mod:`pipekit.engine.unchanged` compares, if that tells everything."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pipekit
from pipekit.engine.outcome import StageOutcome
from pipekit.engine.unchanged import Basis, code_state, shown_state, stored_state, text_state
from pipekit.pipeline.plan import Plan
from pipekit.store.store import Store

OBSERVED = ("before_stage", "after_stage", "after_run")
"""Hooks that plugins expect to be called in every run."""


def basis_of(
    plan: Plan,
    store: Store,
    sources: Mapping[str, str],
    stages: Sequence[StageOutcome],
    run_dir: Path,
    path: Sequence[str],
    since_ns: int,
) -> Basis | None:
    """The basis of a run that has just finished.

    Args:
        sources: the state of each file or folder whose content is in a key.
        path: where Python looked for modules when it started.
        since_ns: when the process started: code that changed later may not be what was loaded.

    Returns:
        None if the run depends on more than states of files, or on files that are so young that their states tell nothing.
    """
    if plan.file is None or plan.given or plan.matrix is not None or store.root != plan.base_dir / ".pipekit":
        return None
    registry = plan.registry
    if any(True for hook in OBSERVED for _ in registry.observers(hook)) or any(r.status == "broken" for r in registry.plugins):
        return None
    texts, code = _texts_of(plan, stages), _code_of(plan, path)
    if texts is None or code is None or not all(sources.values()) or any(_is_young(one, since_ns) for one in code):
        return None
    places = _places_of(store, stages)
    return Basis(
        sources=dict(sources),
        texts=texts,
        code={one: code_state(one) for one in code},
        places=places,
        stored=stored_state(store.root, places),
        run_dir=str(run_dir),
        shown=shown_state(str(run_dir)),
    )


def _texts_of(plan: Plan, stages: Sequence[StageOutcome]) -> dict[str, str] | None:
    """The pipeline file, and the files that stages depend on beside their inputs."""
    file = str(plan.file)
    before = text_state(file)
    with open(file, encoding="utf-8-sig") as text:
        if text.read() != plan.text:
            return None
    found = {file: before}
    for stage, made in zip(plan.stages, stages, strict=True):
        fingerprint = stage.contract.fingerprint
        if fingerprint is None:
            continue
        files = getattr(fingerprint, "__pipekit_files__", None)
        if files is None:
            return None
        found |= {str(path): text_state(str(path)) for path in files(stage.params)}
        if fingerprint(stage.params) != made.parts.get("fingerprint"):
            return None
    return found if all(text_state(path) == state for path, state in found.items()) else None


def _places_of(store: Store, stages: Sequence[StageOutcome]) -> tuple[str, ...]:
    """The folders and files of the store that a run of these stages checks."""
    found = dict[str, None]()
    for made in stages:
        manifest = store.manifest(made.key)
        found[store.artifact_dir(made.key).relative_to(store.root).as_posix()] = None
        found |= dict.fromkeys((manifest or {}).get("uses", ()))
    return tuple(found)


def _code_of(plan: Plan, path: Sequence[str]) -> list[str] | None:
    """Files and packages of code outside Python's own, and the folders where packages are looked for."""
    own = os.path.dirname(pipekit.__file__)  # noqa: PTH120
    packages = {own}
    for plugin in plan.registry.modules:
        top = sys.modules.get(plugin.__name__.partition(".")[0]) if isinstance(plugin, ModuleType) else None
        if top is None or not getattr(top, "__file__", None):
            return None  # code that can't be found by its file
        packages.add(os.path.dirname(str(top.__file__)) if hasattr(top, "__path__") else str(top.__file__))  # noqa: PTH120
    named = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    inside = tuple(f"{folder}{os.sep}" for folder in {*named, *map(os.path.realpath, named), *packages})
    files = {one for one in _loaded() if not one.startswith(inside) and not os.path.realpath(one).startswith(inside)}
    return sorted({*packages, *files, *(folder for folder in path if os.path.exists(folder))})  # noqa: PTH110


def _loaded() -> Iterator[str]:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and os.path.exists(file):  # noqa: PTH110
            yield os.path.abspath(file)


def _is_young(path: str, since_ns: int) -> bool:
    """Whether a file or a package has changed since it may have been loaded."""
    is_package = os.path.exists(f"{path}{os.sep}__init__.py")  # noqa: PTH110
    if os.path.isdir(path) and not is_package:  # noqa: PTH112
        return False
    for place, folders, names in os.walk(path) if is_package else ((path, [], [""]),):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            found = os.stat(os.path.join(place, name) if name else place)  # noqa: PTH116, PTH118
            if found.st_mtime_ns >= since_ns:
                return True
    return False
