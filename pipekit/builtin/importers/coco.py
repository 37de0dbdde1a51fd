"""COCO annotations: boxes with outlines, keypoints, and masks. https://cocodataset.org/#format-data"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import model_validator

from pipekit.artifacts import joined_categories
from pipekit.builtin.importers.annotated import UnusableError
from pipekit.builtin.importers.any_case import BY_OTHER_CASE, AnyCase
from pipekit.builtin.importers.boxes import CUT, BoxedParams, Finder, checked_box, is_cut, label_of, outlined
from pipekit.builtin.importers.coco_files import BESIDE, annotation_files, names_of, of_one_kind, why_not
from pipekit.builtin.importers.coco_index import Annotation, CocoIndex, Image, coco_index
from pipekit.builtin.importers.files import BY_LAST_PARTS, split_in, subfolders
from pipekit.builtin.importers.lookup import lookup
from pipekit.builtin.importers.stated_size import Frame, frame_of
from pipekit.contract import Adjusted, Box, Categories, Category, Failure, Keypoint, Rejected, Sample, Targets
from pipekit.errors import ImageError, UserError
from pipekit.files import expanded
from pipekit.params import ImagesPath, param

READS = ImagesPath.passed_over

WRITTEN_AS = "coco"
"""The exporter that writes back all that is read here."""

IMAGE_KEYS = ("id", "file_name", "width", "height", "label")
"""The keys of an image that become more than a value in ``extra``."""

FLAGS = ("occluded", "truncated", "difficult")
"""Attributes of an object, as CVAT writes them, that are flags."""

MOST_CLASSES = 255
"""Maximum number of classes in a mask."""

WITHOUT_CROWDS = "left without their crowds (iscrowd); crowds = true reads them"


class BesideParams(BoxedParams):
    """Where the images of a COCO file are."""

    images: ImagesPath | None = param(None, "The folder of the images; by default searched for beside the annotations")

    @model_validator(mode="before")
    @classmethod
    def _images_beside_the_annotations(cls, values: Any) -> Any:
        """Also set the folder for a single annotation file, because the images' content belongs in the cache key."""
        if isinstance(values, Mapping) and str(values.get("path", "")).endswith(".json") and not values.get("images"):
            folder = expanded(os.fspath(values["path"])).parent
            return {**values, "images": folder.parent if folder.name == "annotations" else folder}
        return values


class CocoParams(BesideParams):
    files: str = param("", "Which of several annotation files to read: a pattern for their names, such as person_keypoints_*")
    masks: bool = param(
        False,
        "Draw a mask for each image; its values are the ids of the categories, or their positions from 1 where these don't fit",
    )
    outlines: bool = param(True, "Keep the polygons around the objects; run-length encodings become polygons")
    crowds: bool = param(True, "Include crowds (iscrowd), which hold many objects; the flag is kept")


def sniff(path: Path) -> str | Rejected:
    """List the annotation files, or say what they lack."""
    files = annotation_files(path)
    if not files:
        return Rejected("no .json file in it, or in annotations/" if path.is_dir() else "the file does not end in .json")
    reasons = {file: why_not(file) for file in files}
    there = [file for file in files if not reasons[file]]
    if not there:
        return Rejected(f"{files[0].name} {reasons[files[0]]}")
    root = path if path.is_dir() else path.parent
    chosen = of_one_kind(there)
    taken = [*chosen.leading, *chosen.beside]
    others = [*chosen.others, *(file for file in files if reasons[file].startswith("holds"))]
    left_out = f"; not {names_of(others, root, 2)}, which annotate the same images" if others else ""
    return f"COCO annotations: {names_of(taken, root)}{left_out}"


