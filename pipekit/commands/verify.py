"""``verify``: compare everything in a store with its hashes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.errors import UserError

if TYPE_CHECKING:
    from pipekit.store.verify import Damage


@dataclass(frozen=True)
class Verified:
    """What was found in a store.

    Attributes:
        store: the folder of the store.
        num_folders: folders (shards and results of stages) that were compared.
        damage: those that are not what was put there, with the reason.
        repaired: whether these were moved to ``damaged/``, so that the next run makes them anew.
    """

    store: Path
    num_folders: int
    damage: tuple[Damage, ...]
    repaired: bool


def verify(folder: str | Path = ".", *, repair: bool = False, progress: Callable[[int, int], None] | None = None) -> Verified:
    """Read every file that pipekit keeps for a project and compare it with the hash that it had when it was made.

    The next run notices by itself what a power cut left. This finds the rest: a drive that was pulled, a disk that fails,
    a file that somebody edited.

    Args:
        folder: the project: the folder of its pipeline file.
        repair: move what is damaged to the store's ``damaged/``, so that the next run makes it anew.
        progress: called with the number of folders that are done and their total.

    Raises:
        UserError: there is no such folder, or nothing was ever run there.

    Example:
        >>> pipekit.verify("photos-project").damage  # doctest: +SKIP
        ()
    """
    from pipekit.store.store import Store, store_of
    from pipekit.store.verify import places_in
    from pipekit.store.verify import verify as compare

    base = Path(folder).expanduser().absolute()
    if not base.is_dir():
        raise UserError(f"no such folder: {folder}")
    root = store_of(base)
    if not root.is_dir():
        raise UserError(f"nothing to verify: there is no {root}", "A store is made by the first run.")
    store = Store(root, read_only=not repair)
    return Verified(root, len(places_in(store)), tuple(compare(store, repair=repair, progress=progress)), repair)
