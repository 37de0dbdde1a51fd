"""Show an image in the terminal: in full resolution where supported (:mod:`pipekit.ui.pixels`), else two pixels per character.

The two pixels are the upper and lower half of a block character in 24-bit colour, which every terminal has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.segment import Segment
from rich.style import Style

from pipekit.ui import console, show

if TYPE_CHECKING:
    from numpy.typing import NDArray


def can_show() -> bool:
    """Whether stdout is a terminal that is wide enough, has enough colours and can encode the half block."""
    out = console()
    try:
        "▀".encode(out.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return out.is_terminal and out.color_system in ("truecolor", "256") and out.width >= 40


def show_picture(image: NDArray[Any], max_columns: int = 120) -> None:
    """Print an ``(H, W, 3) uint8`` RGB image, as wide as the terminal."""
    from pipekit.images.warping import resize
    from pipekit.ui import pixels

    if kind := pixels.protocol():
        out = console().file
        text = pixels.drawn(image, kind, min(max_columns, console().width - 1), pixels.cell_px(out.fileno()))
        out.write(f"{text}\n")
        out.flush()
        return
    columns = min(max_columns, console().width - 1, image.shape[1])
    rows = max(1, round(image.shape[0] * columns / image.shape[1] / 2))
    small = resize(image, (2 * rows, columns), "area")
    show(_HalfBlocks(small))


class _HalfBlocks:
    def __init__(self, image: NDArray[Any]) -> None:
        self.image = image

    def __rich_console__(self, out: Any, options: Any) -> Any:
        for upper, lower in zip(self.image[::2].tolist(), self.image[1::2].tolist(), strict=True):
            for above, below in zip(upper, lower, strict=True):
                yield Segment("▀", _style(tuple(above), tuple(below)))
            yield Segment.line()


def _style(above: tuple[int, int, int], below: tuple[int, int, int]) -> Style:
    return Style(color="#{:02x}{:02x}{:02x}".format(*above), bgcolor="#{:02x}{:02x}{:02x}".format(*below))
