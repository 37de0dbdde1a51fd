"""Plots for reports, as SVG and PNG: readable with any colour vision, in dark mode, and on paper."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pipekit.contract import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, which people with colour-blindness can tell apart; the clearest on white and on black first."""

DASHES = ("-", "--", "-.", ":")
"""Line styles, so that lines differ in more than colour."""

_INK = "#1c2128"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pipekit",
    "text.parse_math": False,
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#8b949e",
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
_THEME = (
    "<style>svg{color:#1c2128;font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}"
    "@media (prefers-color-scheme:dark){svg{color:#e6edf3}}@media print{svg{color:#000}}</style>"
)


def plot(
    name: str,
    draw: Callable[[Any], None],
    *,
    alt: str,
    caption: str = "",
    size_in: tuple[float, float] = (5.2, 3.7),
) -> tuple[Figure, Figure]:
    """Draw a plot as SVG and as PNG under one name. It shares no state with other plots or threads.

    Args:
        name: file name without a suffix.
        draw: ``draw(axes)`` draws on one ``matplotlib.axes.Axes``.
        alt: alternative text for readers who can't see the plot: what it shows, with its main numbers.
        caption: the text below the plot.
    """
    return panels(name, [draw], columns=1, alt=alt, caption=caption, panel_in=size_in)


def panels(
    name: str,
    draws: Sequence[Callable[[Any], None]],
    *,
    columns: int,
    alt: str,
    caption: str = "",
    panel_in: tuple[float, float] = (2.2, 1.9),
) -> tuple[Figure, Figure]:
    """Draw small plots side by side with shared axes, as one figure; see :func:`plot`."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    columns = min(columns, len(draws))
    rows = -(-len(draws) // columns)
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(panel_in[0] * columns, panel_in[1] * rows), layout="constrained")
        FigureCanvasAgg(canvas)
        every = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, draw in zip(every, draws, strict=False):
            draw(axes)
        for axes in every[len(draws) :]:
            axes.set_visible(False)
        for axes in every[max(0, len(draws) - columns) : len(draws)]:
            axes.tick_params(labelbottom=True)
        written = _write_codes(canvas)
        svg, png = io.BytesIO(), io.BytesIO()
        canvas.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        canvas.savefig(png, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return Figure(name, _themed(_with_characters(svg.getvalue(), written)), alt, caption), Figure(
        name, png.getvalue(), alt, caption
    )


def _write_codes(canvas: Any) -> set[str]:
    """Write characters that the font lacks (犬, emoji) as their codes, ``U+72AC``; returns them, all of them once it is drawn.

    matplotlib would warn and draw a box for each. The PNG file keeps the codes; in the SVG file the reader's fonts draw the
    characters.
    """
    from matplotlib import font_manager
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    written: set[str] = set()

    def coded(text: str) -> str:
        lacking = {character for character in text if character not in "\n\t" and not font.get_char_index(ord(character))}
        written.update(lacking)
        return "".join(_code(character) if character in lacking else character for character in text)

    for text in canvas.findobj(Text):
        if not text.get_text().isascii():
            text.set_text(coded(text.get_text()))
    for axis in (axis for axes in canvas.axes for axis in (axes.xaxis, axes.yaxis)):
        formatter = axis.get_major_formatter()
        if isinstance(formatter, FuncFormatter):  # what set_xticks(places, labels) makes; it is asked while the figure is drawn
            formatter.func = partial(_then, formatter.func, coded)
    return written


def _then(label_of: Callable[..., str], coded: Callable[[str], str], *asked: Any) -> str:
    return coded(str(label_of(*asked)))


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"


def _with_characters(svg: bytes, written: set[str]) -> bytes:
    text = svg.decode("utf-8")
    for character in sorted(written, key=lambda one: -len(_code(one))):
        text = text.replace(_code(character), character)
    return text.encode("utf-8")


def _themed(svg: bytes) -> bytes:
    """Use the page's text colour: dark on light, light on dark. Sizes in px, so that text is as large as the page's."""
    text = svg.decode("utf-8").replace(_INK, "currentColor")
    head = text.index(">", text.index("<svg")) + 1
    return (text[:head] + _THEME + text[head:]).encode("utf-8")


def shortened(names: Sequence[str], most: int = 18) -> list[str]:
    """Shorten class names for an axis: a long one keeps its beginning and its end."""
    half = (most - 1) // 2
    return [name if len(name) <= most else f"{name[:half]}…{name[-half:]}" for name in names]
