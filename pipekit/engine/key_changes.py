"""Why a stage has to run: compares the parts of its key with those of its last run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def new_format(before: Mapping[str, Any] | None, parts: Mapping[str, Any]) -> str:
    """Why everything is recomputed, if an older or newer version of pipekit made the last result; else ""."""
    if before is None or before.get("format") == parts["format"]:
        return ""
    change = f"format {parts['format']}, was {before.get('format')}"
    return f"recomputed: this version of pipekit keeps its results under new keys ({change})"


def describe_changes(before: Mapping[str, Any] | None, parts: Mapping[str, Any], files: Mapping[str, str] | None = None) -> str:
    """Why a stage has to run: the parts of its key that differ from its last run, those of plugins first.

    Args:
        files: the names of plugins that are single files, by the hashes of these files.
    """
    if before is None:
        return "never run before"
    if anew := new_format(before, parts):
        return anew
    plugins = list(_other_plugins(before, parts, files or {}))
    changes = [f"made anew: {', '.join(plugins)}"] if plugins else []
    changes += _differences("", _without_plugins(before), _without_plugins(parts))
    if not changes:
        return "its result is no longer in the store"
    more = f", and {len(changes) - 3} more" if len(changes) > 3 else ""
    return "; ".join(changes[:3]) + more


def _other_plugins(before: Mapping[str, Any], parts: Mapping[str, Any], files: Mapping[str, str]) -> Iterator[str]:
    """``pipekit-acme 0.1.0 -> 0.2.0`` for each plugin that is another one now."""
    old, new = dict(before.get("plugins") or {}), dict(parts.get("plugins") or {})
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was is None:
            yield f"by {name} {now}".strip()
        elif now is None:
            yield f"no longer by {name} {was}".strip()
        elif was != now:
            versions = [version.partition("(content ")[0].strip() for version in (was, now)]
            yield f"{name} {versions[0]} was edited" if versions[0] == versions[1] else f"{name} {was} -> {now}"
    digests = [{file for _, file in _components(one)} for one in (before, parts)]
    for digest in sorted(digests[1] - digests[0]):
        if digest in files:
            yield f"{files[digest]} was edited" if digests[0] - digests[1] else f"by {files[digest]}"


def _components(value: Any) -> Iterator[tuple[list[Any], str]]:
    """Every identity of a component among the parts of a key, and the hash of its plugin's file."""
    kinds = tuple(type(one) for one in value) if isinstance(value, list) else ()
    if kinds in ((str, str, int), (str, str, int, str)):
        yield value, value[3] if len(value) == 4 else ""
        return
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _components(inner)


def _without_plugins(value: Any) -> Any:
    """The parts of a key without what says which plugin, in which version."""
    if isinstance(value, list):
        found = next(_components(value), None)
        return value[:3] if found is not None and found[0] is value else [_without_plugins(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _without_plugins(one) for name, one in value.items() if name != "plugins"}
    return value


def _differences(place: str, old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            inner = f"{place}.{name}" if place else name
            yield from _differences(inner, old.get(name), new.get(name))
    elif old != new:
        names = [one[:2] if one and next(_components(one), ([],))[0] is one else None for one in (old, new)]
        if names[0] is not None and names[0] == names[1]:
            yield f"version of {old[0].replace('_', ' ')} {old[1]!r}: {old[2]} -> {new[2]}"
        elif place.startswith("inputs.") or (place.endswith(".content") and place.startswith("params.")):
            yield f"{place.removesuffix('.content').split('.', 1)[1]} has changed"
        elif isinstance(old, (list, Mapping)) or isinstance(new, (list, Mapping)):
            yield f"{place.removeprefix('params.')} has changed"
        else:
            yield f"{place.removeprefix('params.')}: {json.dumps(old)} -> {json.dumps(new)}"
