"""``pipekit schema``: the JSON Schema of the pipeline file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipekit.cli.loading import Disabled, Plugins


def schema(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the schema to this file", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> None:
    """Print the JSON Schema of the pipeline file, for editors.

    The schema contains every stage, op, model and parameter of the installed plugins. An editor with TOML support (for example
    VS Code with Even Better TOML) completes and checks a file that begins with "#:schema ./pipeline.schema.json".
    """
    from pipekit import ui
    from pipekit.commands.schema import schema as json_schema

    found = json_schema(out, plugins=plugin, disable=disable)
    if out is None:
        ui.say_json(found)
    else:
        ui.say(f"{out}: put this at the top of pipeline.toml:  #:schema ./{out.name}")
