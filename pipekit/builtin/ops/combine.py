"""Combinators: ops that apply other ops, all of them or a random choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import model_validator

from pipekit.contract import Params, param
from pipekit.recipe.compiled import Ops
from pipekit.rng import Rng


class SequenceParams(Params):
    ops: Ops = param(..., "The ops", min_length=1)


def sequence(ops: Sequence[Any], params: SequenceParams, rng: Rng) -> Sequence[int]:
    """Apply all ops one after the other; with a p, all or none."""
    return range(len(ops))


class OneOfParams(Params):
    ops: Ops = param(..., "The ops to choose from", min_length=1)
    weights: tuple[float, ...] = param((), "Relative probability of each op; by default all are equal")

    @model_validator(mode="after")
    def _weights_fit(self) -> OneOfParams:
        if self.weights and len(self.weights) != len(self.ops):
            raise ValueError(f"weights: expected {len(self.ops)}, one for each op, got {len(self.weights)}")
        if self.weights and (min(self.weights) < 0 or sum(self.weights) <= 0):
            raise ValueError("weights: none may be below 0, and one must be above")
        return self


def one_of(ops: Sequence[Any], params: OneOfParams, rng: Rng) -> Sequence[int]:
    """Apply one op, chosen at random."""
    if not params.weights:
        return [int(rng.integers(len(ops)))]
    total = sum(params.weights)
    return [int(rng.choice(len(ops), p=[weight / total for weight in params.weights]))]


class SomeOfParams(Params):
    ops: Ops = param(..., "The ops to choose from", min_length=1)
    n: int = param(2, "How many", ge=1)
    replace: bool = param(False, "Choose with replacement: an op may come more than once, and the order is random")

    @model_validator(mode="after")
    def _enough(self) -> SomeOfParams:
        if self.n > len(self.ops) and not self.replace:
            raise ValueError(f"n: {self.n} of {len(self.ops)} ops can't be chosen; set replace = true to take one twice")
        return self


def some_of(ops: Sequence[Any], params: SomeOfParams, rng: Rng) -> Sequence[int]:
    """Apply ``n`` ops, chosen at random, in the order in which they are written (or a random one with replace)."""
    chosen = rng.choice(len(ops), params.n, replace=params.replace).tolist()
    return chosen if params.replace else sorted(chosen)
