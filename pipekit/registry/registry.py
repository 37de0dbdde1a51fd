"""The registry: the components, and the plugins that register them, broken ones included.

Plugins register names; code is imported on use. Every plugin, the built-in one too, is loaded separately: one that fails is a
line in ``pipekit plugins`` and nothing more. This module and :mod:`pipekit.hookspecs` are the only ones that use pluggy.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import pluggy

from pipekit import hookspecs, processes
from pipekit.contract import Params
from pipekit.errors import PluginError, UserError, did_you_mean, place_text
from pipekit.files import expanded, use_codecs
from pipekit.params import problems_of
from pipekit.registry.component import LOADING, Component, error_text, first_line, import_target
from pipekit.registry.registering import Registering, check_hook_names
from pipekit.registry.release import Release, release_of
from pipekit.registry.suggestions import ambiguous, at_home, defaults_at_home, hint_for, split_name
from pipekit.registry.trust import GROUP

KINDS: Mapping[str, str] = {
    "stage": "register_stages",
    "op": "register_ops",
    "recipe": "register_recipes",
    "model": "register_models",
    "loss": "register_losses",
    "metric": "register_metrics",
    "optimizer": "register_optimizers",
    "schedule": "register_schedules",
    "sampler": "register_samplers",
    "callback": "register_callbacks",
    "importer": "register_importers",
    "exporter": "register_exporters",
    "detector": "register_detectors",
    "embedder": "register_embedders",
    "projection": "register_projections",
    "splitter": "register_splitters",
    "check": "register_checks",
    "report_section": "register_report_sections",
    "compare_metric": "register_compare_metrics",
    "search": "register_searches",
    "codec": "register_codecs",
    "executor": "register_executors",
    "command": "register_commands",
    "page": "register_pages",
}
"""The kinds of components, and the hook that registers each."""

OBSERVERS = ("before_stage", "after_stage", "on_stage_error", "on_event", "after_run")
"""The hooks of runs."""

P = TypeVar("P", bound=Params)

# --- plugins -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PluginRecord:
    """A plugin, loaded or not.

    Attributes:
        source: ``built in``, ``my-plugin 1.2`` (a distribution) or the path of a file.
        api: the API version that it requires, or None.
        status: ``ok``, ``broken``, ``disabled``, or ``missing``: there is no such plugin.
        reason: why it is not ok.
        seconds: the time that loading it took.
        components: (kind, name) of each component that it registered.
        module: the module with its hooks, if it is no single file.
        observers: the hooks of runs that it implements.
    """

    name: str
    source: str
    version: str = ""
    api: int | None = None
    status: str = "ok"
    reason: str = ""
    seconds: float = 0.0
    components: tuple[tuple[str, str], ...] = ()
    module: str = ""
    observers: tuple[str, ...] = ()

    @property
    def is_lost(self) -> bool:
        """Whether it was to be loaded, and could not be."""
        return self.status in ("broken", "missing")


class Registry:
    """All components and plugins. Made by :func:`load_registry`.

    Attributes:
        accepted: digests of values that a costly check (one that imports a library) has accepted before. A validator finds it
            as ``info.context["accepted"]``; a run keeps it in the store.
        recorded: the plugin that had a component of a kind and name in an earlier run; "" if none had.
    """

    def __init__(self) -> None:
        self.plugins: list[PluginRecord] = []
        self.asked: tuple[str, ...] = ()
        self.disabled: tuple[str, ...] = ()
        self.accepted: set[str] = set()
        self.recorded: Callable[[str, str], str] = lambda kind, name: ""
        self._components: dict[tuple[str, str], list[Component]] = {}
        self._clashes = False
        self._manager = pluggy.PluginManager("pipekit")
        self._manager.add_hookspecs(hookspecs)
        self._observers: list[Any] = []
        self._traces = os.environ.get("PIPEKIT_TRACE", "") not in ("", "0")

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(KINDS)

    @property
    def hook(self) -> Any:
        """The observers' hooks: ``registry.hook.before_stage(run=…, stage=…)``."""
        return self._manager.hook

    def observers(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Each plugin's implementation of an observer hook, by plugin name, so that one that fails does not stop the next."""
        for impl in getattr(self._manager.hook, hook).get_hookimpls():
            names = impl.argnames

            def call(impl: Any = impl, names: Any = names, **values: Any) -> Any:
                given = {name: values[name] for name in names}
                self._trace(impl.plugin_name, hook, ", ".join(f"{name}={value!r}" for name, value in given.items()))
                return impl.function(*given.values())

            yield impl.plugin_name, call

    def _trace(self, plugin: str, hook: str, text: str) -> None:
        """Print a call of a hook to stderr, if ``PIPEKIT_TRACE`` is set."""
        if self._traces:
            print(f"[pipekit] {plugin}: {hook}({text})", file=sys.stderr, flush=True)

    @property
    def modules(self) -> list[Any]:
        """What plugins are: modules, or objects with hook implementations."""
        return list(self._manager.get_plugins())

    # --- looking up ---

    def found(self, kind: str, name: str, home: str = "") -> Component | None:
        """The component of that kind and name; None if there is none.

        Args:
            name: ``gentle``, or qualified with its plugin's name, ``acme:gentle``.
            home: the plugin that is preferred if several have the name.

        Raises:
            UserError: several plugins have it.
        """
        plugin, name = split_name(kind, name)
        every = self._named(kind, name)
        chosen = [one for one in every if not plugin or one.plugin == plugin]
        if len(chosen) > 1:
            chosen = [one for one in chosen if one.plugin == home] or chosen
        if len(chosen) > 1:
            raise ambiguous(kind, name, chosen)
        return chosen[0] if chosen else None

    def _named(self, kind: str, name: str) -> list[Component]:
        """The components of a name: one of each plugin. Members of families are made here."""
        found = list(self._components.get((kind, name), ()))
        prefix, dot, rest = name.partition(".")
        for family in self._components.get((kind, f"{prefix}.*"), ()) if dot and rest != "*" else ():
            if not any(one.plugin == family.plugin for one in found):
                target = family.load()(rest)
                made = Component(
                    kind,
                    name,
                    target,
                    first_line(target),
                    family.version,
                    family.plugin,
                    family.source_digest,
                    release=family.release,
                )
                made.is_ambiguous = family.is_ambiguous
                self._components.setdefault((kind, name), []).append(made)
                found.append(made)
        return found

    def get(self, kind: str, name: str, home: str = "") -> Component:
        """The component of that kind and name, as :meth:`found` looks it up.

        Raises:
            UserError: there is none, or several plugins have it; the hint has their qualified names, the broken or missing
                plugin that has it, or the nearest name.
        """
        found = self.found(kind, name, home)
        if found is not None:
            return found
        if kind not in KINDS:
            raise UserError(
                f"no kind of component called {kind!r}", did_you_mean(kind, list(KINDS)) or f"There are: {', '.join(KINDS)}"
            )
        raise UserError(f"no {kind.replace('_', ' ')} called {name!r}", hint_for(self, kind, name))

    def components(self, kind: str, wildcards: bool = False) -> list[Component]:
        """All components of a kind, by name.

        Args:
            wildcards: list the members of families (``albu.*``) one by one; this imports their libraries.
        """
        found = {one.reference: one for (of, _), several in self._components.items() if of == kind for one in several}
        if wildcards:
            for name in [name for name, one in found.items() if one.name.endswith(".*")]:
                found |= {one.reference: one for one in self.members(found.pop(name))}
        return sorted(found.values(), key=lambda one: (one.name, one.plugin))

    def members(self, family: Component) -> list[Component]:
        """The members of a family; this imports its library, if its module does."""
        names = import_target(str(family.target).partition(":")[0] + ":names")
        return [self.get(family.kind, f"{family.plugin}:{family.name[:-1]}{rest}") for rest in names()]

    def at_home(self, kind: str, value: Any, plugin: str) -> Any:
        """Names of components, and tables with them, as a plugin means them: what is ambiguous is that plugin's own."""
        return at_home(self, kind, value, plugin) if self._clashes else value

    def __iter__(self) -> Iterator[Component]:
        for kind in KINDS:
            yield from self.components(kind)

    # --- checking parameters ---

    def problems(
        self, params_type: type[P], values: Mapping[str, Any], base_dir: Path | None = None
    ) -> tuple[P | None, list[tuple[tuple[str | int, ...], str, str]]]:
        """The checked parameters, or None and every problem as (place, message, hint)."""
        from pydantic import ValidationError

        context = {"registry": self, "base_dir": base_dir or Path.cwd(), "accepted": self.accepted}
        given = {**defaults_at_home(self, params_type, values), **values} if self._clashes else dict(values)
        try:
            return params_type.model_validate(given, context=context), []
        except ValidationError as error:
            return None, list(problems_of(error, params_type))

    def check_params(self, params_type: type[P], values: Mapping[str, Any], base_dir: Path | None = None) -> P:
        """The checked parameters; nested components are resolved.

        Raises:
            UserError: with all the problems in its message.
        """
        params, problems = self.problems(params_type, values, base_dir)
        if params is None:
            lines = [f"{place_text(place)}: {message}" if place else message for place, message, _ in problems]
            raise UserError("; ".join(lines), next((hint for *_, hint in problems if hint), ""))
        return params

    # --- loading ---

    def add(
        self,
        plugin: Any,
        name: str,
        source: str,
        version: str = "",
        digest: str = "",
        started: float | None = None,
        release: Release | None = None,
    ) -> None:
        """Add a plugin: a module or object with hook implementations. All its components are added, or none."""
        if self._manager.is_registered(plugin):
            return  # named twice: in the pipeline file and on the command line, or by name and as a file
        started = time.perf_counter() if started is None else started
        api = getattr(plugin, "PIPEKIT_API", None)
        try:
            found = self._collect(plugin, name, api, digest, release)
        except (Exception, SystemExit) as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            reason = error.message if isinstance(error, PluginError) else error_text(error)
            module = release.tops[0] if release is not None else ""
            self.note(name, source, "broken", reason, version, api, started, module)
            return
        for component in found:
            several = self._components.setdefault((component.kind, component.name), [])
            several.append(component)
            if len(several) > 1:
                self._clashes = True
                for one in several:
                    one.is_ambiguous = True
        if release is not None:
            release.extend(one.target.partition(":")[0].partition(".")[0] for one in found if isinstance(one.target, str))
        components = tuple((component.kind, component.name) for component in found)
        seconds = time.perf_counter() - started
        observers = tuple(hook for hook in OBSERVERS if any(one == name for one, _ in self.observers(hook)))
        record = PluginRecord(name, source, version, api, seconds=seconds, components=components, observers=observers)
        self.plugins.append(record)

    def note(
        self,
        name: str,
        source: str,
        status: str,
        reason: str,
        version: str = "",
        api: int | None = None,
        started: float = 0.0,
        module: str = "",
    ) -> None:
        """Keep a record of a plugin that is not in use."""
        seconds = time.perf_counter() - started if started else 0.0
        self.plugins.append(PluginRecord(name, source, version, api, status, reason, seconds, module=module))

    def _collect(self, plugin: Any, name: str, api: int | None, digest: str, release: Release | None) -> list[Component]:
        if api is not None and api > hookspecs.API_VERSION:
            raise PluginError(
                f"it needs pipekit's plugin API {api}, and this pipekit has {hookspecs.API_VERSION}; a newer pipekit is needed"
            )
        check_hook_names(plugin)
        self._manager.register(plugin, name)
        self._manager.check_pending()
        found: dict[tuple[str, str], Component] = {}
        for kind, hook in KINDS.items():
            for impl in getattr(self._manager.hook, hook).get_hookimpls():
                if impl.plugin is plugin:
                    register = Registering(found, kind, name, digest, release)
                    self._trace(name, hook, ", ".join(impl.argnames))
                    impl.function(*(register for _ in impl.argnames))
        return list(found.values())


def load_registry(
    plugins: Sequence[str] = (),
    base_dir: Path | None = None,
    disabled: Sequence[str] = (),
    installed: bool = True,
    named: bool = True,
) -> Registry:
    """Load every plugin: the built-in one, installed ones, those in ``PIPEKIT_PLUGINS``, then ``plugins``.

    Args:
        plugins: files (``./my_ops.py``, relative to ``base_dir``) or module names.
        disabled: names of plugins to leave out, besides those in ``PIPEKIT_DISABLE``.
        installed: if False, skip installed plugins except the built-in one.
        named: if False, skip those in ``PIPEKIT_PLUGINS``.
    """
    registry = Registry()
    off = {*disabled, *_words(os.environ.get("PIPEKIT_DISABLE", ""))}
    asked = [*(_words(os.environ.get("PIPEKIT_PLUGINS", "")) if named else ()), *plugins]
    registry.asked, registry.disabled = tuple(asked), tuple(sorted(off))
    for point, distribution in _entry_points():
        built_in = point.value.partition(":")[0] == "pipekit.builtin"
        source = "built in" if built_in else f"{distribution.name} {distribution.version}" if distribution else point.value
        version = distribution.version if distribution else ""
        if not installed and not built_in:
            continue
        module, name = point.value.partition(":")[0], point.name
        if distribution and any(record.name == name for record in registry.plugins):
            name = distribution.name  # two distributions call their plugins the same
        if name in off:
            registry.note(name, source, "disabled", "disabled by PIPEKIT_DISABLE or --disable", version, module=module)
            continue
        started, loaded_ns = time.perf_counter(), time.time_ns()
        if not built_in:
            processes.meet(name)
        try:
            plugin = point.load()
        except (Exception, SystemExit) as error:
            registry.note(name, source, "broken", error_text(error), version, started=started, module=module)
            continue
        release = release_of(plugin, module, version, loaded_ns, distribution)
        registry.add(plugin, name, source, version, started=started, release=release)
    for name in dict.fromkeys(asked):
        _load_asked(registry, name, base_dir or Path.cwd(), off)
    use_codecs(component.load for component in registry.components("codec"))
    return registry


def _load_asked(registry: Registry, asked: str, base_dir: Path, off: set[str]) -> None:
    """Load a plugin by name: an installed one, which was handled already, a file or a module."""
    if any(record.name == asked for record in registry.plugins):
        return
    processes.meet(asked)
    if not (asked.endswith(".py") or "/" in asked or os.sep in asked):
        if asked in off:
            registry.note(asked, asked, "disabled", "disabled by PIPEKIT_DISABLE or --disable")
            return
        started, loaded_ns = time.perf_counter(), time.time_ns()
        try:
            module = importlib.import_module(asked)
            # Check functions only: a module may hold other objects that load something when they are touched.
            if not any(isinstance(value, FunctionType) and hasattr(value, "pipekit_impl") for value in vars(module).values()):
                raise PluginError(
                    "no installed plugin has that name, and the module has no function marked with @pipekit.hookimpl"
                )
        except PluginError as error:
            registry.note(asked, asked, "broken", error.message, started=started)
            return
        except ModuleNotFoundError as error:
            if error.name is not None and f"{asked}.".startswith(f"{error.name}."):
                registry.note(asked, asked, "missing", _no_such(registry, asked), started=started)
            else:
                registry.note(asked, asked, "broken", error_text(error), started=started, module=asked)
            return
        except (Exception, SystemExit) as error:
            registry.note(asked, asked, "broken", error_text(error), started=started, module=asked)
            return
        version = str(getattr(module, "__version__", ""))
        release = release_of(module, asked, version, loaded_ns, None)
        registry.add(module, asked, asked, version, started=started, release=release)
        return
    path = base_dir / expanded(asked)
    name = path.stem
    if name in off:
        registry.note(name, str(path), "disabled", "disabled by PIPEKIT_DISABLE or --disable")
        return
    started = time.perf_counter()
    if not os.path.exists(path):  # noqa: PTH110 - False for a name that is too long, where Path.exists raises
        registry.note(name, str(path), "missing", f"no such plugin: there is no file {path}", started=started)
        return
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        module = _load_file(path, f"pipekit_plugin_{name}_{digest[:12]}")
    except (Exception, SystemExit) as error:
        registry.note(name, str(path), "broken", error_text(error), started=started)
        return
    if any(record.name == name and record.status == "ok" for record in registry.plugins):
        name = f"{name}.py"
    registry.add(module, name, str(path), str(getattr(module, "__version__", "")), digest, started)


def _no_such(registry: Registry, asked: str) -> str:
    near = did_you_mean(asked, [record.name for record in registry.plugins])
    return f"no such plugin: {asked!r} is neither installed nor a module. {near}".strip()


def _load_file(path: Path, name: str) -> ModuleType:
    """Import a file as a module named after its content, so that workers on any machine find the same one."""
    with LOADING:
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        writes_nothing, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # users' folders stay as they are
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.dont_write_bytecode = writes_nothing
        return module


def _entry_points() -> Iterable[tuple[Any, Any]]:
    """Entry points of the group with their distributions, the built-in plugin first, then by name."""
    from importlib.metadata import entry_points

    points = {(point.name, point.value): point for point in entry_points(group=GROUP)}
    if not any(value.partition(":")[0] == "pipekit.builtin" for _, value in points):
        raise PluginError("pipekit is not installed: its own entry point is missing", "Install it: pip install --editable .")
    order = sorted(points.values(), key=lambda point: (point.value.partition(":")[0] != "pipekit.builtin", point.name))
    return [(point, getattr(point, "dist", None)) for point in order]


# --- words ---------------------------------------------------------------------------------------------------------------


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
