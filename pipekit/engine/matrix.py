"""``[matrix]``: a pipeline for each combination of values, sharing all cached results, and a table of the outcomes.

::

    [matrix]
    select = "train.val_accuracy"
    values = { "train.model.dropout" = [0.0, 0.5], "train.augment" = [[], "light"] }

Each name is one that ``--set`` takes. ``select`` names the fact of a stage that decides which combination is best. Use one of
the val split: choosing by the test split makes the winner's test metric too optimistic.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pipekit.engine.outcome import Listener, Outcome
from pipekit.engine.run import run_plan, silent
from pipekit.errors import PipekitError, UserError
from pipekit.files import PlainTable
from pipekit.pipeline.matrix_table import SEED, Matrix, Range, seeded_stages
from pipekit.pipeline.plan import Plan, load_plan
from pipekit.registry.param_rows import toml_text


@dataclass(frozen=True)
class Combination:
    """One row of the result."""

    number: int
    values: Mapping[str, Any]
    run: str
    score: float | None = None
    headline: str = ""
    seconds: float = 0.0
    error: str = ""
    selected_in: Path | None = None
    """The folder of the artifact whose fact selects the best."""
    of_seeds: tuple[Combination, ...] = ()
    """Each training, if seeds are repeated; ``score`` is then their mean."""

    @property
    def sd(self) -> float | None:
        """The standard deviation of the score between seeds."""
        scores = [row.score for row in self.of_seeds if row.score is not None]
        return stdev(scores) if len(scores) > 1 else None


@dataclass(frozen=True)
class MatrixOutcome:
    """All combinations, in the order in which they ran, and the best."""

    select: str
    combinations: tuple[Combination, ...]
    best: Combination | None
    run_dir: Path
    warnings: tuple[str, ...] = field(default=())


def run_matrix(plan: Plan, matrix: Matrix, listener: Listener = silent, **choice: Any) -> MatrixOutcome:
    """Run every combination, then publish the best under the pipeline's own name, with ``matrix.csv`` beside its report.

    A combination that fails becomes a row of the table; the others still run.

    Raises:
        PlanError: a combination of a grid is not a valid plan; nothing was run.
        UserError: every combination failed.
    """
    found: list[Combination] = []
    if matrix.search == "grid":
        for values in grid(matrix):
            plan_for(plan, values, 0)
    search = _optuna(matrix, plan.seed) if matrix.search == "optuna" else _Listed(matrix, plan.seed)
    for number, values in enumerate(search.draw(), 1):
        row = _run_seeds(plan, matrix, number, values, listener, choice)
        search.tell(row.score)
        found.append(row)
    scored = [row for row in found if row.score is not None]
    best = None
    if scored:
        best = (max if matrix.goal == "max" else min)(scored, key=lambda row: row.score or 0.0)
        run_plan(_named(plan, dict(best.values) | _seeds(plan, matrix, 1), plan.name), silent, draw=choice.get("draw"))
        _write_csv(plan.base_dir / "runs" / plan.name / "matrix.csv", matrix, found)
    elif all(row.error for row in found):
        raise UserError("every combination failed", found[-1].error)
    return MatrixOutcome(matrix.select, tuple(found), best, plan.base_dir / "runs" / plan.name, tuple(_doubts(matrix, found)))


def grid(matrix: Matrix) -> Iterator[dict[str, Any]]:
    """Every combination, the last name changing fastest."""
    lists = [choices for choices in matrix.values.values() if isinstance(choices, list)]
    for values in itertools.product(*lists):
        yield dict(zip(matrix.values, values, strict=True))


def known_plans(plan: Plan, matrix: Matrix) -> Iterator[Plan]:
    """The plans of all combinations; with Optuna only of the first, since the next ones depend on its result."""
    if matrix.search == "optuna":
        yield plan_for(plan, next(_optuna(matrix, plan.seed).draw()), 1)
        return
    for number, values in enumerate(_Listed(matrix, plan.seed).draw(), 1):
        for one in range(1, matrix.seeds + 1):
            yield plan_for(plan, dict(values) | _seeds(plan, matrix, one), number, one if matrix.seeds > 1 else 0)


def plan_for(plan: Plan, values: Mapping[str, Any], number: int, seed_number: int = 0) -> Plan:
    """The plan of one combination; number 0 only checks it."""
    return _named(plan, values, f"{plan.name}-{number}" + (f"-seed-{seed_number}" if seed_number else ""))


def _seeds(plan: Plan, matrix: Matrix, seed_number: int) -> dict[str, int]:
    """The seeds of one of the repeated trainings, as values; none if nothing is repeated. The first has the pipeline's seed."""
    if matrix.seeds == 1:
        return {}
    return {f"stages.{name}.{SEED}": plan.seed + seed_number - 1 for name in seeded_stages(plan)}


