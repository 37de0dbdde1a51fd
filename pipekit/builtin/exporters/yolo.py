"""YOLO: ``images/<split>``, ``labels/<split>``, ``data.yaml``; boxes, polygons, oriented boxes or poses.
https://docs.ultralytics.com/datasets/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipekit.builtin.exporters.common import (
    NO_SPLIT,
    ImagesParams,
    Names,
    counted_from_zero,
    inside,
    named_keypoints,
    numbered,
    numbers_as_names,
    place,
    size_of,
    suffix_of,
)
from pipekit.contract import Box, Category, Dataset, Keypoint, Sample
from pipekit.params import param

CARRIES = {"boxes", "outlines", "keypoints"}
"""What the format holds of a sample besides its image and its split."""

OPENED = (".bmp", ".dng", ".heic", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".pfm", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of images that every version of Ultralytics opens; JFIF and JPE are written as .jpg."""

RENAMED = {".jfif": ".jpg", ".jpe": ".jpg"}


class YoloParams(ImagesParams):
    task: Literal["auto", "detect", "segment", "obb", "pose"] = param(
        "auto",
        "What the lines hold: boxes, polygons, oriented boxes or poses; auto: poses if boxes have keypoints, else oriented "
        "boxes if every object is a turned rectangle, else polygons if there are outlines",
    )


@dataclass(frozen=True)
class _Plan:
    """What is written of a dataset.

    Attributes:
        task: the kind of all lines.
        entries: the classes by their numbers, from 0.
        keeps_numbers: whether each has its number in the source.
        splits: the names of the splits.
        counts: the objects that the lines hold in another form, or not at all, by the words of a warning.
    """

    task: str
    entries: list[Category]
    keeps_numbers: bool
    splits: list[str]
    counts: Mapping[str, int]


