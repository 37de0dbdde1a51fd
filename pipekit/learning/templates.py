"""What a model template states besides its function: attributes that the train stage and the commands ask for.

===================  ====================================================================================================
``input_hw``         the size that images are resized to; or ``input_hw(params)``
``head``             ``head(params, epochs)``: the first trainable layer, if all before it is frozen; else ""
``fit``              ``fit(model, train, val, params, seed)``: solves for the weights in one pass
``unfreeze``         ``unfreeze(model, params, epoch)``: makes layers trainable before an epoch
``embedder``         ``embedder(params)``: the embedder whose features enter the head; the train stage takes them from the store
``pretrained_on``    ``pretrained_on(params)``: source, licence and training data of the weights that a model starts from
===================  ====================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipekit.contract import Call, Params


def input_hw_of(template: Any, params: Params) -> tuple[int, int] | None:
    """The size of a template's images; None if it takes any."""
    own = getattr(template, "input_hw", None)
    found: tuple[int, int] | None = own(params) if callable(own) else own
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
