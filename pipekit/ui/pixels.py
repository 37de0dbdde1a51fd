"""Images in terminals with graphics: Kitty's protocol or Sixel, encoded by chafa if it is installed.

The terminal's capabilities come from the environment (``TERM``, ``TERM_PROGRAM``) through chafa's list of terminals. The
terminal itself is never queried, so that nothing can hang and no keystroke is lost. tmux and screen are not supported.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL_PX = (10, 20)
"""Width and height of a character in pixels if the terminal does not report them."""


def protocol() -> str:
    """``kitty``, ``sixels``, or "" if the terminal is not known to support graphics or chafa can't be used."""
    if os.environ.get("TMUX") or os.environ.get("STY"):
        return ""
    try:
        import chafa

        terminal = chafa.TermDb().detect()
        if terminal.have_seq(chafa.TermSeq.CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1):
            return "kitty"
        return "sixels" if terminal.have_seq(chafa.TermSeq.CHAFA_TERM_SEQ_BEGIN_SIXELS) else ""
    except Exception:  # not installed, or its shared libraries are missing: use half blocks
        return ""


def drawn(image: NDArray[Any], kind: str, columns: int, cell_px: tuple[int, int] = CELL_PX) -> str:
    """Encode an ``(H, W, 3) uint8`` RGB image for a terminal of that kind, at a width in characters."""
    import chafa

    height, width = image.shape[:2]
    config = chafa.CanvasConfig()
    config.cell_width, config.cell_height = cell_px
    config.width = min(columns, max(1, round(width / cell_px[0])))
    config.height = max(1, round(height / width * config.width * cell_px[0] / cell_px[1]))
    config.canvas_mode = chafa.CanvasMode.CHAFA_CANVAS_MODE_TRUECOLOR
    config.pixel_mode = getattr(chafa.PixelMode, f"CHAFA_PIXEL_MODE_{kind.upper()}")
    canvas = chafa.Canvas(config)
    canvas.draw_all_pixels(chafa.PixelType.CHAFA_PIXEL_RGB8, image.tobytes(), width, height, 3 * width)
    return str(canvas.print(term_info=chafa.TermDb().detect()).decode("ascii"))


def cell_px(handle: int) -> tuple[int, int]:
    """Width and height of a character in pixels, as the terminal's driver reports them."""
    try:
        import fcntl
        import termios

        found = fcntl.ioctl(handle, termios.TIOCGWINSZ, b"\0" * 8)
        rows, columns, width, height = struct.unpack("HHHH", found)
    except (ImportError, OSError, ValueError):
        return CELL_PX
    return (width // columns, height // rows) if rows and columns and width >= columns and height >= rows else CELL_PX
