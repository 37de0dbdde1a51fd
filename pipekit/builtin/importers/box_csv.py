"""Tables with one row per box: ``filename,width,height,class,xmin,ymin,xmax,ymax`` as TensorFlow and Roboflow have them,
``path,x1,y1,x2,y2,class`` without a header as keras-retinanet does, and others with corners of a box, a corner or the centre
and a size, or four points.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pipekit.builtin.importers.annotated import (
    Drawing,
    FileParams,
    Images,
    Source,
    UnusableError,
    begin,
    has_words,
    number,
    shown,
    sources,
    sources_with_images,
)
from pipekit.builtin.importers.files import SPLIT_NAMES, first_of, is_image_name, not_utf8, split_of
from pipekit.builtin.importers.grouped import grouped
from pipekit.builtin.importers.tables import IMAGE_NAMES, LABEL_NAMES, SPLIT_COLUMNS, by_name, opened_table
from pipekit.contract import Adjusted, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import IMAGE_SUFFIXES
from pipekit.params import param

SUFFIXES = (".csv", ".tsv")

READS = (*SUFFIXES, ".txt", ".json")

WRITTEN_AS = "coco"
"""The exporter for boxes, outlines and keypoints of boxes. It writes no class of a whole image, no keypoint without a box."""

CORNERS = (
    *(("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom")),
    *(("xtl", "ytl", "xbr", "ybr"), ("bbxxtl", "bbxytl", "bbxxbr", "bbxybr"), ("bboxx1", "bboxy1", "bboxx2", "bboxy2")),
    ("bboxxmin", "bboxymin", "bboxxmax", "bboxymax"),
)
POINTS = tuple(tuple(f"{axis}{at}" for at in range(first, first + 4) for axis in "xy") for first in (0, 1))
CENTRES = tuple(
    (x, y, *size)
    for x, y in (("cx", "cy"), ("xcenter", "ycenter"), ("centerx", "centery"), ("xcentre", "ycentre"), ("xc", "yc"))
    for size in (("w", "h"), ("width", "height"))
)
SIZES = (
    *(("left", "top", "width", "height"), ("left", "top", "w", "h"), ("xmin", "ymin", "width", "height")),
    *(("xmin", "ymin", "w", "h"), ("x", "y", "w", "h")),
    *(("bboxx", "bboxy", "bboxwidth", "bboxheight"), ("bboxx", "bboxy", "bboxw", "bboxh")),
)
SIZE_NAMES = ("x", "y", "width", "height")
"""Columns of a box: its corners, four points, its centre or its left upper corner and its size; in lower case, letters and
digits only."""

Kind = Literal["corners", "points", "centre", "size"]

ONE_CELL = ("bbox", "boundingbox", "box")
"""Columns with ``[left, top, width, height]``, in any brackets, with commas or spaces."""

CLASS_NAMES = (*LABEL_NAMES, "name", "classid", "objectclass", "classlabel")
STATED_SIZES = (("width", "height"), ("imgw", "imgh"), ("imagewidth", "imageheight"))

BEYOND_PX = 1
"""A box may reach beyond its image by rounding."""

_BALANCED = re.compile(r"\s*(\[[^][(){}]*\]|\([^][(){}]*\)|\{[^][(){}]*\}|[^][(){}]*)\s*")

LOOKED_AT = 5
"""Rows that :func:`sniff` reads."""


class BoxCsvParams(FileParams):
    box: Literal["auto", "corners", "size"] = param(
        "auto",
        "The last two of four numbers in one cell, or of x, y, w, h: corners = the right and lower edge, size = both sides; "
        "auto: by the columns' names, width and height in one cell",
    )
    unnamed: str = param("object", "The class of boxes in tables without a column of classes", min_length=1)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a row each part is; None for a column that the table lacks.

    Attributes:
        edges: the columns of the box: four, eight, or one.
        kind: what the numbers are: left, top, right, bottom; four points; the centre and the size; left, top, width, height.
    """

    delimiter: str
    header: bool
    image: int
    edges: tuple[int, ...]
    kind: Kind
    label: int | None
    split: int | None
    width: int | None
    height: int | None


def sniff(path: Path) -> str | Rejected:
    """List the tables, or say what they lack."""
    if found := sources(path, SUFFIXES, _is_table):
        return f"one row per box: {first_of(source.prefix + source.file.name for source in found)}"
    return Rejected("no table with columns of a box, such as xmin, ymin, xmax, ymax")


