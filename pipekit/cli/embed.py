"""``pipekit embed``: a vector of features for every image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import pipekit
from pipekit.cli.loading import Disabled, Embedder, EmbedderSettings, Format, Plugins, Splits
from pipekit.cli.options import with_options_of


@with_options_of("embed", leave_out=("embedder",))
def embed(
    path: Annotated[str, typer.Argument(help="An image, a folder, a file in a dataset's format, or a run's dataset")],
    importer: Format = "",
    splits: Splits = "",
    embedder: Embedder = "efficientnet_lite0",
    changes: EmbedderSettings = None,
    table: Annotated[
        Literal["npz", "parquet", "none"],
        typer.Option(help="One file with ids, labels, splits and vectors: NumPy's .npz, Parquet (needs pyarrow), or none"),
    ] = "npz",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="A new folder for the result", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the run; results are in runs/NAME/")] = "embed",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of shards that run at once", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON events, one per line, on stdout")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result")] = False,
    **params: Any,
) -> int:
    """Compute a vector of features for every image with a pretrained network.

    Writes embeddings.npy (a row of float16 per image), images.csv (the images, in the order of the rows), embedder.json (the
    network, its licence and training data) and one table for other programs. Each image is computed once: later runs and
    commands reuse it.
    """
    from pipekit.cli.features import read_settings
    from pipekit.cli.prestart import start_workers_for
    from pipekit.cli.showing import show_verb

    start_workers_for(path, workers)

    def make(display: Any) -> Any:
        return pipekit.embed(
            path,
            format=importer,
            splits=splits,
            out=out,
            name=name,
            table=table,
            embedder={"use": embedder, **read_settings(changes or ())},
            workers=workers,
            plugins=plugin or (),
            disable=disable or (),
            listener=display,
            **params,
        )

    code, made = show_verb(as_json, quiet, make)
    if made is not None and out is not None and not as_json:
        from pipekit import ui

        ui.say(str(out))
    return code
