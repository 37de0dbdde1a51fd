"""Pascal VOC: ``Annotations/*.xml``, ``JPEGImages``, optionally ``ImageSets/Main``, ``SegmentationClass``; or XML files beside
their images, as LabelImg and Roboflow write them. http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.any_case import BY_OTHER_CASE, AnyCase
from pipekit.builtin.importers.boxes import BoxedParams, Finder, checked_box, label_of
from pipekit.builtin.importers.files import NO_FOLDER, first_of, is_file, split_of, subfolders
from pipekit.builtin.importers.lookup import Lookup, lookup
from pipekit.builtin.importers.stated_size import Frame, frame_of
from pipekit.builtin.importers.words import split_folder
from pipekit.contract import Adjusted, Box, Categories, Category, Failure, Rejected, Sample, Targets
from pipekit.errors import ImageError, UserError
from pipekit.files import files_in, image_suffixes, walk
from pipekit.params import param

XML = (".xml",)

READS = (".xml", ".txt")

LABELMAP = "labelmap.txt"
"""CVAT's list of classes, ``name:r,g,b:parts:actions``; the position of a line is the value in masks."""

COMMENT = re.compile(r"#(?!.*:\d+,\d+,\d+:)")
"""A line of it that is no class, unlike ``#1:255,0,0::``."""

BACKGROUND = "background"

FLAGS = ("truncated", "difficult", "occluded")

WRITTEN_AS = "voc"
"""The exporter that writes back all that is read here, and not a class for each image alone."""

IMAGE_FOLDERS = ("jpegimages", "images", "image", "imgs", "img")

SAME_STEM = (".jpg", ".jpeg", ".png")
"""Suffixes to try, with the XML file's own name, if the image that it names is missing."""