def read(path: Path, params: BoxCsvParams) -> Iterator[Sample | Failure | Adjusted]:
    """One sample per image; the id is its path below the folder of the images. The rows of an image may be apart.

    A row without a box says that its image has none. The class of a box is a column, else ``unnamed``. The split is a column,
    else that of the folder or of the file's name. A row that can't be used is listed as failed; so is an image whose size is
    not the stated one.

    Raises:
        UserError: there is no such table, or one can't be read.
    """
    expected = "Expected a CSV file with columns such as filename, class, xmin, ymin, xmax, ymax."
    for source, images in sources_with_images(path, SUFFIXES, _is_table, params, "table of boxes", expected):
        layout = _layout(source.file)
        assert layout is not None  # `sources` has found it
        with grouped(_rows(source.file, layout)) as groups:
            for name, rows in groups:
                yield from _image(name, rows, source, layout, images, params)


def _rows(file: Path, layout: Layout) -> Iterator[tuple[str, Sequence[Any]]]:
    """(image, (line, cells)) of every row."""
    for line, row in islice(_cells(file, layout.delimiter), int(layout.header), None):
        yield _cell(row, layout.image), (line, row)


def _image(
    name: str, rows: Sequence[Any], source: Source, layout: Layout, images: Images, params: BoxCsvParams
) -> Iterator[Sample | Failure | Adjusted]:
    first_line, first = rows[0]
    where = f"{source.file.name} line {first_line}"
    if not name:
        for line, row in rows:
            yield Failure(
                f"{source.prefix}{source.file.name} line {line}", f"no image in column {layout.image + 1}: {shown(row)}"
            )
        return
    names = [name] if is_image_name(name) else [name, *(name + suffix for suffix in IMAGE_SUFFIXES)]
    drawing = begin(names, source, images, (_cell(first, layout.width), _cell(first, layout.height)), where)
    if isinstance(drawing, Failure):
        yield drawing
        return
    drawing.source = source.file.name
    split_text = _cell(first, layout.split)
    if split_text and not split_of(split_text):
        yield Failure(drawing.identity, f"{where}: split {split_text[:60]!r}, expected one of {', '.join(SPLIT_NAMES)}")
        return
    for line, row in rows:
        with drawing.shape(f"line {line}", line):
            _draw(drawing, row, layout, params)
    yield from drawing.rows(params.label, split_of(split_text) or source.split)


def _draw(drawing: Drawing, row: Sequence[str], layout: Layout, params: BoxCsvParams) -> None:
    cells = [_cell(row, column) for column in layout.edges]
    if not any(cells):
        return
    values = _numbers(cells)
    label = params.unnamed if layout.label is None else _cell(row, layout.label)
    if not label:
        raise UnusableError("a box without a class")
    if 0 < max(values) <= 1 and any(value != int(value) for value in values):
        raise UnusableError(f"the box is given in fractions of the image ({', '.join(cells)}); pixels are expected")
    if layout.kind == "points":
        drawing.polygon(list(zip(values[::2], values[1::2], strict=True)), label)
        return
    left, top, right, bottom = values
    if layout.kind == "centre":
        left, top, right, bottom = left - right / 2, top - bottom / 2, left + right / 2, top + bottom / 2
    elif layout.kind == "size" and params.box != "corners":
        if params.box == "auto":
            _refuse_corners(drawing, values)
        right, bottom = left + right, top + bottom
    drawing.box((left, top, right, bottom), label)


def _refuse_corners(drawing: Drawing, values: Sequence[float]) -> None:
    """Raise UnusableError where left, top, width, height reach beyond the image, and two corners would not."""
    height, width = drawing.frame.drawn_hw
    left, top, right, bottom = values
    beyond = left + right > width + BEYOND_PX or top + bottom > height + BEYOND_PX
    if beyond and left < right <= width and top < bottom <= height:
        raise UnusableError(
            f"the box {', '.join(f'{value:g}' for value in values)} reaches beyond the image ({width} x {height} px) as left, "
            'top, width, height, and fits as two corners: state box = "corners" (--format box_csv:box=corners), or box = "size"'
        )


def _numbers(cells: Sequence[str]) -> list[float]:
    if len(cells) > 1:
        return [number(cell, f"number {at} of the box") for at, cell in enumerate(cells, start=1)]
    values = _listed(cells[0])
    if len(values) != 4:
        raise UnusableError(f"the box is {shown(cells[0])}, not [left, top, width, height]")
    return [number(value, f"number {at} of the box") for at, value in enumerate(values, start=1)]


