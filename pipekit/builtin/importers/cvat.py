"""CVAT for images 1.1: one XML file with boxes, polygons, points, skeletons, masks and tags of all images.
https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.annotated import (
    Drawing,
    FileParams,
    Images,
    Source,
    UnusableError,
    begin,
    corners_of,
    number,
    shown,
    sources,
    sources_with_images,
    text,
    turned,
)
from pipekit.builtin.importers.files import first_of, split_of
from pipekit.builtin.importers.xml_items import Element, elements, root_tag
from pipekit.contract import Adjusted, Categories, Category, Failure, Keypoint, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import files_in

XML = (".xml",)

READS = (".xml",)

WRITTEN_AS = "coco"
"""The exporter for boxes, outlines and keypoints of boxes. It writes no class of a whole image, no keypoint without a box."""

NOT_READ = {"polyline": "it encloses no area", "cuboid": "it is not flat"}

SNIFFED_BYTES = 1 << 22
"""How much of a file is searched for its first image: the lists of labels and users come before it."""


def sniff(path: Path) -> str | Rejected:
    """List the annotation files, or say what is missing."""
    if found := sources(path, XML, _is_cvat):
        return f"CVAT annotations: {first_of(source.prefix + source.file.name for source in found)}"
    if path.is_file():
        kind = root_tag(path) if path.name.lower().endswith(XML) else ""
        return Rejected(_not_images(kind, path.name) if kind else "the file does not end in .xml")
    name = next(iter(sorted(files_in(path, XML))), "")
    return Rejected(_not_images(root_tag(path / name), name) if name else "no .xml file in it or in annotations/")


def read(path: Path, params: FileParams) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per ``image`` element; the id is the path of its file below the folder of the images.

    Boxes, polygons, ellipses and masks become boxes, with outlines except for upright boxes. Points become keypoints; those of
    a skeleton belong to the box around them. One tag becomes the class of the image. ``occluded``, ``z_order`` and attributes
    are facts of the box. The labels of the task or project are the list of classes. The split is the image's
    ``subset``, else that of the folder.
    An object that can't be used, and an image of another size than stated, are listed as failed.

    Raises:
        UserError: there is no such file, or one is not XML.
    """
    expected = "Expected an XML file with 'annotations' and 'image' elements: CVAT for images 1.1."
    for source, images in sources_with_images(path, XML, _is_cvat, params, "CVAT annotations", expected):
        try:
            labels: list[Element] = []
            for element in elements(source.file, ("image", "label")):
                if element.tag == "image":
                    yield from _image(element, source, images, params)
                else:
                    labels.append(element)
            yield from _categories(labels)
        except (ValueError, OSError) as error:
            raise UserError(f"can't read {source.file}: {error}", "Export it again as 'CVAT for images 1.1'.") from error


def _categories(labels: list[Element]) -> Iterator[Categories]:
    """The labels of a task or project. Those of tags name whole images; those with a parent are a skeleton's keypoints."""
    found = [{child.tag: child.text.strip() for child in label.children} for label in labels]
    named = [entry for entry in found if entry.get("name") and not entry.get("parent")]
    points: dict[str, list[str]] = {}
    for entry in found:
        if entry.get("name") and entry.get("parent"):
            points.setdefault(entry["parent"], []).append(entry["name"])
    for of, wanted in (("labels", True), ("boxes", False)):
        entries = [
            Category(
                entry["name"], None, own := tuple(points.get(entry["name"], ())), _skeleton_lines(entry.get("svg", ""), own)
            )
            for entry in named
            if (entry.get("type") == "tag") == wanted
        ]
        if entries:
            yield Categories("labels" if of == "labels" else "boxes", tuple(entries))


