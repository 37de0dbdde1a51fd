"""Registering: the ``register`` that a plugin's hooks receive, and the names of its hooks."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from pipekit import hookspecs
from pipekit.errors import PluginError, did_you_mean
from pipekit.registry.component import AdaptedComponent, Component, first_line
from pipekit.registry.release import Release

ADAPTED = {
    "importer": ("import.", "pipekit.registry.format_stages:import_stage"),
    "exporter": ("export.", "pipekit.registry.format_stages:export_stage"),
}
"""Kinds whose components become stages too: the prefix of the stage's name, and the function that makes the stage."""


class Registering:
    """The ``register`` that a hook receives, for one plugin and kind."""

    def __init__(
        self,
        found: dict[tuple[str, str], Component],
        kind: str,
        plugin: str,
        digest: str,
        release: Release | None,
    ) -> None:
        self._found, self._kind = found, kind
        self._plugin, self._digest, self._release = plugin, digest, release

    def __call__(self, name: str, target: Any, *, summary: str = "", version: int = 1, preload: Sequence[str] = ()) -> None:
        if not isinstance(name, str) or not name or any(character in name for character in " /\\\t\n:"):
            raise PluginError(f"it registers {name!r}: a name is a word without spaces, slashes or colons")
        if target is None or (isinstance(target, str) and not target):
            raise PluginError(f"it registers {self._kind} {name!r} without a target")
        if not isinstance(version, int):
            raise PluginError(f"it registers {self._kind} {name!r} with the version {version!r}, expected a whole number")
        if isinstance(preload, str) or not all(isinstance(module, str) for module in preload):
            raise PluginError(f"it registers {name!r} with preload={preload!r}, expected a list of module names")
        summary = summary or _summary_of(self._kind, target)
        component = Component(
            self._kind, name, target, summary, version, self._plugin, self._digest, tuple(preload), self._release
        )
        self._take(component)
        if self._kind in ADAPTED:
            prefix, adapter = ADAPTED[self._kind]
            self._take(
                AdaptedComponent(
                    "stage",
                    prefix + name,
                    adapter,
                    summary,
                    version,
                    self._plugin,
                    self._digest,
                    component.preload,
                    self._release,
                    original=component,
                )
            )

    def _take(self, component: Component) -> None:
        place = (component.kind, component.name)
        if place in self._found:
            raise PluginError(f"it registers {component.kind} {component.name!r} twice")
        self._found[place] = component


def _summary_of(kind: str, target: Any) -> str:
    """The summary of an object that was registered without one: the first line of its docstring, or of an app's help."""
    if isinstance(target, str):
        return ""
    if kind == "command" and not hasattr(target, "__code__"):
        words = getattr(target, "help", None) or getattr(getattr(target, "info", None), "help", None)
        return words.strip().partition("\n")[0].rstrip(".") if isinstance(words, str) else ""
    return first_line(target)


def check_hook_names(plugin: Any) -> None:
    """Raise PluginError for a hook that is misspelt or not marked: pluggy would skip it silently."""
    hooks = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "pipekit_spec")}
    known = list(hooks)
    for name in dir(plugin):
        found = getattr(plugin, name, None)
        marked = getattr(found, "pipekit_impl", None)
        if marked is not None and name not in known and not (isinstance(marked, dict) and marked.get("specname") in known):
            raise PluginError(f"there is no hook called {name!r}. {did_you_mean(name, known)}".rstrip())
        if marked is not None and name in known:
            has = list(inspect.signature(hooks[name]).parameters)
            for argument in inspect.signature(getattr(plugin, name)).parameters:
                if argument not in has:
                    raise PluginError(f"hook {name!r} has no argument {argument!r}; it has: {', '.join(has)}")
        if marked is None and name in known and callable(found) and not hasattr(found, "pipekit_spec"):
            raise PluginError(f"{name!r} is not marked with @pipekit.hookimpl, so it would never be called")
        if marked is None and name.startswith("register_") and name not in known and callable(found):
            near = did_you_mean(name, known)
            if near and getattr(found, "__module__", None) == getattr(plugin, "__name__", None):
                raise PluginError(f"there is no hook called {name!r}. {near}")
