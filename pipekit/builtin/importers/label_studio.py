"""Label Studio's export as JSON: a list of tasks with boxes, polygons, keypoints and choices.
https://labelstud.io/guide/export.html
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
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
    first_entry,
    json_entries,
    listed,
    members,
    number,
    points,
    shown,
    sources,
    sources_with_images,
    text,
    turned,
)
from pipekit.builtin.importers.files import first_of, is_image_name
from pipekit.builtin.importers.json_items import Entry
from pipekit.builtin.importers.stated_size import SCALED, has_shape
from pipekit.contract import Adjusted, Categories, Category, Failure, Rejected, Sample
from pipekit.files import files_in
from pipekit.params import param

JSON = (".json",)

READS = (*JSON, ".xml")

WRITTEN_AS = "coco"
"""The exporter for boxes, outlines and keypoints of boxes. It writes no class of a whole image, no keypoint without a box."""

EXPECTED = "Label Studio's export as JSON: a list of tasks with 'data' and 'annotations'"

ANNOTATIONS = ("annotations", "completions")
"""The name of a task's annotations, now and in the first versions."""

SHAPES = {
    "rectanglelabels": "rectangle",
    "polygonlabels": "polygon",
    "keypointlabels": "keypoint",
    "ellipselabels": "ellipse",
}

BARE = frozenset(SHAPES.values())
"""Types of results without a class: a result of type ``labels`` with the same id has it."""

OF_A_BOX = ("keypointlabels", "choices")
"""Types of results that may belong to a box."""

OBJECT_TAGS = frozenset({"labels", *(tag for tag in SHAPES if tag != "keypointlabels")})
"""Tags of the labeling configuration, in lower case, whose labels are classes of objects."""

MOST_CONFIGURATIONS = 10
"""XML files that are searched for the configuration."""

UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""Label Studio puts this before the name of an uploaded file."""


class LabelStudioParams(FileParams):
    choices: str = param("", "Which choices are the image's class: the name of their control (from_name); by default all")


def sniff(path: Path) -> str | Rejected:
    """List the files of tasks, or say what is missing."""
    if found := sources(path, JSON, _is_tasks):
        return f"Label Studio tasks: {first_of(source.prefix + source.file.name for source in found)}"
    files = [path] if path.is_file() else [path / name for name in sorted(files_in(path, JSON))[:10]]
    if short := next((file.name for file in files if _is_json_min(first_entry(file))), ""):
        return Rejected(f"{short} is Label Studio's JSON-MIN, which is not read; export the project as JSON")
    return Rejected("no JSON file that is a list of tasks with 'data' and 'annotations'")


def read(path: Path, params: LabelStudioParams) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per task; the id is the path of its image below the folder of the images.

    Rectangles, polygons and ellipses become boxes, with outlines except for upright rectangles; keypoints belong to the box
    that they have as parent. A choice is the image's class, or an attribute of the box that it was made for. With several
    annotations of a task, the first one counts that is not cancelled; the others are listed as failed, as are brush strokes,
    other results, and what can't be used.

    Raises:
        UserError: there is no such file, or one is damaged.
    """
    expected = f"Expected {EXPECTED}."
    for source, images in sources_with_images(path, JSON, _is_tasks, params, "Label Studio tasks", expected):
        yield from _configured(source.file.parent)
        for entry in json_entries(source.file, (), EXPECTED):
            yield from _task(entry, source, images, params)


def _configured(folder: Path) -> Iterator[Categories]:
    """The classes in the project's labeling configuration, an XML file beside the export with ``<View>`` as its root."""
    for name in islice(sorted(files_in(folder, (".xml",))), MOST_CONFIGURATIONS):
        try:
            root = ET.parse(folder / name).getroot()
        except (ET.ParseError, OSError):
            continue
        if root.tag == "View":
            objects = [one for tag in root.iter() if tag.tag.lower() in OBJECT_TAGS for one in tag.iter("Label")]
            choices = [one for tag in root.iter("Choices") for one in tag.iter("Choice")]
            for of, found in (("boxes", objects), ("labels", choices)):
                names = dict.fromkeys(value for one in found if (value := one.get("value", "").strip()))
                if names:
                    yield Categories("boxes" if of == "boxes" else "labels", tuple(map(Category, names)))
            return


