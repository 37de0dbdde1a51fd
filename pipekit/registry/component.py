"""Components: named objects, each imported on its first use."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from pipekit.contract import Params, StageContract, params_type_of
from pipekit.errors import PluginError, UserError
from pipekit.registry.release import Release

LOADING = RLock()
"""Held while modules of plugins are imported."""


@dataclass(eq=False)
class Component:
    """A named object of a plugin: ``register("alexnet", "my_plugin.alexnet:build")`` creates one.

    Attributes:
        target: ``"module:attribute"``, ``"module"`` or the object itself.
        version: its author raises it when its output changes.
        plugin: the name of the plugin that provides it.
        source_digest: the hash of the file, if the plugin is a single file: editing it counts as a new version.
        preload: modules that worker processes have loaded before they get work.
        release: the distribution that it is installed from, if its version matters.
        is_ambiguous: whether another plugin has a component of that kind and name.
    """

    kind: str
    name: str
    target: Any
    summary: str = ""
    version: int = 1
    plugin: str = ""
    source_digest: str = ""
    preload: tuple[str, ...] = ()
    release: Release | None = field(default=None, repr=False)
    is_ambiguous: bool = False
    _loaded: Any = field(default=None, repr=False)

    @property
    def reference(self) -> str:
        """The name by which it can be found: ``gentle``, or ``acme:gentle`` if several plugins have that name."""
        return f"{self.plugin}:{self.name}" if self.is_ambiguous else self.name

    def load(self) -> Any:
        """The component itself; its module is imported on the first call.

        Raises:
            PluginError: it can't be imported.
        """
        if self._loaded is None:
            with LOADING:
                if self._loaded is None:
                    self._loaded = self._import()
        return self._loaded

    def _import(self) -> Any:
        if not isinstance(self.target, str):
            return self.target
        try:
            return import_target(self.target)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.kind} {self.name!r} of plugin {self.plugin!r} can't be loaded from {self.target!r}: "
                f"{error_text(error)}",
                "A library that it needs may be missing: run `pipekit doctor`." if isinstance(error, ImportError) else "",
            ) from error

    def params_type(self) -> type[Params]:
        if self.kind == "command":  # its arguments are words of a command line
            return Params
        return params_type_of(self.load())

    def contract(self) -> StageContract:
        """A stage's signature.

        Raises:
            PluginError: the component is not decorated with ``@stage`` or ``@sample_stage``.
        """
        found = getattr(self.load(), "__pipekit_stage__", None)
        if not isinstance(found, StageContract):
            raise PluginError(f"stage {self.name!r} of plugin {self.plugin!r} lacks @pipekit.stage or @pipekit.sample_stage")
        return found

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose version changes the output."""
        loaded = self.load()
        contract = getattr(loaded, "__pipekit_stage__", None)
        own = tuple(getattr(loaded, "__pipekit_libraries__", ()))
        return (*(contract.libraries if contract else ()), *own)

    def identity(self) -> list[Any]:
        """The component's part of a cache key; its release is another one."""
        return [self.kind, self.name, self.version, *([self.source_digest] if self.source_digest else [])]


@dataclass(eq=False)
class AdaptedComponent(Component):
    """A stage made from an importer or exporter."""

    original: Component = field(default=None, repr=False)  # type: ignore[assignment]

    def _import(self) -> Any:
        return import_target(self.target)(self.original)

    def identity(self) -> list[Any]:
        return ["stage", self.name, self.version, *([self.source_digest] if self.source_digest else [])]


def import_target(target: str) -> Any:
    """The object that ``"module:attribute"`` or ``"module"`` names."""
    module, _, attribute = target.partition(":")
    found: Any = importlib.import_module(module)
    for step in attribute.split(".") if attribute else ():
        found = getattr(found, step)
    return found


def first_line(found: Any) -> str:
    return (getattr(found, "__doc__", None) or "").strip().partition("\n")[0].rstrip(".")


def error_text(error: BaseException) -> str:
    """An exception on one line, with the last place in the plugin's own code."""
    import traceback

    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    own = [frame for frame in frames if f"pipekit{os.sep}registry{os.sep}" not in frame.filename]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}{place}"
