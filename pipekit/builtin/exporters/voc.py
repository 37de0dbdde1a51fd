"""Pascal VOC: ``JPEGImages``, ``Annotations``, ``ImageSets/Main``, ``SegmentationClass``."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

from pipekit.builtin.exporters.common import NO_SPLIT, ImagesParams, Names, place, size_of
from pipekit.contract import Box, Dataset
from pipekit.files import read_bytes

CARRIES = {"boxes", "mask"}
"""What the format holds of a sample besides its image and its split."""


def write(artifact: Dataset, out_dir: Path, params: ImagesParams) -> None:
    """One XML file per image. Corners count from 1 and both belong to the box, so they are rounded to whole pixels."""
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
    for split, stems_of_split in sets.items():
        (out_dir / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{s}\n" for s in stems_of_split), "utf-8")


def _described(name: str, size_hw: tuple[int, int], boxes: tuple[Box, ...]) -> ET.Element:
    root = ET.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", name)
    size = ET.SubElement(root, "size")
    for tag, value in (("width", size_hw[1]), ("height", size_hw[0]), ("depth", 3)):
        _add(size, tag, value)
    for box in boxes:
        item = ET.SubElement(root, "object")
        _add(item, "name", box.label)
        for tag in ("truncated", "difficult"):
            _add(item, tag, 0)
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
