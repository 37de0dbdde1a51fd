"""``[matrix]``: a pipeline for each combination of values, sharing all cached results, and a table of the outcomes.

::

    [matrix]
    select = "train.val_accuracy"
    values = { "train.model.dropout" = [0.0, 0.5], "train.augment" = [[], "light"] }

Each name is one that ``--set`` takes. ``select`` names the fact of a stage that decides which combination is best. Use one of
the val split: choosing by the test split makes the winner's test metric too optimistic.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pipekit.contract import Call, Trial
from pipekit.engine.outcome import Listener, Outcome
from pipekit.engine.run import run_plan, silent
from pipekit.engine.searches import Search, first_of_each, grid
from pipekit.errors import PipekitError, UserError
from pipekit.files import PlainTable
from pipekit.pipeline.matrix_table import GRID, SEED, Matrix, seeded_stages
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
    """Run each combination, then publish the best under the pipeline's own name, with ``matrix.csv`` beside its report.

    A combination that fails becomes a row of the table; the others still run.

    Raises:
        PlanError: a combination of a grid, or the first value of each name, is not a valid plan; nothing was run.
        PluginError: the search failed, or it proposed something that is not among the values.
        UserError: every combination failed.
    """
    plan = replace(plan, search=matrix.search if isinstance(matrix.search, Call) else None)
    found: list[Combination] = []
    for values in grid(matrix) if matrix.search == GRID else [first_of_each(matrix)]:
        plan_for(plan, values, 0)
    search, trials = Search(matrix, plan.seed), list[Trial]()
    for number, values in enumerate(search.run(trials), 1):
        row = _run_seeds(plan, matrix, number, search.total, values, listener, choice)
        trials.append(Trial(values, row.score, row.error))
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


def known_plans(plan: Plan, matrix: Matrix) -> Iterator[Plan]:
    """The plans of all combinations; of a search that goes by results only the first, since the next ones depend on it."""
    for number, values in enumerate(Search(matrix, plan.seed).known(), 1):
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
    plan: Plan,
    matrix: Matrix,
    number: int,
    of: int,
    values: Mapping[str, Any],
    listener: Listener,
    choice: Mapping[str, Any],
) -> Combination:
    """Run a combination once, or once for each seed; its score is then the mean."""
    rows: list[Combination] = []
    for one in range(1, matrix.seeds + 1):
        place = (number - 1) * matrix.seeds + one
        shown = dict(values) if matrix.seeds == 1 else {**values, SEED: plan.seed + one - 1}
        listener("combination_started", number=place, total=of * matrix.seeds, values=shown)
        row = _run_one(plan, matrix, number, one, values, listener, choice)
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
    return replace(made, matrix=None, search=plan.search, combination_of="" if name == plan.name else plan.name)


def _run_one(
    plan: Plan,
    matrix: Matrix,
    number: int,
    seed_number: int,
    values: Mapping[str, Any],
    listener: Listener,
    choice: Mapping[str, Any],
) -> Combination:
    row = Combination(number, values, f"{plan.name}-{number}")
    try:
        made = plan_for(plan, dict(values) | _seeds(plan, matrix, seed_number), number, seed_number if matrix.seeds > 1 else 0)
        row = replace(row, run=made.name)
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