def _run_seeds(
    plan: Plan, matrix: Matrix, number: int, values: Mapping[str, Any], listener: Listener, choice: Mapping[str, Any]
) -> Combination:
    """Run a combination once, or once for each seed; its score is then the mean."""
    rows: list[Combination] = []
    total = matrix.num_combinations() * matrix.seeds
    for one in range(1, matrix.seeds + 1):
        place = (number - 1) * matrix.seeds + one
        shown = dict(values) if matrix.seeds == 1 else {**values, SEED: plan.seed + one - 1}
        listener("combination_started", number=place, total=total, values=shown)
        made = plan_for(plan, dict(values) | _seeds(plan, matrix, one), number, one if matrix.seeds > 1 else 0)
        row = _run_one(made, matrix, number, values, listener, choice)
        rows.append(row)
        listener("combination_finished", number=place, values=shown, score=row.score, headline=row.headline, error=row.error)
    if matrix.seeds == 1:
        return rows[0]
    scores = [row.score for row in rows if row.score is not None]
    error = next((row.error for row in rows if row.error), "")
    whole = Combination(number, values, f"{plan.name}-{number}", fmean(scores) if len(scores) == len(rows) else None)
    seconds, headline = sum(row.seconds for row in rows), rows[0].headline
    return replace(
        whole, headline=headline, seconds=seconds, error=error, selected_in=rows[0].selected_in, of_seeds=tuple(rows)
    )


def _named(plan: Plan, values: Mapping[str, Any], name: str) -> Plan:
    changes = [*plan.overrides, *(f"{key}={toml_text(value)}" for key, value in values.items()), f"name={json.dumps(name)}"]
    made = load_plan(plan.file, plan.table, base_dir=plan.base_dir, overrides=changes, registry=plan.registry)
    return replace(made, matrix=None)


def _run_one(
    made: Plan, matrix: Matrix, number: int, values: Mapping[str, Any], listener: Listener, choice: Mapping[str, Any]
) -> Combination:
    row = Combination(number, values, made.name)
    try:
        outcome = run_plan(made, listener, **choice)
    except PipekitError as error:
        return replace(row, error=str(error))
    place = next((step.artifact.path for step in outcome.stages if step.name == matrix.select.partition(".")[0]), None)
    score = score_of(outcome, matrix.select)
    return replace(row, score=score, headline=outcome.headline, seconds=outcome.seconds, selected_in=place)