class VocParams(BoxedParams):
    masks: bool = param(True, "Read the masks in SegmentationClass; their values are class numbers, 255 is the border")
    difficult: bool = param(True, "Include objects that are marked as difficult")


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is a VOC tree, or what it lacks."""
    if not path.is_dir():
        return NO_FOLDER
    places = _places(path)
    if not places:
        if folder := _annotations_in(path):
            return Rejected(f"no .xml file in {folder.name}")
        return Rejected("no folder 'Annotations' in it, and no .xml files of VOC beside images")
    first = places[0]
    if first.xml == path:
        return "boxes, by XML files of VOC beside the images"
    if first.base != path:
        return f"boxes, by XML files of VOC in {first_of(place.xml.relative_to(path).as_posix() for place in places)}"
    count = sum(1 for _ in files_in(first.xml, XML))
    return f"boxes, by {count} XML file{'s' if count != 1 else ''} in {first.xml.name}"


def read(path: Path, params: VocParams) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per XML file, and one per image beside them without an XML file; the id is the image's name, prefixed with
    the split's folder if there is one. In VOC, corners count from 1 and both belong to the box.

    Flags of objects (truncated, difficult, occluded) and their pose are kept. CVAT's ``labelmap.txt`` is the list of classes.
    The split comes from ``ImageSets``, or from the folder. An unusable object is listed as failed; its image is kept.

    Raises:
        UserError: there is no folder ``Annotations`` with XML files, and no XML files beside images.
    """
    places = _places(path) if path.is_dir() else []
    if not places:
        raise UserError(
            f"{path} is not a VOC tree", "Expected a folder 'Annotations' with XML files and 'JPEGImages', or both in one."
        )
    for place in places:
        yield from _listed(place.base)
        with lookup(_splits(place.base)) as splits, lookup(()) as others:
            prefix = "" if place.base == path else f"{place.base.name}/"
            yield from _samples(place, prefix, splits, others, params)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the XML files and their images lie; the first image folder holds all images."""

    base: Path
    xml: Path
    images: list[Path]


def _places(path: Path) -> list[_Place]:
    """The tree itself, or those in its folders named train, val and test."""
    for bases in ([path], [path / name for name in subfolders(path) if split_folder(name)]):
        found = [place for base in bases if (place := _place(base))]
        if found:
            return found
    return []


def _place(base: Path) -> _Place | None:
    folder = _annotations_in(base)
    if folder and any(files_in(folder, XML)):
        usual = [base / name for name in subfolders(base) if name.lower() in IMAGE_FOLDERS]
        return _Place(base, folder, [*usual, base, folder])
    first = next(files_in(base, XML), "")
    return _Place(base, base, [base]) if first and _is_voc(base / first) and any(files_in(base, image_suffixes())) else None


def _annotations_in(base: Path) -> Path | None:
    """The folder of XML files: ``Annotations``, one in it (``annotations/xmls``), or any whose first XML file has boxes."""
    names = subfolders(base)
    usual = next((base / name for name in names if name.lower() == "annotations"), None)
    if usual and any(files_in(usual, XML)):
        return usual
    inside = [usual / name for name in subfolders(usual)] if usual else []
    others = (folder for folder in [*inside, *(base / name for name in names)] if folder != usual)
    return next((folder for folder in others if _has_boxes(folder)), usual)


def _has_boxes(folder: Path) -> bool:
    """Whether a folder without images begins with an XML file of VOC that has a box, or no object."""
    first = next(files_in(folder, XML), "")
    if not first or any(files_in(folder, image_suffixes())) or not _is_voc(folder / first):
        return False
    try:
        root = ET.parse(folder / first).getroot()
    except (ET.ParseError, OSError):
        return False
    found = root.find("object")
    return found is None or found.find("bndbox") is not None


def _is_voc(file: Path) -> bool:
    try:
        _, root = next(ET.iterparse(file, ["start"]))
    except (ET.ParseError, OSError, StopIteration):
        return False
    return bool(root.tag == "annotation")


def _samples(
    place: _Place, prefix: str, splits: Lookup, others: Lookup, params: VocParams
) -> Iterator[Sample | Failure | Adjusted]:
    """``others`` maps an XML file's name to its image's, and back, where the two differ."""
    finder = Finder(place.images)
    for name in _sorted_names(place.xml, XML):
        file = place.xml / name
        try:
            root = ET.parse(file).getroot()
        except (ET.ParseError, OSError) as error:
            yield Failure(prefix + file.name, f"not XML: {error}")
            continue
        wanted = (root.findtext("filename") or "").strip() or f"{file.stem}.jpg"
        image = finder.find(wanted) or next(filter(None, (finder.find(file.stem + end) for end in SAME_STEM)), None)
        if image is None and (image := _in_any_case(file, wanted, place.images, others)):
            yield Adjusted(prefix + image.name, BY_OTHER_CASE)
        if image is None:
            yield Failure(prefix + wanted, f"no such file; {file.name} names it")
            continue
        if image.stem != file.stem:
            others.add(image.name, file.name)
            others.add(file.name, image.name)
        boxes: list[Box] = []
        try:
            frame, adjusted = frame_of(image, _stated_hw(root), prefix + image.name)
        except ImageError as error:
            yield Failure(prefix + image.name, f"{file.name}: {error.message}", str(image))
            continue
        objects = list(root.iter("object"))
        if adjusted is not None and objects:
            yield adjusted
        for number, item in enumerate(objects, start=1):
            if not params.difficult and (item.findtext("difficult") or "0").strip() == "1":
                continue
            box = _box(item, frame)
            if isinstance(box, Box) and (facts := _facts(item)):
                box = replace(box, facts=facts)
            if isinstance(box, str):
                yield Failure(
                    f"{prefix}{image.name} object {number}", f"{_where(file, number)}: {box}", part_of=prefix + image.name
                )
            else:
                boxes.append(box)
        yield _sample(image, prefix, boxes, place.base, splits, params)
    for name in _sorted_names(place.images[0], image_suffixes()):
        image = place.images[0] / name
        own = f"{image.stem}.xml"
        if others.get(name):
            continue
        if other := others.get(own):
            yield Failure(prefix + name, f"{own} is about {other}", str(image))
        elif not (place.xml / own).is_file():
            yield _sample(image, prefix, [], place.base, splits, params)


def _in_any_case(file: Path, wanted: str, folders: Sequence[Path], others: Lookup) -> Path | None:
    """The image of an XML file in another case, if no other XML file is about it."""
    found = AnyCase(others).find_among(folders, [wanted, *(file.stem + end for end in SAME_STEM)])
    taken = found and (is_file(file.with_name(f"{found.stem}.xml")) or others.get(found.name))
    return None if taken else found


def _sample(image: Path, prefix: str, boxes: list[Box], base: Path, splits: Lookup, params: VocParams) -> Sample:
    mask = base / "SegmentationClass" / f"{image.stem}.png"
    targets = Targets(str(mask) if params.masks and mask.is_file() else "", boxes=tuple(boxes))
    split = splits.get(image.stem) or split_folder(base.name)
    return Sample(prefix + image.name, str(image), label=label_of(boxes, params.label), split=split, targets=targets)


def _sorted_names(folder: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    _, names = next(walk(folder), ("", ()))
    return (name for name in names if name.lower().endswith(suffixes))


def _stated_hw(root: ET.Element) -> tuple[float, float] | None:
    try:
        return float(root.findtext("size/height") or ""), float(root.findtext("size/width") or "")
    except ValueError:
        return None


def _box(item: ET.Element, frame: Frame) -> Box | str:
    label = (item.findtext("name") or "").strip()
    if not label:
        return "an object without a name"
    texts = {edge: item.findtext(f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")}
    try:
        x_min, y_min, x_max, y_max = (float(text or "") for text in texts.values())
    except ValueError:
        said = ", ".join(f"{edge} {str(text)[:40]!r}" for edge, text in texts.items())
        return f"the box of {label!r} is not four numbers: {said}"
    return checked_box(frame.box((x_min - 1, y_min - 1, x_max, y_max)), label, frame.size_hw)


def _facts(item: ET.Element) -> dict[str, Any]:
    """The flags that are set, and the pose if it is stated."""
    facts: dict[str, Any] = {tag: True for tag in FLAGS if (item.findtext(tag) or "").strip() == "1"}
    pose = (item.findtext("pose") or "").strip()
    return facts | ({"pose": pose} if pose and pose.lower() != "unspecified" else {})


def _listed(base: Path) -> Iterator[Categories]:
    try:
        lines = (base / LABELMAP).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return
    names = [line.partition(":")[0].strip() for line in lines if line.strip() and not COMMENT.match(line)]
    yield Categories("boxes", tuple(Category(name) for name in dict.fromkeys(names) if name != BACKGROUND))
    yield Categories("masks", tuple(Category(name, value) for value, name in enumerate(names) if name not in names[:value]))


def _where(file: Path, number: int) -> str:
    """``a.xml line 12``: where the n-th object begins."""
    before = re.split(r"<object\b", file.read_text("utf-8", errors="replace"))[:number]
    return f"{file.name} line {1 + sum(part.count(chr(10)) for part in before)}"


def _splits(path: Path) -> Iterator[tuple[str, str]]:
    """(image, split) from ``ImageSets/Main/train.txt`` and so on; for an image that is listed twice, the first one counts."""
    for folder in ("ImageSets/Main", "ImageSets/Segmentation", "ImageSets"):
        files = [path / folder / name for name in sorted(files_in(path / folder, (".txt",))) if split_of(Path(name).stem)]
        found = False
        for file in files:
            with file.open(encoding="utf-8", errors="replace") as lines:
                for words in map(str.split, lines):
                    if words:
                        found = True
                        yield words[0], split_of(file.stem)
        if found:
            return
