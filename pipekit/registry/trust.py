"""Trust in the local plugins of a project: code that its pipeline file names, and that somebody else may have written.

What a person trusts is kept in the person's own configuration, never in the project, by the project's folder and the
plugin's path.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from pipekit.errors import UserError
from pipekit.files import expanded

GROUP = "pipekit"
"""The entry-point group of installed plugins."""


@dataclass(frozen=True)
class LocalPlugin:
    """A plugin of a project.

    Attributes:
        name: as the pipeline file names it.
        path: its file, or the folder of its package.
        project: the folder of the pipeline file.
        file: the name of the pipeline file.
    """

    name: str
    path: Path
    project: Path
    file: str = "pipeline.toml"


Meet = Callable[[Sequence[LocalPlugin]], None]
"""Called with the local plugins of a pipeline file before they are loaded; raises if they must not be."""


def config_file() -> Path:
    """The person's configuration: ``~/.config/pipekit/config.toml``."""
    folder = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else "")
    return Path(folder or expanded("~/.config"), "pipekit", "config.toml")


def local_plugins(
    listed: Iterable[object],
    project: Path,
    named: Iterable[str] = (),
    disabled: Iterable[str] = (),
    file: str = "pipeline.toml",
) -> tuple[LocalPlugin, ...]:
    """The local ones among the plugins that a pipeline file lists: files, and modules that lie in the project.

    Args:
        named: plugins that the person has named on the command line or in ``PIPEKIT_PLUGINS``, which is consent.
        disabled: names of plugins that are not loaded.
        file: the name of the pipeline file.
    """
    asked = [*named, *os.environ.get("PIPEKIT_PLUGINS", "").split(",")]
    consent = {_real(Path.cwd() / expanded(name.strip())) for name in asked if name.strip()}
    off = {*disabled, *(name.strip() for name in os.environ.get("PIPEKIT_DISABLE", "").split(","))}
    found: dict[Path, LocalPlugin] = {}
    for name in listed:
        path = _path_of(name, project) if isinstance(name, str) else None
        if path is None or str(name) in asked or path in consent or {str(name), path.stem} & off:
            continue
        found.setdefault(path, LocalPlugin(str(name), path, _real(project), file))
    return tuple(found.values())


def _path_of(name: str, project: Path) -> Path | None:
    if name.endswith(".py") or "/" in name or os.sep in name:
        path = project / expanded(name)
        return _real(path) if os.path.exists(path) else None  # noqa: PTH110 - False for a name that is too long
    try:
        spec = importlib.util.find_spec(name.partition(".")[0])  # of a top-level module: this runs none of its code
    except (ImportError, ValueError):
        return None
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    if not places or not places[0]:
        return None
    path = _real(Path(places[0]))
    if not path.is_relative_to(_real(project)) or "site-packages" in path.parts:
        return None
    return None if name in {point.name for point in entry_points(group=GROUP)} else path


def untrusted(plugins: Iterable[LocalPlugin]) -> list[LocalPlugin]:
    """Those that the person's configuration does not name.

    Raises:
        UserError: the configuration can't be read.
    """
    plugins = list(plugins)
    return [one for one in plugins if not _is_trusted(one, _entries())] if plugins else []


def trust(plugins: Iterable[LocalPlugin]) -> None:
    """Add plugins to the person's configuration.

    Raises:
        OSError: it can't be written.
    """
    new = untrusted(plugins)
    if not new:
        return
    file = config_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    old = file.read_text(encoding="utf-8") if file.exists() else ""
    tables = [f"\n[[trusted]]\nproject = {_quoted(one.project)}\nplugin = {_quoted(one.path)}\n" for one in new]
    with file.open("a", encoding="utf-8") as stream:
        stream.write(("" if not old or old.endswith("\n") else "\n") + "".join(tables))


def refuse_untrusted(plugins: Sequence[LocalPlugin]) -> None:
    """Raise for plugins that nobody has trusted."""
    new = untrusted(plugins)
    if new:
        raise refusal(new)


def refusal(plugins: Sequence[LocalPlugin]) -> UserError:
    """The error about plugins that nobody has trusted."""
    names = " and ".join(one.name for one in plugins)
    them = "them" if len(plugins) > 1 else str(plugins[0].path)
    project = plugins[0].project if plugins[0].file == "pipeline.toml" else plugins[0].project / plugins[0].file
    return UserError(
        f"the pipeline file loads {names}: code that runs with all your rights, and that you have not trusted yet",
        f"Read {them} first. Then: pipekit run {shlex.quote(str(project))} --trust",
    )


def _is_trusted(plugin: LocalPlugin, entries: Sequence[dict[str, object]]) -> bool:
    for entry in entries:
        below, project, path = (entry.get(name) for name in ("below", "project", "plugin"))
        if isinstance(below, str) and plugin.project.is_relative_to(_real(expanded(below))):
            return True
        if not isinstance(project, str) or not isinstance(path, str) or _real(expanded(project)) != plugin.project:
            continue
        if _real(plugin.project / expanded(path)) == plugin.path:
            return True
    return False


def _entries() -> list[dict[str, object]]:
    file = config_file()
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8")).get("trusted", [])
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"can't read your configuration: {error}", where=f"in {file}") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UserError("'trusted' must be tables: [[trusted]] with project and plugin", where=f"in {file}")
    return found


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _quoted(path: Path) -> str:
    """A path as a TOML string."""
    return json.dumps(str(path), ensure_ascii=False)
