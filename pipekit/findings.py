"""Report sections, findings of dataset checks, what a page of the studio receives, and the run and stage of observers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipekit.artifacts import Sample

# --- for observers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunInfo:
    """A run, as observers receive it. ``run_dir`` is the folder of results; it exists only in ``after_run``.

    ``combination_of`` is the name of the pipeline whose ``[matrix]`` has the run as a combination; "" for any other run.
    """

    name: str
    file: str
    seed: int
    run_dir: Path
    status: str = "running"
    combination_of: str = ""


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
class StudioContext:
    """What a page of the studio can show: the dataset that is open, and the image that a person has chosen.

    Attributes:
        sample: the chosen image; its label is the corrected one.
        ids: of all images, sorted.
        labels: the class of each, corrections included; None for none.
        read: the samples of some ids, by id: ``studio.read(["cat/1.jpg"])``.
    """

    sample: Sample
    ids: Sequence[str]
    labels: Sequence[str | None]
    read: Callable[[Iterable[str]], Mapping[str, Sample]] = field(repr=False)


@dataclass(frozen=True)
class Finding:
    """A result of a dataset check: the severity (``error``, ``warning``, ``info``), the message and the affected samples."""

    check: str
    severity: str
    message: str
    samples: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


# --- what components return ----------------------------------------------------------------------------------------------

SEVERITIES = ("error", "warning", "info")


def problem_of_section(section: Any) -> str:
    """Why a report section's return value can't be shown; "" if it can, or if it is None."""
    if section is None:
        return ""
    if not isinstance(section, Section):
        return f"it returned {_a(section)}, expected a pipekit.Section or None"
    for name in ("title", "markdown", "html"):
        if not isinstance(getattr(section, name), str):
            return f"the {name} of its Section is {_a(getattr(section, name))}, expected a str"
    for name, kind in (("figures", Figure), ("tables", Table), ("pictures", Picture)):
        listed = getattr(section, name)
        if not isinstance(listed, (tuple, list)):
            return f"the {name} of its Section are {_a(listed)}, expected a tuple"
        for number, one in enumerate(listed):
            found = f"expected a {kind.__name__}, got {_a(one)}" if not isinstance(one, kind) else _problem_inside(one)
            if found:
                return f"{name}[{number}] of its Section: {found}"
    return ""


def _problem_inside(one: Figure | Table | Picture) -> str:
    """What is wrong inside a figure, a table or a picture."""
    if isinstance(one, Table):
        for number, row in enumerate(one.rows):
            if not isinstance(row, (tuple, list)) or len(row) != len(one.columns):
                size = f"{len(row)} value{'s' * (len(row) != 1)}" if isinstance(row, (tuple, list)) else _a(row)
                return f"row {number} has {size}, expected {len(one.columns)} values, one for each column"
        return "" if isinstance(one.caption, str) else f"the caption is {_a(one.caption)}, expected a str"
    if not isinstance(one.data, bytes) or not one.data:
        return f"the data are {'empty' if one.data == b'' else _a(one.data)}, expected the bytes of an image"
    names = ("name", "alt", "caption") if isinstance(one, Figure) else ("alt", "caption")
    for name in names:
        if not isinstance(getattr(one, name), str):
            return f"the {name} is {_a(getattr(one, name))}, expected a str"
    if isinstance(one, Figure):
        return "" if one.name and not set(one.name) & set("/\\\0") else f"the name {one.name!r} can't be a file's name"
    if not isinstance(one.tags, Mapping) or not isinstance(one.values, Mapping):
        return "tags and values must be mappings"
    wrong = next((name for name, value in one.values.items() if not isinstance(value, (int, float))), None)
    return "" if wrong is None else f"the value {wrong!r} is {_a(one.values[wrong])}, expected a number"


def problem_of_finding(finding: Any, knows: Callable[[str], bool]) -> str:
    """Why what a dataset check returned is no usable finding; "" if it is one.

    Args:
        knows: whether there is a sample of an id.
    """
    if not isinstance(finding, Finding):
        return f"expected a pipekit.Finding, got {_a(finding)}"
    if finding.severity not in SEVERITIES:
        return f"the severity is {finding.severity!r}, expected one of {', '.join(SEVERITIES)}"
    for name in ("check", "message"):
        if not isinstance(getattr(finding, name), str) or (name == "check" and not finding.check):
            return f"the {name} is {getattr(finding, name)!r}, expected a text"
    if isinstance(finding.samples, str) or not all(isinstance(one, str) for one in finding.samples):
        return "samples must be a tuple of ids of samples"
    unknown = [one for one in finding.samples if not knows(one)]
    if unknown:
        return f"there is no sample {unknown[0]!r}" + (f", nor {len(unknown) - 1} others that it names" if unknown[1:] else "")
    if not isinstance(finding.values, Mapping):
        return f"the values are {_a(finding.values)}, expected a mapping"
    try:
        json.dumps(dict(finding.values))
    except (TypeError, ValueError) as error:
        return f"the values can't be written as JSON: {error}"
    return ""


def _a(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
