"""``pipekit split``: split a folder of images into train, val and test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pipekit
from pipekit.cli.loading import Disabled, Format, Plugins, Splits
from pipekit.cli.options import read_fractions, with_options_of

if TYPE_CHECKING:
    from pipekit.commands.split import Split


@with_options_of("split", leave_out=("fractions",))
def split(
    source: Annotated[str, typer.Argument(help="A folder of images, a file in a dataset's format, or a run's dataset")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Also copy the images to a new folder, as FOLDER/train/CLASS/…",
            show_default=False,
        ),
    ] = None,
    fractions: Annotated[
        str,
        typer.Option(metavar="T,V,T", help="Fractions of train, val and test  [default: 0.7,0.15,0.15]", show_default=False),
    ] = "",
    importer: Format = "",
    splits: Splits = "",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed; the same seed gives the same result")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of shards that run at once", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON events, one per line, on stdout")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result")] = False,
    **params: Any,
) -> int:
    """Split images into train, val and test, with duplicates and groups in one split; print the number of images per class.

    The split is written to split.csv in the current folder, or to --file; 'train' in that folder reads it from split.csv.
    Without one, 'train' keeps the split in runs/NAME/split.csv. Images in folders train, val and test keep their split. The
    source is never changed.
    """
    from pipekit.cli.prestart import start_workers_for

    start_workers_for(source, workers)
    from pipekit.cli.grouping import ask_for_groups
    from pipekit.cli.readings import with_reading
    from pipekit.cli.showing import show_verb

    if fractions:
        params["fractions"] = read_fractions(fractions)
    column, pattern = params.get("group_column") or "", params.get("group_pattern") or ""
    if pattern := ask_for_groups(source, column, pattern, ask=not (as_json or quiet)):
        params["group_pattern"] = pattern
    chosen: dict[str, Any] = {"plugins": plugin or (), "disable": disable or (), "seed": seed, "workers": workers}

    def divide(source: str, format: str, splits: str) -> tuple[int, Split | None]:
        how = {"format": format, "splits": splits, **chosen, **params}
        return show_verb(as_json, quiet, lambda display: pipekit.split(source, out=out, listener=display, **how))

    code, made = with_reading(divide, source, importer, splits, ask=not as_json)
    if made is not None and not as_json:
        _show(made)
    return code


def _show(made: Split) -> None:
    from pipekit import ui

    classes = sorted({label for of in made.counts.values() for label in of})
    rows = [(label or "(none)", *(f"{of.get(label, 0):,}" for of in made.counts.values())) for label in classes]
    rows.append(("all", *(f"{sum(of.values()):,}" for of in made.counts.values())))
    ui.table(("class", *made.counts), rows, right=range(1, len(made.counts) + 1))
    for path in (made.file, made.path):
        if path is not None:
            ui.say(str(path))
