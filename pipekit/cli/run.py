"""``pipekit run``: run a pipeline file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins

if TYPE_CHECKING:
    from pipekit.engine.run import Outcome
    from pipekit.pipeline.matrix_table import Matrix
    from pipekit.pipeline.plan import Plan
    from pipekit.ui.progress import RunDisplay

T = TypeVar("T")

RESUME = "Finished shards are kept; run the same command again to continue."


def run(
    file: Annotated[Path, typer.Argument(help="The pipeline file, or the folder of a pipeline.toml")] = Path("pipeline.toml"),
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would run, and why; run nothing")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Override a value of the file: stages.train.epochs=2", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only go on with a run that was stopped; an error where there is none")
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="Run this stage and all that it needs", autocompletion=complete.stages_of_file),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE", help="Run this stage alone; its inputs must be done", autocompletion=complete.stages_of_file
        ),
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE", help="Run this stage though it is done", autocompletion=complete.stages_of_file, show_default=False
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many shards run at once; the result is the same")
    ] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where shards run", autocompletion=complete.executors)
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The run's name: its results are in runs/NAME/")] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line on stdout, and nothing else")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and the result")] = False,
) -> int:
    """Run a pipeline file, or as much of it as is not done yet.

    Each stage whose inputs and parameters are unchanged is taken from the cache. A run that was stopped, even by kill -9,
    continues where it was; --resume makes sure that it does. Results are in runs/NAME/ beside the file.
    """
    from pipekit import ui
    from pipekit.commands.working import refuse_broken, refuse_unknown
    from pipekit.pipeline.matrix_table import matrix_of
    from pipekit.pipeline.plan import load_plan

    overrides = list(changes or ())
    for key, value in (("workers", workers), ("executor", executor), ("name", name)):
        if value is not None:
            overrides.append(f"{key}={json.dumps(value)}")
    display = ui.run_display(as_json, quiet)
    with reporting(display, as_json):
        file = file / "pipeline.toml" if file.is_dir() else file
        plan = load_plan(file, overrides=overrides, plugins=tuple(plugin or ()), disabled=tuple(disable or ()))
        refuse_broken(plan.registry, plugin or ())
        refuse_unknown(plan.registry, disable or ())
        matrix = matrix_of(plan)
        if dry_run:
            if matrix is not None:
                ui.note(f"[matrix]: {matrix.num_combinations()} combinations; shown is the pipeline without them.")
            return show_forecast(plan, display, as_json, until or only, tuple(again or ()))
        if resume:
            refuse_a_new_start(plan, None if until or only else matrix, until or only)
        if matrix is not None and not (until or only):
            return run_combinations(plan, matrix, as_json, quiet, tuple(again or ()))
        return show_plan_run(plan, display, until=until, only=only, again=tuple(again or ()))[0]


def refuse_a_new_start(plan: Plan, matrix: Matrix | None, until: str | None) -> None:
    """``--resume``: nothing may begin that was not begun before."""
    from pipekit.engine.matrix import known_plans
    from pipekit.engine.resume_check import check_any_resumable, check_resumable

    if matrix is None:
        check_resumable(plan, until)
    else:
        check_any_resumable(known_plans(plan, matrix), plan.name)


class reporting:  # noqa: N801 (reads as a phrase: with reporting(display))
    """Tells machines of an error too: with ``--json`` it becomes an event before it is printed on stderr."""

    def __init__(self, display: RunDisplay, as_json: bool) -> None:
        self.display, self.as_json = display, as_json

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: Any) -> None:
        from pipekit.errors import PipekitError, PlanError

        if self.as_json and isinstance(failure, PipekitError):
            problems = failure.problems if isinstance(failure, PlanError) else ()
            listed = [{"path": p.path, "message": p.message, "hint": p.hint, "line": p.line} for p in problems]
            self.display("error", message=failure.message, where=failure.where, hint=failure.hint, problems=listed)


def shown(display: RunDisplay, as_json: bool, verb: Callable[[], T]) -> tuple[int, T | None]:
    """Call a verb under a display; errors are events too with ``--json``, and Ctrl-C is answered in words.

    Returns:
        The exit code, and what the verb returned: None where it was stopped.
    """
    from pipekit import ui
    from pipekit.errors import EXIT_INTERRUPTED

    with reporting(display, as_json):
        try:
            with display:
                return 0, verb()
        except KeyboardInterrupt:
            ui.note(f"Stopped. {RESUME}")
            return EXIT_INTERRUPTED, None


def show_plan_run(plan: Plan, display: RunDisplay, **choice: Any) -> tuple[int, Outcome | None]:
    """Run a checked plan under a display; Ctrl-C is answered in words. Returns the exit code and what was made."""
    from pipekit import ui
    from pipekit.engine.run import run_plan as run_stages
    from pipekit.errors import EXIT_INTERRUPTED

    try:
        with display:
            return 0, run_stages(plan, display, **choice)
    except KeyboardInterrupt:
        ui.note(f"Stopped. {RESUME}")
        return EXIT_INTERRUPTED, None


def run_combinations(plan: Plan, matrix: Matrix, as_json: bool, quiet: bool, again: tuple[str, ...]) -> int:
    """Run a pipeline with ``[matrix]``: a line for each combination, a table at the end."""
    from pipekit import ui
    from pipekit.engine.matrix import run_matrix
    from pipekit.errors import EXIT_FAILED, EXIT_INTERRUPTED
    from pipekit.ui.combinations import CombinationsDisplay

    display = CombinationsDisplay(lambda: ui.run_display(as_json, quiet), as_json)
    try:
        with display:
            outcome = run_matrix(plan, matrix, display, again=again)
    except KeyboardInterrupt:
        ui.note(f"Stopped. {RESUME}")
        return EXIT_INTERRUPTED
    if not as_json:
        display.summary(outcome)
    return EXIT_FAILED if any(row.error for row in outcome.combinations) else 0


def show_forecast(plan: Plan, display: RunDisplay, as_json: bool, until: str | None, again: tuple[str, ...]) -> int:
    """``--dry-run``: each stage, whether it is cached or will run, and why."""
    from pipekit import ui
    from pipekit.engine.run import forecast

    found = forecast(plan, until, again)
    if as_json:
        for step in found:
            display("forecast", stage=step.stage, use=step.use, state=step.state, reason=step.reason)
        return 0
    states = {
        "cached": ui.coloured("cached", ui.DIM),
        "run": ui.coloured("will run", ui.NAME),
        "depends": ui.coloured("may run", ""),
    }
    rows = [(step.stage, step.use, states.get(step.state) or ui.coloured(step.state, ""), step.reason) for step in found]
    ui.table(("stage", "use", "state", "why"), rows)
    return 0
