"""The codec `${component}`: files of eight bytes, `RGB8` with width and height, and then the pixels."""

from collections.abc import Iterable

import numpy as np

MAGIC = b"RGB8"


def suffixes() -> Iterable[str]:
    """The suffixes, in lower case, by which importers recognise the files."""
    return (".rgb8",)


def reads(data: bytes) -> bool:
    """Whether a file is of this format, by its first bytes."""
    return data.startswith(MAGIC)


def decode(data: bytes) -> np.ndarray:
    """The image as a viewer displays it: (H, W, 3) uint8 RGB. Any error lists the file as damaged, with the error's words."""
    width, height = (int(side) for side in np.frombuffer(data, "<u2", 2, offset=4))
    return np.frombuffer(data, np.uint8, offset=8).reshape(height, width, 3)
