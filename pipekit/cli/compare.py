"""``pipekit compare``: paired tests between the models of several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins
from pipekit.cli.options import with_options_of


@with_options_of("compare")
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
        typer.Option("--out", "-o", metavar="FILE.html", help="File of the page; default: compare.html", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON and write no page")] = False,
    plugin: Plugins = None,
    disable: Disabled = None,
    **params: Any,
) -> int:
    """Compare models on the same images: which is better, and may the difference be chance?

    Writes a page with paired tests, all metrics side by side, the images that only one model gets right, the parameters that
    differ, and the learning curves.
    """
    from pipekit import ui
    from pipekit.commands.compare import compare as compare_runs

    target = None if as_json else out or Path("compare.html")
    found = compare_runs(runs, target, plugins=plugin, disable=disable, **params)
    if as_json:
        ui.say_json(found.data)
        return 0
    for verdict in found.verdicts:
        ui.say(verdict)
    if any(pair["groups"] != "named" for pair in found.data["pairs"]):
        ui.note("The intervals hold if the images are independent: those of one patient, video or scene are not.")
    ui.note(f"More: {target}")
    return 0
