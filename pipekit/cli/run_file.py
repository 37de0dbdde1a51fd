"""What ``pipekit run`` does, with its options as values: it needs no Typer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.cli.showing import reporting

if TYPE_CHECKING:
    from pipekit.commands.run import Forecasts


def run_file(
    file: Path = Path("pipeline.toml"),
    *,
    dry_run: bool = False,
    changes: list[str] | None = None,
    resume: bool = False,
    until: str | None = None,
    only: str | None = None,
    again: list[str] | None = None,
    workers: int | None = None,
    executor: str | None = None,
    name: str | None = None,
    plugin: list[str] | None = None,
    disable: list[str] | None = None,
    trust: bool = False,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Run a pipeline file; returns the exit code. The arguments are the options of ``pipekit run``, with their defaults."""
    if not dry_run:
        from pipekit.cli.prestart import start_workers_for_file

        start_workers_for_file(file, workers, executor)
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
