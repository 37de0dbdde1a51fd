"""The verb ``match``: match the features of two images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import Made, make, new_pipeline
from pipekit.files.urls import located

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener


def match(
    first: str | Path,
    second: str | Path,
    *,
    out: str | Path | None = None,
    name: str = "features",
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
    **params: Any,
) -> Made:
    """Match the features of two images, and align the second to the first.

    Args:
        first: an image.
        second: another image.
        out: a new folder for the result; default: ``runs/<name>/``.
        name: the run's name.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``match``: ``detector``, ``ratio``, ``mutual``, ``ransac_px``, ``preview_px``.

    Returns:
        The folder with ``matches.png``, ``matches.csv``, ``match.json`` and, if the two can be aligned, ``aligned.png``;
        ``picture`` is ``matches.png``.

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` exists.

    Example:
        >>> import pipekit
        >>> made = pipekit.match("left.jpg", "right.jpg", detector="sift", ratio=0.7)  # doctest: +SKIP
    """
    pipeline = new_pipeline(plugins, disable, name=name)
    paths = {"first": str(located(first)), "second": str(located(second))}
    pipeline.add("match", "match", **paths, **params)
    return make(pipeline, "match", "matches.png", out, listener)
