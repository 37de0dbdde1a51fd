"""``pipekit inspect``: the contents and the problems of a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pipekit
from pipekit.cli.loading import Corrections, Disabled, Format, Plugins, Splits
from pipekit.cli.options import names_in, with_options_of

if TYPE_CHECKING:
    from pipekit.commands.inspect import Inspected

FOUND = 1
"""Exit code if a check of ``--fail-on`` found something."""


@with_options_of("inspect", leave_out=("checks",))
def inspect(
    path: Annotated[str, typer.Argument(help="A folder, a file in a dataset's format, or a run")],
    importer: Format = "",
    splits: Splits = "",
    only: Annotated[str, typer.Option(metavar="CHECKS", help="Run only these checks", show_default=False)] = "",
    skip: Annotated[str, typer.Option(metavar="CHECKS", help="Skip these checks", show_default=False)] = "",
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="CHECKS",
            help="Exit with code 1 if one of these checks finds something; 'error': any check of that severity",
            show_default=False,
        ),
    ] = "",
    quarantine: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a CSV of images to exclude, for 'exclude' of import and split", show_default=False
        ),
    ] = None,
    corrections: Corrections = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Write inspect.html and inspect.json to this folder", show_default=False
        ),
    ] = None,
    features: Annotated[
        bool | None,
        typer.Option(
            "--features/--no-features",
            help="Compute features by a pretrained network, for near duplicates, foreign images and labels; "
            "default: if it takes less than a minute",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of shards that run at once")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only inspect.json")] = False,
    plugin: Plugins = None,
    disable: Disabled = None,
    **params: Any,
) -> int:
    """Check a folder of images: unreadable files, duplicates, the same image in two splits or under two labels, dark, bright,
    blurred or empty images, and outliers. Nothing is changed or deleted.

    Each image is read once; inspecting an unchanged folder again reads none.
    """
    from pipekit.cli.prestart import preload_of, start_workers_for

    start_workers_for(path, workers, preload_of("inspect"))
    from pipekit import ui
    from pipekit.cli.readings import with_reading
    from pipekit.cli.showing import without_end

    display = ui.run_display(quiet=True)

    def look(source: str, format: str, splits: str) -> Inspected:
        made: Inspected = pipekit.inspect(
            source,
            format=format,
            splits=splits,
            only=names_in(only),
            skip=names_in(skip),
            fail_on=names_in(fail_on),
            out=out,
            quarantine=quarantine,
            features=features,
            corrections=corrections,
            workers=workers,
            plugins=plugin or (),
            disable=disable or (),
            listener=without_end(display),
            **params,
        )
        return made

    with display:
        made = with_reading(look, path, importer, splits, ask=not as_json)
    if as_json:
        ui.say_json(made.found)
    else:
        _show(made, quarantine)
    for warning in made.warnings:
        ui.warn(warning)
    if made.failing:
        ui.warn(f"--fail-on: {', '.join(made.failing)}")
    return FOUND if made.failing else 0


def _show(made: Inspected, quarantine: Path | None) -> None:
    from pipekit import ui

    found = made.found
    splits = found["counts"]
    classes = sorted({label for of in splits.values() for label in of})
    ui.say(ui.plural(found["num_images"], "image"))
    named = [split for split in ("train", "val", "test", "") if split in splits]
    if len(classes) <= 20:
        ui.table(
            ("class", *(split or "images" for split in named)),
            [(label or "(none)", *(f"{splits[split].get(label, 0):,}" for split in named)) for label in classes],
            right=range(1, len(named) + 1),
        )
    ui.say()
    styles = {"error": ui.BAD, "warning": ui.WARN, "info": ui.DIM}
    rows = []
    for line in found["summary"]:
        examples = next(f for f in found["findings"] if f["check"] == line["check"])
        what = examples["message"] + (f": {', '.join(examples['samples'][:2])}" if examples["samples"] else "")
        what += " …" if line["findings"] > 1 or len(examples["samples"]) > 2 else ""
        rows.append(
            (
                line["check"],
                ui.coloured(line["severity"], styles[line["severity"]]),
                f"{line['images']:,}" if line["images"] else "all",
                what,
            )
        )
    if rows:
        ui.table(("check", "severity", "images", "such as"), rows, right=(2,))
    else:
        ui.say("No problems found.")
    ui.say()
    ui.say(f"Report with pictures: {made.folder / 'inspect.html'}")
    if quarantine is not None:
        ui.say(f"{quarantine}: {len({entry['id'] for entry in found['remove']}):,} images to exclude")
