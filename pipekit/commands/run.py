"""Run a pipeline file, or forecast a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.contact_sheet import draw_sheet
from pipekit.commands.working import refuse_broken, refuse_unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.engine.forecast import Forecast
    from pipekit.engine.matrix import MatrixOutcome
    from pipekit.engine.outcome import Listener, Outcome
    from pipekit.pipeline.plan import Plan
    from pipekit.registry.trust import LocalPlugin, Meet

Changes = Mapping[str, Any] | Sequence[str]


@dataclass(frozen=True)
class Forecasts(Brief):
    """The forecast of a run.

    Attributes:
        steps: each stage, whether it is cached or will run, and why.
        num_combinations: number of combinations in ``[matrix]``; 0 without one. ``steps`` are those of the pipeline without
            a matrix.
    """

    steps: tuple[Forecast, ...]
    num_combinations: int = 0

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_forecasts

        return of_forecasts(self)


def run(
    file: str | Path = "pipeline.toml",
    changes: Changes = (),
    *,
    until: str | None = None,
    only: str | None = None,
    again: Sequence[str] = (),
    resume: bool = False,
    workers: int | None = None,
    executor: str | None = None,
    name: str | None = None,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    trust: bool = False,
    listener: Listener | None = None,
) -> Outcome | MatrixOutcome:
    """Run a pipeline file; finished stages come from the cache. With ``[matrix]``, run every combination.

    Args:
        file: the pipeline file, or the folder of a ``pipeline.toml``.
        changes: values that override the file's: ``{"stages.train.epochs": 2}``, or as ``--set`` takes them.
        until: run this stage and the stages that it needs; a matrix is not run.
        only: run only this stage; its inputs must be finished.
        again: stages to run again, even if they are finished.
        resume: only resume a stopped run; an error if there is none.
        workers: number of shards that run at once; the result is the same.
        executor: the executor that runs the shards.
        name: the run's name: its results are in ``runs/NAME/`` beside the file.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.
        trust: load the local plugins that the file names, and remember that they are trusted.
        listener: receives each event of the run.

    Returns:
        The run; for a pipeline with ``[matrix]``, all its combinations and the best.

    Raises:
        PlanError: the file has mistakes; nothing was run.
        UserError: the selection makes no sense, or, with ``resume``, there is nothing to resume; or the file names a local
            plugin that nobody has trusted.
        StageError: a stage failed; finished work is kept.

    Example:
        >>> import pipekit
        >>> pipekit.run("pets/pipeline.toml", {"stages.train.epochs": 2}).headline  # doctest: +SKIP
        'test accuracy 0.917 (95 % interval 0.730 to 0.990), 24 images'
    """
    from pipekit.commands.progress import listener_or_progress
    from pipekit.commands.shown import shown, shown_matrix
    from pipekit.engine.matrix import known_plans, run_matrix
    from pipekit.engine.resume import check_any_resumable, check_resumable
    from pipekit.engine.run import forecast as foresee
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.matrix_table import matrix_of

    plan = plan_of(file, changes, workers, executor, name, plugins, disable, meeting(trust, listener))
    matrix = None if until or only else matrix_of(plan)
    if resume and matrix is None:
        check_resumable(plan.name, foresee(plan, until or only))
    elif resume and matrix is not None:
        check_any_resumable(plan.name, map(foresee, known_plans(plan, matrix)))
    if matrix is not None:
        outcome = run_matrix(plan, matrix, listener_or_progress(listener), again=tuple(again), draw=draw_sheet)
        return shown_matrix(with_flattery(with_recipes(plan, outcome)))
    return shown(run_plan(plan, listener_or_progress(listener), until=until, only=only, again=tuple(again), draw=draw_sheet))


def with_recipes(plan: Plan, outcome: MatrixOutcome) -> MatrixOutcome:
    """Where seeds are repeated, publish each combination's reports as one run, which `compare` takes as a recipe."""
    from dataclasses import replace

    from pipekit.contract import Report
    from pipekit.engine.adhoc import AdhocPipeline, find_artifact
    from pipekit.engine.run import run_plan, silent
    from pipekit.errors import UserError

    rows = []
    for row in outcome.combinations:
        if not row.of_seeds or row.error:
            rows.append(row)
            continue
        pipeline = AdhocPipeline(base_dir=plan.base_dir, registry=plan.registry, settings={"name": row.run})
        slots = []
        for number, one in enumerate(row.of_seeds):
            try:
                found = find_artifact(str(Path("runs", one.run)), Report, plan.base_dir)
            except UserError:  # a pipeline without a report
                found = None
            if found is not None:
                slots.append(pipeline.give(f"report_{number}", found))
        if len(slots) < len(row.of_seeds):
            rows.append(row)
            continue
        seeds = list(range(plan.seed, plan.seed + len(slots)))
        pipeline.add("report", "average", reports=slots, seeds=seeds)
        rows.append(replace(row, headline=run_plan(pipeline.plan(), silent).headline))
    best = next((row for row in rows if outcome.best is not None and row.number == outcome.best.number), None)
    return replace(outcome, combinations=tuple(rows), best=best)


