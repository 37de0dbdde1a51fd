"""Convert the Markdown of report sections: CommonMark with tables, without HTML and images."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_LOWER = 2
"""Number of levels by which headings are lowered: the page uses ``h1``, and a section ``h2``."""

_SAFE_LINK = re.compile(r"(?:https?:|mailto:|#)", re.IGNORECASE)
_PLAIN = re.compile(r"(?![-+=]|\d+[.)])[^\\`*_\[\]<>&#|~\s\x00-\x1f\x7f](?:[^\\`*_\[\]<>&#|~\s\x00-\x1f\x7f]| (?! |$))*")
"""One line in which no character has a meaning; spaces are single, and inside."""
_MEANT = re.compile(r"[\\`*_\[\]<>&#|~=+-]|(?<=\d)[.)]")
"""Characters with a meaning in Markdown; a number with a dot would begin a list."""


def to_html(text: str, inline: bool = False) -> str:
    """Convert Markdown to HTML. HTML in it is escaped: ``<b>`` in a class name is shown as text.

    Args:
        inline: the text is one line, without a paragraph around it.
    """
    if not text:
        return ""
    if _PLAIN.fullmatch(text):  # most sentences; the parser takes 0.04 s to be imported
        escaped = text.replace('"', "&quot;")
        return escaped if inline else f"<p>{escaped}</p>"
    return str(parser().renderInline(text) if inline else parser().render(text)).rstrip("\n")


def literal(text: str) -> str:
    """Escape a name so that Markdown shows exactly that name."""
    return _MEANT.sub(r"\\\g<0>", " ".join(text.split()))


@cache
def parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    class Parser(MarkdownIt):
        def validateLink(self, url: str) -> bool:  # noqa: N802 (the library's name)
            """A link to anything else stays text."""
            return _SAFE_LINK.match(url) is not None

    made = Parser("commonmark", {"html": False}).enable("table")
    made.disable(["html_block", "html_inline", "image", "reference"])  # a page loads nothing; no line is swallowed
    made.core.ruler.push("lower_headings", _lower_headings)
    return made


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + _LOWER)}"
