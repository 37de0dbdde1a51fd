"""Predict with a model on frozen features without TensorFlow: the embedder's own runtime, and a product of matrices.

The probabilities agree with those of ``model.keras`` to 1e-4 (two runtimes sum in different orders).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Call
from pipekit.learning.embedders import Embed, facts_of, open_embedder
from pipekit.learning.linear_head import LinearHead, read_head
from pipekit.learning.predictor import Predictor, load_predictor, read_model_info
from pipekit.owners import owned_prefix
from pipekit.tasks import CLASSES

if TYPE_CHECKING:
    from pipekit.contract import ComponentLike


def load_light(folder: Path, component: Callable[[str, str], ComponentLike], tasks: Collection[str] = (CLASSES,)) -> Predictor:
    """The lightest way to predict with the model in a folder: without TensorFlow where that is possible.

    Args:
        folder: a Model artifact's ``path``, or a run's folder.
        component: finds a component by kind and name: ``ctx.component`` or ``registry.get``.
        tasks: those of the model that the caller knows how to use.

    Raises:
        UserError: as :func:`pipekit.learning.predictor.load_predictor`.
    """
    return features_predictor(folder, component, tasks) or load_predictor(folder, component, tasks=tasks)


def features_predictor(
    folder: Path, component: Callable[[str, str], ComponentLike], tasks: Collection[str] = (CLASSES,)
) -> Predictor | None:
    """The predictor of a model on frozen features without TensorFlow; None for any other model."""
    info = read_model_info(folder, tasks)
    head = read_head(folder, info, component)
    if head is None or tuple(info["input_shape_hwc"]) != (*facts_of(head.embedder.load(), head.embedder.params).input_hw, 3):
        return None
    height, width, channels = info["input_shape_hwc"]
    features_of = _in_threads(opened_embedder(head.embedder))
    scored = None if head.unknown is None else _answers(head, features_of)
    plain = _answers(replace(head, unknown=None), features_of)
    return Predictor(tuple(info["classes"]), (height, width, channels), info, plain, folder, scored, padded=False)


def _answers(head: LinearHead, features_of: Embed) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    return lambda batch: head.answers(features_of(batch))


def opened_embedder(embedder: Call) -> Embed:
    """An embedder ready for use, without a store: the network that it converts its weights to is not kept."""
    function = embedder.load()
    facts = facts_of(function, embedder.params)
    if facts.weights is None or facts.convert is None:
        return open_embedder(function, embedder.params)
    with tempfile.TemporaryDirectory(prefix=owned_prefix()) as folder:
        network = Path(folder, "network")
        network.write_bytes(facts.convert(facts.weights()))
        return open_embedder(function, embedder.params, network)


def _in_threads(embed: Embed) -> Embed:
    """One image a thread, since a runtime on several threads would sum in another order."""
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    def features_of(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(list(pool.map(embed, (image[None] for image in images))))

    return features_of
