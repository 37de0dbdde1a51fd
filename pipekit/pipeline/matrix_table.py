"""The table [matrix] of a pipeline file: hyperparameter values to try, and the metric that selects the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator, model_validator

from pipekit.contract import Params, param
from pipekit.errors import PlanError, Problem
from pipekit.pipeline.plan import Plan

MAX_GRID = 1000


class Range(Params):
    """A range of numbers for a random search or Optuna: ``{ low = 1e-4, high = 1e-2, log = true }``."""

    low: float = param(..., "Smallest value")
    high: float = param(..., "Largest value")
    log: bool = param(False, "Sample uniformly on a logarithmic scale")
    whole: bool = param(False, "Integers only")

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range must be above zero")
        return self


class Matrix(Params):
    """The table ``[matrix]``."""

    values: dict[str, list[Any] | Range] = param(
        ..., "Hyperparameters: for each name that --set takes, its values or their range", min_length=1
    )
    select: str = param("train.val_accuracy", "Metric that selects the best combination, as stage.fact")
    goal: Literal["max", "min"] = param("max", "Whether a higher or a lower value of the metric is better")
    search: Literal["grid", "random", "optuna"] = param(
        "grid", "Search: all combinations (grid), or `trials` of them (random, or by Optuna)"
    )
    trials: int = param(20, "Number of combinations that a random or Optuna search tries", ge=1, le=10_000)

    @field_validator("values", mode="before")
    @classmethod
    def _lists_or_ranges(cls, value: Any, info: ValidationInfo) -> Any:
        for name, choices in value.items() if isinstance(value, Mapping) else ():
            if not isinstance(choices, (list, Mapping, Range)) or choices == []:
                raise ValueError(f"{name} needs a list of values, or a table with low and high, got {choices!r}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Matrix:
        ranges = [name for name, choices in self.values.items() if isinstance(choices, Range)]
        if self.search == "grid" and ranges:
            raise ValueError(f'{ranges[0]} is a range; a grid needs a list. For ranges, use search = "random" (or "optuna")')
        if self.search == "grid" and self.num_combinations() > MAX_GRID:
            raise ValueError(f"{self.num_combinations():,} combinations are too many for a grid (at most {MAX_GRID:,})")
        if "." not in self.select:
            raise ValueError(f"select names a stage and a fact, as in 'train.val_accuracy', got {self.select!r}")
        return self

    def num_combinations(self) -> int:
        if self.search != "grid":
            return self.trials
        return math.prod(len(choices) for choices in self.values.values() if isinstance(choices, list))


def matrix_of(plan: Plan) -> Matrix | None:
    """The plan's validated ``[matrix]``, or None.

    Raises:
        PlanError: with every problem in it, and in each combination of a grid.
    """
    if plan.matrix is None:
        return None
    checked, problems = plan.registry.problems(Matrix, plan.matrix, plan.base_dir)
    if checked is None:
        listed = [
            Problem(f"matrix{_dotted(place)}", message, hint, plan.line("matrix", *place)) for place, message, hint in problems
        ]
        raise PlanError(listed, plan.shown)
    stage = checked.select.partition(".")[0]
    if stage not in [step.name for step in plan.stages]:
        raise PlanError([Problem("matrix.select", f"no stage called {stage!r}", "", plan.line("matrix", "select"))], plan.shown)
    return checked


def _dotted(place: Sequence[str | int]) -> str:
    return "".join(f".{step}" for step in place)
