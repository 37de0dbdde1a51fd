"""Why a stage has to run: compares the parts of its key with those of its last run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def new_format(before: Mapping[str, Any] | None, parts: Mapping[str, Any]) -> str:
    """Why everything is recomputed, if an older or newer version of pipekit made the last result; else ""."""
    if before is None or before.get("format") == parts["format"]:
        return ""
    change = f"format {parts['format']}, was {before.get('format')}"
    return f"recomputed: this version of pipekit keeps its results under new keys ({change})"


def describe_changes(before: Mapping[str, Any] | None, parts: Mapping[str, Any]) -> str:
    """Why a stage has to run: the parts of its key that differ from its last run."""
    if before is None:
        return "never run before"
    if anew := new_format(before, parts):
        return anew
    changes = list(_differences("", before, parts))
    if not changes:
        return "its result is no longer in the store"
    more = f", and {len(changes) - 3} more" if len(changes) > 3 else ""
    return "; ".join(changes[:3]) + more


def _differences(place: str, old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            inner = f"{place}.{name}" if place else name
            yield from _differences(inner, old.get(name), new.get(name))
    elif old != new:
        if place.startswith("inputs.") or (place.endswith(".content") and place.startswith("params.")):
            yield f"{place.removesuffix('.content').split('.', 1)[1]} has changed"
        elif isinstance(old, (list, Mapping)) or isinstance(new, (list, Mapping)):
            yield f"{place.removeprefix('params.')} has changed"
        else:
            yield f"{place.removeprefix('params.')}: {json.dumps(old)} -> {json.dumps(new)}"
