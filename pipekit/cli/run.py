"""``pipekit run``: run a pipeline file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins, Trust
from pipekit.cli.run_file import run_file


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
    return run_file(
        file,
        dry_run=dry_run,
        changes=changes,
        resume=resume,
        until=until,
        only=only,
        again=again,
        workers=workers,
        executor=executor,
        name=name,
        plugin=plugin,
        disable=disable,
        trust=trust,
        as_json=as_json,
        quiet=quiet,
    )
