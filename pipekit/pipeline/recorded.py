"""Plugins in the records of runs: which of them a run used, and which one had a component that is no longer there."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.params import calls_in
from pipekit.registry.component import Component

if TYPE_CHECKING:
    from pipekit.pipeline.plan import Plan

NEWEST = 50
"""Maximum number of records that are searched for a component."""


def used_plugins(plan: Plan) -> dict[str, Any]:
    """The plugins whose components a plan uses, by distribution or file: their versions and these components."""
    files = {record.name: Path(record.source).name for record in plan.registry.plugins}
    found: dict[str, Any] = {}
    for component in sorted({f"{one.kind}:{one.name}": one for one in _components_of(plan)}.items()):
        one = component[1]
        if one.release is None and not one.source_digest:
            continue
        name = files.get(one.plugin, one.plugin) if one.release is None else one.release.name
        version = f"content {one.source_digest[:16]}" if one.release is None else one.release.identity()
        entry = found.setdefault(name, {"plugin": one.plugin, "version": version, "components": []})
        entry["components"].append(f"{one.kind} {one.name}")
    return found


def _components_of(plan: Plan) -> Iterator[Component]:
    for stage in plan.stages:
        yield stage.component
        yield from (call.component for call in calls_in(stage.params))
    yield plan.executor.component
    if plan.search is not None:  # of [matrix]; it proposed the values
        yield plan.search.component


def recorded_plugin(store_root: Path, kind: str, name: str) -> str:
    """The plugin that had a component in one of the newest runs: ``pipekit-acme 0.1.0``; "" if none had."""
    paths = sorted((store_root / "runs").glob("*/*.json"), key=lambda path: path.name, reverse=True)
    for path in islice(paths, NEWEST):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            plugins = json.loads(path.read_text(encoding="utf-8", errors="surrogatepass")).get("plugins") or {}
            for plugin, entry in plugins.items():
                if f"{kind} {name}" in entry["components"]:
                    return f"{plugin} {re.sub(r'[(]?content .*', '', entry['version'])}".strip()
    return ""
