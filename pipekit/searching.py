"""What a search of ``[matrix]`` chooses from, and the result that it gets of each combination.

A search is ``search(space, params, rng)``: it returns the list of all combinations, or it is a generator that yields one
combination at a time and receives its :class:`Trial`::

    def climb(space: SearchSpace, params: ClimbParams, rng: Rng) -> Iterator[Mapping[str, Any]]:
        best = yield space.draw(rng)
        while True:
            trial = yield nearby(best.values, rng)
            best = space.best([best, trial])
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from pipekit.params import Params, param

if TYPE_CHECKING:
    from pipekit.rng import Rng

DIGITS = 4
"""Significant digits of a number that is drawn: names of runs and tables stay readable, and 10,000 values are enough."""


class ValueRange(Params):
    """A range of numbers for a search: ``{ low = 1e-4, high = 1e-2, log = true }``."""

    low: float = param(..., "Smallest value")
    high: float = param(..., "Largest value")
    log: bool = param(False, "Sample uniformly on a logarithmic scale")
    whole: bool = param(False, "Integers only")

    @model_validator(mode="after")
    def _in_order(self) -> ValueRange:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range must be above zero")
        if self.whole and math.ceil(self.low) > math.floor(self.high):
            raise ValueError(f"there is no integer between {self.low:g} and {self.high:g}")
        return self

    def at(self, share: float) -> float | int:
        """The value at a share of the range, 0 to 1: rounded to four significant digits, or to an integer.

        >>> ValueRange(low=1e-4, high=1e-2, log=True).at(0.5)
        0.001
        >>> ValueRange(low=1, high=9, whole=True).at(0.3)
        3
        """
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = low + (high - low) * share
        value = math.exp(value) if self.log else value
        if self.whole:
            return min(max(round(value), math.ceil(self.low)), math.floor(self.high))
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def share_of(self, value: float) -> float:
        """Where a value lies in the range, 0 to 1: the inverse of :meth:`at`, up to its rounding."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Trial:
    """A combination that has run.

    Attributes:
        values: its values by name.
        score: the metric that selects (the mean, if seeds are repeated); None if the run failed or has no such number.
        error: why it failed; "" if it did not.
    """

    values: Mapping[str, Any]
    score: float | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What a search chooses from.

    Attributes:
        values: for each name its values, or their range.
        goal: whether the ``max`` or the ``min`` of the metric is best.
        trials: the largest number of combinations that run.
        seed: the pipeline's seed, for a library that takes one.
    """

    values: Mapping[str, Sequence[Any] | ValueRange]
    goal: str
    trials: int
    seed: int

    def draw(self, rng: Rng) -> dict[str, Any]:
        """A combination drawn at random, each value by itself."""
        return {
            name: choices.at(rng.random()) if isinstance(choices, ValueRange) else choices[int(rng.integers(len(choices)))]
            for name, choices in self.values.items()
        }

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """The trial with the best score, the first of equal ones; None if no trial has a score."""
        scored = [(trial.score, trial) for trial in trials if trial.score is not None]
        chosen = max if self.goal == "max" else min
        return chosen(scored, key=lambda one: one[0])[1] if scored else None
