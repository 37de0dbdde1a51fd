"""``pipekit verify``: compare everything that is kept with its hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verify(
    folder: Annotated[Path, typer.Argument(help="The project: the folder of its pipeline file")] = Path(),
    repair: Annotated[
        bool, typer.Option("--repair", help="Move what is damaged aside, so that the next run makes it anew")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON, and nothing else")] = False,
) -> int:
    """Read every file in the store and compare it with the hash that it had when it was made.

    The next run notices by itself what a power cut left. This finds the rest: a drive that was pulled, a disk that fails,
    a file that somebody edited. Exit code 1: something is damaged and was not repaired.
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
        ui.table(("damaged", "what is wrong"), [(one.place, one.problem) for one in found.damage])
        done = "moved to damaged/; the next run makes them anew" if repair else "repair it: pipekit verify --repair"
        ui.say(f"\n{ui.plural(len(found.damage), 'folder')} of {found.num_folders:,} damaged; {done}.", ui.BAD)
    else:
        ui.say(f"All {found.num_folders:,} folders in {found.store} are whole.", ui.GOOD)
    return EXIT_FAILED if found.damage and not repair else 0
