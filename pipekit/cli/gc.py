"""``pipekit gc``: delete stored results that no recent run uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipekit.commands.gc import Garbage


def gc(
    folder: Annotated[Path, typer.Argument(help="Project folder: the folder of the pipeline file")] = Path(),
    min_age: Annotated[
        float,
        typer.Option(
            "--min-age", min=0, metavar="HOURS", help="Keep results that were made or used within this number of hours"
        ),
    ] = 24,
    keep: Annotated[int, typer.Option(min=0, metavar="N", help="Keep the results that the newest N runs of each name use")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would be deleted; delete nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking")] = False,
) -> int:
    """Delete stored results that no recent run uses.

    Shows what would be deleted and asks first. Results under runs/ and source images are never touched. A deleted result is
    recomputed when a run needs it again.

    Folders that are not projects share one store in your cache folder. Run there, the command deletes from that store and keeps
    what runs of the other folders use.
    """
    from pipekit import ui
    from pipekit.commands.gc import gc as free
    from pipekit.errors import EXIT_USAGE

    unasked = not (yes or dry_run or ui.can_ask())

    def agree(found: Garbage) -> bool:
        say_where(found, folder)
        return yes or ui.confirm(f"Free {what(found)}?")

    found = free(folder, keep=keep, min_age_hours=min_age, dry_run=dry_run or unasked, agree=agree)
    is_empty = not (found.num_folders or found.num_files)
    if is_empty or dry_run or unasked:
        say_where(found, folder)
    if not found.store.is_dir():
        ui.say(f"Nothing to free: there is no {found.store}.")
    elif is_empty:
        young = f", or was used within {min_age:g} hours (--min-age 0 frees that too)" if min_age else ""
        ui.say(f"Nothing to free: all that is in {found.store} is in use{young}.")
    elif dry_run or unasked:
        ui.say(f"Would free {what(found)}.")
    else:
        ui.say(f"Freed {what(found)}." if found.freed else "Nothing was freed.")
    if unasked and not is_empty:
        ui.note("Nothing was freed. With --yes it is.")
        return EXIT_USAGE
    return 0


def say_where(found: Garbage, folder: Path) -> None:
    """Say that a store is not the folder's own."""
    from pipekit import ui

    if found.shared and found.store.is_dir():
        ui.note(f"{folder.absolute()} is no project; its store is {found.store}, shared with other folders.")


def what(found: Garbage) -> str:
    """``12 files in 3 folders, 4.1 MB``."""
    from pipekit import ui

    folders = f" in {ui.plural(found.num_folders, 'folder')}" if found.num_folders else ""
    return f"{ui.plural(found.num_files, 'file')}{folders}, {ui.size(found.size_bytes)}"
