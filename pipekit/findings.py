"""What stages and observers say: parts of a report, findings of a check, the run and the stage that an event is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# --- for observers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunInfo:
    """A run, for observers. ``run_dir`` is where the person looks; it is in place only in ``after_run``."""

    name: str
    file: str
    seed: int
    run_dir: Path
    status: str = "running"


@dataclass(frozen=True)
class StageInfo:
    """A stage of a run, for observers. ``params`` is the JSON form with defaults."""

    name: str
    use: str
    key: str
    params: Mapping[str, Any]
    cached: bool = False
    seconds: float = 0.0


# --- reports and findings ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """A picture in a report: PNG or SVG bytes, and the words that stand for it where it can't be seen."""

    name: str
    data: bytes
    alt: str
    caption: str = ""

    @property
    def media_type(self) -> str:
        return "image/svg+xml" if self.data.lstrip()[:5] in (b"<?xml", b"<svg ", b"<!DOC") else "image/png"


@dataclass(frozen=True)
class Table:
    """A table in a report: column names and rows of str, int or float."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A thumbnail in a report: JPEG or PNG bytes, the words that stand for it, and what it can be filtered by.

    ``tags`` are shown as menus above the pictures: ``{"true": "cat", "predicted": "dog"}``; ``values`` are what they can be
    ordered by: ``{"confidence": 0.93}``.
    """

    data: bytes
    alt: str
    caption: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of the report. ``markdown`` is CommonMark with tables: HTML in it is shown as text, images are not loaded, and
    links lead to ``http``, ``https``, ``mailto`` or a place on the page. Headings are shown two levels lower.

    ``html`` is put below it as it is, for what neither words, tables, figures nor pictures can show: escape every name in it
    (``markupsafe.escape``). The page runs no script but its own.
    """

    title: str
    markdown: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    html: str = ""


@dataclass(frozen=True)
class Finding:
    """Something that a dataset check found: how bad (``error``, ``warning``, ``info``), what, and on which samples."""

    check: str
    severity: str
    message: str
    samples: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
