"""The verb ``stability``: measure the repeatability of feature detectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import Made, add_images, make, new_pipeline

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener


def stability(
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
    """Measure the repeatability of detectors: the points found again in rotated, scaled, blurred and brightened images.

    Args:
        source: an image, a folder of images, or a dataset of a run.
        out: a new folder for the result; default: ``runs/<name>/``.
        name: the run's name.
        workers: number of shards that run at once.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``stability``: ``detectors``, ``changes``, ``recipe`` …

    Returns:
        Where ``stability.csv`` and ``stability.png`` are; ``picture`` is the latter.

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` exists, or no importer reads ``source``.

    Example:
        >>> import pipekit
        >>> made = pipekit.stability("photos", detectors=["harris", "sift"])  # doctest: +SKIP
    """
    pipeline = new_pipeline(plugins, disable, name=name, workers=workers)
    pipeline.add("stability", "stability", dataset=add_images(pipeline, source), **params)
    return make(pipeline, "stability", "stability.png", out, listener)
