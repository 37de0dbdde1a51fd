"""``pipekit similar``: the images of a folder that are most alike to given ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import pipekit
from pipekit.cli.loading import Disabled, Embedder, EmbedderSettings, Plugins
from pipekit.cli.options import with_options_of


@with_options_of("similar", leave_out=("embedder",))
def similar(
    paths: Annotated[
        list[str], typer.Argument(metavar="IMAGE... FOLDER", help="One or more images, then a folder or a run's dataset")
    ],
    embedder: Embedder = "efficientnet_lite0",
    changes: EmbedderSettings = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the contact sheet to this file", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="A new folder for the result", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the run; results are in runs/NAME/")] = "similar",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of shards that run at once", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the nearest images as JSON")] = False,
    **params: Any,
) -> int:
    """Find the images that are most alike to given ones, by the features of a pretrained network.

    Prints a table with the similarity (the cosine of the features: 1 is the same) and the class, and draws a contact sheet
    with a row for each given image. Each image is computed once: later runs and commands reuse it.
    """
    from pipekit import ui
    from pipekit.cli.features import read_settings
    from pipekit.cli.showing import without_end
    from pipekit.errors import UserError

    if len(paths) < 2:
        raise UserError("similar takes an image and a folder", "For example: pipekit similar new.jpg photos")
    display = ui.run_display(quiet=True)
    with display:
        found = pipekit.similar(
            paths[:-1],
            paths[-1],
            out=out,
            sheet=sheet,
            name=name,
            embedder={"use": embedder, **read_settings(changes or ())},
            workers=workers,
            plugins=plugin or (),
            disable=disable or (),
            listener=without_end(display),
            **params,
        )
    if as_json:
        ui.say_json([dict(row) for row in found.rows])
    else:
        several = len(paths) > 2
        ui.table(
            ("nearest to", "similarity", "class", "image")[not several :],
            [
                (row["query"], f"{row['similarity']:.3f}", row["label"] or "(none)", _said(row))[not several :]
                for row in found.rows
            ],
            right=(int(several),),
        )
        ui.say(f"Contact sheet: {sheet or found.path / 'similar.jpg'}")
    for warning in (warning for stage in found.outcome.stages for warning in stage.warnings):
        ui.warn(warning)
    return 0


def _said(row: Any) -> str:
    return f"{row['id']} (the same file)" if row["same_file"] else str(row["id"])