def read(path: Path, params: CocoParams, out_dir: Path) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """The list of categories, and one sample per image; its id is the image's file name, after the JSON file's for several.

    The kind of a file is known by its content: files of objects and of keypoints are read together, and an object that both
    have is one; captions and panoptic segmentation are not read. An image in several files is one sample. The split comes from
    the JSON file's name (``instances_val2017.json``) or from its folder (``valid/_annotations.coco.json``). Boxes are clipped
    to the image. Objects keep their id, their ``area`` where it is not that of the box or outline, ``iscrowd``, and the
    ``attributes`` that CVAT writes. An unusable annotation (no size, outside the image, unknown image or class) is listed as
    failed; its image is kept.

    Memory use is constant for files of any size: a table on disk (in the folder for temporary files) sorts the annotations
    by image. It takes as much space as the files.

    Raises:
        UserError: there are no annotations, a file is not COCO, or no file matches ``files``.
    """
    root = path if path.is_dir() else path.parent
    files, alone = _chosen(path, root, params.files)
    places = [file.parent if file.name == BESIDE and file.parent != root else root for file in files]
    prefixes = [
        "" if alone and not number else f"{place.name}/" if place != root else f"{file.stem}/"
        for number, (file, place) in enumerate(zip(files, places, strict=True))
    ]
    roots = [Path(params.images) if params.images else place for place in places]
    with coco_index(files) as found:
        yield from _Reading(files, prefixes, roots, found, params, out_dir).rows()


def _chosen(path: Path, root: Path, pattern: str) -> tuple[list[Path], bool]:
    """The files to read, and whether the first one alone says which images there are."""
    reasons = {file: why_not(file) for file in annotation_files(path)}
    files = [file for file, why in reasons.items() if not why or (path.is_file() and not why.startswith("holds"))]
    if not files:
        said = next((f": {file.name} {why}" for file, why in reasons.items() if why.startswith("holds")), "")
        raise UserError(
            f"no COCO annotations in {path}{said}", "Expected a JSON file with 'images', 'annotations' and 'categories'."
        )
    if pattern:
        wanted = [file for file in files if fnmatch(file.name, pattern)]
        if not wanted:
            raise UserError(f"no annotation file matches {pattern!r} in {path}", f"There are: {names_of(files, root, 20)}")
        return wanted, len(wanted) == 1
    chosen = of_one_kind(files)
    return [*chosen.leading, *chosen.beside], len(chosen.leading) == 1


@dataclass
class _Object:
    """An annotated object of an image, and the keypoints that belong to it."""

    box: Box
    points: list[Keypoint]
    mask_value: int
    annotation: dict[str, Any]
    frame: Frame


