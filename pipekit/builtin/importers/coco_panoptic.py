"""COCO panoptic segmentation: a JSON file with the segments of each image, and PNG files whose colours are their numbers.
https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.builtin.importers.any_case import AnyCase
from pipekit.builtin.importers.boxes import Finder, checked_box, label_of
from pipekit.builtin.importers.coco import (
    MOST_CLASSES,
    BesideParams,
    category_of,
    image_folders,
    located,
    mask_values_of,
    plain_id,
    shown,
    stated_hw,
)
from pipekit.builtin.importers.coco_files import annotation_files, kind_of, missing, names_of, why_not
from pipekit.builtin.importers.coco_index import Image, coco_index
from pipekit.builtin.importers.files import split_in, subfolders
from pipekit.builtin.importers.lookup import lookup
from pipekit.builtin.importers.stated_size import Frame, frame_of
from pipekit.contract import Adjusted, Box, Categories, Category, Failure, Rejected, Sample, Targets
from pipekit.errors import ImageError, UserError
from pipekit.params import param

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READS = (".json",)

WRITTEN_AS = "voc"
"""The exporter that writes masks with the names of their values, and boxes."""


class CocoPanopticParams(BesideParams):
    crowds: bool = param(True, "Read crowds (iscrowd) as boxes with that flag; they are in the mask in any case")


def sniff(path: Path) -> str | Rejected:
    """List the files of segments, or say what is there instead."""
    found = _files(path)
    if not found:
        return Rejected("no COCO file whose annotations have 'segments_info'")
    root = path if path.is_dir() else path.parent
    if others := [file for file in annotation_files(path) if not why_not(file)]:
        return Rejected(
            f"{names_of(others, root, 2)} beside {names_of(found, root, 2)} has objects; give the file itself to read it"
        )
    return f"COCO panoptic segmentation: {names_of(found, root)}"


def read(path: Path, params: CocoPanopticParams, out_dir: Path) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per image, with a mask of its categories and a box for each thing (``isthing``); ids are as of ``coco``.

    The values of the mask are the ids of the categories, or their positions from 1 where these don't fit into 255; pixels of
    no segment are 0. PNG files are searched for in the folder with the name of the JSON file. A segment that can't be used is
    listed as failed; an image without its PNG file too.

    Raises:
        UserError: there is no such file, or one is damaged.
    """
    files = _files(path)
    if not files:
        raise UserError(
            f"no COCO panoptic segmentation in {path}", "Expected a JSON file whose annotations have 'segments_info'."
        )
    root = Path(params.images) if params.images else path if path.is_dir() else path.parent
    with coco_index(files) as found, lookup(()) as table:
        entries = [{plain_id(entry["id"]): entry for entry in categories} for categories in found.categories]
        every = [entry for one in entries for entry in one.values()]
        listed = list({category.name: category for category in map(category_of, every)}.values())
        values = mask_values_of(listed)
        if len(listed) > MOST_CLASSES:
            raise UserError(f"{files[0]} has {len(listed)} categories", f"A mask has at most {MOST_CLASSES} classes.")
        yield Categories("masks", tuple(Category(name, value) for name, value in values.items()))
        things = {category_of(entry).name for entry in every if entry.get("isthing", 1)}
        yield Categories("boxes", tuple(entry for entry in listed if entry.name in things))
        for file, number, line, _ in found.strays():
            name = f"{files[file].name} annotation {number + 1}"
            yield Failure(name, f"{files[file].name} line {line}: unknown image", part_of=files[file].name)
        finders = [Finder(image_folders(root, split_in(file.stem))) for file in files]
        found.locate(lambda file, entry: located(finders[file], entry, AnyCase(table)))
        for images in found.images():
            of = _Of(files[images[0].file], entries[images[0].file], values, things, len(files) > 1)
            yield from of.rows(images, root, params, out_dir)


