"""Create ML: one JSON file with the boxes of all images, ``_annotations.createml.json`` in Roboflow's exports.
https://developer.apple.com/documentation/createml/building-an-object-detector-data-source
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.annotated import (
    Drawing,
    FileParams,
    Images,
    Source,
    UnusableError,
    begin,
    first_entry,
    json_entries,
    listed,
    members,
    number,
    shown,
    sources,
    sources_with_images,
    text,
)
from pipekit.builtin.importers.files import first_of
from pipekit.builtin.importers.json_items import Entry
from pipekit.contract import Adjusted, Failure, Rejected, Sample

JSON = (".json",)

READS = JSON

WRITTEN_AS = "coco"
"""The exporter for boxes, outlines and keypoints of boxes. It writes no class of a whole image, no keypoint without a box."""

IMAGE, OBJECTS = ("image", "imagefilename"), ("annotations", "annotation")

EXPECTED = "a list of objects with 'image' and 'annotations'"


def sniff(path: Path) -> str | Rejected:
    """List the annotation files, or say what is missing."""
    if found := sources(path, JSON, _is_createml):
        return f"Create ML annotations: {first_of(source.prefix + source.file.name for source in found)}"
    return Rejected("no JSON file that is a list of objects with 'image' and 'annotations'")


def read(path: Path, params: FileParams) -> Iterator[Sample | Failure | Adjusted]:
    """One sample per entry; the id is the path of its image below the folder of the images.

    A box is given by its centre and size in pixels. An annotation without coordinates, or a text in place of the list, is the
    class of the image. The split comes from the folder's or the file's name. An unusable annotation is listed as failed.

    Raises:
        UserError: there is no such file, or one is damaged.
    """
    expected = f"Expected a JSON file with {EXPECTED}."
    for source, images in sources_with_images(path, JSON, _is_createml, params, "Create ML annotations", expected):
        for entry in json_entries(source.file, (), EXPECTED):
            yield from _image(entry, source, images, params)


def _image(entry: Entry, source: Source, images: Images, params: FileParams) -> Iterator[Sample | Failure | Adjusted]:
    name = _first(entry.value, IMAGE) if isinstance(entry.value, dict) else None
    if not isinstance(name, str) or not name.strip():
        yield Failure(
            f"{source.prefix}{source.file.name} entry {int(entry.key) + 1}",
            f"line {entry.line}: no name of an image: {shown(entry.value)}",
        )
        return
    drawing = begin([name], source, images, line=entry.line)
    if isinstance(drawing, Failure):
        yield drawing
        return
    objects = _first(entry.value, OBJECTS)
    if isinstance(objects, str):
        drawing.tags.append(objects)
    elif objects is not None:
        with drawing.shape("annotations", entry.line):
            for at, one in enumerate(listed(objects, "annotations"), start=1):
                with drawing.shape(f"annotation {at}", entry.line):
                    _draw(drawing, members(one, "an annotation"))
    yield from drawing.rows(params.label, source.split)


def _draw(drawing: Drawing, one: Mapping[str, Any]) -> None:
    label = text(one.get("label"), "label")
    if "coordinates" not in one:
        drawing.tags.append(label)
        return
    place = members(one["coordinates"], "coordinates")
    x, y, width, height = (number(place.get(name), name) for name in ("x", "y", "width", "height"))
    if max(x, y, width, height) <= 1:
        raise UnusableError(f"coordinates are fractions ({x:g}, {y:g}, {width:g}, {height:g}); pixels are expected")
    drawing.box((x - width / 2, y - height / 2, x + width / 2, y + height / 2), label)


def _first(entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if name in entry), None)


def _is_createml(file: Path) -> bool:
    entry = first_entry(file)
    return isinstance(entry, dict) and isinstance(_first(entry, IMAGE), str) and _first(entry, OBJECTS) is not None
