"""``pipekit evaluate``: how good a trained model is on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipekit.cli.loading import Disabled, Plugins
from pipekit.cli.options import with_options_of


@with_options_of("evaluate")
def evaluate(
    model: Annotated[str, typer.Argument(help="A run (runs/NAME), a folder with model.keras and model.json, or the file")],
    data: Annotated[
        str | None,
        typer.Argument(help="A folder of labelled images, or a dataset of a run; default: the run's own", show_default=False),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="The run of a simpler model on the same images, to compare with", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="A new folder for the report; default: runs/NAME/", show_default=False
        ),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="The run's name; default: evaluate-MODEL", show_default=False)] = "",
    seed: Annotated[int, typer.Option(min=0, help="Draws the bootstrap resamples")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Threads that read images")] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line on stdout, and nothing else")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and the result")] = False,
    **params: Any,
) -> int:
    """Measure a trained model on a dataset and write the report.

    Without DATA, on the test split of the run that trained the model. Of a folder without splits every image is measured; name
    a split with --split. The result is the same as that of the `evaluate` stage of a pipeline file.
    """
    from pipekit import ui
    from pipekit.cli.showing import show_verb
    from pipekit.commands.evaluate import evaluate as measure

    code, found = show_verb(
        as_json,
        quiet,
        lambda display: measure(
            model,
            data,
            baseline=baseline,
            out=out,
            name=name,
            seed=seed,
            workers=workers,
            plugins=plugin,
            disable=disable,
            listener=display,
            **params,
        ),
    )
    if found is not None and out is not None and not as_json:
        ui.say(f"Report: {found.folder / 'report.html'}")
    return code
