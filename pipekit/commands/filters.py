"""The verb ``filters``: what a filter does to images, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import Made, add_images, make, new_pipeline

if TYPE_CHECKING:
    from pipekit.engine.context import Listener


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
    """Show what a filter, one of the field's or your own, does to images.

    Args:
        source: an image, a folder of images, or a dataset of a run.
        out: a folder for the result, which must not exist; unless given, ``runs/<name>/``.
        name: the run's name.
        workers: how many shards run at once.
        plugins: plugin files or modules to load too.
        disable: plugins to leave out.
        listener: gets the engine's events.
        params: parameters of the stage ``filters``: ``filter``, ``kernel`` (rows of numbers), ``animate`` …

    Returns:
        Where the pictures are; ``picture`` is ``filters.png``.

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` exists, or ``source`` is nothing that an importer reads.

    Example:
        >>> import pipekit
        >>> made = pipekit.filters("cat.jpg", kernel=[[0, 1, 0], [1, -4, 1], [0, 1, 0]])  # doctest: +SKIP
    """
    pipeline = new_pipeline(plugins, disable, name=name, workers=workers)
    pipeline.add("filters", "filters", dataset=add_images(pipeline, source), **params)
    return make(pipeline, "filters", "filters.png", out, listener)
