"""Damaged results: found before a stage reads them, and moved aside if this run can recompute them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipekit.contract import Artifact, Dataset
from pipekit.errors import DamagedError, StageError
from pipekit.pipeline.plan import Plan
from pipekit.store.store import Store
from pipekit.store.wholeness import guard, problem_of

MAX_HEALED = 5
"""Maximum number of damaged folders that one run recomputes; more than that means a failing disk."""


def check_inputs(inputs: Mapping[str, Any]) -> None:
    """Compare the files of a stage's inputs with their hashes: a stage may open them without pipekit's functions.

    Rows of datasets and their images are compared one by one, when they are read.

    Raises:
        DamagedError: a file is not what was put into the store.
    """
    for found in inputs.values():
        for made in found if isinstance(found, tuple) else (found,):
            if isinstance(made, Artifact) and not isinstance(made, Dataset):
                check_folder(made.path)


def check_folder(place: Path) -> None:
    """Compare all files of a folder of the store with their hashes.

    Raises:
        DamagedError: one is not what was put there.
    """
    if guard.place_of(str(place / "any")) == place and (problem := problem_of(place, hashes=True)):
        guard.note(str(place), problem)


def move_aside(plan: Plan, store: Store, error: DamagedError) -> None:
    """Move a damaged folder aside, so that starting over recomputes it.

    Raises:
        DamagedError: it is not in the store.
        StageError: it comes from another run, so no stage of this plan can recompute it.
    """
    place = store.place_of(error.path)
    if place is None:
        raise error
    if name := _given_from(plan, store, place):
        raise StageError(
            f"the input {name!r} is damaged: {error.path} ({error.problem})",
            "It comes from another run. Recompute it: pipekit verify --repair, then run its pipeline again.",
        ) from error
    path = Path(error.path)
    store.set_aside(place, error.problem if path == place else f"{path.name}: {error.problem}")


def _given_from(plan: Plan, store: Store, place: Path) -> str:
    """The name of a given artifact that has files in this folder of the store; no stage of the plan can recompute them."""
    below = place.relative_to(store.root).as_posix()
    for name, made in plan.given.items():
        manifest = None if made.path == place else store.manifest(made.path.name)
        if made.path == place or below in (manifest or {}).get("uses", ()):
            return name
    return ""
