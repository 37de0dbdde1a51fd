"""Plugins that were named on the command line: unlike others, one that is broken ends the command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.errors import UserError

if TYPE_CHECKING:
    from pipekit.registry import Registry


def registry_with(plugins: Sequence[str] | None) -> Registry:
    """Everything that is installed, and the plugins of ``--plugin``.

    Raises:
        UserError: one of those is broken.
    """
    from pipekit.registry import load_registry

    registry = load_registry(tuple(plugins or ()))
    refuse_broken(registry, plugins or ())
    return registry


def refuse_broken(registry: Registry, plugins: Iterable[str]) -> None:
    """Raise for a plugin that was asked for and could not be loaded."""
    for asked in plugins:
        places = {asked, str(Path(asked).expanduser().absolute())}
        for record in registry.plugins:
            if record.status == "broken" and record.source in places:
                missing = asked.endswith(".py") and not Path(asked).expanduser().exists()
                reason = "no such file" if missing else record.reason
                raise UserError(f"--plugin {asked}: {reason}", "A plugin is a Python file or an installed module.")
