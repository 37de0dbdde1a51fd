"""The table [matrix] of a pipeline file: hyperparameter values to try, and the metric that selects the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ValidationInfo, field_validator, model_validator

from pipekit.contract import Call, Params, Uses, ValueRange, param
from pipekit.errors import PlanError, Problem
from pipekit.pipeline.plan import Plan

MAX_GRID = 1000

GRID = "grid"
"""The search of all combinations."""


class Matrix(Params):
    """The table ``[matrix]``."""

    values: dict[str, list[Any] | ValueRange] = param(
        ..., "Hyperparameters: for each name that --set takes, its values or their range", min_length=1
    )
    select: str = param("train.val_accuracy", "Metric that selects the best combination, as stage.fact")
    goal: Literal["max", "min"] = param("max", "Whether a higher or a lower value of the metric is better")
    search: Annotated[Call | str, Uses("search", names=(GRID,))] = param(
        GRID, "Search: all combinations (grid), or at most `trials` of them: random, optuna, or a plugin's search"
    )
    seeds: int = param(
        1,
        "Number of trainings of each combination, with different seeds of its stages; the mean of the metric selects",
        ge=1,
        le=100,
    )
    trials: int = param(20, "Largest number of combinations that run, unless the search is grid", ge=1, le=10_000)

    @field_validator("values", mode="before")
    @classmethod
    def _lists_or_ranges(cls, value: Any, info: ValidationInfo) -> Any:
        for name, choices in value.items() if isinstance(value, Mapping) else ():
            if not isinstance(choices, (list, Mapping, ValueRange)) or choices == []:
                raise ValueError(f"{name} needs a list of values, or a table with low and high, got {choices!r}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Matrix:
        ranges = [name for name, choices in self.values.items() if isinstance(choices, ValueRange)]
        if self.search == GRID and ranges:
            raise ValueError(f'{ranges[0]} is a range; a grid needs a list. For ranges, use search = "random" (or "optuna")')
        if self.search == GRID and self.num_combinations() > MAX_GRID:
            raise ValueError(f"{self.num_combinations():,} combinations are too many for a grid (at most {MAX_GRID:,})")
        if "." not in self.select:
            raise ValueError(f"select names a stage and a fact, as in 'train.val_accuracy', got {self.select!r}")
        return self

    def num_combinations(self) -> int:
        if self.search != GRID:
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
    wrong = []
    if stage not in [step.name for step in plan.stages]:
        wrong.append(Problem("matrix.select", f"no stage called {stage!r}", "", plan.line("matrix", "select")))
    if checked.seeds > 1 and (problem := _of_seeds(plan, checked)):
        wrong.append(Problem("matrix.seeds", *problem, plan.line("matrix", "seeds")))
    if wrong:
        raise PlanError(wrong, plan.shown)
    return checked


def seeded_stages(plan: Plan) -> list[str]:
    """The stages whose seed can be set by itself, such as trainings: repeated seeds change these alone."""
    return [step.name for step in plan.stages if SEED in type(step.params).model_fields]


SEED = "seed"


def _of_seeds(plan: Plan, matrix: Matrix) -> tuple[str, str] | None:
    """What is wrong with repeated seeds, and how to mend it."""
    if not seeded_stages(plan):
        return "no stage has a parameter 'seed', so that another seed would change nothing", "Omit seeds."
    if any(name.rpartition(".")[2] == SEED for name in matrix.values):
        return "values set a seed already", "Omit it there, or omit seeds."
    return None


def _dotted(place: Sequence[str | int]) -> str:
    return "".join(f".{step}" for step in place)
