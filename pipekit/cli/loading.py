"""Options that several commands share: plugins to load, how to read a source of images, and how to predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipekit.cli import complete

Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE", help="Also load this plugin: a file or a module", show_default=False),
]
Disabled = Annotated[
    list[str] | None,
    typer.Option("--disable", metavar="NAME", help="Do not load this plugin, in this command", show_default=False),
]
Mirrored = Annotated[
    bool, typer.Option("--tta", help="Test-time augmentation: average the predictions of the image and its mirror image")
]
Calibrated = Annotated[
    bool, typer.Option("--calibrated", help="Calibrate the probabilities by the model's temperature, fitted on val")
]
Decide = Annotated[
    bool, typer.Option("--decide", help="Predict by the model's decision rule, a threshold or costs: see `calibrate`")
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Load the local plugins that the file names, and remember that you trust them")
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="IMPORTER",
        help="Importer to read it with, and its parameters: csv:label=kind; default: detected",
        show_default=False,
    ),
]
Splits = Annotated[
    str,
    typer.Option(
        "--splits",
        metavar="yes|no",
        help="Whether the top folders are train, val and test (yes) or classes (no); default: by their names",
        show_default=False,
    ),
]
Corrections = Annotated[
    Path | None,
    typer.Option(
        "--corrections",
        metavar="FILE",
        help="Change labels and leave images out as this CSV says (pipekit corrections)",
        show_default=False,
    ),
]
Embedder = Annotated[
    str,
    typer.Option(metavar="NAME", help="Embedder; list them: pipekit components embedder", autocompletion=complete.embedders),
]
EmbedderSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the embedder", show_default=False),
]
