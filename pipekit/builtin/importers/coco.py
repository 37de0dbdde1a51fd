"""COCO annotations: boxes, and masks from polygons and run lengths. https://cocodataset.org/#format-data"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import model_validator

from pipekit.builtin.importers.boxes import BoxedParams, Finder, checked_box, label_of
from pipekit.builtin.importers.files import split_of, subfolders
from pipekit.contract import Box, Failure, Keypoint, Sample, Targets
from pipekit.errors import UserError
from pipekit.params import InputPath, param

PARTS = ("images", "annotations", "categories")


class CocoParams(BoxedParams):
    images: InputPath | None = param(None, "The folder of the images; looked for beside the annotations where left out")
    masks: bool = param(False, "Draw a mask for each image; its values are the classes' places in the list of names, from 1 on")
    crowds: bool = param(False, "Take the boxes of crowds too (iscrowd), which hold many objects")

    @model_validator(mode="before")
    @classmethod
    def _images_beside_the_annotations(cls, values: Any) -> Any:
        """The folder is named where a single file is given, because its content belongs into the cache key."""
        if isinstance(values, Mapping) and str(values.get("path", "")).endswith(".json") and not values.get("images"):
            folder = Path(os.fspath(values["path"])).expanduser().parent
            return {**values, "images": folder.parent if folder.name == "annotations" else folder}
        return values


def sniff(path: Path) -> str:
    """Which files of annotations there are, or ""."""
    found = [file for file in _files(path) if _looks_right(file)]
    return f"COCO annotations: {', '.join(file.name for file in found[:3])}" if found else ""


def read(path: Path, params: CocoParams, out_dir: Path) -> Iterator[Sample | Failure]:
    """One sample per image of each file of annotations; the id is the file's name, below that of the JSON file for several.

    The split comes from the JSON file's name (``instances_val2017.json``). Boxes are cut to the image. An annotation that
    can't be used (no size, outside the image, of an unknown image or class) is listed and its image kept.

    Each JSON file is held in memory while it is read, one at a time: about six times its size (0.6 GB for 100 MB).

    Raises:
        UserError: no annotations, or a file that is no COCO file.
    """
    files = [file for file in _files(path) if path.is_file() or _looks_right(file)]
    if not files:
        raise UserError(f"no COCO annotations in {path}", "Expected a JSON file with 'images', 'annotations' and 'categories'.")
    root = Path(params.images) if params.images else path if path.is_dir() else path.parent
    for file in files:
        prefix = f"{file.stem}/" if len(files) > 1 else ""
        yield from _read_file(file, prefix, root, params, out_dir)


def _read_file(file: Path, prefix: str, root: Path, params: CocoParams, out_dir: Path) -> Iterator[Sample | Failure]:
    content = _load(file)
    classes = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
    numbers = {name: place for place, name in enumerate(sorted(set(classes.values())), start=1)}
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    known = {entry.get("id") for entry in content["images"]}
    for number, entry in enumerate(content["annotations"]):
        problem = _problem(entry, known, classes)
        if problem:
            name = entry.get("id", number) if isinstance(entry, dict) else f"number {number}"
            yield Failure(f"{prefix}annotation {name}", problem)
        else:
            by_image[entry["image_id"]].append(entry)
    words = re.split(r"[^A-Za-z]+", file.stem)
    split = next((found for word in words if (found := split_of(word))), "")
    finder = Finder([root / "images", root, *(root / name for name in subfolders(root)), *_below(root / "images")])
    if params.masks and len(numbers) > 255:
        raise UserError(f"{file} has {len(numbers)} classes; a mask's values end at 255", "Import without masks.")
    for entry in content["images"]:
        name = str(entry.get("file_name", ""))
        place = finder.find(name) if name else None
        if place is None:
            yield Failure(prefix + (name or f"image {entry.get('id')}"), "no such file")
            continue
        annotations = by_image.pop(entry["id"], [])
        yield from _sample(prefix + name, place, entry, annotations, classes, numbers, split, params, out_dir)


def _sample(
    identity: str,
    place: Path,
    entry: Mapping[str, Any],
    annotations: list[dict[str, Any]],
    classes: Mapping[Any, str],
    numbers: Mapping[str, int],
    split: str,
    params: CocoParams,
    out_dir: Path,
) -> Iterator[Sample | Failure]:
    from pipekit.builtin.importers.boxes import size_of
    from pipekit.errors import ImageError

    try:
        size_hw = size_of(place)
    except ImageError as error:
        yield Failure(identity, error.message, str(place))
        return
    boxes: list[Box] = []
    points: list[Keypoint] = []
    kept = []
    for number, annotation in enumerate(annotations):
        label = classes[annotation["category_id"]]
        if annotation.get("iscrowd") and not params.crowds:
            continue
        x, y, width, height = map(float, annotation["bbox"])
        box = checked_box((x, y, x + width, y + height), label, size_hw)
        if isinstance(box, str):
            yield Failure(f"{identity} annotation {annotation.get('id', number)}", box)
            continue
        boxes.append(box)
        points += _keypoints(annotation)
        kept.append((numbers[label], annotation))
    mask = ""
    if params.masks:
        from pipekit.builtin.importers.coco_masks import write_mask

        mask = str(out_dir / "masks" / f"{identity}.png")
        try:
            write_mask(Path(mask), kept, size_hw)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            yield Failure(f"{identity} masks", f"a segmentation can't be read: {error}")
            mask = ""
    extra = {key: value for key, value in entry.items() if key in ("license", "date_captured", "coco_url")}
    targets = Targets(mask, boxes=tuple(boxes), keypoints=tuple(points))
    yield Sample(identity, str(place), label=label_of(boxes, params.label), split=split, targets=targets, extra=extra)


def _problem(entry: Any, images: set[Any], classes: Mapping[Any, str]) -> str:
    if not isinstance(entry, dict):
        return "not an object"
    if entry.get("image_id") not in images:
        return f"of an unknown image ({entry.get('image_id')!r})"
    if entry.get("category_id") not in classes:
        return f"of an unknown class ({entry.get('category_id')!r})"
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, (int, float)) for v in box):
        return f"its bbox is not four numbers: {str(box)[:60]}"
    return ""


def _keypoints(annotation: Mapping[str, Any]) -> Iterator[Keypoint]:
    """x, y, v triples; v = 0 is "not labelled", 1 "hidden", 2 "visible"."""
    values = annotation.get("keypoints") or []
    for at in range(0, len(values) - 2, 3):
        x, y, visible = values[at : at + 3]
        if visible:
            yield Keypoint(float(x), float(y), str(at // 3), visible == 2)


def _load(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"can't read {file}: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in PARTS):
        raise UserError(f"{file} is no COCO file", f"Expected an object with the lists {', '.join(PARTS)}.")
    for part, needed in (("images", "id"), ("categories", "id"), ("categories", "name")):
        for number, entry in enumerate(content[part]):
            if not isinstance(entry, dict) or needed not in entry:
                raise UserError(f"{file}: {part}[{number}] has no {needed!r}")
    return content


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".json" else []
    return sorted(
        found for pattern in ("*.json", "annotations/*.json", "*/_annotations.coco.json") for found in path.glob(pattern)
    )


def _looks_right(file: Path) -> bool:
    """Whether the three lists are there, from the text alone: captions and results lack the categories."""
    try:
        with file.open(encoding="utf-8", errors="replace") as text:
            found: set[str] = set()
            rest = ""
            while block := text.read(1 << 20):
                found |= {part for part in PARTS if f'"{part}"' in rest + block}
                if len(found) == len(PARTS):
                    return True
                rest = block[-20:]
    except OSError:
        pass
    return False


def _below(folder: Path) -> list[Path]:
    return [folder / name for name in subfolders(folder)] if folder.is_dir() else []
