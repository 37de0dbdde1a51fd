"""``pipekit models``: the model templates, and a summary of one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.building import new_app
from pipekit.cli.loading import Disabled, Plugins

if TYPE_CHECKING:
    from pipekit.learning.model_summary import ModelSummary

app = new_app()


@app.callback(invoke_without_command=True)
def models(ctx: typer.Context, plugin: Plugins = None, disable: Disabled = None) -> None:
    """List the model templates, or show the layers of one."""
    ctx.obj = (plugin or [], disable or [])  # `pipekit models --plugin a.py show b` is allowed too
    if ctx.invoked_subcommand is None:
        from pipekit import ui
        from pipekit.commands.models import models as list_models

        found = list_models(plugins=plugin, disable=disable)
        ui.table(("template", "plugin", "what it is"), [(one.name, one.plugin, one.summary) for one in found])
        ui.say("\nLayers, parameters, memory and a drawing: pipekit models show NAME", ui.DIM)


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The template", autocompletion=complete.models)],
    size: Annotated[
        str | None,
        typer.Option("--input", metavar="HxWxC", help="Input size; default: the size that the template requires, or 128x128x3"),
    ] = None,
    classes: Annotated[int, typer.Option(min=2, max=1_000_000, help="Number of classes")] = 1000,
    batch_size: Annotated[int, typer.Option(min=1, help="Batch size, for the estimate of the training memory")] = 32,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the template: groups=1", show_default=False),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a drawing of the model to this file", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> None:
    """Show every layer with its output shape, parameters and multiply-adds; the memory; optionally a drawing as SVG."""
    from pipekit import ui
    from pipekit.commands.models import model_summary

    before: tuple[list[str], list[str]] = ctx.obj or ([], [])
    found = model_summary(
        name,
        input_shape=read_shape(size) if size else None,
        classes=classes,
        svg=svg,
        plugins=[*before[0], *(plugin or ())],
        disable=[*before[1], *(disable or ())],
        **read_values(changes or ()),
    )
    if as_json:
        ui.say_json(as_data(found, batch_size))
    else:
        print_summary(found, batch_size, classes)
        if svg is not None:
            ui.say(f"\nDrawing: {svg}")


def read_shape(text: str) -> tuple[int, int, int]:
    """``227x227x3`` or ``28x28`` (then 3 channels)."""
    from pipekit.errors import UserError

    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})(?:x([13]))?", text.strip().lower())
    if found is None or not int(found[1]) or not int(found[2]):
        raise UserError(
            f"--input must be HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS with 1 or 3 channels, got {text!r}", "--input 28x28x1"
        )
    return int(found[1]), int(found[2]), int(found[3] or 3)


def read_values(changes: Any) -> dict[str, Any]:
    """``["groups=1", "filters=[8, 16]"]`` as a table; values are TOML, bare words are text."""
    import tomllib

    from pipekit.errors import UserError
    from pipekit.params import parse_toml

    values: dict[str, Any] = {}
    for change in changes:
        key, sign, text = change.partition("=")
        if not sign or not key.strip():
            raise UserError(f"--set needs NAME=VALUE, got {change!r}", "For example --set dropout=0.3")
        try:
            values[key.strip()] = parse_toml(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return values


def print_summary(found: ModelSummary, batch_size: int, classes: int) -> None:
    from pipekit import ui
    from pipekit.learning.model_summary import human

    ui.say(f"{found.name}: {' x '.join(map(str, found.input_shape))}, {classes} classes", ui.NAME)
    ui.say()
    rows = [
        (
            "  " * part.depth + part.name,
            part.kind,
            " x ".join(map(str, part.output_shape)),
            f"{part.parameters:,}" if part.parameters else "",
            human(part.multiply_adds) if part.multiply_adds else "",
        )
        for part in found.parts
    ]
    ui.table(("layer", "kind", "output", "parameters", "multiply-adds"), rows)
    ui.say()
    frozen = found.parameters - found.trainable
    ui.say(f"Parameters     {found.parameters:,}" + (f", {frozen:,} of them frozen" if frozen else ""))
    ui.say(f"Weights        {human(found.weights_bytes, 'B')} as float32")
    ui.say(f"Multiply-adds  {human(found.multiply_adds)} per image")
    ui.say(f"Training       at least {human(found.training_bytes(batch_size), 'B')} with Adam and batches of {batch_size}")


def as_data(found: ModelSummary, batch_size: int) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **asdict(found),
        "multiply_adds": found.multiply_adds,
        "weights_bytes": found.weights_bytes,
        "training_bytes": found.training_bytes(batch_size),
    }
