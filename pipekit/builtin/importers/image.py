"""One image file, as a dataset of one: what ``pipekit features PHOTO`` looks at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipekit.builtin.importers.files import is_image_name
from pipekit.contract import Sample
from pipekit.errors import UserError
from pipekit.params import Params


class ImageParams(Params):
    """It takes none."""


def sniff(path: Path) -> str:
    """Why ``path`` is one image, or ""."""
    return "one image" if path.is_file() and is_image_name(path.name) else ""


def read(path: Path, params: ImageParams) -> Iterator[Sample]:
    """One sample without a class; its id is the file's name.

    Raises:
        UserError: it is no file.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file", "The importer 'image' reads one image; 'folders' reads a folder of them.")
    yield Sample(id=path.name, image=str(path))
