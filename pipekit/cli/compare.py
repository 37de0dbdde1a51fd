"""``pipekit compare``: which of several runs has the better model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins
from pipekit.commands.working import registry_with


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Two or more runs (runs/NAME), or RUN:STAGE; the others are compared with the first",
            autocompletion=complete.runs_here,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.html", help="Where the page goes; default: compare.html", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON, write no page")] = False,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Say which model is better on the same images, and whether the difference may be chance.

    Writes a page with the paired tests, all figures side by side, the images that changed sides, what was done differently
    and the learning curves.
    """
    import json

    from pipekit import ui
    from pipekit.contract import Report
    from pipekit.engine.adhoc import AdhocPipeline, find_artifact
    from pipekit.errors import UserError

    registry = registry_with(plugin, disable)
    if len(runs) < 2:
        raise UserError("a comparison needs at least two runs", "For example: pipekit compare runs/first runs/second")
    adhoc = AdhocPipeline(registry=registry)
    slots = []
    for place, run in enumerate(runs):
        report = find_artifact(run, Report, adhoc.base_dir)
        if report is None:
            raise UserError(f"no report in {run}", "Give runs whose pipeline has an `evaluate` stage: pipekit runs")
        slots.append(adhoc.give(f"report_{place}", report))
    adhoc.add("compare", "compare", reports=slots, names=_names(runs))
    outcome = adhoc.run()
    folder = outcome.stages[-1].artifact.path
    found = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    if as_json:
        ui.say_json(found)
        return 0
    target = out or Path("compare.html")
    ui.write_text(target, (folder / "compare.html").read_text(encoding="utf-8"))
    for pair in found["pairs"]:
        ui.say(pair["verdict"])
    ui.note(f"More: {target}")
    return 0


def _names(runs: list[str]) -> list[str]:
    """The last part of each, or the whole where that is not enough to tell them apart."""
    short = [Path(run).name or run for run in runs]
    return short if len(set(short)) == len(short) else [f"{run} ({place})" for place, run in enumerate(runs, 1)]
