"""Links between the documents lead somewhere: the file is there, and so is the heading. ``make docs`` and a test run this.

Sphinx sees the pages in ``docs/`` only; READMEs and the changelog are read elsewhere.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

SPHINX_LEVELS = 3
"""Headings of ``docs/`` below this level have no anchor: ``myst_heading_anchors`` in ``conf.py``."""

_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
_UNDEFINED = re.compile(r"\[[^\[\]]+\]\[[^\[\]]*\]")


@dataclass(frozen=True)
class Link:
    """A link inside the repository: the line on which its paragraph begins, and where it leads."""

    line: int
    target: str


def pages() -> list[Path]:
    """All documents that people read."""
    written = [page for page in DOCS.rglob("*.md") if "_generated" not in page.parts]
    readmes = [*ROOT.glob("plugins/*/README.md"), *ROOT.glob("sample_data/*/README.md")]
    return sorted([*written, *readmes, *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING"))])


def problems(page: Path, *, generated: bool = False) -> list[str]:
    """What is wrong with the links of a page, each with its line.

    Args:
        generated: whether ``docs/_generated`` is up to date; without it, links into it are passed over.
    """
    found = [f"{link.line}: {reason}" for link in links(page) if (reason := _lost(page, link.target, generated))]
    for token in _tokens(page):
        for child in token.children or ():
            if child.type == "text" and (undefined := _UNDEFINED.search(child.content)):
                found.append(f"{_line(token)}: {undefined[0]} is no link: nothing on the page defines it")
    return [f"{_name(page)}:{problem}" for problem in found]


def links(page: Path) -> Iterator[Link]:
    """Links, images and entries of tables of contents; none in code."""
    for token in _tokens(page):
        for child in token.children or ():
            target = child.attrs.get("href") or child.attrs.get("src")
            if target and not _OUTSIDE.match(str(target)):
                yield Link(_line(token), unquote(str(target)))
        if token.type == "fence" and token.info == "{toctree}":
            for number, line in enumerate(token.content.splitlines(), _line(token) + 1):
                entry = re.sub(r"^.*<(.+)>$", r"\1", line.strip())
                if entry and not entry.startswith(":") and not _OUTSIDE.match(entry):
                    notebook = (page.parent / f"{entry}.ipynb").exists()
                    yield Link(number, f"{entry}.ipynb" if notebook else f"{entry}.md")


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub and MyST make them, and its ``(named)=`` places."""
    made: list[str] = []
    again: Counter[str] = Counter()
    tokens = _tokens(page)
    for heading, words in pairwise(tokens):
        if heading.type == "heading_open" and (DOCS not in page.parents or int(heading.tag[1]) <= SPHINX_LEVELS):
            text = "".join(child.content for child in words.children)
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            made.append(f"{slug}-{again[slug]}" if again[slug] else slug)
            again[slug] += 1
    return frozenset([*made, *_TARGET.findall(page.read_text("utf-8"))])


def _lost(page: Path, link: str, generated: bool) -> str:
    """Why a link leads nowhere, or nothing."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if "_generated" in target.parts and not generated:
        return ""
    if "*" in path:
        return "" if any(page.parent.glob(path)) else f"no file is called {path}"
    if not target.exists():
        return f"there is no {path}"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return f"{_name(target)} has no heading #{anchor}. It has: {', '.join(sorted(anchors(target)))}"
    return ""


def _line(token: Any) -> int:
    return int(token.map[0]) + 1 if token.map else 1


@cache
def _tokens(page: Path) -> list[Any]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix() if ROOT in page.parents else page.name


if __name__ == "__main__":
    lost = [problem for page in pages() for problem in problems(page, generated=True)]
    print(*lost, sep="\n", end="\n" if lost else "", file=sys.stderr)
    sys.exit(bool(lost))
