"""YOLO detection trees: a line ``class x y width height`` per box, as fractions of the image size; in ``labels/…`` beside
``images/…`` (https://docs.ultralytics.com/datasets/detect/), or in a .txt file beside each image, as Darknet and LabelImg do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.boxes import BoxedParams, checked_box, label_of, outlined, size_of
from pipekit.builtin.importers.files import NO_FOLDER, first_of, images_below, split_of, subfolders
from pipekit.builtin.importers.lookup import lookup
from pipekit.builtin.importers.words import split_folder
from pipekit.contract import Box, Failure, Rejected, Sample, Targets
from pipekit.errors import ImageError, UserError
from pipekit.files import files_in, image_suffixes, walk
from pipekit.params import param

LISTS = ("data.yaml", "dataset.yaml", "data.yml", "classes.txt", "obj.names", "_darknet.labels")
"""Where the class names are listed, in the tree or a folder in it: for Ultralytics, LabelImg, Darknet, Roboflow."""

READS = (".txt", ".yaml", ".yml", ".names", ".labels", ".data", ".cfg", ".cache")

WRITTEN_AS = "yolo"
"""The exporter that writes back all that is read here, and not a class for each image alone."""

LOOKED_AT = 10
"""How many of a folder's images are searched for one with labels beside it."""


