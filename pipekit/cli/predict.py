"""``pipekit predict``: the predictions of a trained model for images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipekit.cli.loading import Calibrated, Decide, Disabled, Mirrored, Plugins
from pipekit.files.urls import shown
from pipekit.passed_over import VIDEO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipekit.commands.predict import Predictions
    from pipekit.learning.predictions import Prediction

SHOWN = 200
"""Maximum number of rows in the printed table; for more, write a file."""


def predict(
    model: Annotated[str, typer.Argument(help="A run (runs/NAME), the folder of a model or of an export, or its file")],
    images: Annotated[
        list[str], typer.Argument(help="Images, videos, folders, patterns in quotes, or - for a list on standard input")
    ],
    top_k: Annotated[
        int, typer.Option("--top-k", "-k", min=1, metavar="K", help="Number of most probable classes to show")
    ] = 3,
    form: Annotated[Literal["table", "csv", "jsonl"], typer.Option("--format", "-f", help="Output format")] = "table",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write to this file; .csv and .jsonl set the format", show_default=False
        ),
    ] = None,
    sort: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Copy each image to FOLDER/CLASS/, by its predicted class", show_default=False),
    ] = None,
    mirrored: Mirrored = False,
    calibrated: Calibrated = False,
    decide: Decide = False,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Predict only every N-th frame of a video")] = 1,
    rate: Annotated[
        float,
        typer.Option("--rate", min=0, max=1000, metavar="HZ", help="Frames per second of a video's time; 0: see --every"),
    ] = 0.0,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, metavar="N", help="Number of images per batch")] = 32,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of threads that read images; default: one per core", show_default=False),
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Predict the classes of images, their labels, or a number, with a trained model.

    Images are read while the model works, and predictions are written as they come, so a million images need no more memory
    than a hundred. An image that can't be read is listed with the reason. Each frame of a video gets its own prediction, with
    number and time.
    """
    import sys

    from pipekit import ui
    from pipekit.commands.predict import predict as predict_images
    from pipekit.errors import EXIT_FAILED
    from pipekit.ui.counting import counted

    predictions = predict_images(
        model,
        images,
        listed=sys.stdin,
        sort=sort,
        mirrored=mirrored,
        calibrated=calibrated,
        decide=decide,
        every=every,
        rate_hz=rate,
        batch_size=batch_size,
        workers=workers,
        plugins=plugin,
        disable=disable,
    )
    if out is not None:
        form = "jsonl" if out.suffix in (".jsonl", ".ndjson") else "csv"
    tally = _Tally()
    # Without a table and without a file, the predictions on standard output show the progress.
    found = tally.count(counted(predictions, "image") if form == "table" or out else predictions)
    if form == "table":
        _print_table(found, top_k, predictions.scored)
    else:
        frames = any(image.lower().endswith(VIDEO) for image in images)
        _write(found, predictions, form, top_k, out, frames=frames)
    if tally.unknown:
        ui.note(f"{tally.unknown} of {tally.total} images: none of these classes (unknown_score above 1)")
    if passed_over := predictions.passed_over:
        ui.warn(passed_over)
    if tally.failed:
        ui.warn(f"{tally.failed} of {tally.total} images can't be used, for example {tally.example}")
    if out or sort:
        ui.note(f"{tally.total - tally.failed} images: {', '.join(str(place) for place in (out, sort) if place)}")
    return EXIT_FAILED if tally.failed == tally.total else 0


def _write(
    found: Iterator[Prediction],
    about: Predictions,
    form: Literal["csv", "jsonl"],
    top_k: int,
    out: Path | None,
    frames: bool,
) -> None:
    """Write the predictions to standard output, or to a file that appears complete or not at all.

    Args:
        frames: a video is among the sources: the table gets columns for the clip, the frame and its time.
    """
    import sys

    from pipekit.learning import predictions as ways

    temporary = out.with_name(out.name + ".part") if out else None
    file = temporary.open("w", encoding="utf-8", newline="", errors="surrogateescape") if temporary else sys.stdout
    try:
        written = ways.write_jsonl(found, top_k, file)
        if form == "csv":
            more = {"frames": frames, "scored": about.scored, "bounded": about.bounded}
            written = ways.write_csv(found, about.classes, file, **more)
        for _ in written:
            pass
    finally:
        if temporary:
            file.close()
    if temporary and out:
        temporary.replace(out)


class _Tally:
    """Counts predictions that pass through."""

    def __init__(self) -> None:
        self.total = self.failed = self.unknown = 0
        self.example = ""

    def count(self, found: Iterator[Prediction]) -> Iterator[Prediction]:
        for prediction in found:
            self.total += 1
            self.unknown += bool(prediction.unknown)
            if prediction.error:
                self.failed += 1
                self.example = self.example or f"{shown(prediction.image)}: {prediction.error}"
            yield prediction


def _print_table(found: Iterator[Prediction], top_k: int, scored: bool) -> None:
    """Print the table.

    Args:
        scored: the model tells which images are none of the classes: a column says so.
    """
    from pipekit import ui

    rows: list[tuple[str, ...]] = []
    total, head = 0, ("class", "probabilities")
    for prediction in found:
        total += 1
        head = _head(prediction) if total == 1 or not prediction.error else head
        if len(rows) < SHOWN:
            judged = (_judged(prediction),) if scored else ()
            rows.append((shown(prediction.image), prediction.predicted or "–", *judged, _details(prediction, top_k)))
    if not ui.fits(rows):  # a class and its probability stay on one line
        rows = [(*row[:-1], row[-1].replace("  ", "\n")) for row in rows]
    if rows:
        ui.table(("image", head[0], *(("unknown",) if scored else ()), head[1]), rows)
    if total > len(rows):
        ui.note(f"and {total - len(rows)} more; --out FILE.csv keeps them all")


def _head(prediction: Prediction) -> tuple[str, str]:
    """The names of the columns of what is predicted, and of what stands behind it."""
    if prediction.value is None:
        return "class" if prediction.labels is None else "labels", "probabilities"
    name = prediction.probabilities[0][0]
    return f"{name} ({prediction.unit})" if prediction.unit else name, "prediction interval (90 %)"


def _details(prediction: Prediction, top_k: int) -> str:
    if prediction.error:
        return prediction.error
    if prediction.value is not None:
        return "none" if prediction.interval is None else "{:.6g} to {:.6g}".format(*prediction.interval)
    return "  ".join(f"{name} {share:.3f}" for name, share in prediction.probabilities[:top_k])


def _judged(prediction: Prediction) -> str:
    if prediction.unknown_score is None:
        return ""
    return f"{'none of these' if prediction.unknown else 'no'} ({prediction.unknown_score:.2f})"
