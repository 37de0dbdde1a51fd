"""VGG Image Annotator, versions 1 and 2: a project or an export of annotations as JSON, or an export as CSV.
https://www.robots.ox.ac.uk/~vgg/software/via/
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.annotated import (
    Drawing,
    FileParams,
    Images,
    Source,
    UnusableError,
    begin,
    has_words,
    json_entries,
    members,
    number,
    shown,
    sources,
    sources_with_images,
)
from pipekit.builtin.importers.files import first_of, not_utf8
from pipekit.builtin.importers.grouped import grouped
from pipekit.builtin.importers.tables import LABEL_NAMES, by_name
from pipekit.contract import Adjusted, Categories, Category, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import files_in
from pipekit.params import param

SUFFIXES = (".json", ".csv")

READS = (*SUFFIXES, ".html")

WRITTEN_AS = "coco"
"""The exporter for boxes, outlines and keypoints of boxes. It writes no class of a whole image, no keypoint without a box."""

PROJECT = "_via_img_metadata"
"""The member of a project that holds what an export has at its top level."""

ATTRIBUTES = "_via_attributes"
"""The member of a project that describes the attributes of regions and files."""

OF_ALL_REGIONS = -1
"""In place of a line: the description of the attributes of regions."""

COLUMNS = ("filename", "file_attributes", "region_shape_attributes", "region_attributes")

EXPECTED = "a project or an annotation file of VIA 2: an object with 'regions' for each image"


class ViaParams(FileParams):
    attribute: str = param(
        "", "The attribute of regions that is their class; by default the only one, or by its name (class …)"
    )
    unnamed: str = param("object", "The class of regions in files that have no attributes of regions", min_length=1)


def sniff(path: Path) -> str | Rejected:
    """List the files of VIA, or say what is missing."""
    if found := sources(path, SUFFIXES, _is_via):
        return f"VIA annotations: {first_of(source.prefix + source.file.name for source in found)}"
    files = [path] if path.is_file() else [path / name for name in sorted(files_in(path, (".json",)))]
    if third := next(
        (file.name for file in files[:10] if has_words(file, ('"project"', '"config"', '"view"', '"metadata"'))), ""
    ):
        return Rejected(f"{third} is a project of VIA 3, which is not read; export it as COCO")
    return Rejected("no JSON file with 'regions' and 'shape_attributes', and no CSV file with 'region_shape_attributes'")


def read(path: Path, params: ViaParams) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per annotated file; the id is its path below the folder of the images.

    Rectangles, circles, ellipses, polygons and closed polylines become boxes, with outlines except for rectangles; points
    become keypoints. A region's class is one of its attributes; the others are kept in the ``attributes`` of the box's facts,
    and those of the file in ``extra["file_attributes"]``. The split comes from the folder's or the file's name. A region that
    can't be used is listed as failed.

    Raises:
        UserError: there is no such file, or one is damaged.
    """
    expected = f"Expected {EXPECTED}, or an export as CSV."
    for source, images in sources_with_images(path, SUFFIXES, _is_via, params, "VIA annotations", expected):
        entries = _csv_entries(source) if source.file.suffix.lower() == ".csv" else _json_entries(source)
        for where, entry in entries:
            if where == OF_ALL_REGIONS:
                yield from _options(entry, params)
            else:
                yield from _image(where, entry, source, images, params)


def _json_entries(source: Source) -> Iterator[tuple[int, Any]]:
    """(line, entry) of each image, and (:data:`OF_ALL_REGIONS`, attributes) of a project."""
    for entry in json_entries(source.file, (PROJECT, ATTRIBUTES), EXPECTED):
        if entry.inside == ATTRIBUTES:
            if entry.key == "region":
                yield OF_ALL_REGIONS, entry.value
        elif entry.inside == PROJECT or not str(entry.key).startswith("_via_"):
            yield entry.line, entry.value


def _options(attributes: Any, params: ViaParams) -> Iterator[Categories]:
    """The classes among which the project lets choose: the options of the attribute that is the class."""
    try:
        attributes = _table(attributes, "the attributes of regions")
        chosen = _class_attribute(attributes, params)
        options = members(attributes.get(chosen), "an attribute").get("options")
    except UnusableError:
        return
    names = [name for name in options if name.strip()] if isinstance(options, dict) else []
    if names:
        yield Categories("boxes", tuple(Category(name.strip()) for name in names))


def _csv_entries(source: Source) -> Iterator[tuple[int, Any]]:
    """The rows of a CSV export as entries of the JSON export, grouped by image."""
    with grouped(_csv_rows(source.file)) as found:
        for name, rows in found:
            regions = [
                {"line": line, "shape_attributes": shape, "region_attributes": attributes}
                for line, _, shape, attributes in rows
                if shape not in ("", "{}")
            ]
            yield rows[0][0], {"filename": name, "regions": regions, "file_attributes": rows[0][1]}