class YoloParams(BoxedParams):
    classes: list[str] = param(
        [], "The class names in the order of their numbers; by default from data.yaml, classes.txt or obj.names"
    )


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is a YOLO detection tree, or what it lacks."""
    if not path.is_dir():
        return NO_FOLDER
    folders = _label_folders(path)
    where = "images and labels side by side"
    if not any(map(_has_labels, folders)):
        beside = _beside(path)
        if not beside:
            if folders:
                return Rejected(f"no .txt file in {first_of(folder.relative_to(path).as_posix() for folder in folders)}")
            return Rejected("no folders 'images' and 'labels' side by side, and no .txt files with boxes beside images")
        where = "labels beside the images" + (f" in {first_of(beside)}" if beside != ["."] else "")
    lists = [file.name for file in _lists(path)]
    return f"{where}{f', {lists[0]}' if lists else ''}"


def read(path: Path, params: YoloParams) -> Iterator[Sample | Failure]:
    """One sample per image below each folder ``images``, or beside labels; the id is the path below ``path``.

    An image without a label file, or with an empty one, has no boxes. A line with a polygon gives an outline and its bounding
    box. An unusable line is listed as failed; its image is kept. The split comes from the folder's name, or from Darknet's
    lists ``train.txt``, ``valid.txt`` and ``test.txt``.

    Raises:
        UserError: there is no such tree, or the list of class names can't be read.
    """
    side_by_side = path.is_dir() and any(map(_has_labels, _label_folders(path)))
    if not side_by_side and not (path.is_dir() and _beside(path)):
        raise UserError(
            f"{path} is not a YOLO tree", "Expected folders 'images' and 'labels' side by side, or labels beside images."
        )
    names = dict(enumerate(params.classes)) or _names(path)
    with lookup(_listed_splits(path)) as splits:
        for identity, full in images_below(path):
            parts = identity.split("/")
            if not side_by_side:
                labels = Path(full).with_suffix(".txt")
            elif "images" in parts[:-1]:
                at = len(parts) - 2 - parts[:-1][::-1].index("images")
                labels = path.joinpath(*parts[:at], "labels", *parts[at + 1 : -1], Path(parts[-1]).stem + ".txt")
            else:
                continue
            split = next((found for part in parts[:-1] if (found := split_folder(part))), "") or splits.get(identity)
            yield from _sample(identity, Path(full), labels, split, names, params)


def _sample(
    identity: str, image: Path, labels: Path, split: str, names: Mapping[int, str], params: YoloParams
) -> Iterator[Sample | Failure]:
    boxes: list[Box] = []
    lines = _lines(labels)
    if lines:
        try:
            size_hw = size_of(image)
        except ImageError as error:
            yield Failure(identity, error.message, str(image))
            return
        for number, line in lines:
            box = _box(line, size_hw, names)
            if isinstance(box, str):
                yield Failure(f"{identity} line {number}", box, part_of=identity)
            else:
                boxes.append(box)
    yield Sample(identity, str(image), label=label_of(boxes, params.label), split=split, targets=Targets(boxes=tuple(boxes)))


def _box(line: str, size_hw: tuple[int, int], names: Mapping[int, str]) -> Box | str:
    try:
        number, *values = (float(word) for word in line.split())
    except ValueError:
        return f"not numbers: {line[:60]!r}"
    if number != int(number) or (names and int(number) not in names):
        return f"unknown class ({number:g})"
    label = names.get(int(number), str(int(number)))
    height, width = size_hw
    polygon: list[float] = []
    if len(values) == 4:
        x, y, box_width, box_height = values
        edges = (x - box_width / 2, y - box_height / 2, x + box_width / 2, y + box_height / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        edges = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
        polygon = [value * (height if number % 2 else width) for number, value in enumerate(values)]
    else:
        return f"expected a class and 4 numbers, or a polygon, got {len(values)} numbers"
    box = checked_box((edges[0] * width, edges[1] * height, edges[2] * width, edges[3] * height), label, size_hw)
    return outlined(box, [polygon], size_hw) if polygon and isinstance(box, Box) else box


def _lines(labels: Path) -> list[tuple[int, str]]:
    try:
        text = labels.read_text("utf-8", errors="replace")
    except OSError:
        return []
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _lists(path: Path) -> list[Path]:
    folders = (path, *(path / name for name in subfolders(path)))
    return [file for folder in folders for name in LISTS if (file := folder / name).is_file()]


def _names(path: Path) -> dict[int, str]:
    """Number -> class name; empty if no file lists them."""
    for file in _lists(path):
        if file.suffix not in (".yaml", ".yml"):
            words = file.read_text("utf-8", errors="replace").splitlines()
            return {number: word.strip() for number, word in enumerate(words) if word.strip()}
        found = _load_yaml(file).get("names")
        if isinstance(found, list):
            return {number: str(name) for number, name in enumerate(found)}
        if isinstance(found, Mapping):
            return {int(number): str(name) for number, name in found.items()}
    return {}


def _load_yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"can't read {file}: {error}") from error
    return found if isinstance(found, dict) else {}


def _label_folders(path: Path) -> list[Path]:
    """``labels`` beside ``images``, at the top or one level down."""
    tops = [path, *(path / name for name in subfolders(path))]
    return [top / "labels" for top in tops if (top / "labels").is_dir() and (top / "images").is_dir()]


def _has_labels(folder: Path) -> bool:
    return any(name.endswith(".txt") and name != "classes.txt" for _, names in walk(folder) for name in names)


def _beside(path: Path) -> list[str]:
    """The folders (``.``, or names in ``path``) where images have their boxes in a .txt file beside them."""
    return [name for name in (".", *subfolders(path)) if _has_boxes_beside(path / name)]


def _has_boxes_beside(folder: Path) -> bool:
    """Whether the first text file beside one of the first images holds a line of boxes, not captions or notes."""
    images = (folder / name for name in files_in(folder, image_suffixes()))
    for image in islice(images, LOOKED_AT):
        line = next((line for _, line in _lines(image.with_suffix(".txt"))), "")
        if line:
            return isinstance(_box(line, (1000, 1000), {}), Box)
    return False


def _listed_splits(path: Path) -> Iterator[tuple[str, str]]:
    """(path below ``path``, split) from Darknet's lists, whose paths may start further up: ``data/obj_train_data/1.jpg``."""
    for name in sorted(files_in(path, (".txt",))):
        split = split_of(Path(name).stem)
        if split:
            with (path / name).open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    parts = line.strip().split("/")
                    yield from (
                        ("/".join(parts[at:]), split) for at in range(max(0, len(parts) - 3), len(parts)) if line.strip()
                    )