@dataclass
class _Reading:
    """The reading of some files: for each, the prefix of its ids and the folder of its images."""

    files: Sequence[Path]
    prefixes: Sequence[str]
    roots: Sequence[Path]
    found: CocoIndex
    params: CocoParams
    out_dir: Path
    classes: list[dict[Any, Category]] = field(init=False)
    splits: list[str] = field(init=False)
    mask_values: dict[str, int] = field(init=False)

    def rows(self) -> Iterator[Sample | Failure | Adjusted | Categories]:
        self.splits = [split_in(file.parent.name if file.name == BESIDE else file.stem) for file in self.files]
        self.classes = [
            {plain_id(entry["id"]): category_of(entry) for entry in categories} for categories in self.found.categories
        ]
        yield from self._lists()
        for file, number, line, stray in self.found.strays():
            is_object = isinstance(stray, dict)
            problem = f"unknown image ({shown(stray.get('image_id'))})" if is_object else f"{shown(stray)} is no object"
            name = f"{self.prefixes[file]}annotation {_name_of(stray, number)}"
            yield Failure(name, f"{self.files[file].name} line {line}: {problem}", part_of=self.files[file].name)
        finders = [Finder(image_folders(root, split)) for root, split in zip(self.roots, self.splits, strict=True)]
        with lookup(()) as names:
            self.found.locate(lambda file, entry: located(finders[file], entry, AnyCase(names)))
        for images in self.found.images():
            yield from self._image(images)

    def _lists(self) -> Iterator[Failure | Categories]:
        """The lists of classes, and the categories that no annotation can be told apart from."""
        lists = []
        for file, classes in enumerate(self.classes):
            first: dict[str, Any] = {}
            for identity, category in classes.items():
                if first.setdefault(category.name, identity) != identity:
                    why = (
                        f"it has the name of category {first[category.name]}, {category.name!r}: their objects are of one class"
                    )
                    name = self.files[file].name
                    yield Failure(f"{self.prefixes[file]}category {identity}", f"{name}: {why}", part_of=name)
            listed = tuple(classes[identity] for identity in first.values())
            if listed:
                yield Categories("boxes", listed)
            lists.append({"boxes": [category.to_plain() for category in listed]})
        entries = [Category.from_plain(plain) for plain in joined_categories(lists).get("boxes", ())]
        self.mask_values = mask_values_of(entries)
        if self.params.masks:
            if len(entries) > MOST_CLASSES:
                raise UserError(
                    f"{self.files[0]} has {len(entries)} classes; a mask can hold at most {MOST_CLASSES}",
                    "Import without masks.",
                )
            yield Categories("masks", tuple(Category(name, value) for name, value in self.mask_values.items()))

    def _image(self, images: Sequence[Image]) -> Iterator[Sample | Failure | Adjusted]:
        """One image: what each file that has it says about it."""
        first = images[0]
        identity = self.prefixes[first.file] + (first.name or f"image {shown(first.entry.get('id'))}")
        good = []
        for image in images:
            prefix = self.prefixes[image.file]
            for number, annotation in image.annotations:
                if problem := _problem(annotation, self.classes[image.file]):
                    of = prefix + str(image.entry.get("file_name", ""))
                    where = f"{self.files[image.file].name} line {annotation.line}"
                    yield Failure(f"{prefix}annotation {_name_of(annotation, number)}", f"{where}: {problem}", part_of=of)
                else:
                    good.append((image, annotation))
        stated = str(first.entry.get("file_name", ""))
        if first.place and first.name != stated:
            parts = re.split(r"[/\\]+", stated)
            yield Adjusted(identity, BY_LAST_PARTS if {*first.name.split("/")} <= {*parts} else BY_OTHER_CASE)
        if not first.place:
            yield Failure(identity, f"{self.files[first.file].name}: no such file")
            return
        objects: list[_Object] = []
        without_crowds = cut = False
        for image in images:
            try:
                frame, adjusted = frame_of(Path(image.place), stated_hw(image.entry), identity)
            except ImageError as error:
                yield Failure(identity, f"{self.files[image.file].name}: {error.message}", image.place)
                return
            own = [annotation for of, annotation in good if of is image]
            if adjusted is not None and own:
                yield adjusted
            if not self.params.crowds and any(annotation.get("iscrowd") for annotation in own):
                own = [annotation for annotation in own if not annotation.get("iscrowd")]
                without_crowds = True
            cut = cut or any(is_cut(frame.box(_edges(annotation)), frame.size_hw) for annotation in own)
            earlier = list(objects)
            for number, annotation in enumerate(own):
                made = yield from self._object(annotation, number, image, frame, identity)
                if made is not None:
                    _add(made, earlier, objects)
        if without_crowds:
            yield Adjusted(identity, WITHOUT_CROWDS)
        if cut:
            yield Adjusted(identity, CUT)
        yield from self._sample(identity, images, objects)

    def _object(
        self, annotation: Annotation, number: int, image: Image, frame: Frame, identity: str
    ) -> Generator[Failure, None, _Object | None]:
        category = self.classes[image.file][plain_id(annotation["category_id"])]
        named = f"{identity} annotation {_name_of(annotation, number)}"
        where = f"{self.files[image.file].name} line {annotation.line}"
        box = checked_box(frame.box(_edges(annotation)), category.name, frame.size_hw)
        if isinstance(box, str):
            yield Failure(named, f"{where}: {box}", part_of=identity)
            return None
        if self.params.outlines and annotation.get("segmentation"):
            from pipekit.builtin.importers.coco_masks import polygons_in

            try:
                polygons = polygons_in(annotation["segmentation"], frame.drawn_hw)
                box = outlined(box, [frame.points(list(polygon.ravel())) for polygon in polygons], frame.size_hw)
            except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
                why = _why(error, annotation["segmentation"])
                yield Failure(named, f"{where}: its outline can't be read: {why}", part_of=identity)
        points: list[Keypoint] = []
        try:
            points = list(_keypoints(annotation, category.keypoints, frame))
        except (ValueError, TypeError, KeyError, OverflowError):
            yield Failure(named, f"{where}: its keypoints can't be read: {shown(annotation['keypoints'])}", part_of=identity)
        box = replace(box, facts=_facts(annotation, box, frame))
        return _Object(box, points, self.mask_values[category.name], annotation, frame)

    def _sample(self, identity: str, images: Sequence[Image], objects: Sequence[_Object]) -> Iterator[Sample | Failure]:
        first = images[0]
        mask = ""
        if self.params.masks:
            from pipekit.builtin.importers.coco_masks import write_mask

            mask = str(self.out_dir / "masks" / f"{identity}.png")
            frame = objects[0].frame if objects else frame_of(Path(first.place), stated_hw(first.entry), identity)[0]
            drawn = [(one.mask_value, one.annotation) for one in objects if one.frame == frame]
            try:
                write_mask(Path(mask), drawn, frame.drawn_hw, frame.mask)
            except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
                why = _why(error, [entry.get("segmentation") for _, entry in drawn])
                name = self.files[first.file].name
                yield Failure(f"{identity} masks", f"{name}: a segmentation can't be read: {why}", part_of=identity)
                mask = ""
        boxes = tuple(one.box for one in objects)
        points = tuple(replace(point, of=at) for at, one in enumerate(objects) for point in one.points)
        split = next(filter(None, (self.splits[image.file] for image in images)), "")
        entries = [image.entry for image in images]
        label = next((label for entry in entries if isinstance(label := entry.get("label"), str) and label), None)
        yield Sample(
            identity,
            first.place,
            label=label if label is not None else label_of(boxes, self.params.label),
            split=split,
            targets=Targets(mask, boxes=boxes, keypoints=points),
            extra=_extra(entries),
        )


