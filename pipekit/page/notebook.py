"""HTML for notebooks: small tables, facts and pictures, as the ``_repr_html_`` of results returns them.

Everything is escaped but what is :class:`Html`. Colours are those of the notebook: text inherits them, lines are translucent,
so light and dark themes both work. Pictures are data URIs of a bounded size, since a notebook keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from pipekit.page import cell_text, data_uri
from pipekit.page.paths import without_paths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_ROWS = 30
MOST_LETTERS = 300
"""Longer texts of one cell are cut."""

PICTURE_PX = 900
PICTURE_BYTES = 400_000
"""No picture of a result is larger."""

THUMBNAIL_PX = 64

_CELL = "text-align:left;padding:.1em .8em .1em 0"
_NUMBER = "text-align:right;padding:.1em .8em .1em 0"
_LINE = "border-bottom:1px solid rgba(128,128,128,.35)"


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


def whole(*parts: str, title: str = "") -> str:
    """The HTML of one result: a heading and its parts, without absolute paths.

    >>> whole(note("a < b"), title="<cats>")
    '<div style="line-height:1.45;overflow-x:auto"><b>&lt;cats&gt;</b><div style="opacity:.75">a &lt; b</div></div>'
    """
    head = f"<b>{_text(title)}</b>" if title else ""
    return without_paths(f'<div style="line-height:1.45;overflow-x:auto">{head}{"".join(parts)}</div>')


def _text(value: Any) -> str:
    if isinstance(value, Html):
        return value
    text = cell_text(value)
    return escape(text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…")


def sentence(text: Any) -> Html:
    return Html(f"<div>{_text(text)}</div>")


def note(text: Any) -> Html:
    """A sentence of less weight."""
    return Html(f'<div style="opacity:.75">{_text(text)}</div>')


def warnings(texts: Sequence[str], most: int = 5) -> Html:
    """Warnings, each on its line; the number of those that are left out."""
    shown = "".join(f"<div>⚠ {_text(text)}</div>" for text in texts[:most])
    return Html(shown + (note(f"and {len(texts) - most} more warnings") if len(texts) > most else ""))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], most: int = MOST_ROWS) -> Html:
    """A table. Numbers are right-aligned; rows beyond ``most`` are counted."""
    listed = list(rows)
    top = "".join(f'<th style="{_CELL}">{_text(name)}</th>' for name in head)
    lines = []
    for row in listed[:most]:
        styles = (_NUMBER if isinstance(cell, (int, float)) and not isinstance(cell, bool) else _CELL for cell in row)
        cells = "".join(f'<td style="{style}">{_text(cell)}</td>' for style, cell in zip(styles, row, strict=True))
        lines.append(f'<tr style="{_LINE}">{cells}</tr>')
    more = note(f"and {len(listed) - most:,} more rows") if len(listed) > most else ""
    style = "border-collapse:collapse;margin:.4em 0"
    return Html(f'<table style="{style}"><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table>{more}')


def facts(values: Mapping[str, Any]) -> Html:
    """Names and values on one line; those without a value are left out."""
    shown = [f"{_text(name)}: {_text(value)}" for name, value in values.items() if value not in (None, "")]
    return Html(f"<div>{' · '.join(shown)}</div>" if shown else "")


def counts_table(counts: Mapping[str, Mapping[str, int]], most: int = MOST_ROWS) -> Html:
    """Images of each class (rows) in each split (columns), from {split: {class: images}}; "" for images without classes."""
    splits = list(counts)
    names = list(dict.fromkeys(name for split in splits for name in counts[split]))
    numbers = {name: [counts[split].get(name, 0) for split in splits] for name in names}
    if not numbers:
        return Html("")
    rows = [(name or "(no class)", *of, *([sum(of)] if len(splits) > 1 else [])) for name, of in numbers.items()]
    total = ["total"] if len(splits) > 1 else []
    return table(["class", *(split or "images" for split in splits), *total], rows, most)


def picture(pixels: NDArray[np.uint8] | bytes, alt: str = "", max_px: int = PICTURE_PX) -> Html:
    """A picture, ``(H, W, 3) uint8`` RGB or an image file's bytes, as a JPEG of bounded size and bytes."""
    from pipekit import images

    image = images.decode(pixels) if isinstance(pixels, bytes) else pixels
    data, side = b"", max_px
    for quality in (88, 75, 60, 50, 50, 50):
        data = images.encode(images.thumbnail(image, side), "jpg", quality)
        if len(data) <= PICTURE_BYTES:
            break
        side = side if quality > 50 else side * 2 // 3
    uri = data_uri("image/jpeg", data)
    return Html(f'<img src="{uri}" alt="{escape(alt[:MOST_LETTERS])}" style="max-width:100%;height:auto;margin:.3em 0">')


def thumbnail(pixels: NDArray[np.uint8] | bytes, alt: str = "") -> Html:
    """A small picture for a cell of a table."""
    return picture(pixels, alt, THUMBNAIL_PX)


def file_thumbnail(path: str) -> Html:
    """The thumbnail of an image file; nothing if it can't be read."""
    from pipekit import images
    from pipekit.errors import ImageError

    try:
        return thumbnail(images.read(path, at_least_hw=(THUMBNAIL_PX, THUMBNAIL_PX)))
    except (ImageError, OSError):
        return Html("")


def file_picture(path: Any, alt: str = "", max_px: int = PICTURE_PX) -> Html:
    """The picture in a file; nothing if it is gone or can't be read."""
    from pipekit import images
    from pipekit.errors import ImageError

    try:
        return picture(images.read(path), alt, max_px)
    except (ImageError, OSError):
        return Html("")


def gallery(pictures: Sequence[tuple[Html, str]]) -> Html:
    """Pictures side by side, each with its caption below."""
    style = "display:inline-block;margin-right:.8em;vertical-align:top"
    shown = "".join(f'<div style="{style}">{one}{note(caption)}</div>' for one, caption in pictures if one)
    return Html(f"<div>{shown}</div>" if shown else "")


def bar(done: int, total: int | None) -> Html:
    """A progress bar; an indeterminate one where the total is unknown."""
    if not total:
        return Html("<progress></progress>")
    return Html(f'<progress value="{min(done, total)}" max="{total}"></progress>')
