"""Render sections as one self-contained HTML page. It works from a file, offline, on a phone, in dark mode and on paper.

The page contains its style, its script, and its images as data URIs. Its content security policy forbids loading anything and
running any script but its own, so a class name with HTML in it stays a name.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from pipekit.contract import Figure, Picture, Section

__all__ = ["Top", "body", "load", "render", "tokens"]

_NUMBER = re.compile(r"[-–]?[\d.,]*(?: \([^()]*\))?")
_QUESTION = re.compile(r"([A-Z][^\n?`|\[\]]{5,120}\?)(?:\s+|\Z)")
"""The question that a section answers, if its text begins with one."""

FIRST_PICTURES = 24
"""Number of images shown before "Show more", with and without a script."""


@dataclass(frozen=True)
class Top:
    """The top of a page: what its reader wants to know first.

    Attributes:
        verdict: the result in one sentence.
        warnings: what makes the result less reliable than it seems, as Markdown.
        facts: names and values: the project, the model, the data, the date.
        pictures: a few pictures, with ``pictures_title`` as their heading.
        next_step: what to do next, as Markdown.
        command: the command for it.
    """

    verdict: str = ""
    warnings: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    pictures_title: str = ""
    pictures: tuple[Picture, ...] = ()
    next_step: str = ""
    command: str = ""


def render(
    title: str,
    sections: Iterable[tuple[str, Section]],
    *,
    lead: str = "",
    footer: str = "",
    top: Top | None = None,
    folded: Collection[str] = (),
) -> str:
    """Render a whole page. Pages are made to be shared, so absolute paths are shortened: see :mod:`pipekit.page.paths`.

    Args:
        title: the page's heading.
        sections: (anchor, section) in order; an anchor is a name such as ``confusion``, unique on the page.
        lead: one or two sentences below the heading, and below the verdict of ``top``.
        footer: text at the end: what made the page.
        top: the result in short, shown first.
        folded: anchors of sections that are closed until the reader opens them or follows a link to them.
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
        top=_prepared_top(top or Top()),
        sections=[_prepared(anchor, section, anchor in folded) for anchor, section in sections],
        first_pictures=FIRST_PICTURES,
    )
    return without_paths(html)


def body(section: Section) -> str:
    """The content of one section as HTML, for a page that has its own style: text, tables, figures and all pictures."""
    from markupsafe import Markup

    from pipekit.page.markdown import to_html
    from pipekit.page.paths import without_paths

    prepared = {**_prepared("section", section, False), "words": Markup(to_html(section.markdown))}  # the question too
    html: str = _body_template().render(section=prepared, first_pictures=len(section.pictures))
    return without_paths(html)


def tokens() -> str:
    """The colours of pages, light and dark, as CSS variables: other pages of pipekit share them."""
    return _asset("page.css").partition("* {")[0]


def load() -> None:
    """Load what :func:`render` needs in any case (0.06 s) ahead of time, in parallel to something that takes longer."""
    _template()


def _prepared_top(top: Top) -> dict[str, Any]:
    from markupsafe import Markup

    from pipekit.page.markdown import to_html

    return {
        "verdict": top.verdict,
        "warnings": [Markup(to_html(text)) for text in top.warnings],
        "facts": [(name, value) for name, value in top.facts if value],
        "pictures_title": top.pictures_title,
        "pictures": [_shown(picture) for picture in top.pictures],
        "next_step": Markup(to_html(top.next_step)),
        "command": top.command,
    }


def _prepared(anchor: str, section: Section, folded: bool) -> dict[str, Any]:
    from markupsafe import Markup

    from pipekit.page.markdown import to_html

    question = _QUESTION.match(section.markdown)
    items = _items(section.pictures)
    return {
        "anchor": anchor,
        "title": section.title,
        "folded": folded,
        "question": Markup(to_html(question[1], inline=True)) if question else "",
        "words": Markup(to_html(section.markdown[question.end() :] if question else section.markdown)),
        "figures": [(figure, data_uri(figure.media_type, figure.data)) for figure in _one_of_each(section.figures)],
        "tables": section.tables,
        "items": items,
        "layout": _layout(section.pictures),
        "menus": _menus(item["tags"] for item in items),
        "orders": list(dict.fromkeys(name for picture in section.pictures for name in picture.values)),
        "html": Markup(section.html),
    }


def _items(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """The items of a gallery: single pictures, and groups of several under one heading."""
    found: list[dict[str, Any]] = []
    for group, members in groupby(pictures, lambda picture: picture.group):
        together = list(members)
        found += [
            {"group": group, "tags": some[0].tags, "values": some[0].values, "pictures": [_shown(one) for one in some]}
            for some in ([together] if group else [[picture] for picture in together])
        ]
    return found


def _shown(picture: Picture) -> dict[str, str]:
    """A picture with its caption in two parts: the first line says what it is, the others are details."""
    first, _, rest = picture.caption.partition("\n")
    return {"uri": data_uri(_image_type(picture.data), picture.data), "alt": picture.alt, "first": first, "rest": rest}


def _one_of_each(figures: Sequence[Figure]) -> list[Figure]:
    """One figure for each name: a figure may come as SVG and as PNG; the page shows the first."""
    return list({figure.name: figure for figure in reversed(figures) if figure.on_page}.values())[::-1]


def _menus(tagged: Iterable[Mapping[str, str]]) -> Mapping[str, list[tuple[str, int]]]:
    """For each tag, its values with the number of items; a tag with a single value needs no menu."""
    counts: dict[str, dict[str, int]] = {}
    for tags in tagged:
        for tag, value in tags.items():
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
    if any(picture.group for picture in pictures):
        return "groups"
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
    return _environment().from_string(_asset("page.html.jinja"))


@cache
def _body_template() -> Any:
    macros, _, _ = _asset("page.html.jinja").partition("<!doctype html>")
    return _environment().from_string(macros + "{{ body(section) }}")


@cache
def _environment() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = cell_text
    environment.tests["numeric"] = lambda value: _NUMBER.fullmatch(cell_text(value)) is not None
    return environment


def cell_text(value: Any) -> str:
    """Format a table cell: three decimals for a float, thousands separators for an integer, a dash if undefined."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