def _edges(annotation: Annotation) -> tuple[float, float, float, float]:
    """Left, top, right, bottom in pixels of the drawn image."""
    x, y, width, height = map(float, annotation["bbox"])
    return x, y, x + width, y + height


def located(finder: Finder, entry: Mapping[str, Any], names: AnyCase) -> tuple[str, str]:
    """The name under which an image is found, and its file; "" if there is none."""
    name = str(entry.get("file_name", ""))
    place = finder.find(name) if name else None
    if place is None and (part := finder.part_of(name)):
        name, place = part, finder.find(part)
    if place is None and name and (found := finder.in_any_case(name, names)):
        name, place = found
    return name, str(place or "")


def category_of(entry: Mapping[str, Any]) -> Category:
    """COCO's lines between keypoints count from 1."""
    identity = entry["id"]
    points = entry.get("keypoints")
    names = tuple(map(str, points)) if isinstance(points, list) else ()
    lines = entry.get("skeleton") if isinstance(entry.get("skeleton"), list) else []
    pairs = [line for line in lines or () if isinstance(line, list) and len(line) == 2 and all(type(at) is int for at in line)]
    return Category(
        _text(entry["name"]),
        identity if type(identity) is int and 0 <= identity < 2**31 else None,
        tuple(map(_text, names)),
        tuple((one - 1, other - 1) for one, other in pairs if min(one, other) > 0 and max(one, other) <= len(names)),
        group=_text(entry.get("supercategory") or ""),
    )


def _text(value: Any) -> str:
    """JSON may hold half of a surrogate pair, which no file can."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def mask_values_of(entries: Sequence[Category]) -> dict[str, int]:
    """The ids of the categories where a mask can hold them all; else their positions, from 1."""
    if all(entry.number is not None and 0 < entry.number <= MOST_CLASSES for entry in entries):
        return {entry.name: entry.number or 0 for entry in entries}
    return {entry.name: place for place, entry in enumerate(entries, start=1)}


def _add(made: _Object, earlier: Sequence[_Object], objects: list[_Object]) -> None:
    """Add an object, or what it adds to the same object of an earlier file."""
    for at, one in enumerate(objects):
        if any(one is known for known in earlier) and _is_same(one.box, made.box):
            outline = one.box.outline or made.box.outline
            objects[at] = replace(
                one,
                box=replace(one.box, outline=outline, facts={**made.box.facts, **one.box.facts}),
                points=one.points or made.points,
            )
            return
    objects.append(made)


def _is_same(one: Box, other: Box) -> bool:
    edges = zip((one.x_min, one.y_min, one.x_max, one.y_max), (other.x_min, other.y_min, other.x_max, other.y_max), strict=True)
    return one.label == other.label and all(abs(a - b) < SAME_PX for a, b in edges)


SAME_PX = 0.01
"""Largest difference of the edges of an object's box in two files."""


