"""One image file as a dataset of one, such as the input of ``pipekit features PHOTO``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipekit.builtin.importers.files import is_image_name
from pipekit.contract import Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import image_suffixes
from pipekit.params import Params


class ImageParams(Params):
    """No parameters."""


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is an image, or why it is not."""
    if not path.is_file():
        return Rejected("it reads one image, and this is a folder")
    return "one image" if is_image_name(path.name) else Rejected(f"the file does not end in {' '.join(image_suffixes())}")


def read(path: Path, params: ImageParams) -> Iterator[Sample]:
    """One sample without a class; its id is the file's name.

    Raises:
        UserError: it is not a file.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file", "The importer 'image' reads one image; 'folders' reads a folder of them.")
    yield Sample(id=path.name, image=str(path))
