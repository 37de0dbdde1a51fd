"""The place of a run's folder under ``runs/``: checks that it may be written, and keeps some files when it is replaced."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipekit.errors import UserError
from pipekit.files import OUTPUT_MARK
from pipekit.store.copying import copy_file

KEPT = ("split.csv", "folds.csv")
"""Files of a run's folder that the next run of its name reads, so they stay when the folder is replaced."""


def prepare(run_dir: Path) -> None:
    """Create ``runs/``, marked as pipekit's own output.

    Raises:
        UserError: it can't be written.
    """
    try:
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        (run_dir.parent / OUTPUT_MARK).touch()
    except OSError as error:
        raise cannot_write(run_dir.parent, error) from error


def check_writable(run_dir: Path) -> None:
    """Check that a run's folder can be created, before hours are spent on its contents.

    Raises:
        UserError: it can't.
    """
    parent = run_dir.parent
    parent = parent if parent.is_dir() else parent.parent
    try:
        Path(tempfile.mkdtemp(dir=parent, prefix=".new-")).rmdir()
    except OSError as error:
        raise cannot_write(parent, error) from error


def cannot_write(place: Path, error: OSError) -> UserError:
    return UserError(
        f"can't write the results into {place}: {error.strerror or error}",
        "Is there free space, and do you have write access? Finished work is kept: run the same command again.",
    )


def check_place(run_dir: Path) -> None:
    """Check that a folder may be replaced: a run's folder is replaced as a whole, any other is left alone.

    Raises:
        UserError: the folder is not a run's.
    """
    if os.path.lexists(run_dir) and not (run_dir / "run.json").is_file() and not holds_no_results(run_dir):
        raise UserError(
            f"{run_dir} exists and is not the folder of a run, so it is not replaced",
            "Move it away, or give the pipeline another name: --set name=…",
        )


def holds_no_results(folder: Path) -> bool:
    """Whether a folder is empty, or has only files that an unfinished run left for the next run of its name."""
    return folder.is_dir() and all(path.name in KEPT or path.name.startswith(".split-") for path in folder.iterdir())


def keep(run_dir: Path, aside: Path) -> None:
    """Copy the files that stay from a run's folder into the one that replaces it."""
    for name in KEPT:
        if (run_dir / name).is_file():
            copy_file(run_dir / name, aside / name)
