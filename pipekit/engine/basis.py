"""Makes the basis of a finished run: what :mod:`pipekit.engine.unchanged` compares, if that tells everything."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from pipekit.engine.code_state import code_state, is_young, loaded_code, place_of
from pipekit.engine.outcome import StageOutcome
from pipekit.engine.unchanged import Basis, shown_state, stored_state, text_state
from pipekit.files.urls import is_copy
from pipekit.pipeline.plan import Plan
from pipekit.store.store import Store

OBSERVED = ("before_stage", "after_stage", "on_event", "after_run")
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
    if any(map(is_copy, sources)):  # whether a remote source has changed, only its store can say
        return None
    if plan.file is None or plan.given or plan.matrix is not None or store.root != plan.base_dir / ".pipekit":
        return None
    registry = plan.registry
    if any(True for hook in OBSERVED for _ in registry.observers(hook)) or any(r.is_lost for r in registry.plugins):
        return None
    texts, code = _texts_of(plan, stages), _code_of(plan, path)
    if texts is None or code is None or not all(sources.values()) or any(is_young(one, since_ns) for one in code):
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
    packages = set()
    for plugin in plan.registry.modules:
        top = sys.modules.get(plugin.__name__.partition(".")[0]) if isinstance(plugin, ModuleType) else None
        if top is None or not getattr(top, "__file__", None):
            return None  # code that can't be found by its file
        packages.add(place_of(top))
    return loaded_code(packages, path)
