"""The verb ``similar``: the images of a folder that are most alike to given ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.working import add_images, new_pipeline, refuse_existing, run_pipeline
from pipekit.errors import UserError
from pipekit.files import expanded
from pipekit.files.urls import located

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener, Outcome


@dataclass(frozen=True)
class Similar(Brief):
    """The images that are most alike to given ones.

    Attributes:
        rows: ``query``, ``rank``, ``id``, ``label``, ``split``, ``similarity`` (a cosine: 1 is the same), ``same_file``,
            ``sha256``; the nearest first.
        path: the output folder, or the run's folder under ``runs/``.
        picture: the contact sheet: a row for each given image.
        outcome: the run, with its warnings.
    """

    rows: tuple[Mapping[str, Any], ...]
    path: Path
    picture: Path
    outcome: Outcome

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_similar

        return of_similar(self)


def similar(
    images: str | Path | Sequence[str | Path],
    source: str | Path,
    *,
    out: str | Path | None = None,
    sheet: str | Path | None = None,
    name: str = "similar",
    workers: int | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
    **params: Any,
) -> Similar:
    """Find the images of a folder that are most alike to given ones, by the features of a pretrained network.

    The features of each image are computed once, for every later command and run too.

    Args:
        images: an image, or several.
        source: a folder of images, or a dataset of a run (``runs/NAME:STAGE``).
        out: a new folder for the result; default: ``runs/<name>/``.
        sheet: a new file for the contact sheet (.jpg or .png), besides.
        name: the run's name.
        workers: number of shards that run at once.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``similar``: ``nearest``, ``embedder``, ``thumbnail_px``.

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` or ``sheet`` exists, an image can't be read, or no importer reads ``source``.

    Example:
        >>> import pipekit
        >>> found = pipekit.similar("new.jpg", "photos", nearest=3)  # doctest: +SKIP
        >>> [(row["id"], row["similarity"]) for row in found.rows]  # doctest: +SKIP
        [('cat/17.jpg', 0.9312), ('cat/3.jpg', 0.9107), ('dog/5.jpg', 0.8811)]
    """
    from pipekit.engine.run_folder import take_out
    from pipekit.images import is_image

    given = [images] if isinstance(images, (str, Path)) else list(images)
    if not given:
        raise UserError("there is no image to find others for", "For example: pipekit similar new.jpg photos")
    place, drawn = (None if path is None else expanded(path) for path in (out, sheet))
    refuse_existing(place, drawn)
    if drawn is not None and drawn.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UserError(f"the contact sheet {drawn} must end in .jpg or .png")
    pipeline = new_pipeline(plugins, disable, name=name, workers=workers)
    slots = []
    for number, image in enumerate(given):
        path = located(image)
        if not (path.is_file() and is_image(path)):
            raise UserError(f"{image} is no image", "The images come first, then the folder: pipekit similar new.jpg photos")
        slots.append(pipeline.add(f"query_{number}", "import.image", path=str(path.absolute())))
    pipeline.add("similar", "similar", queries=slots, dataset=add_images(pipeline, source), **params)
    outcome = run_pipeline(pipeline, "similar", listener, publish=place is None)
    artifact = outcome.artifact("similar")
    if place is not None:
        take_out(artifact, place)
    if drawn is not None:
        _write_sheet(artifact.path / "similar.jpg", drawn)
    found = json.loads((artifact.path / "similar.json").read_text("utf-8", errors="surrogateescape"))
    return Similar(tuple(found["nearest"]), place or outcome.run_dir, artifact.path / "similar.jpg", outcome)


def _write_sheet(stored: Path, out: Path) -> None:
    from pipekit.images import read, write

    try:
        if out.suffix.lower() == ".png":
            write(out, read(stored))
        else:
            shutil.copyfile(stored, out)
    except OSError as error:
        raise UserError(f"can't write {out}: {error.strerror}", "Check that the folder exists.") from error
