"""The registry: the components, and the plugins that register them, broken ones included.

Plugins register names; code is imported on use. Every plugin, the built-in one too, is loaded separately: one that fails is a
line in ``pipekit plugins`` and nothing more. This module and :mod:`pipekit.hookspecs` are the only ones that use pluggy.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import pluggy

from pipekit import hookspecs
from pipekit.contract import Params
from pipekit.errors import PluginError, UserError, did_you_mean, place_text
from pipekit.files import expanded, use_codecs
from pipekit.params import problems_of
from pipekit.registry.component import LOADING, AdaptedComponent, Component, error_text, first_line, import_target
from pipekit.registry.release import Release, release_of

GROUP = "pipekit"
"""The entry-point group in which installed plugins are found."""

KINDS: Mapping[str, str] = {
    "stage": "register_stages",
    "op": "register_ops",
    "recipe": "register_recipes",
    "model": "register_models",
    "importer": "register_importers",
    "exporter": "register_exporters",
    "detector": "register_detectors",
    "embedder": "register_embedders",
    "check": "register_checks",
    "report_section": "register_report_sections",
    "codec": "register_codecs",
    "executor": "register_executors",
}
"""The kinds of components, and the hook that registers each."""

ADAPTED = {
    "importer": ("import.", "pipekit.registry.format_stages:import_stage"),
    "exporter": ("export.", "pipekit.registry.format_stages:export_stage"),
}
"""Kinds whose components become stages too: the prefix of the stage's name, and the function that makes the stage."""

P = TypeVar("P", bound=Params)

# --- plugins -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PluginRecord:
    """A plugin, loaded or not.

    Attributes:
        source: ``built in``, ``my-plugin 1.2`` (a distribution) or the path of a file.
        api: the API version that it requires, or None.
        status: ``ok``, ``broken`` or ``disabled``.
        reason: why it is not ok.
        seconds: the time that loading it took.
        components: (kind, name) of each component that it registered.
    """

    name: str
    source: str
    version: str = ""
    api: int | None = None
    status: str = "ok"
    reason: str = ""
    seconds: float = 0.0
    components: tuple[tuple[str, str], ...] = ()


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
        self._components: dict[tuple[str, str], Component] = {}
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

    def found(self, kind: str, name: str) -> Component | None:
        """The component of that kind and name; None if there is none."""
        return self._components.get((kind, name)) or self._from_wildcard(kind, name)

    def get(self, kind: str, name: str) -> Component:
        """The component of that kind and name.

        Raises:
            UserError: there is none; the hint has the nearest name, or the broken plugins.
        """
        found = self.found(kind, name)
        if found is not None:
            return found
        if kind not in KINDS:
            raise UserError(
                f"no kind of component called {kind!r}", did_you_mean(kind, list(KINDS)) or f"There are: {', '.join(KINDS)}"
            )
        if gone := self.recorded(kind, name):
            raise UserError(
                f"no {kind.replace('_', ' ')} called {name!r}",
                f"An earlier run had it from {gone}, which is not there now. Install it again, or see `pipekit plugins`.",
            )
        known = [component.name for component in self.components(kind)]
        prefix = next((prefix for prefix, _ in ADAPTED.values() if kind == "stage" and name.startswith(prefix)), "")
        known = [other for other in known if other.startswith(prefix)]  # suggest no importer for an exporter
        whole = [repr(other) for other in known if other.endswith(f".{name}")]  # "folders" of "import.folders"
        near = f"Did you mean {' or '.join(whole)}?" if whole else ""
        near = near or self._offered(kind, name) or did_you_mean(name, known) or did_you_mean(name.rpartition(".")[2], known)
        if near and prefix and not get_close_matches(name, known, cutoff=0.9):
            near += " Or is the plugin that provides it not installed?"
        broken = [record.name for record in self.plugins if record.status == "broken"]
        lost = f" Plugin {broken[0]!r} could not be loaded: `pipekit plugins`." if broken and not near else ""
        off = [repr(record.name) for record in self.plugins if record.status == "disabled"]
        lost += f" Disabled: {', '.join(off)}." if off and not near else ""
        lost = lost or ("" if near else " Is the plugin that provides it installed? `pipekit plugins`.")
        raise UserError(
            f"no {kind.replace('_', ' ')} called {name!r}", f"{near}{lost} List them: pipekit components {kind}".strip()
        )

    def _offered(self, kind: str, name: str) -> str:
        """What a component says that it offers under another name (``offers(name)`` of its function); "" if none does."""
        said = [getattr(one.load(), "offers", lambda _: "")(name) for one in self.components(kind)] if kind == "model" else []
        return " ".join(filter(None, said))

    def _from_wildcard(self, kind: str, name: str) -> Component | None:
        prefix, dot, rest = name.partition(".")
        family = self._components.get((kind, f"{prefix}.*")) if dot and rest != "*" else None
        if family is None:
            return None
        found = family.load()(rest)
        component = Component(
            kind, name, found, first_line(found), family.version, family.plugin, family.source_digest, release=family.release
        )
        self._components[kind, name] = component
        return component

    def components(self, kind: str, wildcards: bool = False) -> list[Component]:
        """All components of a kind, by name.

        Args:
            wildcards: list the members of families (``albu.*``) one by one; this imports their libraries.
        """
        found = {name: component for (of, name), component in self._components.items() if of == kind}
        if wildcards:
            for family in [name for name in found if name.endswith(".*")]:
                names = import_target(str(found.pop(family).target).partition(":")[0] + ":names")
                found |= {f"{family[:-1]}{rest}": self.get(kind, f"{family[:-1]}{rest}") for rest in names()}
        return [found[name] for name in sorted(found)]

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
        try:
            return params_type.model_validate(dict(values), context=context), []
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
            self.note(name, source, "broken", reason, version, api, started)
            return
        self._components |= {(component.kind, component.name): component for component in found}
        if release is not None:
            release.extend(one.target.partition(":")[0].partition(".")[0] for one in found if isinstance(one.target, str))
        components = tuple((component.kind, component.name) for component in found)
        seconds = time.perf_counter() - started
        self.plugins.append(PluginRecord(name, source, version, api, seconds=seconds, components=components))

    def note(
        self, name: str, source: str, status: str, reason: str, version: str = "", api: int | None = None, started: float = 0.0
    ) -> None:
        """Keep a record of a plugin that is not in use."""
        seconds = time.perf_counter() - started if started else 0.0
        self.plugins.append(PluginRecord(name, source, version, api, status, reason, seconds))

    def _collect(self, plugin: Any, name: str, api: int | None, digest: str, release: Release | None) -> list[Component]:
        if api is not None and api > hookspecs.API_VERSION:
            raise PluginError(
                f"it needs pipekit's plugin API {api}, and this pipekit has {hookspecs.API_VERSION}; a newer pipekit is needed"
            )
        _check_hook_names(plugin)
        self._manager.register(plugin, name)
        self._manager.check_pending()
        found: dict[tuple[str, str], Component] = {}
        for kind, hook in KINDS.items():
            for impl in getattr(self._manager.hook, hook).get_hookimpls():
                if impl.plugin is plugin:
                    register = _Register(self._components, found, kind, name, digest, release)
                    self._trace(name, hook, ", ".join(impl.argnames))
                    impl.function(*(register for _ in impl.argnames))
        return list(found.values())


