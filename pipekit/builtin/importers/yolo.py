"""YOLO trees: a line ``class x y width height`` per box, as fractions of the image size; in ``labels/…`` beside ``images/…``
(https://docs.ultralytics.com/datasets/detect/), or in a .txt file beside each image, as Darknet and LabelImg do. Polygons
(``segment``), oriented boxes (``obb``: four corners) and poses (``kpt_shape`` in ``data.yaml``: keypoints after the box) too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.any_case import BY_OTHER_CASE, AnyCase
from pipekit.builtin.importers.boxes import BoxedParams, checked_box, is_rectangle, label_of, outlined
from pipekit.builtin.importers.files import NO_FOLDER, first_of, images_below, not_utf8, split_of, subfolders
from pipekit.builtin.importers.lookup import lookup
from pipekit.builtin.importers.stated_size import frame_of
from pipekit.builtin.importers.words import split_folder
from pipekit.contract import Adjusted, Box, Categories, Category, Failure, Keypoint, Rejected, Sample, Targets
from pipekit.errors import ImageError, UserError
from pipekit.files import files_in, image_suffixes, walk
from pipekit.params import param

LISTS = ("data.yaml", "dataset.yaml", "data.yml", "classes.txt", "obj.names", "_darknet.labels")
"""Where the class names are listed, in the tree or a folder in it: for Ultralytics, LabelImg, Darknet, Roboflow."""

READS = (".txt", ".yaml", ".yml", ".names", ".labels", ".data", ".cfg", ".cache")

WRITTEN_AS = "yolo"
"""The exporter that writes back all that is read here, and not a class for each image alone."""

MOST_POINTS = 1000
"""The most keypoints of a pose."""

LOOKED_AT = 10
"""How many of a folder's images are searched for one with labels beside it."""


class YoloParams(BoxedParams):
    classes: list[str] = param(
        [], "The class names in the order of their numbers; by default from data.yaml, classes.txt or obj.names"
    )
    kpt_shape: list[int] = param(
        [],
        "The number of keypoints of a pose, and of numbers for each (2 or 3): [17, 3]; by default from data.yaml",
        max_length=2,
    )
    flip_idx: list[int] = param(
        [],
        "The position of each keypoint's counterpart in a mirrored image: [0, 2, 1]; by default from data.yaml",
        max_length=MOST_POINTS,
    )


@dataclass(frozen=True, slots=True)
class _Classes:
    """What the numbers of a line mean.

    Attributes:
        names: number -> class name; empty if no file lists them.
        kpt_shape: number of keypoints, and of numbers for each; (0, 0) for a tree without poses.
        points: class name -> names of its keypoints.
        mirror: the position of each keypoint's counterpart in a mirrored image (``flip_idx``); empty if unknown.
    """

    names: Mapping[int, str] = field(default_factory=dict)
    kpt_shape: tuple[int, int] = (0, 0)
    points: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mirror: tuple[int, ...] = ()

    def listed(self) -> Categories:
        """The classes by their numbers, each with its keypoints."""
        return Categories("boxes", tuple(self._entry(name, number) for number, name in sorted(self.names.items())))

    def _entry(self, name: str, number: int) -> Category:
        count, own = self.kpt_shape[0], self.points.get(name, ())
        points = tuple(own[at] if at < len(own) else str(at) for at in range(count))
        return Category(name, number, points, mirror=self.mirror if sorted(self.mirror) == list(range(count)) else ())


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
    elif other := _other_labels(folders):
        return Rejected(other)
    lists = [file.name for file in _lists(path)]
    try:
        count, _ = _classes(path, YoloParams()).kpt_shape
    except UserError as error:
        return Rejected(error.message)
    return f"{where}{f', {lists[0]}' if lists else ''}{f', poses of {count} points' if count else ''}"


def read(path: Path, params: YoloParams) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """The list of classes, if any, and one sample per image below each folder ``images``, or beside labels; the
    id is the path below ``path``.

    An image without a label file, or with an empty one, has no boxes. A line with a polygon gives an outline and its bounding
    box, as does one with the four corners of an oriented box. Where ``data.yaml`` has ``kpt_shape``, every line is a box with
    keypoints; those with visibility 0, or at 0 0 without visibility, are not labelled. An unusable line is listed as failed;
    its image is kept. The split comes from the folder's name, or from Darknet's
    lists ``train.txt``, ``valid.txt`` and ``test.txt``.

    Raises:
        UserError: there is no such tree, or the list of class names can't be read.
    """
    side_by_side = path.is_dir() and any(map(_has_labels, _label_folders(path)))
    if not side_by_side and not (path.is_dir() and _beside(path)):
        raise UserError(
            f"{path} is not a YOLO tree", "Expected folders 'images' and 'labels' side by side, or labels beside images."
        )
    classes = _classes(path, params)
    if classes.names:
        yield classes.listed()
    labelled = False
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
            if not labels.is_file() and (other := _in_any_case(labels, Path(full), AnyCase(splits))):
                labels = other
                yield Adjusted(identity, BY_OTHER_CASE)
            labelled = labelled or labels.is_file()
            split = next((found for part in parts[:-1] if (found := split_folder(part))), "") or splits.get(identity)
            yield from _sample(identity, Path(full), labels, split, classes, params)
    if side_by_side and not labelled:
        raise UserError(
            f"no label file below {path} has the name of an image",
            "Expected labels/train/a.txt for images/train/a.jpg: the same folders below both.",
        )


