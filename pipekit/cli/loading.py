"""The two options that every command has which loads plugins."""

from __future__ import annotations

from typing import Annotated

import typer

Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE", help="Load this plugin too: a file or a module", show_default=False),
]
Disabled = Annotated[
    list[str] | None,
    typer.Option("--disable", metavar="NAME", help="Leave this plugin out, for this one command", show_default=False),
]
