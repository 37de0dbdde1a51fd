"""Report sections, findings of dataset checks, and the run and stage that observers receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# --- for observers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunInfo:
    """A run, as observers receive it. ``run_dir`` is the folder of results; it exists only in ``after_run``."""

    name: str
    file: str
    seed: int
    run_dir: Path
    status: str = "running"


@dataclass(frozen=True)
class StageInfo:
    """A stage of a run, as observers receive it. ``params`` is the JSON form with defaults."""

    name: str
    use: str
    key: str
    params: Mapping[str, Any]
    cached: bool = False
    seconds: float = 0.0


# --- reports and findings ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """A figure in a report: PNG or SVG bytes, and its alternative text.

    With ``on_page=False`` it is only written as a file, because the page shows the same in another form.
    """

    name: str
    data: bytes
    alt: str
    caption: str = ""
    on_page: bool = True

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
    """A thumbnail in a report: JPEG or PNG bytes, its alternative text, and the values to filter and sort by.

    ``tags`` become filter menus above the thumbnails: ``{"true": "cat", "predicted": "dog"}``; ``values`` become sort keys:
    ``{"confidence": 0.93}``. Successive pictures with the same ``group`` stand side by side under it as a heading.
    """

    data: bytes
    alt: str
    caption: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the report. ``markdown`` is CommonMark with tables: HTML in it is shown as text, images are not loaded, and
    links may lead to ``http``, ``https``, ``mailto`` or an anchor on the page. Headings move down two levels.

    ``html`` is inserted below it unchanged, for content that text, tables, figures and thumbnails can't express: escape every
    name in it (``markupsafe.escape``). The page runs no script but its own.
    """

    title: str
    markdown: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    html: str = ""


@dataclass(frozen=True)
class Finding:
    """A result of a dataset check: the severity (``error``, ``warning``, ``info``), the message and the affected samples."""

    check: str
    severity: str
    message: str
    samples: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
