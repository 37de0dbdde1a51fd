"""None of these: whether an image is unlike all training images, by its nearest neighbours among their features.

The score is the method of Y. Sun et al., "Out-of-distribution detection with deep nearest neighbors", ICML 2022: the mean
cosine distance of an image's features to the :data:`NEIGHBOURS` nearest of at most :data:`STORED` training images, divided by a
limit, so that a score above 1 means *none of the classes*.

The limit is a quantile of the training images' own distances, each to the images of other originals only: like a new image,
none of them meets itself or a copy of itself. No other images are needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import UserError
from pipekit.learning.exported import SCORE

if TYPE_CHECKING:
    from pipekit.rng import Rng

FILE, KEY = "model.unknown.npz", "unknown"
"""The file beside ``model.keras``, and the entry of ``model.json``."""

NEIGHBOURS, STORED, MOST_STORED = 3, 512, 4096
"""Neighbours that are averaged; stored images, or four a class if that is more, and never more than the last."""

FEWEST = 10
"""Originals below which no limit is set: the share that it would reject could be anything up to a third."""

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Unknown:
    """The stored features of training images, and the limit.

    Attributes:
        prototypes: ``(M, D) float32``, a row of length 1 for each stored image.
        limit: the cosine distance above which an image is none of the classes; a score of 1.
    """

    prototypes: NDArray[np.float32]
    limit: float

    def scores(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """``(N, D)`` features to ``(N,)`` scores: above 1, an image is unlike the training images."""
        similar = unit(features) @ self.prototypes.T.astype(np.float64)
        return np.asarray(_mean_distance(similar) / self.limit, np.float32)

    def digest(self) -> str:
        return hashlib.sha256(self.prototypes.tobytes() + np.float64(self.limit).tobytes()).hexdigest()

    def save(self, folder: Path) -> None:
        np.savez(folder / FILE, prototypes=self.prototypes, limit=np.float64(self.limit))


def unit(features: NDArray[Any]) -> Float:
    """Rows divided by their length."""
    rows = np.asarray(features, np.float64)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6))


def _mean_distance(similar: Float) -> Float:
    count = min(NEIGHBOURS, similar.shape[1])
    return np.asarray(1 - np.partition(similar, -count, axis=1)[:, -count:].mean(axis=1))


def fit(
    features: NDArray[Any], numbers: NDArray[np.int64], groups: NDArray[np.int64], share: float, rng: Rng
) -> tuple[Unknown, dict[str, Any]] | None:
    """Store features of training images, and set the limit.

    Args:
        features: ``(N, D)``, of the training images, by a network that was not trained on them.
        numbers: ``(N,)``, the class of each.
        groups: ``(N,)``, equal for copies of one original.
        share: of the images like these that the limit may reject.

    Returns:
        The limit with its features, and what ``model.json`` says of them; None if there are too few originals.
    """
    originals = len(np.unique(groups))
    if originals < FEWEST:
        return None
    chosen = stored(numbers, rng)
    prototypes = unit(features[chosen]).astype(np.float32)
    distances = held_out_distances(features, prototypes, groups, groups[chosen])
    limit = max(float(quantile(distances, share)), 1e-6)
    low, high = expected_share(originals, share)
    return Unknown(prototypes, limit), {
        "output": SCORE,
        "limit": 1.0,
        "share": share,
        "num_images": len(features),
        "num_originals": originals,
        "num_stored": len(chosen),
        "neighbours": NEIGHBOURS,
        "cosine_distance": limit,
        "expected_low": round(low, 4),
        "expected_high": round(high, 4),
    }


def stored(numbers: NDArray[np.int64], rng: Rng) -> NDArray[np.int64]:
    """The images that are stored, drawn at random: of each class the same number, as far as it has so many."""
    classes, counts = np.unique(numbers, return_counts=True)
    free = min(len(numbers), max(STORED, 4 * len(classes)), MOST_STORED)
    chosen = []
    for left, place in zip(range(len(classes), 0, -1), np.argsort(counts, kind="stable").tolist(), strict=True):
        own = np.flatnonzero(numbers == classes[place])
        taken = rng.permutation(own)[: max(1, free // left)]
        chosen.append(taken)
        free = max(0, free - len(taken))
    return np.sort(np.concatenate(chosen))


def held_out_distances(
    features: NDArray[Any], prototypes: NDArray[np.float32], groups: NDArray[np.int64], their_groups: NDArray[np.int64]
) -> Float:
    """The distance of each training image to the stored images of other originals: leave one group out."""
    found = []
    for start in range(0, len(features), 1024):
        part = slice(start, start + 1024)
        similar = unit(features[part]) @ prototypes.T.astype(np.float64)
        similar[groups[part, None] == their_groups[None]] = -1.0
        found.append(_mean_distance(similar))
    return np.concatenate(found)


def quantile(distances: Float, share: float) -> float:
    """The smallest distance that at most this share of further images like these exceeds on average.

    It is the quantile of split conformal prediction (Vovk et al. 2005): the k-th smallest of n, with
    k = ceil((n + 1)(1 - share)), or the largest.
    """
    return float(np.sort(distances)[_rank(len(distances), share) - 1])


def expected_share(num: int, share: float) -> tuple[float, float]:
    """Where the share of own images that a limit set on ``num`` images rejects lies, in 95 of 100 such sets.

    The share above the k-th smallest of n is distributed as Beta(n + 1 - k, k).

    >>> [round(value, 3) for value in expected_share(20, 0.05)]
    [0.001, 0.168]
    """
    from scipy.stats import beta  # type: ignore[import-untyped]

    rank = _rank(num, share)
    low, high = beta.ppf([0.025, 0.975], num + 1 - rank, rank)
    return float(low), float(high)


def _rank(num: int, share: float) -> int:
    return min(num, ceil((num + 1) * (1 - share) - 1e-9))


def load_unknown(folder: Path, info: Mapping[str, Any]) -> Unknown | None:
    """What is beside a model; None if it was trained without.

    Raises:
        UserError: ``model.json`` names it, and the file is missing or damaged.
    """
    if not info.get(KEY):
        return None
    file = folder / FILE
    try:
        with np.load(file) as saved:
            prototypes, limit = np.asarray(saved["prototypes"], np.float32), float(saved["limit"])
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} has no {FILE}, by which its model tells images of none of its classes, says model.json",
            f'Copy {FILE} too, or remove "{KEY}" from model.json.',
        ) from error
    except Exception as error:
        raise UserError(f"{file} is damaged: {error}", "Copy it again, or train the model again.") from error
    if prototypes.ndim != 2 or not len(prototypes) or not np.isfinite(prototypes).all() or not limit > 0:
        raise UserError(f"{file} is damaged: its numbers are no features", "Copy it again, or train the model again.")
    return Unknown(prototypes, limit)


# --- in Keras' graph -----------------------------------------------------------------------------------------------------


def features_of(model: Any) -> Any:
    """The tensor that enters a model's last layer, before dropout, if that layer is dense and takes a vector; else None."""
    from pipekit.learning.keras_backend import load_keras

    layers = load_keras().layers
    last = model.layers[-1]
    if not isinstance(last, layers.Dense) or len(last.input.shape) != 2:
        return None
    tensor = last.input
    while isinstance(made_by := tensor._keras_history.operation, layers.Dropout):
        tensor = made_by.input
    return tensor


def with_score(model: Any, unknown: Unknown) -> Any:
    """The model with a second output, the score ``(N, 1)``; the layers are shared.

    Raises:
        UserError: the stored features don't fit the model.
    """
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    features = features_of(model)
    count, dimensions = unknown.prototypes.shape
    if features is None or features.shape[-1] != dimensions:
        raise UserError(
            f"{FILE} has features of {dimensions} numbers, which the last layer of model.keras does not take",
            "The two files belong to different models; train again, or copy both from one run.",
        )
    compare = keras.layers.Dense(count, use_bias=False, trainable=False, dtype="float32", name="similarity")
    similar = compare(keras.layers.UnitNormalization(dtype="float32", name="unit_features")(features))
    compare.set_weights([np.ascontiguousarray(unknown.prototypes.T)])
    nearest = keras.ops.top_k(similar, min(NEIGHBOURS, count))[0]
    score = (1.0 - keras.ops.mean(nearest, axis=-1, keepdims=True)) / unknown.limit
    return keras.Model(model.input, [model.output, score], name="with_score")