def score_of(outcome: Outcome, select: str) -> float | None:
    """The value of ``stage.fact`` in a run: from the stage's metrics, or the first number in the text of the fact."""
    name, _, fact = select.partition(".")
    stage = next((step for step in outcome.stages if step.name == name), None)
    if stage is None:
        return None
    facts = {_spelling(other): value for other, value in stage.facts.items()}
    value = (stage.artifact.meta.get("metrics") or {}).get(fact, facts.get(_spelling(fact)))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    number = re.search(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", str(value)) if value is not None else None
    return float(number.group()) if number else None


def _spelling(fact: str) -> str:
    """One spelling for ``val_loss`` and ``val loss``, which are the same fact."""
    return fact.replace("_", " ")


def _doubts(matrix: Matrix, found: Sequence[Combination]) -> Iterator[str]:
    """Warnings about the choice of the best combination."""
    if "val" not in matrix.select and "loss" not in matrix.select:
        yield (
            f"the best was chosen by {matrix.select}. If that is a metric of the test split, it is now too optimistic: "
            "choose by val, and read test once."
        )
    missing = [row.number for row in found if row.score is None and not row.error]
    if missing:
        yield f"{matrix.select} has no number in {len(missing)} of {len(found)} runs; `pipekit runs show NAME` lists the facts"


def _write_csv(path: Path, matrix: Matrix, found: Sequence[Combination]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = PlainTable(file)
        repeated = matrix.seeds > 1
        columns = [matrix.select, *(["sd", *(f"seed {n}" for n in range(1, matrix.seeds + 1))] if repeated else [])]
        writer.writerow(["run", *matrix.values, *columns, "result", "seconds", "error"])
        for row in found:
            values = [toml_text(row.values[name]) for name in matrix.values]
            scores = [row.score, *([row.sd, *(one.score for one in row.of_seeds)] if repeated else [])]
            shown = ["" if score is None else f"{score:g}" for score in scores]
            writer.writerow([row.run, *values, *shown, row.headline, f"{row.seconds:.1f}", row.error])


# --- searches ------------------------------------------------------------------------------------------------------------


@dataclass
class _Listed:
    """A grid, or combinations drawn at random."""

    matrix: Matrix
    seed: int

    def draw(self) -> Iterator[dict[str, Any]]:
        if self.matrix.search == "grid":
            yield from grid(self.matrix)
            return
        from pipekit.rng import rng_for

        for number in range(self.matrix.trials):
            rng = rng_for(self.seed, "matrix", number)
            yield {name: _drawn(choices, rng) for name, choices in self.matrix.values.items()}

    def tell(self, score: float | None) -> None:
        """A fixed list of combinations ignores results."""


def _drawn(choices: list[Any] | Range, rng: Any) -> Any:
    if isinstance(choices, list):
        return choices[int(rng.integers(len(choices)))]
    ends = (math.log(choices.low), math.log(choices.high)) if choices.log else (choices.low, choices.high)
    value = float(rng.uniform(*ends))
    value = math.exp(value) if choices.log else value
    return round(value) if choices.whole else float(f"{value:.4g}")


def _optuna(matrix: Matrix, seed: int) -> Any:
    try:
        import optuna
    except ImportError:
        raise UserError(
            "matrix.search is 'optuna', which is not installed",
            "Install it: pip install 'pipekit-vision[optuna]'; or draw: random",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return _Optuna(matrix, seed, optuna)


@dataclass
class _Optuna:
    """Optuna's sampler, through its ask-and-tell interface."""

    matrix: Matrix
    seed: int
    optuna: Any
    trial: Any = None
    study: Any = None

    def draw(self) -> Iterator[dict[str, Any]]:
        direction = "maximize" if self.matrix.goal == "max" else "minimize"
        self.study = self.optuna.create_study(direction=direction, sampler=self.optuna.samplers.TPESampler(seed=self.seed))
        for _ in range(self.matrix.trials):
            self.trial = self.study.ask()
            yield {name: self._suggest(name, choices) for name, choices in self.matrix.values.items()}

    def _suggest(self, name: str, choices: list[Any] | Range) -> Any:
        if isinstance(choices, list):
            return choices[self.trial.suggest_categorical(name, list(range(len(choices))))]
        if choices.whole:
            return self.trial.suggest_int(name, int(choices.low), int(choices.high), log=choices.log)
        return float(f"{self.trial.suggest_float(name, choices.low, choices.high, log=choices.log):.4g}")

    def tell(self, score: float | None) -> None:
        failed = self.optuna.trial.TrialState.FAIL
        self.study.tell(self.trial, score) if score is not None else self.study.tell(self.trial, state=failed)
