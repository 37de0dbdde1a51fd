"""``pipekit gc``: free what no recent run uses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def gc(
    folder: Annotated[Path, typer.Argument(help="The project: the folder of its pipeline file")] = Path(),
    keep: Annotated[int, typer.Option(min=0, metavar="N", help="Keep what the newest N runs of each name use")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be freed; free nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Free it without asking")] = False,
) -> int:
    """Free what no recent run uses.

    In a folder that is no project it frees from the store in your cache folder, which such folders share; what runs of the
    others use is kept.

    Says what it would free and asks first. Results under runs/ and source images are never touched; what is freed is made anew
    when a run needs it again.
    """
    from pipekit import ui
    from pipekit.engine.run_folder import keys_in_use
    from pipekit.errors import EXIT_USAGE, UserError
    from pipekit.store.store import Store, find_garbage, shared_store, store_of

    if not folder.is_dir():
        raise UserError(f"no such folder: {folder}")
    root = store_of(folder.absolute())
    if not root.is_dir():
        ui.say(f"Nothing to free: there is no {root}.")
        return 0
    store = Store(root)
    garbage = find_garbage(store, keys_in_use(folder.absolute(), keep=keep))
    what = (
        f"{ui.plural(garbage.num_files, 'file')} in {ui.plural(len(garbage.folders), 'folder')}, {ui.size(garbage.size_bytes)}"
    )
    if root == shared_store():
        ui.note(f"{folder.absolute()} is no project; its store is {root}, shared with other folders.")
    if not garbage.folders:
        ui.say(f"Nothing to free: all that is in {root} is in use.")
        return 0
    if dry_run:
        ui.say(f"Would free {what}.")
        return 0
    if not yes:
        if not ui.can_ask():
            ui.say(f"Would free {what}.")
            ui.note("Nothing was freed. With --yes it is.")
            return EXIT_USAGE
        if not ui.confirm(f"Free {what}?"):
            ui.say("Nothing was freed.")
            return 0
    for place in garbage.folders:
        store.remove(place)
    ui.say(f"Freed {what}.")
    return 0
