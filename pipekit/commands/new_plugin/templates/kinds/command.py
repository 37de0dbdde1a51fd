"""The command `pipekit ${component}`."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

import pipekit


def ${component}(
    folder: Annotated[Path, typer.Argument(help="A folder of images")],
    at_least: Annotated[int, typer.Option(min=1, help="Leave out suffixes with fewer files")] = 1,
) -> None:
    """Count the files of a folder by their suffix.

    Arguments without a default are required words, the others options. Import what the command needs in here. Raise
    pipekit.UserError for what the user can mend, and typer.Exit(1) to end with another status than 0.
    """
    if not folder.is_dir():
        raise pipekit.UserError(f"{folder} is no folder", "Give the folder that holds the images.")
    counted = Counter(path.suffix.lower() for path in folder.rglob("*") if path.is_file())
    for suffix, count in sorted(counted.items()):
        if count >= at_least:
            typer.echo(f"{suffix or 'no suffix'}: {count}")
