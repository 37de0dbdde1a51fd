"""COCO annotations: boxes with outlines, keypoints, and masks. https://cocodataset.org/#format-data"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import model_validator

from pipekit.builtin.importers.annotated import UnusableError
from pipekit.builtin.importers.boxes import BoxedParams, Finder, checked_box, label_of, outlined
from pipekit.builtin.importers.coco_index import PARTS, Annotation, CocoIndex, coco_index
from pipekit.builtin.importers.files import BY_LAST_PARTS, first_of, split_in, subfolders
from pipekit.builtin.importers.stated_size import Frame
from pipekit.contract import Adjusted, Box, Failure, Keypoint, Rejected, Sample, Targets
from pipekit.errors import UserError
from pipekit.files import expanded, files_in
from pipekit.params import ImagesPath, param

BESIDE = "_annotations.coco.json"
"""The annotation file beside its images, one folder per split, as Roboflow writes it."""

READS = ImagesPath.passed_over

WRITTEN_AS = "coco"
"""The exporter that writes back all that is read here, and not a class for each image alone."""

KINDS = ("instances", "person_keypoints", "stuff", "panoptic")
"""Name prefixes of COCO's own files. All kinds annotate the same images, so the first kind that exists is read."""


class CocoParams(BoxedParams):
    images: ImagesPath | None = param(None, "The folder of the images; by default searched for beside the annotations")
    files: str = param("", "Which of several annotation files to read: a pattern for their names, such as person_keypoints_*")
    masks: bool = param(False, "Draw a mask for each image; its values are positions in the list of class names, starting at 1")
    outlines: bool = param(True, "Keep the polygons around the objects; run-length encodings become polygons")
    crowds: bool = param(False, "Include the boxes of crowds (iscrowd), which hold many objects")

    @model_validator(mode="before")
    @classmethod
    def _images_beside_the_annotations(cls, values: Any) -> Any:
        """Also set the folder for a single annotation file, because the images' content belongs in the cache key."""
        if isinstance(values, Mapping) and str(values.get("path", "")).endswith(".json") and not values.get("images"):
            folder = expanded(os.fspath(values["path"])).parent
            return {**values, "images": folder.parent if folder.name == "annotations" else folder}
        return values


def sniff(path: Path) -> str | Rejected:
    """List the annotation files, or say what they lack."""
    files = _files(path)
    if not files:
        return Rejected("no .json file in it, or in annotations/" if path.is_dir() else "the file does not end in .json")
    there = [file for file in files if not _missing(file)]
    if not there:
        return Rejected(f"{files[0].name} lacks {' and '.join(map(repr, _missing(files[0])))}")
    root = path if path.is_dir() else path.parent
    taken, others = _of_one_kind(there)
    left_out = f"; not {_names(others, root, 2)}, which annotate the same images" if others else ""
    return f"COCO annotations: {_names(taken, root)}{left_out}"


def read(path: Path, params: CocoParams, out_dir: Path) -> Iterator[Sample | Failure | Adjusted]:
    """One sample per image of each annotation file; the id is the image's file name, prefixed with the JSON file's for several.

    With several kinds of annotations of the same images (:data:`KINDS`), the first kind is read unless ``files`` says
    otherwise. The split comes from the JSON file's name (``instances_val2017.json``) or from its folder
    (``valid/_annotations.coco.json``). Boxes are clipped to the image. An unusable annotation (no size, outside the image,
    unknown image or class) is listed as failed; its image is kept.

    Memory use is constant for a file of any size: a table on disk (in the folder for temporary files) sorts the annotations
    by image. It takes as much space as the file.

    Raises:
        UserError: there are no annotations, a file is not COCO, or no file matches ``files``.
    """
    files = [file for file in _files(path) if path.is_file() or not _missing(file)]
    if not files:
        raise UserError(f"no COCO annotations in {path}", "Expected a JSON file with 'images', 'annotations' and 'categories'.")
    root = path if path.is_dir() else path.parent
    if params.files:
        wanted = [file for file in files if fnmatch(file.name, params.files)]
        if not wanted:
            raise UserError(f"no annotation file matches {params.files!r} in {path}", f"There are: {_names(files, root, 20)}")
        files = wanted
    else:
        files, _ = _of_one_kind(files)
    for file in files:
        # Beside its images with one folder per split, or above all of them.
        place = file.parent if file.name == BESIDE and file.parent != root else root
        prefix = "" if len(files) == 1 else f"{place.name}/" if place != root else f"{file.stem}/"
        yield from _read_file(file, prefix, Path(params.images) if params.images else place, params, out_dir)


