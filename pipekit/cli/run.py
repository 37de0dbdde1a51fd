"""``pipekit run``: run a pipeline file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins, Trust
from pipekit.cli.showing import reporting as reporting

if TYPE_CHECKING:
    from pipekit.commands.run import Forecasts


def run(
    file: Annotated[Path, typer.Argument(help="The pipeline file, or the folder of a pipeline.toml")] = Path("pipeline.toml"),
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show which stages would run, and why; run nothing")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Override a value of the file: stages.train.epochs=2", show_default=False
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Only resume a stopped run; an error if there is none")] = False,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE", help="Run this stage and the stages that it needs", autocompletion=complete.stages_of_file
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE", help="Run only this stage; its inputs must be finished", autocompletion=complete.stages_of_file
        ),
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE",
            help="Run this stage again, even if it is finished",
            autocompletion=complete.stages_of_file,
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many shards run at once; the result is the same")
    ] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Executor that runs the shards", autocompletion=complete.executors)
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run; results are in runs/NAME/")] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    trust: Trust = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON events, one per line, on stdout")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result")] = False,
) -> int:
    """Run a pipeline file; finished stages come from the cache.

    A stage whose inputs and parameters are unchanged is taken from the cache. A stopped run, even one stopped by kill -9,
    resumes where it was; with --resume it is an error if nothing can be resumed. Results are in runs/NAME/ beside the file.
    """
    from pipekit import ui
    from pipekit.cli.showing import show_verb
    from pipekit.commands.run import forecast, local_plugins_of
    from pipekit.commands.run import run as run_file
    from pipekit.engine.matrix import MatrixOutcome
    from pipekit.errors import EXIT_FAILED
    from pipekit.ui.combinations import show_combinations

    given: dict[str, Any] = {
        "again": tuple(again or ()),
        "workers": workers,
        "executor": executor,
        "name": name,
        "plugins": plugin,
        "disable": disable,
        "trust": trust or asked_for_trust(file, plugin, disable, as_json),
    }
    if dry_run:
        display = ui.run_display(as_json, quiet)
        with reporting(display, as_json):
            found = forecast(file, changes or (), until=until or only, listener=display, **given)
            show_forecast(found, display if as_json else None)
        return 0
    code, outcome = show_verb(
        as_json,
        quiet,
        lambda display: run_file(file, changes or (), until=until, only=only, resume=resume, listener=display, **given),
    )
    if isinstance(outcome, MatrixOutcome):
        if not as_json:
            show_combinations(outcome)
        return EXIT_FAILED if any(row.error for row in outcome.combinations) else code
    if code == 0 and outcome is not None and not (as_json or resume or until or only or again):
        from pipekit.cli.unchanged import remember

        remember(outcome, [one.name for one in local_plugins_of(file, plugin, disable)])
    return code


def asked_for_trust(file: Path, plugin: list[str] | None, disable: list[str] | None, as_json: bool) -> bool:
    """Ask whether local plugins that are met for the first time are to be loaded. Nobody is asked in CI."""
    import os

    from pipekit import ui
    from pipekit.commands.run import local_plugins_of
    from pipekit.registry.trust import untrusted

    new = untrusted(local_plugins_of(file, plugin, disable))
    if not new or as_json or os.environ.get("CI") or not ui.can_ask():
        return False
    for one in new:
        ui.say(f"{file} loads {one.name}, which you have not trusted yet: {one.path}", ui.WARN)
    ui.say("A plugin is code that runs with all your rights. Read it first. What you trust is its path: later edits too.")
    return ui.confirm("Trust and load it?" if len(new) == 1 else "Trust and load them?")


def show_forecast(found: Forecasts, display: Callable[..., None] | None) -> None:
    """Print the result of ``--dry-run``: whether each stage is cached or will run, and why; as events for other programs."""
    from pipekit import ui

    if found.num_combinations:
        ui.note(f"[matrix]: {found.num_combinations} combinations; the table shows the pipeline without them.")
    if display is not None:
        for step in found.steps:
            display("forecast", stage=step.stage, use=step.use, state=step.state, reason=step.reason)
        return
    states = {
        "cached": ui.coloured("cached", ui.DIM),
        "run": ui.coloured("will run", ui.NAME),
        "depends": ui.coloured("may run", ""),
    }
    rows = [(step.stage, step.use, states.get(step.state) or ui.coloured(step.state, ""), step.reason) for step in found.steps]
    ui.table(("stage", "use", "state", "why"), rows)