class _Register:
    """The ``register`` that a hook receives, for one plugin and kind."""

    def __init__(
        self,
        taken: Mapping[tuple[str, str], Component],
        found: dict[tuple[str, str], Component],
        kind: str,
        plugin: str,
        digest: str,
        release: Release | None,
    ) -> None:
        self._taken, self._found, self._kind = taken, found, kind
        self._plugin, self._digest, self._release = plugin, digest, release

    def __call__(self, name: str, target: Any, *, summary: str = "", version: int = 1, preload: Sequence[str] = ()) -> None:
        if not isinstance(name, str) or not name or any(character in name for character in " /\\\t\n"):
            raise PluginError(f"it registers {name!r}: a name is a word without spaces or slashes")
        if target is None or (isinstance(target, str) and not target):
            raise PluginError(f"it registers {self._kind} {name!r} without a target")
        if not isinstance(version, int):
            raise PluginError(f"it registers {self._kind} {name!r} with the version {version!r}, expected a whole number")
        if isinstance(preload, str) or not all(isinstance(module, str) for module in preload):
            raise PluginError(f"it registers {name!r} with preload={preload!r}, expected a list of module names")
        summary = summary or ("" if isinstance(target, str) else first_line(target))
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
        other = self._taken.get(place) or self._found.get(place)
        if other is not None:
            raise PluginError(
                f"{component.kind} {component.name!r} is claimed by plugin {self._plugin!r} and by plugin {other.plugin!r}; "
                "one of them must choose another name"
            )
        self._found[place] = component


def _check_hook_names(plugin: Any) -> None:
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


def load_registry(
    plugins: Sequence[str] = (), base_dir: Path | None = None, disabled: Sequence[str] = (), installed: bool = True
) -> Registry:
    """Load every plugin: the built-in one, installed ones, those in ``PIPEKIT_PLUGINS``, then ``plugins``.

    Args:
        plugins: files (``./my_ops.py``, relative to ``base_dir``) or module names.
        disabled: names of plugins to leave out, besides those in ``PIPEKIT_DISABLE``.
        installed: if False, skip installed plugins except the built-in one.
    """
    registry = Registry()
    off = {*disabled, *_words(os.environ.get("PIPEKIT_DISABLE", ""))}
    asked = [*_words(os.environ.get("PIPEKIT_PLUGINS", "")), *plugins]
    registry.asked, registry.disabled = tuple(asked), tuple(sorted(off))
    for point, distribution in _entry_points():
        built_in = point.value.partition(":")[0] == "pipekit.builtin"
        source = "built in" if built_in else f"{distribution.name} {distribution.version}" if distribution else point.value
        version = distribution.version if distribution else ""
        if not installed and not built_in:
            continue
        if point.name in off:
            registry.note(point.name, source, "disabled", "disabled by PIPEKIT_DISABLE or --disable", version)
            continue
        started, loaded_ns = time.perf_counter(), time.time_ns()
        try:
            plugin = point.load()
        except (Exception, SystemExit) as error:
            registry.note(point.name, source, "broken", error_text(error), version, started=started)
            continue
        release = release_of(plugin, point.value.partition(":")[0], version, loaded_ns, distribution)
        registry.add(plugin, point.name, source, version, started=started, release=release)
    for name in dict.fromkeys(asked):
        _load_asked(registry, name, base_dir or Path.cwd(), off)
    use_codecs(component.load for component in registry.components("codec"))
    return registry


def _load_asked(registry: Registry, asked: str, base_dir: Path, off: set[str]) -> None:
    """Load a plugin by name: an installed one, which was handled already, a file or a module."""
    if any(record.name == asked for record in registry.plugins):
        return
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
        except (Exception, SystemExit) as error:
            registry.note(asked, asked, "broken", error_text(error), started=started)
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
