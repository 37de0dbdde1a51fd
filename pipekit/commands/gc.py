"""Delete stored results that no recent run uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pipekit.errors import UserError

RECORDS_KEPT = 100
"""Number of newest runs of each name whose records stay, however old they are; a record takes some 20 kB."""


@dataclass(frozen=True)
class Garbage:
    """Stored results that no recent run uses.

    Attributes:
        store: the store that holds them.
        shared: whether other folders use that store too, because the folder is not a project.
        freed: whether they were deleted.
    """

    store: Path
    shared: bool = False
    num_folders: int = 0
    num_files: int = 0
    size_bytes: int = 0
    freed: bool = False


def gc(
    folder: str | Path = ".",
    *,
    keep: int = 3,
    min_age_hours: float = 24,
    dry_run: bool = False,
    agree: Callable[[Garbage], bool] | None = None,
) -> Garbage:
    """Delete stored results that no recent run uses. Results under ``runs/`` and source images are never touched.

    Args:
        folder: the project: the folder of its pipeline file. For a folder that is not a project, the store in the cache
            folder, which such folders share; results that runs of the other folders use are kept.
        keep: number of newest runs of each name whose results are kept, at least 0.
        min_age_hours: keep results that were made or used within this number of hours. Results that a running run may use are
            always kept. So are the records of the newest 100 runs of each name, which :func:`~pipekit.runs` lists.
        dry_run: only report what would be deleted.
        agree: called before anything is deleted, with what would be; False keeps everything.

    Returns:
        What was, or would be, deleted.

    Raises:
        UserError: there is no such folder.

    Example:
        >>> import pipekit
        >>> pipekit.gc("pets", keep=1, dry_run=True).size_bytes  # doctest: +SKIP
        48213004
    """
    from pipekit.engine.run_folder import keys_in_use
    from pipekit.store.store import Store, find_garbage, free, limit_of_age, shared_store, store_of

    place = Path(folder)
    if not place.is_dir():
        raise UserError(f"no such folder: {folder}")
    if keep < 0 or min_age_hours < 0:
        raise UserError(f"keep and min_age_hours must be at least 0, got {keep} and {min_age_hours}")
    root = store_of(place.absolute())
    found = Garbage(root, root == shared_store())
    if not root.is_dir():
        return found
    store = Store(root)
    before = limit_of_age(store, min_age_hours * 3600)  # first: a run that ends now had a lease, or has a record by then
    kept, records = keys_in_use(place.absolute(), keep=keep), _old_records(place.absolute(), root)
    garbage = find_garbage(store, kept, min_age_hours * 3600, records, before)
    found = replace(found, num_folders=len(garbage.folders), num_files=garbage.num_files, size_bytes=garbage.size_bytes)
    if dry_run or not (garbage.folders or garbage.states) or (agree is not None and not agree(found)):
        return found
    free(store, garbage, min_age_hours * 3600)
    return replace(found, freed=True)


def _old_records(folder: Path, root: Path) -> list[Path]:
    """The records of the folder's runs beyond the newest :data:`RECORDS_KEPT` of each name: only ``runs`` reads them."""
    from pipekit.engine.run_folder import list_runs

    count: Counter[str] = Counter()
    found = []
    for run in list_runs(folder):
        count[run["name"]] += 1
        record = root / "runs" / run["name"] / f"{run['id']}.json"
        if count[run["name"]] > RECORDS_KEPT and record.is_file():
            found.append(record)
    return found
