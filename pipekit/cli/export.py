"""``pipekit export``: a trained model in another format, compared with the original."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipekit.cli.loading import Disabled, Plugins


def export(
    model: Annotated[str, typer.Argument(help="A run (runs/NAME), a folder with model.keras and model.json, or the file")],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="savedmodel, tflite, tflite-int8, onnx, card, or a plugin's format")
    ] = "savedmodel",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="A new folder; default: NAME-FORMAT", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGES", help="Images or a run to check the export with; default: the model's run", show_default=False
        ),
    ] = None,
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="Export calibrated probabilities: with the model's temperature inside")
    ] = False,
    decide: Annotated[
        bool, typer.Option("--decide", help="Export the decision rule too, a threshold or costs: see `calibrate`")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the exporter: check=200", show_default=False),
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Export a trained model to another format, with its class names and a model card.

    The exported model and the original predict the same images: those of --data, the run's test split, or random ones. The
    largest difference is printed; if it is too large, nothing is written. --to card writes only the model card.
    """
    from pipekit import ui
    from pipekit.cli.models import read_values
    from pipekit.cli.options import problems_as_set
    from pipekit.commands.export import export as write_model

    flags = {"calibrated": calibrated, "decide": decide}
    values = read_values(changes or ()) | {name: True for name, given in flags.items() if given}
    with problems_as_set(values):
        made = write_model(model, to, out, data=data, plugins=plugin, disable=disable, **values)
    for warning in made.warnings:
        ui.warn(warning)
    for line in said_of(made.folder, made.headline):
        ui.say(line)
    return 0


def said_of(folder: Path, headline: str) -> list[str]:
    """The folder and what was checked, and a line for each figure."""
    checked, _, figures = headline.partition(": ")
    return [f"{folder}: {checked}" if checked else str(folder), *(f"  {figure}" for figure in figures.split("; ") if figure)]
