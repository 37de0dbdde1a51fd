"""The verb ``filters``: apply a filter to images, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import Made, add_images, make, new_pipeline

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener


def filters(
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
    """Apply a standard filter, or your own kernel, to images.

    Args:
        source: an image, a folder of images, or a dataset of a run.
        out: a new folder for the result; default: ``runs/<name>/``.
        name: the run's name.
        workers: number of shards that run at once.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``filters``: ``filter``, ``kernel`` (rows of numbers), ``animate`` …

    Returns:
        The folder with the pictures; ``picture`` is ``filters.png``.

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` exists, or no importer reads ``source``.

    Example:
        >>> import pipekit
        >>> made = pipekit.filters("cat.jpg", kernel=[[0, 1, 0], [1, -4, 1], [0, 1, 0]])  # doctest: +SKIP
    """
    pipeline = new_pipeline(plugins, disable, name=name, workers=workers)
    pipeline.add("filters", "filters", dataset=add_images(pipeline, source), **params)
    return make(pipeline, "filters", "filters.png", out, listener)
