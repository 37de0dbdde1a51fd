"""Calls observers, the hooks of plugins that watch a run. One that fails becomes a warning and stops nothing."""

from __future__ import annotations

from typing import Any

from pipekit.engine.outcome import Listener
from pipekit.engine.worker import reason_of
from pipekit.registry.registry import Registry


def observe(registry: Registry, listener: Listener, hook: str, **values: Any) -> None:
    """Call every plugin's implementation of a hook."""
    for plugin, call in registry.observers(hook):
        problem = ""
        try:
            returned = call(**values)
        except (Exception, SystemExit) as error:
            problem = f"failed: {reason_of(error)}"
        else:
            if returned is not None:
                problem = f"must return nothing, and returned a value of type {type(returned).__name__}; it is ignored"
        if problem:
            stage = values["stage"].name if "stage" in values else ""
            listener("warning", stage=stage, message=f"observer {hook} of plugin {plugin!r} {problem}")
