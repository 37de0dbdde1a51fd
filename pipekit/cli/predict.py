"""``pipekit predict``: what a trained model says about images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipekit.cli.loading import Disabled, Plugins
from pipekit.commands.working import registry_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipekit.learning.predictions import Prediction

SHOWN = 200
"""Rows of the table; more are better read from a file."""


def predict(
    model: Annotated[str, typer.Argument(help="A run (runs/NAME), a folder with model.keras and model.json, or the file")],
    images: Annotated[
        list[str], typer.Argument(help="Images, videos, folders, patterns in quotes, or - for a list on standard input")
    ],
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, metavar="K", help="How many classes are shown")] = 3,
    form: Annotated[
        Literal["table", "csv", "jsonl"], typer.Option("--format", "-f", help="What is printed, or written to --out")
    ] = "table",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write here; .csv and .jsonl choose the format", show_default=False),
    ] = None,
    sort: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Copy the images into a folder for each class", show_default=False)
    ] = None,
    mirrored: Annotated[bool, typer.Option("--tta", help="Average the image and its mirror image")] = False,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Of a video only each N-th frame")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, metavar="N", help="Images that the model takes at a time")] = 32,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads that read images; default: one a core", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Say what a trained model sees in images.

    Images are read while the model works, and answers are written as they come: a million images need no more memory than a
    hundred. One that can't be read is listed with its reason. A video's frames are answered one by one, with number and time.
    """
    import os
    import sys

    from pipekit import ui
    from pipekit.contract import Model
    from pipekit.engine.adhoc import find_artifact
    from pipekit.errors import EXIT_FAILED, UserError
    from pipekit.learning import predictions as ways
    from pipekit.learning.predictor import load_predictor
    from pipekit.ui.counting import counted

    registry = registry_with(plugin, disable)
    paths = ways.find_images(images, sys.stdin)
    if sort is not None and any(name.lower().endswith(ways.VIDEOS) for name in images):
        raise UserError("--sort copies files, and a video's frames are none", "Leave the video out, or --sort.")
    trained = find_artifact(model, Model, Path.cwd())
    if trained is None:
        raise UserError(f"no trained model in {model}", "Give a run (runs/NAME), a folder with model.json, or model.keras.")
    if out is not None:
        form = "jsonl" if out.suffix in (".jsonl", ".ndjson") else "csv"
    predictor = load_predictor(trained.path, registry.get)
    threads = workers or os.cpu_count() or 1
    found = ways.answers(predictor, ways.with_frames(paths, every), workers=threads, batch_size=batch_size, mirrored=mirrored)
    if sort is not None:
        found = ways.sort_into(found, sort)
    if form == "table" or out:  # else the answers on standard output are the progress
        found = counted(found, "image")
    tally = _Tally()
    if form == "table":
        _print_table(tally.count(found), top_k)
    else:
        temporary = out.with_name(out.name + ".part") if out else None
        file = temporary.open("w", encoding="utf-8", newline="", errors="surrogateescape") if temporary else sys.stdout
        try:
            writer = ways.write_csv(found, predictor.classes, file) if form == "csv" else ways.write_jsonl(found, top_k, file)
            for _ in tally.count(writer):
                pass
        finally:
            if temporary:
                file.close()
        if temporary and out:
            temporary.replace(out)
    if not tally.total:
        raise UserError("there are no images in what was given", "Images end in .jpg, .png, .webp, .gif, .bmp or .tif.")
    if tally.failed:
        ui.warn(f"{tally.failed} of {tally.total} images can't be used, for example {tally.example}")
    if out or sort:
        ui.note(f"{tally.total - tally.failed} images: {', '.join(str(place) for place in (out, sort) if place)}")
    return EXIT_FAILED if tally.failed == tally.total else 0


class _Tally:
    """Counts answers that pass through."""

    def __init__(self) -> None:
        self.total = self.failed = 0
        self.example = ""

    def count(self, found: Iterator[Prediction]) -> Iterator[Prediction]:
        for answer in found:
            self.total += 1
            if answer.error:
                self.failed += 1
                self.example = self.example or f"{answer.image}: {answer.error}"
            yield answer


def _print_table(found: Iterator[Prediction], top_k: int) -> None:
    from pipekit import ui

    rows: list[tuple[str, str, str]] = []
    total = 0
    for answer in found:
        total += 1
        if len(rows) < SHOWN:
            said = "  ".join(f"{name} {share:.3f}" for name, share in answer.probabilities[:top_k])
            rows.append((answer.image, answer.predicted or "–", said or answer.error))
    if rows:
        ui.table(("image", "class", "probabilities"), rows)
    if total > len(rows):
        ui.note(f"and {total - len(rows)} more; --out FILE.csv keeps them all")
