"""The verb ``augment``: augmented copies of images in a folder, with the data to reproduce each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.working import new_pipeline, refuse_existing, refuse_inside, run_pipeline
from pipekit.files import expanded, write_text

if TYPE_CHECKING:
    from pipekit.contract import Dataset
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.outcome import Listener, Outcome


@dataclass(frozen=True)
class Augmented(Brief):
    """What was written.

    Attributes:
        path: the folder.
        layout: the format of the folder: the exporter's name, or ``folders``.
        dataset: the images and their copies in the store; a copy's ``extra["augmented"]`` records how it was made.
        outcome: the run.
        warnings: what people should know before they share the folder.
    """

    path: Path
    layout: str
    dataset: Dataset
    outcome: Outcome
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_augmented

        return of_augmented(self)


def augment(
    source: str | Path,
    out: str | Path,
    *,
    layout: str = "same",
    seed: int = 0,
    workers: int | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
    **params: Any,
) -> Augmented:
    """Write augmented copies of images; masks, boxes and keypoints move with the pixels.

    The source is never changed, and the same seed gives the same files. :func:`pipekit.preview` shows a recipe first.

    Args:
        source: a folder of images, a file in a dataset's format, or a run's dataset (``runs/NAME:STAGE``).
        out: the folder to write; it must not exist, and not lie in the source.
        layout: the format of the output: ``folders``, ``coco``, ``yolo`` …; ``same``: the format of the source.
        seed: random seed; the same seed gives the same result.
        workers: number of shards that run at once; the result is the same.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``augment``: ``ops``, ``copies``, ``size_hw``, ``splits``, ``balance`` …

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` exists or lies in the source, or no importer reads ``source``.

    Example:
        >>> import pipekit
        >>> made = pipekit.augment("photos", "more", ops="rotate(40)|hflip", copies=2)  # doctest: +SKIP
        >>> len(made.dataset)  # doctest: +SKIP
        2400
    """
    from pipekit.commands.replay import RECIPE_FILE, ROWS_FILE, write_rows
    from pipekit.engine.run_folder import take_out

    place = expanded(out)
    refuse_inside(place, source)
    refuse_existing(place)
    pipeline = new_pipeline(plugins, disable, name="augment", seed=seed, workers=workers)
    data = pipeline.dataset(source)
    pipeline.add("augment", "augment", dataset=data, **params)
    chosen = _layout(pipeline, data, layout)
    last = "augment" if chosen == "folders" else pipeline.add("export", f"export.{chosen}", dataset="augment")
    outcome = run_pipeline(pipeline, "augment", listener)
    dataset: Any = outcome.artifact("augment")
    kept = {"params": dataset.meta["params"], "seed": seed, "source": str(Path(source).resolve())}

    def with_history(folder: Path) -> None:
        """What replay needs belongs to the folder: it is there with the images, or nothing is."""
        if last != "augment":
            write_rows(dataset, folder / ROWS_FILE)
        write_text(folder / RECIPE_FILE, json.dumps(kept, indent=1) + "\n")

    take_out(outcome.artifact(last), place, with_history)
    said = _private(dataset) if last == "augment" else ""  # an exporter warns by itself
    return Augmented(place, chosen, dataset, outcome, (said,) if said else ())


def _private(dataset: Dataset) -> str:
    """What is said of originals whose copies in the folder tell where they were taken; "" if none does."""
    from pipekit import images
    from pipekit.errors import ImageError
    from pipekit.images.metadata import Private, private_metadata
    from pipekit.registry.privacy import FIELD, sentence

    def of(path: str) -> Private:
        try:
            return private_metadata(images.read_bytes(path))
        except ImageError:
            return Private()

    found = [of(sample.image) for sample in dataset if "augmented" not in sample.extra]
    said = sentence(sum(one.position for one in found), sum(one.serial for one in found))
    return f"{said} --{FIELD.replace('_', '-')} removes them" if said else ""


def _layout(pipeline: AdhocPipeline, data: str, layout: str) -> str:
    """The exporter's name; images with annotations are written in the format that they came in, others as class folders."""
    from pipekit.registry.sniffing import exporter_of

    if layout != "same":
        pipeline.registry.get("exporter", layout)  # the error of a misspelt name suggests the nearest one
        return layout
    if data not in pipeline.stages:  # of a run
        return "folders"
    return exporter_of(pipeline.registry, pipeline.stages[data]["use"].removeprefix("import.")) or "folders"