def _task(entry: Entry, source: Source, images: Images, params: LabelStudioParams) -> Iterator[Sample | Failure | Adjusted]:
    task = entry.value
    name = _image_name(task.get("data")) if isinstance(task, dict) else ""
    if not name:
        about = f"line {entry.line}: no image among its 'data': {shown(task)}"
        yield Failure(f"{source.prefix}{source.file.name} task {int(entry.key) + 1}", about)
        return
    drawing = begin([name, *_without_prefix(name)], source, images, where=f"{source.file.name} line {entry.line}")
    if isinstance(drawing, Failure):
        yield drawing
        return
    with drawing.shape("annotations"):
        results = _results(drawing, task)
        _draw_all(drawing, results, params)
    yield from drawing.rows(params.label, source.split)


def _results(drawing: Drawing, task: Mapping[str, Any]) -> Sequence[Any]:
    """The results of the annotation that counts."""
    found: Any = next((task[name] for name in ANNOTATIONS if name in task), [])
    there = [one for one in listed(found, "annotations") if not (isinstance(one, dict) and one.get("was_cancelled"))]
    for at, _ in enumerate(there[1:], start=2):
        with drawing.shape(f"annotation {at}"):
            raise UnusableError(f"the task has {len(there)} annotations; the first one is read")
    return listed(members(there[0], "an annotation").get("result"), "result") if there else []


def _draw_all(drawing: Drawing, results: Sequence[Any], params: LabelStudioParams) -> None:
    named = {
        one.get("id") for one in results if isinstance(one, dict) and one.get("type") == "labels" and _is_plain(one.get("id"))
    }
    boxes: dict[Any, int] = {}
    rows = list(enumerate(results, start=1))
    # Boxes first: a keypoint or a choice may come before the box that it belongs to.
    for at, one in sorted(rows, key=lambda row: isinstance(row[1], dict) and row[1].get("type") in OF_A_BOX):
        with drawing.shape(f"result {at}"):
            result = members(one, "a result")
            before = len(drawing.boxes)
            if not (str(result.get("type")) in BARE and _is_plain(result.get("id")) and result.get("id") in named):
                _draw(drawing, result, boxes, params)
            if len(drawing.boxes) > before and _is_plain(result.get("id")):
                boxes[result.get("id")] = before


def _draw(drawing: Drawing, result: Mapping[str, Any], boxes: Mapping[Any, int], params: LabelStudioParams) -> None:
    kind = str(result.get("type"))
    if kind == "relation":
        return
    if kind == "choices" and _is_of_a_region(result):
        _describe(drawing, result, boxes)
        return
    if kind == "choices":
        if params.choices in ("", result.get("from_name")):
            chosen = listed(members(result.get("value"), "value").get("choices"), "choices")
            drawing.tags += [text(choice, "a choice") for choice in chosen]
        return
    if kind != "labels" and kind not in SHAPES:
        hint = "; export it as masks (brush to PNG)" if kind.startswith("brush") else ""
        raise UnusableError(f"a result of type {shown(kind)} is not read{hint}")
    if result.get("image_rotation"):
        raise UnusableError(f"the image was turned by {shown(result['image_rotation'])} degrees in Label Studio; turn the file")
    _check_size(drawing, result)
    value = members(result.get("value"), "value")
    _draw_shape(drawing, SHAPES.get(kind) or _shape_of(value), value, _label(value, kind), _parent(result, boxes))


def _check_size(drawing: Drawing, result: Mapping[str, Any]) -> None:
    """Raises UnusableError if a stated size has not the shape of the image: values are shares of the sides. 0 states none."""
    stated = result.get("original_width"), result.get("original_height")
    if not any(stated):
        return
    width, height = number(stated[0], "width"), number(stated[1], "height")
    here, there = drawing.size_hw, (round(height), round(width))
    if here != there and not has_shape(there, here):
        raise UnusableError(f"the annotations are for {width:g} x {height:g} px, the image has {here[1]} x {here[0]} px")
    if here != there:
        drawing.adjusted = Adjusted(drawing.identity, SCALED)


