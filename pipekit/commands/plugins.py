"""The plugins, their components, and why one is broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.commands.working import refuse_unknown

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
        Records with ``name``, ``source``, ``version``, ``status`` (``ok``, ``broken`` or ``disabled``), ``reason``,
        ``components``.

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


def check_plugin(what: str | Path) -> PluginCheck:
    """Test every component of a plugin against the contract of its kind.

    Args:
        what: a plugin's file or module, or the name of an installed one.

    Raises:
        UserError: there is no such plugin, or it can't be loaded.

    Example:
        >>> import pipekit
        >>> [verdict.promise for verdict in pipekit.check_plugin("my_ops.py").verdicts if verdict.problem]  # doctest: +SKIP
        []
    """
    from pipekit.testing.checks import check_plugin as tried

    return PluginCheck(*tried(str(what)))
