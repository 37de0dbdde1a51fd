"""``pipekit verify``: check every stored file against its hash."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verify(
    folder: Annotated[Path, typer.Argument(help="Project folder: the folder of the pipeline file")] = Path(),
    repair: Annotated[
        bool, typer.Option("--repair", help="Move damaged results aside, so that the next run recomputes them")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the result, as JSON")] = False,
) -> int:
    """Read every file in the store and compare it with the hash that was recorded when it was written.

    The next run detects damage from a power cut by itself. This command also finds damage from a drive that was pulled, a
    failing disk, or an edited file. Exit code 1: something is damaged and was not repaired.
    """
    from dataclasses import asdict

    from pipekit import ui
    from pipekit.commands.verify import verify as compare
    from pipekit.errors import EXIT_FAILED
    from pipekit.ui.counting import counting

    with counting("folder") as progress:
        found = compare(folder, repair=repair, progress=progress)
    if as_json:
        ui.say_json({"store": str(found.store), "folders": found.num_folders, "damage": [asdict(one) for one in found.damage]})
    elif found.damage:
        ui.table(("damaged", "problem"), [(one.place, one.problem) for one in found.damage])
        done = "moved to damaged/; the next run recomputes them" if repair else "repair it: pipekit verify --repair"
        ui.say(f"\n{ui.plural(len(found.damage), 'folder')} of {found.num_folders:,} damaged; {done}.", ui.BAD)
    else:
        ui.say(f"All {found.num_folders:,} folders in {found.store} are whole.", ui.GOOD)
    return EXIT_FAILED if found.damage and not repair else 0
