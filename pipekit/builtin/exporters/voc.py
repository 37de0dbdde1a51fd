"""Pascal VOC: ``JPEGImages``, ``Annotations``, ``ImageSets/Main``, ``SegmentationClass``."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from pipekit.builtin.exporters.common import NO_SPLIT, ImagesParams, Names, counted_from_zero, numbered, place, size_of
from pipekit.contract import Box, Dataset
from pipekit.files import read_bytes

CARRIES = {"boxes", "mask", "mask_names", "difficult", "truncated", "occluded", "pose"}
"""What the format holds of a sample besides its image and its split."""

FLAGS = ("truncated", "difficult", "occluded")

LABELMAP = "labelmap.txt"

BACKGROUND = "background"


def write(artifact: Dataset, out_dir: Path, params: ImagesParams) -> None:
    """One XML file per image. Corners count from 1 and both belong to the box, so they are rounded to whole pixels.

    VOC itself has no list of classes. Where the source has one, ``labelmap.txt`` keeps its order and its unused names, in the
    form of CVAT: the position of a line, from 0 for the background, is the value in masks. Crowds are left out.
    """
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (out_dir / name).mkdir(parents=True)
    names = Names()
    stems: set[str] = set()
    sets: dict[str, list[str]] = defaultdict(list)
    for sample in artifact:
        name = names.of(sample)
        while (stem := name.rpartition(".")[0]).lower() in stems:
            name = names.of(sample)
        stems.add(stem.lower())
        place(sample, out_dir / "JPEGImages" / name, params.images)
        ET.ElementTree(_described(name, size_of(sample), sample.targets.boxes)).write(
            out_dir / "Annotations" / f"{stem}.xml", encoding="utf-8"
        )
        sets[sample.split or NO_SPLIT].append(stem)
        if sample.targets.mask:
            (out_dir / "SegmentationClass").mkdir(exist_ok=True)
            (out_dir / "SegmentationClass" / f"{stem}.png").write_bytes(read_bytes(sample.targets.mask))
    if lines := _labelmap(artifact):
        (out_dir / LABELMAP).write_text("\n".join(("# label:color_rgb:parts:actions", *lines, "")), "utf-8")
    for split, stems_of_split in sets.items():
        (out_dir / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{s}\n" for s in stems_of_split), "utf-8")


def limits(artifact: Dataset, params: ImagesParams) -> Iterator[str]:
    """What the annotations can't hold of this dataset as it is."""
    boxes = [box for sample in artifact for box in sample.targets.boxes]
    if crowds := sum(bool(box.facts.get("iscrowd")) for box in boxes):
        yield f"{crowds:,} crowds (iscrowd) are left out: an object is a single one"
    edges = (any(not float(edge).is_integer() for edge in (box.x_min, box.y_min, box.x_max, box.y_max)) for box in boxes)
    if fractions := sum(edges):
        yield f"the edges of {fractions:,} boxes are rounded to whole pixels"
    if not counted_from_zero(numbered(artifact.categories("boxes"), ()))[1]:
        yield f"objects have names and no class numbers; {LABELMAP} keeps the order of the classes"
    names = [entry.name for entry in artifact.categories("boxes")]
    if changed := [name for name in names if _one_line(name) != name]:
        yield f"{LABELMAP} has no room for ':' and repeated spaces: {_one_line(changed[0])!r} stands there for {changed[0]!r}"
    if comments := [name for name in names if name.startswith("#")]:
        yield f"programs other than pipekit take the line of {comments[0]!r} in {LABELMAP} for a comment"


def _labelmap(artifact: Dataset) -> list[str]:
    """The lines of the list of classes: by their values in masks if these are known, else in the order of the source."""
    values = {entry.number: entry.name for entry in artifact.categories("masks") if entry.number is not None}
    names = [entry.name for entry in artifact.categories("boxes")]
    if values and max(values) <= MOST_VALUES:
        listed = [values.get(value, BACKGROUND if not value else f"unused {value}") for value in range(max(values) + 1)]
    else:
        listed = [BACKGROUND] if names and BACKGROUND not in names else []
    listed += [name for name in names if name not in listed]
    return [f"{_one_line(name)}:{','.join(map(str, _colour(value)))}::" for value, name in enumerate(listed)]


MOST_VALUES = 255


def _one_line(name: str) -> str:
    return " ".join(name.replace(":", "_").split())


def _colour(value: int) -> tuple[int, int, int]:
    """VOC's own colour of a value in its masks: three bits of the value at a time, for red, green and blue."""
    colour = [0, 0, 0]
    for shift in range(8):
        for channel in range(3):
            colour[channel] |= (value >> channel & 1) << (7 - shift)
        value >>= 3
    return colour[0], colour[1], colour[2]


def _described(name: str, size_hw: tuple[int, int], boxes: tuple[Box, ...]) -> ET.Element:
    root = ET.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", name)
    size = ET.SubElement(root, "size")
    for tag, value in (("width", size_hw[1]), ("height", size_hw[0]), ("depth", 3)):
        _add(size, tag, value)
    for box in boxes:
        if box.facts.get("iscrowd"):
            continue
        item = ET.SubElement(root, "object")
        _add(item, "name", box.label)
        if box.facts.get("pose"):
            _add(item, "pose", box.facts["pose"])
        for tag in FLAGS if box.facts.get("occluded") else FLAGS[:2]:
            _add(item, tag, int(bool(box.facts.get(tag))))
        edges = ET.SubElement(item, "bndbox")
        left, top = min(round(box.x_min), size_hw[1] - 1), min(round(box.y_min), size_hw[0] - 1)
        for tag, value in (
            ("xmin", left + 1),
            ("ymin", top + 1),
            ("xmax", max(left + 1, round(box.x_max))),
            ("ymax", max(top + 1, round(box.y_max))),
        ):
            _add(edges, tag, value)
    ET.indent(root)
    return root


def _add(parent: ET.Element, tag: str, value: str | int) -> None:
    ET.SubElement(parent, tag).text = str(value)
