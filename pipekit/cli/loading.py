"""The two options of every command that loads plugins."""

from __future__ import annotations

from typing import Annotated

import typer

Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE", help="Also load this plugin: a file or a module", show_default=False),
]
Disabled = Annotated[
    list[str] | None,
    typer.Option("--disable", metavar="NAME", help="Do not load this plugin, in this command", show_default=False),
]