@dataclass(frozen=True)
class _Of:
    """A JSON file, its categories by id, the value of each category in masks, and the categories of things."""

    file: Path
    categories: Mapping[Any, Mapping[str, Any]]
    values: Mapping[str, int]
    things: set[str]
    among_several: bool

    def rows(
        self, images: Sequence[Image], root: Path, params: CocoPanopticParams, out_dir: Path
    ) -> Iterator[Sample | Failure | Adjusted]:
        image = images[0]
        identity = (f"{self.file.stem}/" if self.among_several else "") + (
            image.name or f"image {shown(image.entry.get('id'))}"
        )
        if not image.place:
            yield Failure(identity, f"{self.file.name}: no such file")
            return
        if not image.annotations:
            yield Failure(identity, f"{self.file.name}: no segments of it", image.place)
            return
        _, entry = image.annotations[0]
        where = f"{self.file.name} line {entry.line}"
        try:
            frame, adjusted = frame_of(Path(image.place), stated_hw(image.entry), identity)
            numbers = _numbers(self._png(str(entry.get("file_name", "")), root), frame.drawn_hw)
        except ImageError as error:
            yield Failure(identity, f"{where}: {error.message}", image.place)
            return
        if adjusted is not None:
            yield adjusted
        segments = entry.get("segments_info")
        mask, boxes, problems = self._drawn(numbers, segments if isinstance(segments, list) else [], frame, params)
        for what, why in problems:
            yield Failure(f"{identity} {what}", f"{where}: {why}", part_of=identity)
        place = out_dir / "masks" / f"{identity}.png"
        _write(place, frame.mask(mask))
        targets = Targets(str(place), boxes=tuple(boxes))
        yield Sample(
            identity, image.place, label=label_of(boxes, params.label), split=split_in(self.file.stem), targets=targets
        )

    def _png(self, name: str, root: Path) -> Path:
        """Raises ImageError."""
        near = [self.file.parent / self.file.stem, root / self.file.stem, root / "annotations" / self.file.stem]
        others = [self.file.parent / name for name in subfolders(self.file.parent) if "panoptic" in name.lower()]
        found = Finder([*near, *others, self.file.parent, root]).find(name) if name else None
        if found is None:
            raise ImageError(f"no PNG file {name[:80]!r} of its segments in a folder {self.file.stem}")
        return found

    def _drawn(
        self, numbers: NDArray[np.int64], segments: Sequence[Any], frame: Frame, params: CocoPanopticParams
    ) -> tuple[NDArray[np.uint8], list[Box], list[tuple[str, str]]]:
        """The mask, the boxes of things, and what can't be used: (segment, reason)."""
        import numpy as np

        mask, boxes, problems = np.zeros(numbers.shape, np.uint8), list[Box](), list[tuple[str, str]]()
        left = {int(number) for number in np.unique(numbers)} - {0}
        for at, segment in enumerate(segments, start=1):
            number = segment.get("id") if isinstance(segment, dict) else None
            category = self.categories.get(plain_id(segment.get("category_id"))) if isinstance(segment, dict) else None
            if type(number) is not int or number not in left or category is None:
                why = (
                    f"unknown category ({shown(segment.get('category_id'))})"
                    if category is None and isinstance(segment, dict)
                    else ""
                )
                problems.append((f"segment {at}", why or f"its number {shown(number)} is not in the PNG file, or not again"))
                continue
            left.remove(number)
            name, here = category_of(category).name, numbers == number
            mask[here] = self.values[name]
            if name in self.things and (params.crowds or not segment.get("iscrowd")):
                box = _box(here, name, frame)
                facts = {"id": number} | ({"iscrowd": True} if segment.get("iscrowd") else {})
                problems += [(f"segment {at}", box)] if isinstance(box, str) else []
                boxes += [replace(box, facts=facts)] if isinstance(box, Box) else []
        if left:
            some = ", ".join(map(str, sorted(left)[:5]))
            problems.append(("segments", f"the PNG file has {len(left)} numbers that segments_info lacks, such as {some}"))
        return mask, boxes, problems


def _box(here: NDArray[np.bool_], name: str, frame: Frame) -> Box | str:
    """The box around the pixels of a segment, which are more exact than the stated one."""
    import numpy as np

    rows, columns = np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))
    edges = float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    return checked_box(frame.box(edges), name, frame.size_hw)


def _numbers(file: Path, size_hw: tuple[int, int]) -> NDArray[np.int64]:
    """The number of each pixel's segment: red + 256 green + 65536 blue. Raises ImageError."""
    import numpy as np

    from pipekit import images

    rgb = images.decode(images.read_bytes(file)).astype(np.int64)
    if rgb.shape[:2] != size_hw:
        raise ImageError(f"{file.name} has {rgb.shape[1]} x {rgb.shape[0]} px, the image {size_hw[1]} x {size_hw[0]}")
    found: NDArray[np.int64] = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
    return found


def _write(place: Path, mask: NDArray[np.uint8]) -> None:
    from pipekit import images

    place.parent.mkdir(parents=True, exist_ok=True)
    images.write_bytes(place, images.encode(mask[..., None], "png"))


def _files(path: Path) -> list[Path]:
    return [file for file in annotation_files(path) if missing(file) in ([], ["categories"]) and kind_of(file) == "panoptic"]
