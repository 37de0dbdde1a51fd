"""Plugins that were named on the command line: unlike others, one that is broken or not there ends the command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipekit.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from pipekit.registry.registry import Registry

Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE", help="Load this plugin too: a file or a module", show_default=False),
]
Disabled = Annotated[
    list[str] | None,
    typer.Option("--disable", metavar="NAME", help="Leave this plugin out, for this one command", show_default=False),
]
"""The two options that every command has which loads plugins."""


def registry_with(plugins: Sequence[str] | None, disabled: Sequence[str] | None = None) -> Registry:
    """Everything that is installed, and the plugins of ``--plugin``, without those of ``--disable``.

    Raises:
        UserError: a plugin to load is broken, or one to leave out is not there.
    """
    from pipekit.registry.registry import load_registry

    registry = load_registry(tuple(plugins or ()), disabled=tuple(disabled or ()))
    refuse_broken(registry, plugins or ())
    refuse_unknown(registry, disabled or ())
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


def refuse_unknown(registry: Registry, disabled: Iterable[str]) -> None:
    """Raise for a plugin that was to be left out and is none: it would be loaded under the name that it really has."""
    names = [record.name for record in registry.plugins]
    for name in disabled:
        if name not in names:
            hint = f"{did_you_mean(name, names)} List them: pipekit plugins".strip()
            raise UserError(f"--disable {name}: no plugin of that name", hint)
