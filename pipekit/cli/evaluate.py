"""``pipekit evaluate``: metrics and the report of a trained model on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipekit.cli.loading import Corrections, Disabled, Plugins
from pipekit.cli.options import with_options_of


@with_options_of("evaluate")
def evaluate(
    model: Annotated[str, typer.Argument(help="A run (runs/NAME), the folder of a model or of an export, or its file")],
    data: Annotated[
        str | None,
        typer.Argument(
            help="A folder of labelled images, or the dataset of a run; default: the run that trained the model",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Compare with this run: a simpler model on the same images", show_default=False),
    ] = None,
    corrections: Corrections = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="A new folder for the report; default: runs/NAME/", show_default=False
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the run; default: evaluate-MODEL", show_default=False)
    ] = "",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed of the bootstrap resamples")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of threads that read images")] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON events, one per line, on stdout")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result")] = False,
    **params: Any,
) -> int:
    """Evaluate a trained model on a dataset and write the report.

    Without DATA, evaluates on the test split of the run that trained the model. In a folder without splits, every image is
    used. Choose a split with --split. The result is the same as from the `evaluate` stage of a pipeline file.
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
            corrections=corrections,
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