def _csv_rows(file: Path) -> Iterator[tuple[str, Sequence[Any]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.reader(stream)
            header = [name.strip().lstrip("#") for name in next(table, [])]
            at = [header.index(name) for name in COLUMNS]
            for row in filter(None, table):
                name, *values = (row[column] if column < len(row) else "" for column in at)
                yield name, (table.line_num, *values)
    except UnicodeDecodeError:
        raise UserError(f"can't read {file}: {not_utf8(file)}", "Save it as CSV in UTF-8.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"can't read {file}: {error}", f"Expected the columns {', '.join(COLUMNS)}, in UTF-8.") from error


def _image(line: int, entry: Any, source: Source, images: Images, params: ViaParams) -> Iterator[Sample | Failure | Adjusted]:
    name = entry.get("filename") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name.strip():
        yield Failure(f"{source.prefix}{source.file.name} line {line}", f"an entry without 'filename': {shown(entry)}")
        return
    drawing = begin([name], source, images, line=line)
    if isinstance(drawing, Failure):
        yield drawing
        return
    regions: Any = entry.get("regions") or []
    with drawing.shape("regions", line):
        if isinstance(regions, dict):  # version 1: an object with the regions' numbers as names
            regions = list(regions.values())
        if not isinstance(regions, list):
            raise UnusableError(f"regions is {shown(regions)}, not a list")
        for at, region in enumerate(regions, start=1):
            own_line = region.get("line", line) if isinstance(region, dict) else line
            with drawing.shape(f"region {at}", own_line):
                _draw(drawing, members(region, "a region"), params)
    extra: dict[str, Any] = {}
    with drawing.shape("file_attributes", line):
        extra = {key: value for key, value in _table(entry.get("file_attributes"), "file_attributes").items() if value}
    yield from drawing.rows(params.label, source.split, **{"file_attributes": extra})


def _draw(drawing: Drawing, region: Mapping[str, Any], params: ViaParams) -> None:
    shape = _table(region.get("shape_attributes"), "shape_attributes")
    attributes = _table(region.get("region_attributes"), "region_attributes")
    chosen = _class_attribute(attributes, params)
    label = _class(attributes[chosen], chosen) if chosen else params.unnamed
    facts: dict[str, Any] = {"attributes": {name: value for name, value in attributes.items() if name != chosen and value}}

    def value(name: str) -> float:
        return number(shape.get(name), name)

    kind = shape.get("name")
    if kind == "rect":
        left, top = value("x"), value("y")
        drawing.box((left, top, left + value("width"), top + value("height")), label, **facts)
    elif kind == "circle":
        drawing.ellipse((value("cx"), value("cy")), (value("r"), value("r")), label, **facts)
    elif kind == "ellipse":
        turn = number(shape.get("theta", 0), "theta")
        drawing.ellipse((value("cx"), value("cy")), (value("rx"), value("ry")), label, math.degrees(turn), **facts)
    elif kind in ("polygon", "polyline"):
        corners = _corners(shape)
        if kind == "polyline" and (len(corners) < 4 or corners[0] != corners[-1]):
            raise UnusableError(f"a polyline of {label!r} is not closed, so it encloses no area")
        drawing.polygon(corners, label, **facts)
    elif kind == "point":
        drawing.points([(value("cx"), value("cy"))], label)
    else:
        raise UnusableError(f"a region of kind {shown(kind)} is not read")


def _corners(shape: Mapping[str, Any]) -> list[tuple[float, float]]:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise UnusableError(f"all_points_x and all_points_y are not two lists of one length: {shown(xs)}, {shown(ys)}")
    return [(number(x, "x of a corner"), number(y, "y of a corner")) for x, y in zip(xs, ys, strict=True)]


def _class_attribute(attributes: Mapping[str, Any], params: ViaParams) -> str:
    if params.attribute:
        if params.attribute not in attributes:
            raise UnusableError(f"no attribute {params.attribute!r}; there are: {first_of(attributes) or 'none'}")
        return params.attribute
    if len(attributes) < 2:
        return next(iter(attributes), "")
    if usual := by_name(list(attributes), ("class", "label", "name", "type", *LABEL_NAMES)):
        return usual
    raise UnusableError(f'several attributes: {first_of(attributes)}; choose the class: attribute = "…"')


def _class(value: Any, attribute: str) -> str:
    """A text, or the one option that is ticked of ``{"cat": true, "dog": false}``."""
    chosen = [name for name, ticked in value.items() if ticked] if isinstance(value, dict) else [value]
    if len(chosen) > 1:
        raise UnusableError(f"{attribute} has several values ({first_of(map(str, chosen))}); an object has one class here")
    found = str(chosen[0]).strip() if chosen and isinstance(chosen[0], (str, int, float)) else ""
    if not found:
        raise UnusableError(f"{attribute} is empty: {shown(value)}")
    return found.encode("utf-8", "replace").decode("utf-8")


def _table(value: Any, what: str) -> Mapping[str, Any]:
    """An object, also one that is written as text, as in CSV; missing is empty."""
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except (ValueError, RecursionError):
            raise UnusableError(f"{what} is {shown(value)}, not JSON") from None
    return members({} if value is None else value, what)


def _is_via(file: Path) -> bool:
    if file.suffix.lower() == ".csv":
        return has_words(file, COLUMNS, 1 << 18)
    return has_words(file, (f'"{PROJECT}"',)) or has_words(file, ('"regions"', '"filename"', '"file_attributes"'))