def _facts(annotation: Mapping[str, Any], box: Box, frame: Frame) -> dict[str, Any]:
    """The object's id, its area where the box or outline has another one, and its flags and attributes."""
    facts: dict[str, Any] = {"iscrowd": True} if annotation.get("iscrowd") else {}
    if type(annotation.get("id")) is int and abs(annotation["id"]) < 2**53:
        facts["id"] = annotation["id"]
    area = annotation.get("area")
    if _is_number(area) and math.isfinite(area) and area > 0 and frame.is_plain and abs(area - _area(box)) > ROUNDING * area:
        facts["area"] = area
    attributes = annotation.get("attributes")
    if isinstance(attributes, Mapping):
        facts |= {name: True for name in FLAGS if attributes.get(name) in (True, 1)}
        attributes = {name: value for name, value in attributes.items() if name not in FLAGS}
    return facts | ({"attributes": attributes} if attributes else {})


ROUNDING = 1e-3
"""Areas that differ by less, as a share, are equal but for rounding."""


def _area(box: Box) -> float:
    from pipekit.images import polygons

    if box.outline:
        return polygons.area(polygons.polygons_of(box.outline))
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)


def _extra(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An image's id and further values; those of the first file count."""
    extra = {key: value for entry in reversed(entries) for key, value in entry.items() if key not in IMAGE_KEYS}
    identity = entries[0].get("id")
    return extra | ({"image_id": identity} if type(identity) is int and abs(identity) < 2**53 else {})


def _name_of(annotation: Any, number: int) -> str:
    return str(annotation.get("id", number))[:60] if isinstance(annotation, dict) else f"number {number}"


def shown(value: Any) -> str:
    return text if len(text := repr(value)) <= 60 else f"{text[:57]}…"


def _why(error: Exception, value: Any) -> str:
    """What is wrong with a segmentation; where that is not known, its value."""
    return str(error) if isinstance(error, UnusableError) else shown(value)


def plain_id(value: Any) -> Any:
    """A hashable id; a list, which JSON allows and nobody uses, becomes text."""
    return value if isinstance(value, (str, int, float)) or value is None else repr(value)


def _problem(entry: Any, classes: Mapping[Any, Category]) -> str:
    if plain_id(entry.get("category_id")) not in classes:
        return f"unknown class ({shown(entry.get('category_id'))})"
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return f"its bbox is not four numbers: {str(box)[:60]}"
    return ""


def stated_hw(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    height, width = entry.get("height"), entry.get("width")
    return (height, width) if _is_number(height) and _is_number(width) else None


def _is_number(value: Any) -> TypeGuard[float]:
    """JSON has whole numbers of any length; a float holds those up to 2**1024."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _keypoints(annotation: Mapping[str, Any], names: Sequence[str], frame: Frame) -> Iterator[Keypoint]:
    """x, y, v triples; v = 0 is "not labelled", 1 "hidden", 2 "visible". In COCO too, whole x and y are pixel centres.

    Raises:
        ValueError: they are no triples of finite numbers.
    """
    values = annotation.get("keypoints") or []
    if len(values) % 3 or (names and len(values) == 2 * len(names)) or not all(math.isfinite(float(one)) for one in values):
        raise ValueError
    for at in range(0, len(values) - 2, 3):
        x, y, visible = values[at : at + 3]
        if visible:
            name = names[at // 3] if at // 3 < len(names) else str(at // 3)
            yield Keypoint(*frame.keypoint(float(x), float(y)), name, visible == 2)


def image_folders(root: Path, split: str) -> list[Path]:
    """Candidate folders for a split's images: the folder with the split's name first, never one named after another split."""
    below = [root / name for name in subfolders(root)] + [root / "images" / name for name in subfolders(root / "images")]
    own = [folder for folder in below if split and split_in(folder.name) == split]
    others = [folder for folder in below if folder not in own and not (own and split_in(folder.name))]
    return [*own, root / "images", root, *others]
