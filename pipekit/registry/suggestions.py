"""Names that are not found, or found twice: where the component may be, and what to type instead."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pipekit.errors import UserError, did_you_mean
from pipekit.params import Uses
from pipekit.registry.component import Component
from pipekit.registry.registering import ADAPTED

if TYPE_CHECKING:
    from pipekit.registry.registry import PluginRecord, Registry

MAX_READ = 100
"""Maximum number of files of a broken plugin that are searched for a name."""


def split_name(kind: str, name: str) -> tuple[str, str]:
    """The plugin and the name in it of a qualified name; "" for the plugin of any other.

    >>> split_name("op", "acme:gentle"), split_name("op", "rotate"), split_name("stage", "import.acme:slides")
    (('acme', 'gentle'), ('', 'rotate'), ('acme', 'import.slides'))
    """
    plugin, _, bare = name.rpartition(":")
    prefix = next((prefix for prefix, _ in ADAPTED.values() if kind == "stage" and plugin.startswith(prefix)), "")
    return plugin.removeprefix(prefix), prefix + bare


def ambiguous(kind: str, name: str, found: Sequence[Component]) -> UserError:
    """The error about a name that several plugins have."""
    plugins = " and in ".join(f"plugin {one.plugin!r}" for one in found)
    forms = " or ".join(repr(one.reference) for one in found)
    return UserError(f"{kind.replace('_', ' ')} {name!r} is in {plugins}", f"Say which one: {forms}")


def hint_for(registry: Registry, kind: str, name: str) -> str:
    """What to do about a component that is not there: the plugins that may have it come first, then the nearest names."""
    plugin, bare = split_name(kind, name)
    listed = f"List them: pipekit components {kind}"
    for record in registry.plugins:
        if record.status != "ok" and (not plugin or plugin == record.name) and has_name(record, kind, bare):
            state = record.reason if record.status == "disabled" else f"broken: {record.reason}"
            return f"Plugin {record.name!r} has it and is {state}. See: pipekit plugins"
    if (gone := registry.recorded(kind, bare)).endswith(".py"):
        return (
            f"An earlier run had it from the file {gone}: load that with --plugin, or name it in `plugins` of a pipeline file."
        )
    if gone:
        return f"An earlier run had it from {gone}, which is not there now. Install it again, or see `pipekit plugins`."
    every = registry.components(kind)
    if plugin:
        known = [record.name for record in registry.plugins]
        if plugin not in known:
            if kind in ADAPTED and any(one.name == plugin for one in every):
                return f"{plugin!r} is an {kind}; its parameters follow as {plugin}:PARAMETER=VALUE"
            return f"There is no plugin called {plugin!r}. {did_you_mean(plugin, known)} See: pipekit plugins".replace(
                "  ", " "
            )
        own = [one.name for one in every if one.plugin == plugin]
        return f"{did_you_mean(bare, own) or f'Plugin {plugin!r} has no such {kind}.'} {listed}"
    known = [one.reference for one in every]
    prefix = next((prefix for prefix, _ in ADAPTED.values() if kind == "stage" and name.startswith(prefix)), "")
    known = [other for other in known if other.startswith(prefix)]  # suggest no importer for an exporter
    whole = [repr(other) for other in known if other.endswith(f".{name}")]  # "folders" of "import.folders"
    near = f"Did you mean {' or '.join(whole)}?" if whole else ""
    near = near or _offered(registry, kind, name) or did_you_mean(name, known) or did_you_mean(name.rpartition(".")[2], known)
    if near and prefix and not get_close_matches(name, known, cutoff=0.9):
        near += " Or is the plugin that provides it not installed?"
    return f"{near}{_lost(registry, near)} {listed}".strip()


def _lost(registry: Registry, near: str) -> str:
    """The plugins that are broken or disabled, if nothing says what they have."""
    broken = [record.name for record in registry.plugins if record.is_lost]
    off = [repr(record.name) for record in registry.plugins if record.status == "disabled"]
    lost = f" Plugin {broken[0]!r} could not be loaded: `pipekit plugins`." if broken and not near else ""
    lost += f" Disabled: {', '.join(off)}." if off and not near else ""
    return lost or ("" if near else " Is the plugin that provides it installed? `pipekit plugins`.")


def _offered(registry: Registry, kind: str, name: str) -> str:
    """What a component says that it offers under another name (``offers(name)`` of its function); "" if none does."""
    said = [getattr(one.load(), "offers", lambda _: "")(name) for one in registry.components(kind)] if kind == "model" else []
    return " ".join(filter(None, said))


def has_name(record: PluginRecord, kind: str, name: str) -> bool:
    """Whether the code of a plugin that is not loaded has a name in quotes."""
    prefix, _ = ADAPTED.get(kind, ("", ""))
    bare = name.removeprefix(next((p for p, _ in ADAPTED.values() if kind == "stage" and name.startswith(p)), prefix))
    quoted = re.compile(rf"""(['"]){re.escape(bare)}\1""")
    return any(quoted.search(text) for text in _texts_of(record))


def _texts_of(record: PluginRecord) -> Iterator[str]:
    """The source texts of a plugin: its file, or the files of its top-level module."""
    paths: list[Path] = []
    if not record.module:
        paths = [Path(record.source)] if record.source.endswith(".py") else []
    else:
        try:
            spec = importlib.util.find_spec(record.module.partition(".")[0])
        except (ImportError, ValueError):
            spec = None
        folders = list(spec.submodule_search_locations or ()) if spec else []
        paths = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))[:MAX_READ]]
        paths += [Path(spec.origin)] if spec and spec.origin and not folders else []
    for path in paths:
        try:
            yield path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue


# --- names inside of a plugin ---------------------------------------------------------------------------------------------


def defaults_at_home(registry: Registry, params_type: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of a built-in's parameters whose names are ambiguous now, qualified: they mean built-ins."""
    found: dict[str, Any] = {}
    if not params_type.__module__.startswith("pipekit."):
        return found
    home = next((record.name for record in registry.plugins if record.source == "built in"), "")
    for name, field in params_type.model_fields.items():
        uses = _uses_in([*field.metadata, field.annotation])
        if name not in values and uses is not None and field.default is not None:
            found |= (
                {name: at_home(registry, uses.kind, field.default, home)} if isinstance(field.default, (str, tuple)) else {}
            )
    return found


def at_home(registry: Registry, kind: str, value: Any, home: str) -> Any:
    """Names of components, and tables with them, as a plugin means them: an ambiguous name is that plugin's own."""
    if isinstance(value, str):
        place = registry.found(kind, value, home) if value.replace(".", "").replace("_", "").isalnum() else None
        return f"{home}:{value}" if place is not None and place.is_ambiguous and place.plugin == home else value
    if isinstance(value, (list, tuple)):
        return [at_home(registry, kind, one, home) for one in value]
    if isinstance(value, Mapping):
        names = {"use", kind, "template", "ops"}
        return {key: at_home(registry, kind, one, home) if key in names else one for key, one in value.items()}
    return value


def _uses_in(annotations: Sequence[Any]) -> Uses | None:
    for one in annotations:
        if isinstance(one, Uses):
            return one
        inner = _uses_in([*get_args(one), *getattr(one, "__metadata__", ())])
        if inner is not None:
            return inner
    return None