def write(artifact: Dataset, out_dir: Path, params: YoloParams) -> None:
    """One text file per image, with a line per object, as fractions of the image's size. All lines are of one kind, since
    readers accept no mixture: ``class x y width height``; a polygon, or the four corners of an oriented box, ``class x y x
    y …``; or a box with keypoints, ``class x y width height x y v …``. An object in several parts becomes one polygon, joined
    by lines without area. Crowds are left out.

    Classes keep the numbers of the source where these are 0, 1, 2 …, unused ones too. ``data.yaml`` has no ``path``, so that
    Ultralytics reads the folder wherever it lies, and always ``train`` and ``val``.
    """
    import yaml

    plan = _plan(artifact, params)
    numbers = {entry.name: entry for entry in plan.entries}
    names = Names()
    stems: set[str] = set()
    for sample in artifact:
        name = _name(names, sample)
        while (stem := name.rpartition(".")[0].lower()) in stems:  # a.jpg and a.png would share a.txt
            name = _name(names, sample)
        stems.add(stem)
        place(sample, out_dir / "images" / name, params.images)
        labels = (out_dir / "labels" / name).with_suffix(".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("".join(_lines(sample, plan, numbers)), "utf-8")
    described = {**_folders(plan.splits), **_described(plan), "names": {entry.number: entry.name for entry in plan.entries}}
    (out_dir / "data.yaml").write_text(yaml.safe_dump(described, sort_keys=False, allow_unicode=True), "utf-8")


def limits(artifact: Dataset, params: YoloParams) -> Iterator[str]:
    """What the lines can't hold of this dataset as it is."""
    plan = _plan(artifact, params)
    if not plan.keeps_numbers:
        listed = ", ".join(str(entry.number) for entry in artifact.categories("boxes")[:5])
        yield f"class numbers are 0, 1, 2 … here, and others in the source ({listed} …): they become positions in their order"
    yield from (f"{number:,} {words}" for words, number in plan.counts.items() if number)
    for wanted, other in (("train", plan.splits[0]), ("val", _other_split(plan.splits))):
        if wanted not in plan.splits:
            yield f"there is no split {wanted!r}, which Ultralytics needs: data.yaml names the images of {other!r} there too"
    if NO_SPLIT in plan.splits and len(plan.splits) > 1:
        yield f"images without a split lie in images/{NO_SPLIT}, which Ultralytics does not read"


def _name(names: Names, sample: Sample) -> str:
    name = names.of(sample, sample.split or NO_SPLIT)
    suffix = suffix_of(sample)
    return name.removesuffix(suffix) + RENAMED[suffix] if suffix in RENAMED else name


def _other_split(splits: Sequence[str]) -> str:
    """The split whose images stand for those of ``val``."""
    return next((name for name in ("test", "train") if name in splits), splits[0])


def _folders(splits: Sequence[str]) -> dict[str, str]:
    """Ultralytics refuses a file without ``train`` and ``val``."""
    folders = {split: f"images/{split}" for split in splits}
    train = folders.pop("train", f"images/{splits[0]}")
    if splits == [NO_SPLIT]:
        folders = {}
    return {"train": train, "val": folders.pop("val", f"images/{_other_split(splits)}"), **folders}


def _described(plan: _Plan) -> dict[str, Any]:
    """The entries of ``data.yaml`` for keypoints."""
    if plan.task != "pose":
        return {}
    lists = {entry.number: list(entry.keypoints) for entry in plan.entries if entry.keypoints}
    size = max(map(len, lists.values()), default=1)
    found: dict[str, Any] = {"kpt_shape": [size, 3]}
    mirrors = {_mirror(entry) for entry in plan.entries if entry.keypoints}
    if len(mirrors) == 1 and (mirror := mirrors.pop()) and len(mirror) == size:
        found["flip_idx"] = list(mirror)
    named = any(names != [str(at) for at in range(len(names))] for names in lists.values())
    return found | ({"kpt_names": lists} if named else {})


def _mirror(entry: Category) -> tuple[int, ...]:
    """The positions of the keypoints in a mirrored image; empty if neither the source nor the names tell."""
    from pipekit.recipe.homography import swap_sides

    if entry.mirror:
        return entry.mirror
    swapped = [swap_sides(name) for name in entry.keypoints]
    if swapped == list(entry.keypoints) or not set(swapped) <= set(entry.keypoints):
        return ()
    return tuple(entry.keypoints.index(name) for name in swapped)


def _plan(artifact: Dataset, params: YoloParams) -> _Plan:
    """Decide the kind of the lines and the numbers of the classes, and count what they can't hold."""
    labels: set[str] = set()
    splits: set[str] = set()
    poses = plain = oriented = turned = parts = crowds = suffixes = 0
    for sample in artifact:
        splits.add(sample.split or NO_SPLIT)
        suffixes += suffix_of(sample) not in OPENED
        boxes = sample.targets.boxes
        poses += sum(point.of is not None for point in sample.targets.keypoints)
        for box in boxes:
            labels.add(box.label)
            crowds += bool(box.facts.get("iscrowd"))
            plain += not box.outline
            parts += len(box.outline) > 1
            turned += bool(box.outline)
            oriented += bool(box.outline) and bool(box.facts.get("oriented"))
    task: str = params.task
    if task == "auto":
        task = "pose" if poses else "detect" if not turned else "obb" if oriented == turned and not plain else "segment"
    listed = artifact.categories("boxes")
    entries, kept = counted_from_zero(numbered(listed or _by_number(labels), labels))
    counts = {
        "crowds (iscrowd) are left out: a line is one object": crowds,
        "outlines are left out: the lines hold boxes only": turned if task in ("detect", "pose") else 0,
        "boxes without an outline become polygons of their corners: all lines are of one kind": plain
        if task == "segment"
        else 0,
        "objects of several parts become one polygon": parts if task == "segment" else 0,
        "outlines become the smallest turned rectangle around them": turned - oriented if task == "obb" else 0,
        "keypoints are left out: the lines hold no poses": poses if task != "pose" else 0,
        "images are of a format that not every version of Ultralytics opens": suffixes,
    }
    if task == "pose":
        entries = named_keypoints(artifact, entries)
    return _Plan(task, entries, kept or not listed, sorted(splits) or [NO_SPLIT], counts)


def _by_number(labels: set[str]) -> list[Category]:
    """Classes that are called by their numbers keep them; the numbers between them are names too."""
    found = numbers_as_names(labels)
    return [Category(str(number), number) for number in range((found[-1].number or 0) + 1)] if found else []


def _lines(sample: Sample, plan: _Plan, numbers: Mapping[str, Category]) -> Iterator[str]:
    boxes = sample.targets.boxes
    size_hw = size_of(sample) if boxes else (1, 1)
    for at, box in enumerate(boxes):
        if box.facts.get("iscrowd"):
            continue
        entry = numbers[box.label]
        if plan.task == "segment":
            values: Iterable[float] = _shares(_polygon(box), size_hw)
        elif plan.task == "obb":
            values = _shares(_rectangle(box), size_hw)
        else:
            values = _box(box, size_hw)
        words = [f"{value:.8f}" for value in values]
        if plan.task == "pose":
            own = {point.label: point for point in sample.targets.keypoints if point.of == at}
            size = max((len(one.keypoints) for one in plan.entries), default=1) or 1
            words += _pose([own.get(name) for name in entry.keypoints], size, size_hw)
        yield f"{entry.number} {' '.join(words)}\n"


def _box(box: Box, size_hw: tuple[int, int]) -> tuple[float, ...]:
    height, width = size_hw
    centre = (box.x_min + box.x_max) / 2 / width, (box.y_min + box.y_max) / 2 / height
    return *centre, (box.x_max - box.x_min) / width, (box.y_max - box.y_min) / height


def _pose(points: Sequence[Keypoint | None], size: int, size_hw: tuple[int, int]) -> list[str]:
    """x, y, v for each keypoint; v = 0 is "absent", 1 "hidden", 2 "visible"."""
    height, width = size_hw
    words = []
    for point in (*points, *[None] * (size - len(points))):
        if point is None or not inside(point, size_hw):
            words.append("0 0 0")
            continue
        x, y = max(0.0, point.x / width), max(0.0, point.y / height)
        words.append(f"{x:.8f} {y:.8f} {1 + point.visible}")
    return words


def _shares(corners: Any, size_hw: tuple[int, int]) -> list[float]:
    found: list[float] = (corners / (size_hw[1], size_hw[0])).ravel().tolist()
    return found


def _polygon(box: Box) -> Any:
    """The corners of an object's outline, or of its box: ``(N, 2)``, in pixels."""
    from pipekit.images.polygons import joined, polygons_of

    corners = (box.x_min, box.y_min, box.x_max, box.y_min, box.x_max, box.y_max, box.x_min, box.y_max)
    return joined(polygons_of(box.outline or (corners,)))


def _rectangle(box: Box) -> Any:
    """The four corners of the smallest turned rectangle around an object: ``(4, 2)``, in pixels."""
    import cv2
    import numpy as np

    corners = _polygon(box)
    if box.facts.get("oriented") and len(corners) == 4:
        return corners
    if not box.outline:
        return corners
    return np.asarray(cv2.boxPoints(cv2.minAreaRect(corners.astype(np.float32))), np.float64)
