"""The verb ``features``: features that a detector finds in images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import Made, add_images, make, new_pipeline

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener


def features(
    source: str | Path,
    *,
    out: str | Path | None = None,
    name: str = "features",
    workers: int | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
    **params: Any,
) -> Made:
    """Find features with one detector in every image; write the points, counts and pictures.

    Args:
        source: an image, a folder of images, or a dataset of a run (``runs/NAME:STAGE``).
        out: a new folder for the result; default: ``runs/<name>/``.
        name: the run's name.
        workers: number of shards that run at once.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``features``; ``detector`` is a name or a table with its parameters.

    Returns:
        The folder with ``features.png``, ``points.csv``, ``counts.csv`` and ``classes.csv``; ``picture`` is ``features.png``.

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` exists, or no importer reads ``source``.

    Example:
        >>> import pipekit
        >>> made = pipekit.features("photos", detector={"use": "harris", "k": 0.06})  # doctest: +SKIP
    """
    pipeline = new_pipeline(plugins, disable, name=name, workers=workers)
    pipeline.add("features", "features", dataset=add_images(pipeline, source), **params)
    return make(pipeline, "features", "features.png", out, listener)
