"""What a model template states besides its function: attributes that the train stage and the commands ask for.

===================  ====================================================================================================
``input_hw``         the size that images are resized to; or ``input_hw(params)``
``head``             ``head(params, epochs)``: the first trainable layer, if all before it is frozen; else ""
``fit``              ``fit(model, train, val, params, seed)``: solves for the weights in one pass
``unfreeze``         ``unfreeze(model, params, epoch)``: makes layers trainable before an epoch
``embedder``         ``embedder(params)``: the embedder whose features enter the head; the train stage takes them from the store
``finer_hw``         ``finer_hw(params)``: a larger size, for images whose shorter side has as many pixels; or None
``on_features``      ``on_features(dimensions, num_classes)``: the head alone, from the embedder's features to probabilities,
                     for trainings of which only the predictions are kept
``pretrained_on``    ``pretrained_on(params)``: source, licence and training data of the weights that a model starts from
``cost_s``           ``cost_s(work, params)``: estimated seconds of a training on two cores, a number that no clock decides; it
                     raises UserError if the template can't train on this
``images_a_class``   training images of each class below which the template isn't worth trying beside others
``candidates``       ``candidates(params)``: templates that the train stage tries in place of this one, and keeps one of
``budget_s``         ``budget_s(params)``: estimated seconds that the candidates may take together
``example``          values of parameters with which `pipekit models show` and `pipekit docs` build it without a download
===================  ====================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipekit.contract import Call, Params
from pipekit.tasks import CLASSES

TENSORFLOW_S = 10.0
"""Estimated seconds to import TensorFlow, and to build and save a model."""
MULTIPLY_ADDS_A_SECOND = 1e10
"""Estimated rate of training by gradient descent on two cores; a step has three times the multiply-adds of a prediction."""


@dataclass(frozen=True)
class Work:
    """What a training has to do, for the estimate of its cost.

    Attributes:
        images: of the whole dataset.
        train: training images.
        val: validation images.
        classes: number of classes.
        shape_hwc: the model's input.
        epochs: passes over the training images.
        task: ``classes``, ``multilabel`` or ``number`` (:mod:`pipekit.tasks`).
    """

    images: int
    train: int
    val: int
    classes: int
    shape_hwc: tuple[int, int, int]
    epochs: int
    task: str = CLASSES

    @property
    def pixels(self) -> int:
        """Of one input image."""
        return self.shape_hwc[0] * self.shape_hwc[1]


def cost_s(template: Any, work: Work, params: Params) -> float | None:
    """Estimated seconds of a training; None if the template states none.

    Raises:
        UserError: the template can't train on this.
    """
    ask = getattr(template, "cost_s", None)
    return None if ask is None else float(ask(work, params))


def gradient_descent_s(work: Work, multiply_adds: float) -> float:
    """Estimated seconds of a network that has so many multiply-adds an image, trained in epochs."""
    steps = work.epochs * (3 * work.train + work.val)
    return TENSORFLOW_S + steps * multiply_adds / MULTIPLY_ADDS_A_SECOND


def duration(seconds: float) -> str:
    """``45 s``, ``3 min``, ``1.5 h``: estimates are not more exact than that."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def candidates_of(template: Any, params: Params) -> tuple[Call, ...]:
    """The templates that are tried in place of this one; none for most."""
    ask = getattr(template, "candidates", None)
    found: tuple[Call, ...] = () if ask is None else tuple(ask(params))
    return found


def input_hw_of(template: Any, params: Params) -> tuple[int, int] | None:
    """The size of a template's images; None if it takes any."""
    own = getattr(template, "input_hw", None)
    found: tuple[int, int] | None = own(params) if callable(own) else own
    return found


def finer_hw_of(template: Any, params: Params) -> tuple[int, int] | None:
    """A larger size of a template's images, for photographs that have the pixels; None if there is none."""
    ask = getattr(template, "finer_hw", None)
    found: tuple[int, int] | None = None if ask is None else ask(params)
    return found


def embedder_of(template: Any, params: Params) -> Call | None:
    """The embedder whose features enter a template's head; None if it has none."""
    ask = getattr(template, "embedder", None)
    found: Call | None = None if ask is None else ask(params)
    return found


def pretrained_on(template: Any, params: Params) -> Mapping[str, Any] | None:
    """What a template states of the pretrained weights that its models start from; None if it states nothing."""
    ask = getattr(template, "pretrained_on", None)
    found: Mapping[str, Any] | None = None if ask is None else ask(params)
    return found