def _in_any_case(labels: Path, image: Path, names: AnyCase) -> Path | None:
    """The label file in another case, unless another image may be meant."""
    found = names.find(labels.parent, labels.name)
    return found if found and names.find(image.parent, found.stem + image.suffix) == image else None


def _sample(
    identity: str, image: Path, labels: Path, split: str, classes: _Classes, params: YoloParams
) -> Iterator[Sample | Failure | Adjusted]:
    boxes: list[Box] = []
    points: list[Keypoint] = []
    lines = _lines(labels)
    if lines:
        try:
            frame, adjusted = frame_of(image, None, identity)
        except ImageError as error:
            yield Failure(identity, error.message, str(image))
            return
        if adjusted is not None:
            yield adjusted
        size_hw = frame.size_hw
        for number, line in lines:
            box = _box(line, size_hw, classes)
            if isinstance(box, str):
                yield Failure(f"{identity} line {number}", f"{labels.name}: {box}", part_of=identity)
            else:
                points += _keypoints(line, size_hw, classes, box.label, len(boxes))
                boxes.append(box)
    targets = Targets(boxes=tuple(boxes), keypoints=tuple(points))
    yield Sample(identity, str(image), label=label_of(boxes, params.label), split=split, targets=targets)


def _box(line: str, size_hw: tuple[int, int], classes: _Classes) -> Box | str:
    try:
        number, *values = (float(word) for word in line.split())
    except ValueError:
        return f"not numbers: {line[:60]!r}"
    if not math.isfinite(number) or number != int(number) or (classes.names and int(number) not in classes.names):
        return f"unknown class ({number:g})"
    label = classes.names.get(int(number), str(int(number)))
    height, width = size_hw
    polygon: list[float] = []
    count, per_point = classes.kpt_shape
    if count and len(values) != 4 + count * per_point:
        return f"expected a class and 4 + {count} x {per_point} numbers (kpt_shape), got {len(values)} numbers"
    if count or len(values) == 4:
        x, y, box_width, box_height = values[:4]
        edges = (x - box_width / 2, y - box_height / 2, x + box_width / 2, y + box_height / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        edges = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
        polygon = [value * (height if number % 2 else width) for number, value in enumerate(values)]
    else:
        pose = "; a pose needs kpt_shape, in data.yaml or as a parameter" if len(values) > 6 else ""
        return f"expected a class and 4 numbers, or a polygon, got {len(values)} numbers{pose}"
    box = checked_box((edges[0] * width, edges[1] * height, edges[2] * width, edges[3] * height), label, size_hw)
    if not polygon or isinstance(box, str):
        return box
    box = outlined(box, [polygon], size_hw)
    return replace(box, facts={"oriented": True}) if box.outline and is_rectangle(polygon) else box


def _keypoints(line: str, size_hw: tuple[int, int], classes: _Classes, label: str, of: int) -> Iterator[Keypoint]:
    """The labelled keypoints of a line that is a pose; visibility 1 is "hidden", 2 "visible"."""
    count, per_point = classes.kpt_shape
    values = [float(word) for word in line.split()[5:]] if count else []
    names = classes.points.get(label, ())
    for at in range(count):
        x, y, visible = (*values[at * per_point : (at + 1) * per_point], 2.0)[:3]
        labelled = visible != 0 if per_point == 3 else bool(x or y)
        if labelled and math.isfinite(x) and math.isfinite(y):
            name = names[at] if at < len(names) else str(at)
            yield Keypoint(x * size_hw[1], y * size_hw[0], name, visible != 1, of)


def _lines(labels: Path) -> list[tuple[int, str]]:
    try:
        text = labels.read_text("utf-8", errors="replace")
    except OSError:
        return []
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _lists(path: Path) -> list[Path]:
    """The files in :data:`LISTS`; if there are none, YAML files of another name that list class names."""
    folders = (path, *(path / name for name in subfolders(path)))
    found = [file for folder in folders for name in LISTS if (file := folder / name).is_file()]
    return found or [path / name for name in sorted(files_in(path, (".yaml", ".yml"))) if "names" in _load_yaml(path / name)]


def _classes(path: Path, params: YoloParams) -> _Classes:
    """What the first file of each kind in :data:`LISTS` says; the parameters come before. Raises UserError."""
    names: dict[int, str] = {}
    described: tuple[Path, dict[str, Any]] | None = None
    for file in _lists(path):
        if file.suffix in (".yaml", ".yml"):
            content = _load_yaml(file)
            described = described or (file, content)
            names = names or _numbered(content.get("names"), file)
        elif not names:
            words = file.read_text("utf-8", errors="replace").splitlines()
            names = {number: word.strip() for number, word in enumerate(words) if word.strip()}
    names = dict(enumerate(params.classes)) or names
    where, content = described or (path, {})
    shape, from_where = (params.kpt_shape, "the parameter") if params.kpt_shape else (content.get("kpt_shape"), f"{where}:")
    count = _kpt_shape(shape, from_where) if shape else (0, 0)
    flip_idx = params.flip_idx or content.get("flip_idx")
    if params.flip_idx and sorted(params.flip_idx) != list(range(count[0])):
        raise UserError(
            f"flip_idx is {params.flip_idx}, but there are {count[0]} keypoints",
            "Expected each position from 0 once, as many as kpt_shape says.",
        )
    mirror = tuple(flip_idx) if isinstance(flip_idx, list) and all(type(one) is int for one in flip_idx) else ()
    points = _point_names(content.get("kpt_names"), names)
    return _Classes(names, count, points, mirror)


def _numbered(found: Any, file: Path) -> dict[int, str]:
    if isinstance(found, list):
        return {number: str(name) for number, name in enumerate(found)}
    if not isinstance(found, Mapping):
        return {}
    for number in found:
        if not str(number).isdecimal():
            raise UserError(f"{file}: names has {number!r}, not the number of a class", "Expected names: {0: cat, 1: dog}")
    return {int(number): str(name) for number, name in found.items()}


def _kpt_shape(found: Any, where: str) -> tuple[int, int]:
    if (
        isinstance(found, list)
        and len(found) == 2
        and all(type(one) is int for one in found)
        and 0 < found[0] <= MOST_POINTS
        and found[1] in (2, 3)
    ):
        return found[0], found[1]
    raise UserError(
        f"{where} kpt_shape is {str(found)[:80]}",
        f"Expected the number of keypoints, at most {MOST_POINTS:,}, and 2 or 3 numbers for each: [17, 3]",
    )


def _point_names(found: Any, names: Mapping[int, str]) -> dict[str, list[str]]:
    """Class name -> names of its keypoints, from ``kpt_names``: ``{0: [nose, left_eye]}``."""
    if not isinstance(found, Mapping):
        return {}
    return {
        names.get(number, str(number)): [str(point) for point in points]
        for number, points in found.items()
        if isinstance(points, list)
    }


def _load_yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(file.read_text("utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"can't read {file}: {not_utf8(file)}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"can't read {file}: line {line}: {error.problem}") from error
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"can't read {file}: {' '.join(str(error).split())[:200]}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"can't read {file}: a number of thousands of digits, or nested too deeply") from error
    return found if isinstance(found, dict) else {}


def _label_folders(path: Path) -> list[Path]:
    """``labels`` beside ``images``, at the top or one level down."""
    tops = [path, *(path / name for name in subfolders(path))]
    return [top / "labels" for top in tops if (top / "labels").is_dir() and (top / "images").is_dir()]


def _has_labels(folder: Path) -> bool:
    return any(name.endswith(".txt") and name != "classes.txt" for _, names in walk(folder) for name in names)


def _other_labels(folders: Sequence[Path]) -> str:
    """Why the first label files are those of another format, such as KITTI's ``Car 0.00 0 …``; "" if one may be YOLO's."""
    files = (Path(folder) / name for top in folders for folder, names in walk(top) for name in names)
    firsts = ((file, lines[0][1]) for file in files if file.suffix == ".txt" and (lines := _lines(file)))
    found = list(islice(((file, line) for file, line in firsts if file.name != "classes.txt"), LOOKED_AT))
    if not found or any(_is_of_numbers(line) for _, line in found):
        return ""
    file, line = found[0]
    return f"no line of numbers in {file.parent.name}/{file.name}: {line[:40]!r}"


def _is_of_numbers(line: str) -> bool:
    try:
        return len([float(word) for word in line.split()]) >= 5
    except ValueError:
        return False


def _beside(path: Path) -> list[str]:
    """The folders (``.``, or names in ``path``) where images have their boxes in a .txt file beside them."""
    return [name for name in (".", *subfolders(path)) if _has_boxes_beside(path / name)]


def _has_boxes_beside(folder: Path) -> bool:
    """Whether the first text file beside one of the first images holds a line of boxes, not captions or notes."""
    images = (folder / name for name in files_in(folder, image_suffixes()))
    for image in islice(images, LOOKED_AT):
        line = next((line for _, line in _lines(image.with_suffix(".txt"))), "")
        if line:
            return isinstance(_box(line, (1000, 1000), _Classes()), Box)
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