def with_flattery(outcome: MatrixOutcome) -> MatrixOutcome:
    """Where the accuracy of a report chose the best combination, warn by how much that flatters it."""
    from dataclasses import replace

    rows = [row for row in outcome.combinations if row.score is not None]
    folders = [one.selected_in for row in rows for one in row.of_seeds or (row,)]
    if outcome.best is None or len(rows) < 2 or outcome.select.partition(".")[2] != "accuracy":
        return outcome
    correct = correct_in([folder for folder in folders if folder is not None])
    if correct is None or len(correct) != len(folders):
        return outcome
    seeds = len(rows[0].of_seeds) or 1
    correct = correct.reshape(len(rows), seeds, -1).mean(axis=1)  # what a recipe is expected to get right
    from pipekit.learning.selection import flattery
    from pipekit.rng import rng_for

    luck, score = flattery(correct, rng_for(0, "flattery")), float(correct.mean(axis=1).max())
    words = (
        f"the accuracy of the best of {len(rows)} runs is measured on the images that chose it: about {100 * luck:.1f} points "
        f"of its {score:.3f} are luck. Expect about {score - luck:.3f} on other images"
    )
    return replace(outcome, warnings=(*outcome.warnings, words))


def correct_in(reports: Sequence[Path]) -> NDArray[np.bool_] | None:
    """``(reports, images)``: which predictions are correct, on the images that all reports have; None if one has none."""
    import csv

    import numpy as np

    from pipekit.files import plain_rows

    found: list[dict[str, bool]] = []
    for folder in reports:
        if not (folder / "predictions.csv").exists():
            return None
        with (folder / "predictions.csv").open(encoding="utf-8", newline="", errors="surrogateescape") as file:
            found.append({row["id"]: row.get("correct") == "1" for row in plain_rows(csv.DictReader(file))})
    shared = sorted(set.intersection(*map(set, found))) if found else []
    return np.array([[one[name] for name in shared] for one in found], np.bool_) if shared else None


def forecast(
    file: str | Path = "pipeline.toml",
    changes: Changes = (),
    *,
    until: str | None = None,
    again: Sequence[str] = (),
    workers: int | None = None,
    executor: str | None = None,
    name: str | None = None,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    trust: bool = False,
    listener: Listener | None = None,
) -> Forecasts:
    """Forecast what :func:`run` would do with each stage, and why; nothing is run or written.

    Args:
        file, changes, until, again, workers, executor, name, plugins, disable, trust: as :func:`run` takes them.

    Raises:
        PlanError: the file has mistakes.

    Example:
        >>> import pipekit
        >>> [(step.stage, step.state) for step in pipekit.forecast("pets").steps]  # doctest: +SKIP
        [('data', 'cached'), ('split', 'run'), ('train', 'depends')]
    """
    from pipekit.engine.run import forecast as foresee
    from pipekit.pipeline.matrix_table import matrix_of

    plan = plan_of(file, changes, workers, executor, name, plugins, disable, meeting(trust, listener))
    matrix = matrix_of(plan)
    return Forecasts(tuple(foresee(plan, until, tuple(again))), 0 if matrix is None else matrix.num_combinations())


def meeting(trust: bool, listener: Listener | None) -> Meet:
    """What happens when local plugins are met: each is an event, and those that nobody has trusted are an error."""

    def meet(plugins: Sequence[LocalPlugin]) -> None:
        from pipekit.registry import trust as trusting

        if trust:
            try:
                trusting.trust(plugins)
            except OSError as error:
                if listener is not None:
                    words = f"that you trust {plugins[0].name} can't be kept in {trusting.config_file()}: {error.strerror}"
                    listener("warning", stage="", message=words)
        else:
            trusting.refuse_untrusted(plugins)
        if listener is not None:
            for one in plugins:
                listener("loads", plugin=one.name, path=str(one.path))

    return meet


def local_plugins_of(
    file: str | Path, plugins: Sequence[str] | None = (), disable: Sequence[str] | None = ()
) -> tuple[LocalPlugin, ...]:
    """The local plugins that a pipeline file names; none if it can't be read, which the run will say."""
    import tomllib

    from pipekit.registry.trust import local_plugins

    path = Path(file)
    path = path / "pipeline.toml" if path.is_dir() else path
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8-sig")).get("plugins", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return ()
    listed = listed if isinstance(listed, list) else []
    return local_plugins(listed, path.absolute().parent, plugins or (), disable or (), path.name)


def plan_of(
    file: str | Path,
    changes: Changes,
    workers: int | None,
    executor: str | None,
    name: str | None,
    plugins: Sequence[str] | None,
    disable: Sequence[str] | None,
    meet: Meet,
) -> Plan:
    """The checked plan of a pipeline file."""
    from pipekit.pipeline.plan import load_plan
    from pipekit.registry.param_rows import toml_text

    if isinstance(changes, Mapping):
        changes = [f"{key}={toml_text(value)}" for key, value in changes.items()]
    overrides = list(changes)
    for key, value in (("workers", workers), ("executor", executor), ("name", name)):
        if value is not None:
            overrides.append(f"{key}={json.dumps(value)}")
    path = Path(file)
    path = path / "pipeline.toml" if path.is_dir() else path
    plan = load_plan(path, overrides=overrides, plugins=tuple(plugins or ()), disabled=tuple(disable or ()), meet=meet)
    refuse_broken(plan.registry, plugins or ())
    refuse_unknown(plan.registry, disable or ())
    return plan
