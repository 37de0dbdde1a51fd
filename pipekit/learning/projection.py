"""A map of images: their features in two dimensions, so that images that look alike lie close together.

t-SNE (L. van der Maaten and G. Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008) of the first 50 principal components,
as scikit-learn has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST = 2000
"""Maximum number of images on a map: t-SNE of more takes long, and their pictures make a page large."""

FEWEST = 12
"""Minimum number of images; fewer make no map."""

COMPONENTS = 50
PERPLEXITY = 30.0


def sample_of(ids: Sequence[str], most: int = MOST) -> NDArray[np.int64]:
    """The numbers of at most ``most`` images, ascending, chosen by a hash of their ids: one more image changes at most one."""
    if len(ids) <= most:
        return np.arange(len(ids))
    hashes = np.array([hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in ids], "S8")
    chosen: NDArray[np.int64] = np.sort(np.argsort(hashes.view(">u8"), kind="stable")[:most])
    return chosen


def project(table: NDArray[np.float16]) -> NDArray[np.float32]:
    """Each row as a point of a plane, in 0..1; the same on any number of workers and processors of one kind.

    Args:
        table: ``(N, D)``, at least :data:`FEWEST` rows.

    Returns:
        ``(N, 2)``.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows = np.asarray(table, np.float32)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    if (rows == rows[0]).all():
        return np.full((len(rows), 2), 0.5, np.float32)
    with threadpool_limits(1):  # sums in another order would move every point
        count = min(COMPONENTS, rows.shape[1], len(rows) - 1)
        reduced = PCA(count, svd_solver="full").fit_transform(rows)
        start = np.pad(reduced[:, :2], ((0, 0), (0, max(0, 2 - count))))
        start = (start / max(float(start[:, 0].std()), 1e-12) * 1e-4).astype(np.float32)
        made = TSNE(
            2, perplexity=min(PERPLEXITY, (len(rows) - 1) / 3), init=start, random_state=0, n_jobs=1, max_iter=500
        ).fit_transform(reduced)
    low, high = made.min(axis=0), made.max(axis=0)
    placed: NDArray[np.float32] = ((made - low) / np.maximum(high - low, 1e-12)).astype(np.float32)
    return placed


def caption_of(shown: int, there: int) -> str:
    """What the map shows and does not show, for the text above it."""
    sample = f"A random sample of {shown:,} of {there:,} images. " if shown < there else ""
    return (
        f"{sample}Which images look alike? Each point is an image; images with similar features lie close together (t-SNE). "
        "A point among those of another class may have a wrong label, and a separate group may be another subject. The "
        "distance between groups, and their size, mean little."
    )
