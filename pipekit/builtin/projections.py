"""The projections in the box: t-SNE and principal components, as scikit-learn has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipekit.contract import Params, param

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.rng import Rng

COMPONENTS = 50
"""Principal components that t-SNE starts from, as its authors do."""


class TsneParams(Params):
    perplexity: float = param(30.0, "About how many neighbours each image has; at most a third of the images", ge=2, le=500)


def tsne(table: NDArray[np.float32], params: TsneParams, rng: Rng) -> NDArray[np.float32]:
    """Neighbours stay neighbours; the distance between groups means little.

    L. van der Maaten and G. Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008, of the first 50 principal components. It
    starts from the first two of them and draws nothing, so ``rng`` is unused.
    """
    import numpy as np
    from sklearn.manifold import TSNE

    reduced = _components(table, COMPONENTS)
    start = np.pad(reduced[:, :2], ((0, 0), (0, max(0, 2 - reduced.shape[1]))))
    start = (start / max(float(start[:, 0].std()), 1e-12) * 1e-4).astype(np.float32)
    perplexity = min(params.perplexity, (len(table) - 1) / 3)
    made: NDArray[np.float32] = TSNE(
        2, perplexity=perplexity, init=start, random_state=0, n_jobs=1, max_iter=500
    ).fit_transform(reduced)
    return made


def pca(table: NDArray[np.float32], params: Params, rng: Rng) -> NDArray[np.float32]:
    """The two directions in which the features differ most."""
    import numpy as np

    reduced = _components(table, 2)
    return np.pad(reduced, ((0, 0), (0, 2 - reduced.shape[1])))


def _components(table: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    from sklearn.decomposition import PCA

    count = min(most, table.shape[1], len(table) - 1)
    made: NDArray[np.float32] = PCA(count, svd_solver="full").fit_transform(table)
    return made