def _listed(text: str) -> list[Any]:
    """The values of ``[1, 2, 3, 4]``, ``(1, 2, 3, 4)`` and ``1 2 3 4``; empty for another text."""
    try:
        values = json.loads(text)
    except ValueError:
        values = text.strip("[](){} ").replace(",", " ").replace(";", " ").split() if _BALANCED.fullmatch(text) else None
    return values if isinstance(values, list) else []


# --- finding the columns -------------------------------------------------------------------------------------------------


def _is_table(file: Path) -> bool:
    return _layout(file) is not None


def _layout(file: Path) -> Layout | None:
    """The columns of a table of boxes; None if it is another table."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.readline(1 << 16)
        delimiter = max(",;\t|", key=head.count)
        rows = [row for _, row in islice(_cells(file, delimiter), LOOKED_AT + 1)]
    except (OSError, UnicodeDecodeError, UserError):
        return None
    if not rows:
        return None
    if is_image_name(rows[0][0]):
        plain = len(rows[0]) == 6 and all(len(row) == 6 and _is_box_or_empty(row[1:5]) for row in rows)
        return Layout(delimiter, False, 0, (1, 2, 3, 4), "corners", 5, None, None, None) if plain else None
    return _by_header(rows[0], rows[1:], delimiter)


def _by_header(header: Sequence[str], rows: Sequence[Sequence[str]], delimiter: str) -> Layout | None:
    at = {"".join(filter(str.isalnum, name.lower())): column for column, name in reversed(list(enumerate(header)))}
    kinds: tuple[tuple[Kind, tuple[tuple[str, ...], ...]], ...] = (
        *(("points", POINTS), ("corners", CORNERS), ("centre", CENTRES)),
        ("size", (*SIZES, SIZE_NAMES)),
    )
    kind, names = next(((kind, names) for kind, groups in kinds for names in groups if at.keys() >= {*names}), ("size", ()))
    cell = next((name for name in ONE_CELL if name in at and any(_is_four(_cell(row, at[name])) for row in rows)), "")
    names = names or ((cell,) if cell else ())
    if not names or {"confidence", "isoccluded"} <= at.keys():  # the latter: Open Images, in fractions
        return None

    def find(usual: Sequence[str]) -> int | None:
        name = by_name([one for one in header if one.strip()], [one for one in usual if one not in names])
        return list(header).index(name) if name else None

    image = find(IMAGE_NAMES)
    if image is None:
        image = next(
            (column for column in range(len(header)) if rows and all(is_image_name(_cell(row, column)) for row in rows)), None
        )
    if image is None:
        return None
    stated = [(at.get(width), at.get(height)) for width, height in STATED_SIZES if {width, height}.isdisjoint(names)]
    size = next((found for found in stated if None not in found), (None, None))
    columns = tuple(at[name] for name in names)
    return Layout(delimiter, True, image, columns, kind, find(CLASS_NAMES), find(SPLIT_COLUMNS), *size)


def _is_four(text: str) -> bool:
    values = _listed(text)
    return len(values) == 4 and (text.startswith("[") or _is_box_or_empty([str(value) for value in values]))


def _is_box_or_empty(cells: Sequence[str]) -> bool:
    try:
        return not any(cell.strip() for cell in cells) or all(float(cell) == float(cell) for cell in cells)
    except ValueError:
        return False


def _cell(row: Sequence[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""


def _cells(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of the rows that are not empty. Raises UserError."""
    try:
        with opened_table(file) as (stream, said, _):
            table = csv.reader(stream, delimiter=said or delimiter)
            for row in table:
                if any(row):
                    yield table.line_num, row
    except UnicodeDecodeError:
        raise UserError(f"can't read {file}: {not_utf8(file)}", "Save it as CSV in UTF-8.") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"can't read {file}: {error}") from error


def other_table(file: Path) -> str:
    """What a table is that does not hold one row per image, as the reason of the importer ``csv``; "" if it may."""
    if _is_table(file):
        return "a table with one row per box; read it with import.box_csv"
    if has_words(file, ("region_shape_attributes",), 1 << 16):
        return "an export of VGG Image Annotator; read it with import.via"
    try:
        header = next((row for _, row in _cells(file, ",")), [])
    except UserError:
        return ""
    if [name.strip().lower() for name in header[:2]] == ["pixel value", "class"]:
        return "the classes of masks beside it; read its folder with import.roboflow_masks"
    return ""
