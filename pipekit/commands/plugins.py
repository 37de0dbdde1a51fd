"""The plugins, their components, and why one is broken."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.commands.working import refuse_unknown
from pipekit.errors import UserError

if TYPE_CHECKING:
    from pipekit.registry.registry import PluginRecord
    from pipekit.testing.checks import Verdict


@dataclass(frozen=True)
class PluginCheck:
    """The check of a plugin.

    Attributes:
        plugin: its record: ``name``, ``version``, ``components``.
        verdicts: an iterator with one verdict per promise, as soon as it was checked. ``problem`` says what is broken,
            ``untried`` why a promise could not be checked.
    """

    plugin: PluginRecord
    verdicts: Iterator[Verdict] = field(repr=False)


def plugins(*, plugins: Sequence[str] | None = (), disable: Sequence[str] | None = ()) -> tuple[PluginRecord, ...]:
    """List every plugin, with its components, and why one is broken.

    Args:
        plugins: plugins to load too: files or modules. One that can't be loaded is a record with the reason.
        disable: names of plugins to leave out.

    Returns:
        Records with ``name``, ``source``, ``version``, ``status`` (``ok``, ``broken``, ``disabled`` or ``missing``),
        ``reason``, ``components``, ``observers``.

    Raises:
        UserError: there is no plugin of a name in ``disable``.

    Example:
        >>> import pipekit
        >>> [plugin.name for plugin in pipekit.plugins() if plugin.status == "broken"]  # doctest: +SKIP
        []
    """
    from pipekit.registry.registry import load_registry

    registry = load_registry(tuple(plugins or ()), disabled=tuple(disable or ()))
    refuse_unknown(registry, disable or ())
    return tuple(registry.plugins)


def check_plugin(what: str | Path, path: str | Path | None = None, *, limit_s: float | None = None) -> PluginCheck:
    """Test every component of a plugin against the contract of its kind, in a separate process.

    Args:
        what: a plugin's file or module, or the name of an installed one.
        path: a folder or file of the format that its importers and codecs read.
        limit_s: the longest time that one promise of one component may take; default: two minutes, more on a slow machine.

    Raises:
        UserError: there is no such plugin, or it can't be loaded.

    Example:
        >>> import pipekit
        >>> [verdict.promise for verdict in pipekit.check_plugin("my_ops.py").verdicts if verdict.problem]  # doctest: +SKIP
        []
    """
    from pipekit.files import expanded
    from pipekit.testing.checks.separate import check_separately

    asked = str(what)
    if asked.endswith(".py") or "/" in asked or os.sep in asked:
        asked = str(expanded(asked).absolute())
    place = None if path is None else expanded(path).absolute()
    if place is not None and not place.exists():
        raise UserError(f"--path {path}: no such file or folder")
    return PluginCheck(*check_separately(asked, place, limit_s))
