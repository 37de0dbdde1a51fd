"""A map of images: their features in two dimensions, by a component of kind ``projection``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import PluginError
from pipekit.params import Call
from pipekit.rng import rng_for

MOST = 2000
"""Maximum number of images on a map: t-SNE of more takes long, and their pictures make a page large."""

FEWEST = 12
"""Minimum number of images; fewer make no map."""


NAMES = {"tsne": "t-SNE", "pca": "principal components"}
"""What projections are called where people read it."""


def sample_of(ids: Sequence[str], most: int = MOST) -> NDArray[np.int64]:
    """The numbers of at most ``most`` images, ascending, chosen by a hash of their ids: one more image changes at most one."""
    if len(ids) <= most:
        return np.arange(len(ids))
    hashes = np.array([hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in ids], "S8")
    chosen: NDArray[np.int64] = np.sort(np.argsort(hashes.view(">u8"), kind="stable")[:most])
    return chosen


def project(table: NDArray[np.float16], projection: Call) -> NDArray[np.float32]:
    """Each row as a point of a plane, in 0..1, by a component of kind ``projection``; libraries use one thread.

    Args:
        table: ``(N, D)``, at least :data:`FEWEST` rows.

    Returns:
        ``(N, 2)``; the middle for rows that are all equal.

    Raises:
        PluginError: the projection returned something else than ``(N, 2)`` finite numbers.
    """
    from threadpoolctl import threadpool_limits

    rows = np.asarray(table, np.float32)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    if (rows == rows[0]).all():
        return np.full((len(rows), 2), 0.5, np.float32)
    with threadpool_limits(1):  # sums in another order would move every point
        made = np.asarray(projection.load()(rows, projection.params, rng_for(0, "projection")))
    if made.shape != (len(rows), 2) or made.dtype.kind not in "fiu" or not np.isfinite(made).all():
        raise PluginError(
            f"projection {projection.name!r} must return ({len(rows)}, 2) finite numbers, it returned {made.shape} {made.dtype}"
        )
    low, high = made.min(axis=0), made.max(axis=0)
    placed: NDArray[np.float32] = ((made - low) / np.maximum(high - low, 1e-12)).astype(np.float32)
    return placed


def caption_of(shown: int, there: int, projection: Call) -> str:
    """What the map shows and does not show, for the text above it."""
    how = NAMES.get(projection.name, projection.name)
    sample = f"A random sample of {shown:,} of {there:,} images. " if shown < there else ""
    return (
        f"{sample}Which images look alike? Each point is an image; images with similar features lie close together ({how}). "
        "A point among those of another class may have a wrong label, and a separate group may be another subject. The "
        "distance between groups, and their size, mean little."
    )
