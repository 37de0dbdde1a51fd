"""Calls observers, the hooks of plugins that watch a run. One that fails becomes a warning and stops nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from pipekit.contract import RunInfo
from pipekit.engine.outcome import Listener
from pipekit.engine.worker import reason_of
from pipekit.registry.registry import Registry


def observe(registry: Registry, listener: Listener, hook: str, **values: Any) -> None:
    """Call every plugin's implementation of a hook."""
    for plugin, call in registry.observers(hook):
        problem = _problem_of(call, values)
        if problem:
            stage = values["stage"].name if "stage" in values else ""
            listener("warning", stage=stage, message=f"observer {hook} of plugin {plugin!r} {problem}")


def with_observers(registry: Registry, listener: Listener, info: Callable[[str], RunInfo]) -> Listener:
    """A listener that also sends every event to the observers of events; the listener itself where there are none.

    An observer that raises is named in a warning and gets no further event of this run: there may be thousands.

    Args:
        info: the run with a status.
    """
    observers = dict(registry.observers("on_event"))
    if not observers:
        return listener

    def send(event: str, **values: Any) -> None:
        listener(event, **values)
        run = info(str(values["status"]) if event == "run_finished" else "running")
        for plugin, call in list(observers.items()):
            problem = _problem_of(call, {"run": run, "event": event, "values": MappingProxyType(values)})
            if problem and observers.pop(plugin, None) is not None:
                message = f"observer on_event of plugin {plugin!r} {problem}; it gets no further event of this run"
                listener("warning", stage=values.get("stage", ""), message=message)

    return send


def _problem_of(call: Callable[..., Any], values: dict[str, Any]) -> str:
    """What is wrong with an observer, after calling it."""
    try:
        returned = call(**values)
    except (Exception, SystemExit) as error:
        return f"failed: {reason_of(error)}"
    if returned is None:
        return ""
    return f"must return nothing, and returned a value of type {type(returned).__name__}; it is ignored"