def _of_one_kind(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files of the first kind that exists, and the others."""
    for kind in KINDS:
        taken = [file for file in files if file.name.startswith(kind)]
        if taken:
            return taken, [file for file in files if file not in taken]
    return files, []


def _names(files: list[Path], root: Path, count: int = 4) -> str:
    return first_of((file.relative_to(root).as_posix() if file.name == BESIDE else file.name for file in files), count)


def _read_file(file: Path, prefix: str, root: Path, params: CocoParams, out_dir: Path) -> Iterator[Sample | Failure | Adjusted]:
    with coco_index(file) as found:
        for row in _read_index(file, found, prefix, root, params, out_dir):
            yield replace(row, reason=f"{file.name}{row.reason}") if isinstance(row, Failure) else row


def _read_index(
    file: Path, found: CocoIndex, prefix: str, root: Path, params: CocoParams, out_dir: Path
) -> Iterator[Sample | Failure | Adjusted]:
    classes = {_plain_id(entry["id"]): str(entry["name"]) for entry in found.categories}
    numbers = {name: place for place, name in enumerate(sorted(set(classes.values())), start=1)}
    names = {_plain_id(entry["id"]): [str(name) for name in entry.get("keypoints") or ()] for entry in found.categories}
    if params.masks and len(numbers) > 255:
        raise UserError(f"{file} has {len(numbers)} classes; a mask can hold at most 255", "Import without masks.")
    for number, line, stray in found.strays():
        problem = (
            f"unknown image ({_shown(stray.get('image_id'))})" if isinstance(stray, dict) else f"{_shown(stray)} is no object"
        )
        yield Failure(f"{prefix}annotation {_name_of(stray, number)}", f" line {line}: {problem}", part_of=file.name)
    split = split_in(file.parent.name if file.name == BESIDE else file.stem)
    finder = Finder(_image_folders(root, split))
    for entry, listed in found.images():
        good = []
        for number, annotation in listed:
            if problem := _problem(annotation, classes):
                of = prefix + str(entry.get("file_name", ""))
                where = f" line {annotation.line}"
                yield Failure(f"{prefix}annotation {_name_of(annotation, number)}", f"{where}: {problem}", part_of=of)
            else:
                good.append(annotation)
        name = str(entry.get("file_name", ""))
        place = finder.find(name) if name else None
        if place is None and (part := finder.part_of(name)):
            name, place = part, finder.find(part)
            yield Adjusted(prefix + name, BY_LAST_PARTS)
        if place is None:
            yield Failure(prefix + (name or f"image {_shown(entry.get('id'))}"), ": no such file")
            continue
        yield from _sample(prefix + name, place, entry, good, classes, numbers, names, split, params, out_dir)


def _name_of(annotation: Any, number: int) -> str:
    return str(annotation.get("id", number))[:60] if isinstance(annotation, dict) else f"number {number}"


def _shown(value: Any) -> str:
    return text if len(text := repr(value)) <= 60 else f"{text[:57]}…"


def _plain_id(value: Any) -> Any:
    """A hashable id; a list, which JSON allows and nobody uses, becomes text."""
    return value if isinstance(value, (str, int, float)) or value is None else repr(value)


def _sample(
    identity: str,
    place: Path,
    entry: Mapping[str, Any],
    annotations: list[Annotation],
    classes: Mapping[Any, str],
    numbers: Mapping[str, int],
    names: Mapping[Any, Sequence[str]],
    split: str,
    params: CocoParams,
    out_dir: Path,
) -> Iterator[Sample | Failure | Adjusted]:
    from pipekit.builtin.importers.stated_size import frame_of
    from pipekit.errors import ImageError

    try:
        frame, adjusted = frame_of(place, _stated_hw(entry), identity)
    except ImageError as error:
        yield Failure(identity, f": {error.message}", str(place))
        return
    size_hw = frame.size_hw
    if adjusted is not None and annotations:
        yield adjusted
    boxes: list[Box] = []
    points: list[Keypoint] = []
    kept = []
    for number, annotation in enumerate(annotations):
        category = _plain_id(annotation["category_id"])
        label = classes[category]
        if annotation.get("iscrowd") and not params.crowds:
            continue
        x, y, width, height = map(float, annotation["bbox"])
        box = checked_box(frame.box((x, y, x + width, y + height)), label, size_hw)
        if isinstance(box, str):
            yield Failure(
                f"{identity} annotation {_name_of(annotation, number)}", f" line {annotation.line}: {box}", part_of=identity
            )
            continue
        if params.outlines and annotation.get("segmentation"):
            from pipekit.builtin.importers.coco_masks import polygons_in

            try:
                polygons = polygons_in(annotation["segmentation"], frame.drawn_hw)
                box = outlined(box, [frame.points(list(polygon.ravel())) for polygon in polygons], size_hw)
            except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
                why = f" line {annotation.line}: its outline can't be read: {_why(error, annotation['segmentation'])}"
                yield Failure(f"{identity} annotation {_name_of(annotation, number)}", why, part_of=identity)
        try:
            points += list(_keypoints(annotation, names.get(category, ()), len(boxes), frame))
        except (ValueError, TypeError, KeyError, OverflowError):
            why = f" line {annotation.line}: its keypoints can't be read: {_shown(annotation['keypoints'])}"
            yield Failure(f"{identity} annotation {_name_of(annotation, number)}", why, part_of=identity)
        boxes.append(box)
        kept.append((numbers[label], annotation))
    mask = ""
    if params.masks:
        from pipekit.builtin.importers.coco_masks import write_mask

        mask = str(out_dir / "masks" / f"{identity}.png")
        try:
            write_mask(Path(mask), kept, frame.drawn_hw, frame.mask)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            why = f": a segmentation can't be read: {_why(error, [entry.get('segmentation') for _, entry in kept])}"
            yield Failure(f"{identity} masks", why, part_of=identity)
            mask = ""
    extra = {key: value for key, value in entry.items() if key in ("license", "date_captured", "coco_url")}
    targets = Targets(mask, boxes=tuple(boxes), keypoints=tuple(points))
    yield Sample(identity, str(place), label=label_of(boxes, params.label), split=split, targets=targets, extra=extra)


def _why(error: Exception, value: Any) -> str:
    """What is wrong with a segmentation; where that is not known, its value."""
    return str(error) if isinstance(error, UnusableError) else _shown(value)


def _problem(entry: Mapping[str, Any], classes: Mapping[Any, str]) -> str:
    if _plain_id(entry.get("category_id")) not in classes:
        return f"unknown class ({_shown(entry.get('category_id'))})"
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return f"its bbox is not four numbers: {str(box)[:60]}"
    return ""


def _stated_hw(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    height, width = entry.get("height"), entry.get("width")
    return (height, width) if _is_number(height) and _is_number(width) else None


def _is_number(value: Any) -> TypeGuard[float]:
    """JSON has whole numbers of any length; a float holds those up to 2**1024."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _keypoints(annotation: Mapping[str, Any], names: Sequence[str], of: int, frame: Frame) -> Iterator[Keypoint]:
    """x, y, v triples; v = 0 is "not labelled", 1 "hidden", 2 "visible". In COCO too, whole x and y are pixel centres."""
    values = annotation.get("keypoints") or []
    for at in range(0, len(values) - 2, 3):
        x, y, visible = values[at : at + 3]
        if visible:
            name = names[at // 3] if at // 3 < len(names) else str(at // 3)
            yield Keypoint(*frame.keypoint(float(x), float(y)), name, visible == 2, of)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".json" else []
    found = [folder / name for folder in (path, path / "annotations") for name in files_in(folder, (".json",))]
    return sorted({*found, *filter(Path.is_file, (path / name / BESIDE for name in subfolders(path)))})


def _missing(file: Path) -> list[str]:
    """Which of the three lists are missing, from the text alone: captions and results lack the categories."""
    missing = list(PARTS)
    rest = ""
    try:
        with file.open(encoding="utf-8", errors="replace") as text:
            while missing and (block := text.read(1 << 20)):
                missing = [part for part in missing if f'"{part}"' not in rest + block]
                rest = block[-20:]
    except OSError:
        pass
    return missing


def _image_folders(root: Path, split: str) -> list[Path]:
    """Candidate folders for a split's images: the folder with the split's name first, never one named after another split."""
    below = [root / name for name in subfolders(root)] + [root / "images" / name for name in subfolders(root / "images")]
    own = [folder for folder in below if split and split_in(folder.name) == split]
    others = [folder for folder in below if folder not in own and not (own and split_in(folder.name))]
    return [*own, root / "images", root, *others]
