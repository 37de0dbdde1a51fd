"""The input of a report section: a model's predictions on one split, and the metrics computed from them.

A report section is ``section(ctx, evaluation, params) -> Section``; ``evaluation`` is the :class:`Evaluation` below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipekit.contract import Dataset, Failure, Sample
    from pipekit.learning.embeddings import Embedded
    from pipekit.learning.predictor import Predictor


@dataclass(frozen=True)
class Evaluation:
    """A model's predictions on one split of a dataset.

    Attributes:
        classes: the model's classes; class numbers below are positions in it.
        split: the name of the evaluated split.
        samples: the evaluated samples, in the order of their ids.
        y_true: ``(N,) int64``, the true class of each sample.
        probabilities: ``(N, num_classes) float64``, rounded to six decimals as in ``predictions.csv``; rows sum to about 1.
        metrics: the content of ``metrics.json``.
        traits: per sample, ``(N,) float64``: ``width_px``, ``height_px``, ``brightness`` (0..255), ``sharpness`` (variance of
            the Laplacian). Empty if not measured.
        groups: ``(N,) int64``, the group of each sample (its patient, video or original); None if nothing is known of groups.
        failed: the images that could not be read.
        model: the content of ``model.json``.
        dataset: the whole dataset, including its other splits.
        predictor: the classifier, for further predictions: ``prepare`` an image, get its ``probabilities``; or None.
        unknown_scores: ``(N,) float64``, how unlike the training images each is, rounded to six decimals; above 1 it is
            rejected as none of the classes. None if the model can't tell.
        embedded: features of the dataset's images; None where none are given.
    """

    classes: tuple[str, ...]
    split: str
    samples: tuple[Sample, ...]
    y_true: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    metrics: Mapping[str, Any]
    dataset: Dataset
    traits: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None
    failed: tuple[Failure, ...] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    predictor: Predictor | None = None
    unknown_scores: NDArray[np.float64] | None = None
    embedded: Embedded | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def learned_from(self) -> str:
        """Where the images are that a model learned from: ``train``, or ``another fold`` for predictions out of fold."""
        return "another fold" if self.metrics.get("folds") else "train"

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """``(N,)``, the most probable class; ties go to the first class."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """``(N,)``, the probability of the predicted class."""
        return np.asarray(self.probabilities.max(axis=1), np.float64)

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """``(N,)``, True where the prediction is the true class."""
        return np.asarray(self.predicted == self.y_true, np.bool_)
