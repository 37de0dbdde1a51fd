"""The limit of *none of these*: features of the training images that the network was not trained on, and their originals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.train import data, frozen
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Context, Dataset, Sample
from pipekit.images.origins import origins_of
from pipekit.learning import unknown
from pipekit.learning.unknown import Unknown
from pipekit.rng import Rng

Found = tuple[Unknown, dict[str, Any]]


def limit_of(
    ctx: Context,
    dataset: Dataset,
    model: Any,
    template: Any,
    part: data.Part,
    features: frozen.Features | None,
    params: TrainParams,
    rng: Rng,
) -> Found | None:
    """What tells images that are none of the classes; None if nothing does.

    The features must come from a network that was not trained on these images: those that a network learned fit its training
    images better than new ones, and a limit set on them would reject new ones of the same kind.
    """
    ask = getattr(template, "head", None)
    layer = ask(params.model.params, params.epochs) if ask is not None and params.unknown_share else ""
    if not layer or not _enters_the_last_layer(model, layer):
        return None
    if features is None:  # augmented: the plain images' features come from the store, or are computed once
        embedder = frozen.embedder_for(template, params, tuple(model.input_shape[1:]))
        features = None if embedder is None else frozen.embedded(ctx, dataset, embedder, params.fit)
    if features is None:
        return None
    kept = [number for number, sample in enumerate(part.samples) if sample.image in features.rows]
    samples = [part.samples[number] for number in kept]
    rows = features.table[[features.rows[sample.image] for sample in samples]]
    if not len(rows):
        return None
    found = unknown.fit(rows, part.numbers[kept], groups_of(samples), params.unknown_share, rng)
    if found is None:
        ctx.warn(
            f"the model can't tell images of none of its classes: fewer than {unknown.FEWEST} different training images are "
            "too few to set a limit on"
        )
    return found


def _enters_the_last_layer(model: Any, layer: str) -> bool:
    """Whether what enters a layer is what enters the last one: only dropout is between them."""
    tensor = unknown.features_of(model)
    return tensor is not None and model.get_layer(layer).input is tensor


def groups_of(samples: list[Sample]) -> NDArray[np.int64]:
    """Equal numbers for images of one original: copies, files with the same bytes, and those of one ``group``."""
    numbers = origins_of(samples)
    first: dict[tuple[str, str], int] = {}
    parent = list(range(len(samples)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    for number, sample in enumerate(samples):
        parent[root(number)] = root(numbers[number])
        for kind, value in (("bytes", sample.sha256), ("group", str(sample.extra.get("group") or ""))):
            if value:
                parent[root(number)] = root(first.setdefault((kind, value), number))
    return np.array([root(number) for number in range(len(samples))], np.int64)
