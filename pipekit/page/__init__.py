"""Render sections as one self-contained HTML page. It works from a file, offline, on a phone, in dark mode and on paper.

The page contains its style, its script, and its images as data URIs. Its content security policy forbids loading anything and
running any script but its own, so a class name with HTML in it stays a name.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from pipekit.contract import Figure, Picture, Section

__all__ = ["load", "render"]

_NUMBER = re.compile(r"[-–]?[\d.,]*(?: \([^()]*\))?")

FIRST_PICTURES = 24
"""Number of images shown before "Show more", with and without a script."""


def render(title: str, sections: Iterable[tuple[str, Section]], *, lead: str = "", footer: str = "") -> str:
    """Render a whole page. Pages are made to be shared, so absolute paths are shortened: see :mod:`pipekit.page.paths`.

    Args:
        title: the page's heading.
        sections: (anchor, section) in order; an anchor is a name such as ``confusion``, unique on the page.
        lead: one or two sentences below the heading.
        footer: text at the end: what made the page.
    """
    from markupsafe import Markup

    from pipekit.page.paths import without_paths

    script = _asset("page.js")
    html: str = _template().render(
        title=title,
        lead=lead,
        footer=footer,
        style=Markup(_asset("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        sections=[_prepared(anchor, section) for anchor, section in sections],
        first_pictures=FIRST_PICTURES,
    )
    return without_paths(html)


def load() -> None:
    """Load what :func:`render` needs (0.1 s) ahead of time, in parallel to something that takes longer."""
    from pipekit.page.markdown import parser

    parser()
    _template()


def _prepared(anchor: str, section: Section) -> dict[str, Any]:
    from markupsafe import Markup

    from pipekit.page.markdown import to_html

    return {
        "anchor": anchor,
        "title": section.title,
        "words": Markup(to_html(section.markdown)),
        "figures": [(figure, data_uri(figure.media_type, figure.data)) for figure in _one_of_each(section.figures)],
        "tables": section.tables,
        "pictures": [(picture, data_uri(_image_type(picture.data), picture.data)) for picture in section.pictures],
        "layout": _layout(section.pictures),
        "menus": _menus(section.pictures),
        "orders": list(dict.fromkeys(name for picture in section.pictures for name in picture.values)),
        "html": Markup(section.html),
    }


def _one_of_each(figures: Sequence[Figure]) -> list[Figure]:
    """One figure for each name: a figure may come as SVG and as PNG; the page shows the first."""
    return list({figure.name: figure for figure in reversed(figures)}.values())[::-1]


def _menus(pictures: Sequence[Picture]) -> Mapping[str, list[tuple[str, int]]]:
    """For each tag, its values with the number of pictures; a tag with a single value needs no menu."""
    counts: dict[str, dict[str, int]] = {}
    for picture in pictures:
        for tag, value in picture.tags.items():
            values = counts.setdefault(tag, {})
            values[value] = values.get(value, 0) + 1
    return {tag: sorted(values.items()) for tag, values in counts.items() if len(values) > 1}


def data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _image_type(data: bytes) -> str:
    return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"


def _layout(pictures: Sequence[Picture]) -> str:
    """The pictures' size class: strips and side-by-side pairs are wide, pictures without menus large, all others thumbnails."""
    from pipekit import images

    if not pictures:
        return ""
    info = images.probe(pictures[0].data)
    if info.width_px > 2.4 * info.height_px:
        return "strip"
    if info.width_px > 1.6 * info.height_px:
        return "wide"
    return "" if any(picture.tags for picture in pictures) else "large"


@cache
def _asset(name: str) -> str:
    return files(__name__).joinpath(name).read_text("utf-8")


@cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = cell_text
    environment.tests["numeric"] = lambda value: _NUMBER.fullmatch(cell_text(value)) is not None
    return environment.from_string(_asset("page.html.jinja"))


def cell_text(value: Any) -> str:
    """Format a table cell: three decimals for a float, thousands separators for an integer, a dash if undefined."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