def _is_of_a_region(result: Mapping[str, Any]) -> bool:
    """Whether a choice was made for one region (``perRegion``): then it has the region's place."""
    value = result.get("value")
    return isinstance(value, dict) and ("x" in value or "points" in value)


def _describe(drawing: Drawing, result: Mapping[str, Any], boxes: Mapping[Any, int]) -> None:
    """Keep what was chosen for a region as an attribute of its box."""
    chosen = [text(choice, "a choice") for choice in listed(members(result.get("value"), "value").get("choices"), "choices")]
    at = boxes.get(result.get("id")) if _is_plain(result.get("id")) else None
    if at is None:
        raise UnusableError(f"the choice {first_of(chosen)!r} is for a region that is not read")
    box = drawing.boxes[at]
    attributes = {**box.facts.get("attributes", {}), str(result.get("from_name", "choices")): ", ".join(chosen)}
    drawing.boxes[at] = replace(box, facts={**box.facts, "attributes": attributes})


def _draw_shape(drawing: Drawing, shape: str, value: Mapping[str, Any], label: str, of: int | None) -> None:
    """Coordinates are percentages of the image's width and height; a rectangle turns about its upper left corner."""
    height, width = drawing.size_hw

    def at(name: str, side: int) -> float:
        return number(value.get(name), name) * side / 100

    turn = number(value.get("rotation") or 0, "rotation")
    if shape == "polygon":
        corners = [(x * width / 100, y * height / 100) for x, y in points(value.get("points"))]
        drawing.polygon(corners, label)
        return
    x, y = at("x", width), at("y", height)
    if shape == "keypoint":
        drawing.points([(x, y)], label, of)
    elif shape == "ellipse":
        drawing.ellipse((x, y), (at("radiusX", width), at("radiusY", height)), label, turn)
    else:
        edges = x, y, x + at("width", width), y + at("height", height)
        if turn:
            drawing.polygon([turned(corner, (x, y), turn) for corner in corners_of(*edges)], label)
        else:
            drawing.box(edges, label)


def _shape_of(value: Mapping[str, Any]) -> str:
    """The shape of a result of type ``labels``, from what it states."""
    if "points" in value:
        return "polygon"
    return "ellipse" if "radiusX" in value else "rectangle" if "height" in value else "keypoint"


def _label(value: Mapping[str, Any], kind: str) -> str:
    labels = listed(value.get(kind), kind)
    if len(labels) != 1:
        raise UnusableError(f"{kind} has {len(labels)} classes ({first_of(map(str, labels))}); an object has one class here")
    return text(labels[0], kind)


def _parent(result: Mapping[str, Any], boxes: Mapping[Any, int]) -> int | None:
    parent = result.get("parentID")
    return boxes.get(parent) if _is_plain(parent) else None


def _is_plain(identity: Any) -> bool:
    return isinstance(identity, (str, int))


def _image_name(data: Any) -> str:
    """The image among a task's data: ``{"image": "/data/upload/1/3b0cd5c9-a.jpg"}``."""
    if not isinstance(data, dict):
        return data if isinstance(data, str) and is_image_name(data) else ""
    texts = [value.strip() for value in data.values() if isinstance(value, str)]
    likely = next((value for value in texts if is_image_name(value) or is_image_name(value.partition("?")[0])), "")
    usual = next((data[name] for name in ("image", "img", "picture", "url") if isinstance(data.get(name), str)), "")
    return likely or usual


def _without_prefix(name: str) -> list[str]:
    folder, mark, last = name.rpartition("/")
    return [folder + mark + UPLOADED.sub("", last)] if UPLOADED.match(last) else []


def _is_tasks(file: Path) -> bool:
    entry = first_entry(file)
    return isinstance(entry, dict) and isinstance(entry.get("data"), dict) and any(name in entry for name in ANNOTATIONS)


def _is_json_min(entry: Any) -> bool:
    return isinstance(entry, dict) and "annotation_id" in entry and "data" not in entry
