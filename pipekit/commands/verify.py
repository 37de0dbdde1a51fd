"""The verb ``verify``: check every file of a store against its hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.errors import UserError
from pipekit.files import expanded

if TYPE_CHECKING:
    from pipekit.store.verify import Damage


@dataclass(frozen=True)
class Verified:
    """The result of the check.

    Attributes:
        store: the folder of the store.
        num_folders: number of folders (shards and results of stages) that were compared.
        damage: the damaged folders, with the reason.
        repaired: whether these were moved to ``damaged/``, so that the next run recomputes them.
    """

    store: Path
    num_folders: int
    damage: tuple[Damage, ...]
    repaired: bool


def verify(folder: str | Path = ".", *, repair: bool = False, progress: Callable[[int, int], None] | None = None) -> Verified:
    """Read every file that pipekit keeps for a project and compare it with the hash that was recorded when it was written.

    The next run detects damage from a power cut by itself. This function also finds damage from a drive that was pulled, a
    failing disk, or an edited file.

    Args:
        folder: the project: the folder of its pipeline file.
        repair: move damaged folders to the store's ``damaged/``, so that the next run recomputes them.
        progress: called with the number of finished folders and their total.

    Raises:
        UserError: there is no such folder, or nothing has been run there.

    Example:
        >>> pipekit.verify("photos-project").damage  # doctest: +SKIP
        ()
    """
    from pipekit.store.store import Store, store_of
    from pipekit.store.verify import places_in
    from pipekit.store.verify import verify as compare

    base = expanded(folder).absolute()
    if not base.is_dir():
        raise UserError(f"no such folder: {folder}")
    root = store_of(base)
    if not root.is_dir():
        raise UserError(f"nothing to verify: there is no {root}", "The first run creates the store.")
    store = Store(root, read_only=not repair)
    return Verified(root, len(places_in(store)), tuple(compare(store, repair=repair, progress=progress)), repair)
