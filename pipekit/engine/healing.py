"""Damaged results: which of them a run can recompute."""

from __future__ import annotations

from pathlib import Path

from pipekit.pipeline.plan import Plan
from pipekit.store.store import Store

MAX_HEALED = 5
"""Maximum number of damaged folders that one run recomputes; more than that means a failing disk."""


def given_from(plan: Plan, store: Store, place: Path) -> str:
    """The name of a given artifact that has files in this folder of the store; no stage of the plan can recompute them."""
    below = place.relative_to(store.root).as_posix()
    for name, made in plan.given.items():
        manifest = None if made.path == place else store.manifest(made.path.name)
        if made.path == place or below in (manifest or {}).get("uses", ()):
            return name
    return ""