def _skeleton_lines(svg: str, names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """The lines between the keypoints of a skeleton, which CVAT draws as SVG: nodes with the names of labels, and edges."""
    tags = [dict(re.findall(r'data-([a-z-]+)="([^"]*)"', tag)) for tag in re.findall(r"<(?:line|circle)\b[^>]*>", svg)]
    place = {tag["node-id"]: tag["label-name"] for tag in tags if "node-id" in tag and "label-name" in tag}
    ends = [(place.get(tag["node-from"]), place.get(tag["node-to"])) for tag in tags if {"node-from", "node-to"} <= tag.keys()]
    return tuple((names.index(one), names.index(other)) for one, other in ends if one in names and other in names)


def _image(image: Element, source: Source, images: Images, params: FileParams) -> Iterator[Sample | Failure | Adjusted]:
    name = image.attributes.get("name", "").strip()
    if not name:
        yield Failure(f"{source.prefix}{source.file.name} line {image.line}", "an image without a name")
        return
    subset = image.attributes.get("subset", "").strip()
    drawing = begin(
        [*([f"{subset}/{name}"] if subset else []), name],
        source,
        images,
        (image.attributes.get("width"), image.attributes.get("height")),
        line=image.line,
    )
    if isinstance(drawing, Failure):
        yield drawing
        return
    folder = drawing.place.parent.name
    if subset and split_of(folder) not in ("", split_of(subset)):
        yield Failure(
            drawing.identity, f"{source.file.name} line {image.line}: subset {subset}, but the image lies in {folder}"
        )
        return
    for at, shape in enumerate(image.children, start=1):
        with drawing.shape(f"object {at}", shape.line):
            _draw(drawing, shape)
    yield from drawing.rows(params.label, split_of(subset) or source.split)


def _draw(drawing: Drawing, shape: Element) -> None:
    label = text(shape.attributes.get("label"), "label")
    facts = _facts(shape)
    if shape.tag == "tag":
        drawing.tags.append(label)
    elif shape.tag == "box":
        edges = [_value(shape, name) for name in ("xtl", "ytl", "xbr", "ybr")]
        if turn := number(shape.attributes.get("rotation", 0), "rotation"):
            centre = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
            corners = [turned(corner, centre, turn) for corner in corners_of(*edges)]
            drawing.polygon(corners, label, oriented=True, **facts)
        else:
            drawing.box(edges, label, **facts)
    elif shape.tag == "polygon":
        drawing.polygon(_points(shape), label, **facts)
    elif shape.tag == "ellipse":
        cx, cy, rx, ry = (_value(shape, name) for name in ("cx", "cy", "rx", "ry"))
        drawing.ellipse((cx, cy), (rx, ry), label, number(shape.attributes.get("rotation", 0), "rotation"), **facts)
    elif shape.tag == "mask":
        _mask(drawing, shape, label, facts)
    elif shape.tag == "points":
        drawing.points(_points(shape), label)
    elif shape.tag == "skeleton":
        _skeleton(drawing, shape, label, facts)
    else:
        raise UnusableError(f"a {shape.tag} of {shown(label)} is not read: {NOT_READ.get(shape.tag, 'its kind is unknown')}")


def _facts(shape: Element) -> dict[str, Any]:
    """What else is known about an object, without what is usual."""
    facts: dict[str, Any] = {"occluded": True} if shape.attributes.get("occluded") == "1" else {}
    z_order = shape.attributes.get("z_order", "0")
    if z_order != "0":
        facts["z_order"] = int(number(z_order, "z_order"))
    attributes = [child for child in shape.children if child.tag == "attribute" and child.attributes.get("name")]
    return {**facts, "attributes": {child.attributes["name"]: child.text.strip() for child in attributes}}


def _value(shape: Element, name: str) -> float:
    return number(shape.attributes.get(name), name)


def _points(shape: Element) -> list[tuple[float, float]]:
    """``1.5,2;3,4``"""
    found = []
    for pair in filter(None, shape.attributes.get("points", "").split(";")):
        x, mark, y = pair.partition(",")
        if not mark:
            raise UnusableError(f"points: {shown(pair)} is not a pair x,y")
        found.append((number(x, "x of a point"), number(y, "y of a point")))
    if not found:
        raise UnusableError("points is missing")
    return found


def _mask(drawing: Drawing, shape: Element, label: str, facts: dict[str, Any]) -> None:
    """Run lengths row by row, zeros first, inside a rectangle."""
    import numpy as np

    left, top, width, height = (int(_value(shape, name)) for name in ("left", "top", "width", "height"))
    counts = [int(number(count, "a count of rle")) for count in shape.attributes.get("rle", "").split(",")]
    limit = drawing.size_hw[0] * drawing.size_hw[1]
    if min(width, height, *counts) < 0 or width * height > limit or sum(counts) != width * height:
        raise UnusableError(f"the run lengths of a mask of {label!r} do not fill its {width} x {height} px")
    mask = np.repeat(np.arange(len(counts)) % 2, counts).reshape(height, width)
    drawing.mask(mask, left, top, label, **facts)


def _skeleton(drawing: Drawing, shape: Element, label: str, facts: dict[str, Any]) -> None:
    found = []
    for child in (child for child in shape.children if child.tag == "points" and child.attributes.get("outside") != "1"):
        (x, y), *_ = _points(child)
        found.append((x, y, text(child.attributes.get("label"), "label of a point"), child.attributes.get("occluded") != "1"))
    if not found:
        raise UnusableError(f"a skeleton of {label!r} has no visible point")
    xs, ys = [x for x, *_ in found], [y for _, y, *_ in found]
    of = None
    if min(xs) < max(xs) and min(ys) < max(ys):
        of = len(drawing.boxes)
        drawing.box((min(xs), min(ys), max(xs), max(ys)), label, **facts)
    drawing.keypoints += [Keypoint(*drawing.frame.keypoint(x, y), name, visible, of) for x, y, name, visible in found]


def _is_cvat(file: Path) -> bool:
    """Whether it holds images; CVAT's video format has tracks instead."""
    if root_tag(file) != "annotations":
        return False
    try:
        return next(elements(file, ("image", "track"), SNIFFED_BYTES), Element("", {}, 0)).tag == "image"
    except (ValueError, OSError):
        return True  # `read` names the line


def _not_images(kind: str, name: str) -> str:
    if kind == "annotations":
        return f"{name} has tracks of a video, or no image; export the task as 'CVAT for images 1.1'"
    return f"{name} begins with {kind!r}, not with 'annotations'" if kind else f"{name} is not XML"
