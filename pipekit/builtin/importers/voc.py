"""Pascal VOC: ``Annotations/*.xml``, ``JPEGImages``, perhaps ``ImageSets/Main`` and ``SegmentationClass``.
http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from pipekit.builtin.importers.boxes import BoxedParams, Finder, checked_box, label_of, size_of
from pipekit.builtin.importers.files import NO_FOLDER, split_of
from pipekit.builtin.importers.lookup import Lookup, lookup
from pipekit.contract import Box, Failure, Rejected, Sample, Targets
from pipekit.errors import ImageError, UserError
from pipekit.files import files_in, walk
from pipekit.params import param


class VocParams(BoxedParams):
    masks: bool = param(True, "Take the masks of SegmentationClass; their values are class numbers, 255 is the border")
    difficult: bool = param(True, "Take objects that are marked as difficult")


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is a VOC tree, or what it lacks."""
    if not path.is_dir():
        return NO_FOLDER
    folder = path / "Annotations"
    if not folder.is_dir():
        return Rejected("no folder 'Annotations' in it")
    count = sum(1 for _ in files_in(folder, (".xml",)))
    return f"Annotations with {count} XML file{'s' if count != 1 else ''}" if count else Rejected("no .xml file in Annotations")


def read(path: Path, params: VocParams) -> Iterator[Sample | Failure]:
    """One sample per XML file; the id is the image's name. Corners count from 1 in VOC, and both belong to the box.

    An object that can't be used is listed and its image kept.

    Raises:
        UserError: there is no folder ``Annotations`` with XML files.
    """
    if not sniff(path):
        raise UserError(f"{path} is no VOC tree", "Expected a folder 'Annotations' with XML files, and 'JPEGImages'.")
    with lookup(_splits(path)) as splits:
        yield from _samples(path, splits, params)


def _samples(path: Path, splits: Lookup, params: VocParams) -> Iterator[Sample | Failure]:
    finder = Finder([path / "JPEGImages", path / "images", path / "Images", path, path / "Annotations"])
    for file in _annotations(path / "Annotations"):
        try:
            root = ET.parse(file).getroot()
        except (ET.ParseError, OSError) as error:
            yield Failure(file.name, f"not XML: {error}")
            continue
        name = (root.findtext("filename") or "").strip() or f"{file.stem}.jpg"
        image = finder.find(name) or next((p for end in (".jpg", ".jpeg", ".png") if (p := finder.find(file.stem + end))), None)
        if image is None:
            yield Failure(name, "no such file")
            continue
        try:
            size_hw = size_of(image)
        except ImageError as error:
            yield Failure(image.name, error.message, str(image))
            continue
        boxes: list[Box] = []
        for number, item in enumerate(root.iter("object"), start=1):
            if not params.difficult and (item.findtext("difficult") or "0").strip() == "1":
                continue
            box = _box(item, size_hw)
            if isinstance(box, str):
                yield Failure(f"{image.name} object {number}", box)
            else:
                boxes.append(box)
        mask = path / "SegmentationClass" / f"{image.stem}.png"
        targets = Targets(str(mask) if params.masks and mask.is_file() else "", boxes=tuple(boxes))
        yield Sample(image.name, str(image), label=label_of(boxes, params.label), split=splits.get(image.stem), targets=targets)


def _box(item: ET.Element, size_hw: tuple[int, int]) -> Box | str:
    label = (item.findtext("name") or "").strip()
    if not label:
        return "an object without a name"
    try:
        x_min, y_min, x_max, y_max = (float(item.findtext(f"bndbox/{edge}") or "") for edge in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return f"the box of {label!r} is not four numbers"
    return checked_box((x_min - 1, y_min - 1, x_max, y_max), label, size_hw)


def _annotations(folder: Path) -> Iterator[Path]:
    _, names = next(walk(folder))
    return (folder / name for name in names if name.lower().endswith(".xml"))


def _splits(path: Path) -> Iterator[tuple[str, str]]:
    """(image, split), from ``ImageSets/Main/train.txt`` and the like; of an image that is named twice the first counts."""
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
