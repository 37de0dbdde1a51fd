"""TFRecord files of ``tf.train.Example`` with images, their features named as by TensorFlow's Object Detection API.
https://github.com/tensorflow/models/blob/master/research/object_detection/g3doc/using_your_own_dataset.md
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.annotated import Drawing, UnusableError, missing_files
from pipekit.builtin.importers.boxes import BoxedParams
from pipekit.builtin.importers.files import first_of, split_in
from pipekit.builtin.importers.lists import listed_labels
from pipekit.builtin.importers.lookup import Lookup, lookup
from pipekit.builtin.importers.stated_size import frame_of
from pipekit.contract import Adjusted, Categories, Failure, Rejected, Sample
from pipekit.errors import ImageError, UserError
from pipekit.files import files_in
from pipekit.params import param

NAMED = re.compile(r"\.(tfrecords?|tfrec|record)(-\d+-of-\d+)?$", re.IGNORECASE)
"""Names of the files; TensorFlow Datasets puts the shard's number behind the suffix."""

READS = (".tfrecord", ".tfrecords", ".tfrec", ".record", ".pbtxt", ".txt", ".json")

WRITTEN_AS = "tfrecord"
"""The exporter that writes back all that is read here, and not a class for each image alone."""

IMAGES = ("image/encoded", "image", "image_raw", "image/raw", "encoded", "jpeg", "img")
"""Names of the feature with the file's bytes; else the first one that is an image."""

LABELS = ("image/class/label", "label", "class", "image/label", "fine_label", "target")
TEXTS = ("image/class/text", "class_name", "label_name", "image/class/name")

MULTI_HOT, VALUE = "image/class/multi_hot", "image/value"
"""Several labels, as 0 or 1 for each line of classes.txt, and a number to predict: as our exporter writes them."""

BOX = "image/object/bbox/"
EDGES = ("xmin", "ymin", "xmax", "ymax")

LABEL_MAPS, CLASS_LISTS = ("label_map.pbtxt",), ("classes.txt", "labels.txt")

KNOWN = {
    *("image/format", "image/height", "image/width", "image/channels", "image/colorspace", "image/filename"),
    *("image/source_id", "image/key/sha256", "image/class/synset", "height", "width", "depth"),
}
"""Features that say nothing that the image file does not say, or are read by name."""

QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
ITEM = re.compile(rf"""item\s*\{{((?:[^{{}}"']|{QUOTED}|\{{[^{{}}]*\}})*)\}}""")
ITEM_ID = re.compile(r"\bid\s*:\s*(\d{1,9})\b")
ITEM_NAME = re.compile(rf"\b(display_name|name)\s*:\s*({QUOTED})")

ROUNDED_PX = 3
"""Decimals of a box's edges: they are stored as 32-bit fractions of the size, with some 7 digits."""


class TfrecordParams(BoxedParams):
    classes: list[str] = param([], "The class names in the order of their numbers, from 0; by default from classes.txt")


@dataclass(frozen=True, slots=True)
class _Names:
    """Class names by their numbers: of whole images, and of boxes."""

    images: Mapping[int, str]
    boxes: Mapping[int, str]


def sniff(path: Path) -> str | Rejected:
    """List the files, or say what is missing."""
    files = _files(path)
    if not files:
        return Rejected("no .tfrecord file in it" if path.is_dir() else "the file does not end in .tfrecord")
    try:
        features = _first(files[0])
    except (UserError, UnusableError) as error:
        return Rejected(str(error))
    if not _image_name(features):
        return Rejected(
            f"the examples of {files[0].name} have no image; they have {first_of(sorted(features), 8) or 'nothing'}"
        )
    return f"TFRecord files of examples with images: {first_of(file.name for file in files)}"


def read(path: Path, params: TfrecordParams, out_dir: Path) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per example, its file written unchanged to ``out_dir``; memory holds one record. TensorFlow is not needed.

    The id is ``image/filename`` where that is a unique name, else the file's name and the number of the record. Numbers
    of classes become names by ``image/class/text``, else by ``classes.txt`` (images, from 0) and a label map (``.pbtxt``,
    boxes) beside the files. ``image/class/multi_hot`` has several labels, ``image/value`` a number. Boxes are
    ``image/object/bbox/xmin`` and so on. The split comes from the file's name. A record whose checksum is wrong is listed as
    failed.

    Raises:
        UserError: there is no such file, or one is damaged so that its records can't be told apart.
    """
    files = _files(path)
    if not files:
        raise missing_files("TFRecord file", path, "Expected names like train-00000-of-00004.tfrecord.")
    names = _names(files[0].parent, params)
    yield from listed_labels(names.images)
    yield from listed_labels(names.boxes, "boxes")
    with lookup(()) as seen:
        for file in files:
            for number, (at, data) in enumerate(_records(file), start=1):
                record = _Record(file, number, at, data)
                yield from _sample(record, names, seen, params, out_dir)


@dataclass(frozen=True, slots=True)
class _Record:
    file: Path
    number: int
    at: int
    data: bytes | str

    @property
    def identity(self) -> str:
        return f"{self.file.name.partition('.')[0]}/{self.number:07}"

    @property
    def where(self) -> str:
        return f"{self.file.name} record {self.number} (byte {self.at:,})"


def _records(file: Path) -> Iterator[tuple[int, bytes | str]]:
    from pipekit.builtin.importers.tf_example import records

    return records(file)


def _sample(
    record: _Record, names: _Names, seen: Lookup, params: TfrecordParams, out_dir: Path
) -> Iterator[Sample | Failure | Adjusted]:
    from pipekit.builtin.importers.tf_example import parsed

    try:
        if isinstance(record.data, str):
            raise UnusableError(record.data)
        features = parsed(record.data)
        identity = _identity(record, features, seen)
        place = _written(features, record, out_dir)
        frame, adjusted = frame_of(place, _stated_hw(features), identity)
    except (ImageError, UnusableError) as error:
        said = error.message if isinstance(error, ImageError) else error
        yield Failure(record.identity, f"{record.where}: {said}")
        return
    drawing = Drawing(identity, place, record.where, frame, adjusted)
    target: dict[str, Any] = {}
    with drawing.shape("class"):
        target = _target(features, names)
        if not target and (label := _label(features, names)):
            drawing.tags.append(label)
    with drawing.shape("boxes"):
        _draw(drawing, features, names)
    for row in drawing.rows(params.label, split_in(record.file.name.partition(".")[0]), **_extra(features)):
        yield replace(row, label=None, **target) if target and isinstance(row, Sample) else row


def _identity(record: _Record, features: Mapping[str, Any], seen: Lookup) -> str:
    """The name in the example, where it leads nowhere else and no record before has it."""
    name = _text(features.get("image/filename"))
    plain = name and not name.startswith("/") and "\\" not in name and "\0" not in name and len(name) < 200
    if not plain or {"..", "."} & set(name.split("/")) or seen.get(name):
        return record.identity
    seen.add(name, record.where)
    return name


def _written(features: Mapping[str, Any], record: _Record, out_dir: Path) -> Path:
    """The image's bytes as a file. Raises UnusableError or ImageError."""
    from pipekit import images

    name = _image_name(features)
    if not name:
        raise UnusableError(f"no image among the features {first_of(sorted(features), 8) or '(none)'}")
    data = features[name][0]
    kind = images.probe(data).format.lower()
    folder = out_dir / "images" / record.file.name.partition(".")[0] / f"{record.number // 1000:04}"
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{record.number:07}.{ {'jpeg': 'jpg'}.get(kind, kind) }"
    place.write_bytes(data)
    return place


def _image_name(features: Mapping[str, Any]) -> str:
    """The feature with the bytes of an image file, or ""."""
    named = next((name for name in IMAGES if _is_bytes(features.get(name))), "")
    return named or next((name for name, values in features.items() if _is_bytes(values) and _is_image(values[0])), "")


def _is_bytes(values: Any) -> bool:
    return bool(values) and len(values) == 1 and isinstance(values[0], bytes) and len(values[0]) > 16


def _is_image(data: bytes) -> bool:
    from pipekit import images

    try:
        images.probe(data)
    except ImageError:
        return False
    return True


def _stated_hw(features: Mapping[str, Any]) -> tuple[float, float] | None:
    height, width = (_number(features.get(f"image/{side}")) for side in ("height", "width"))
    return None if height is None or width is None else (float(height), float(width))


def _target(features: Mapping[str, Any], names: _Names) -> dict[str, Any]:
    """``labels`` of several labels, or the ``value`` of a number; ``{}`` if the example has neither. Raises UnusableError."""
    if MULTI_HOT in features:
        return {"labels": _labels(features, names)}
    if values := features.get(VALUE):
        if len(values) > 1 or isinstance(values[0], bytes) or not math.isfinite(values[0]):
            raise UnusableError(f"{VALUE} is {str(values)[:60]}, not one number")
        return {"value": _shortest(values[0]) if isinstance(values[0], float) else float(values[0])}
    return {}


def _labels(features: Mapping[str, Any], names: _Names) -> tuple[str, ...]:
    """The labels with a 1: by their texts, else by their positions. Raises UnusableError."""
    flags = features[MULTI_HOT]
    if not {*flags} <= {0, 1}:
        raise UnusableError(f"{MULTI_HOT} is {str(flags)[:60]}, not a list of 0 and 1")
    texts: Sequence[Any] = next(filter(None, (features.get(name) for name in TEXTS)), [])
    if len(texts) == sum(flags) and all(isinstance(text, bytes) for text in texts):
        return tuple(dict.fromkeys(_text([text]) for text in texts))
    if len(flags) != len(names.images) or any(at not in names.images for at in range(len(flags))):
        raise UnusableError(f"{MULTI_HOT} has {len(flags)} values, but there are {len(names.images)} class names")
    return tuple(names.images[at] for at, flag in enumerate(flags) if flag)


def _shortest(value: float) -> float:
    """A 32-bit number as the shortest one with these bits: 0.1, and not 0.10000000149011612."""
    import numpy as np

    return float(str(np.float32(value)))


def _label(features: Mapping[str, Any], names: _Names) -> str:
    """The image's class; "" where there is none. Raises UnusableError."""
    if text := next(filter(None, (_text(features.get(name)) for name in TEXTS)), ""):
        return text
    name = next((name for name in LABELS if features.get(name)), "")
    if not name:
        return ""
    if isinstance(features[name][0], bytes):
        return _text(features[name])
    number = _number(features[name])
    if number is None:
        raise UnusableError(f"{name} is {str(features[name])[:60]}, not one whole number")
    if number < 0:
        return ""
    if names.images and number not in names.images:
        raise UnusableError(f"{name} is {number}, but there are {len(names.images)} class names, from {min(names.images)}")
    return names.images.get(number, str(number))


def _draw(drawing: Drawing, features: Mapping[str, Any], names: _Names) -> None:
    edges = [list(features.get(BOX + edge) or ()) for edge in EDGES]
    if not any(edges):
        return
    if len({len(values) for values in edges}) > 1 or any(isinstance(value, bytes) for values in edges for value in values):
        counts = ", ".join(f"{len(values)} {edge}" for edge, values in zip(EDGES, edges, strict=True))
        raise UnusableError(f"{BOX}: not one number for each edge of each box: {counts}")
    labels = _box_labels(features, len(edges[0]), names)
    height, width = drawing.frame.drawn_hw
    for at, (box, label) in enumerate(zip(zip(*edges, strict=True), labels, strict=True), start=1):
        with drawing.shape(f"box {at}"):
            if not all(-1 <= edge <= 2 for edge in box):
                raise UnusableError(
                    f"the box of {label!r} is not in fractions of the image: {', '.join(f'{edge:g}' for edge in box)}"
                )
            sides = (width, height, width, height)
            drawing.box([round(edge * side, ROUNDED_PX) for edge, side in zip(box, sides, strict=True)], label)


def _box_labels(features: Mapping[str, Any], count: int, names: _Names) -> list[str]:
    """The class of each box: its text, else the name of its number, else the number. Raises UnusableError."""
    texts: Sequence[Any] = features.get("image/object/class/text") or ()
    numbers: Sequence[Any] = features.get("image/object/class/label") or features.get("image/object/bbox/label") or ()
    if len(texts) == count and all(isinstance(text, bytes) and text for text in texts):
        return [_text([text]) for text in texts]
    if len(numbers) == count and all(isinstance(number, int) for number in numbers):
        return [names.boxes.get(number, str(number)) for number in numbers]
    raise UnusableError(f"{count} boxes, but {len(texts)} texts and {len(numbers)} numbers of classes")


def _extra(features: Mapping[str, Any]) -> dict[str, Any]:
    """Further features of one value."""
    skipped = {*KNOWN, *IMAGES, *LABELS, *TEXTS, MULTI_HOT, VALUE}
    found: dict[str, Any] = {}
    for name, values in features.items():
        if len(values) != 1 or name in skipped or name.startswith("image/object/"):
            continue
        if not isinstance(values[0], bytes):
            found[name] = values[0] if math.isfinite(values[0]) else str(values[0])
        elif len(values[0]) <= 1000 and b"\0" not in values[0]:
            found[name] = _text(values)
    return found


def _text(values: Any) -> str:
    return values[0].decode("utf-8", "replace").strip() if values and isinstance(values[0], bytes) else ""


def _number(values: Any) -> int | None:
    return values[0] if values and len(values) == 1 and isinstance(values[0], int) else None


# --- files and names -----------------------------------------------------------------------------------------------------


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if NAMED.search(path.name) else []
    return sorted(path / name for name in files_in(path) if NAMED.search(name))


def _first(file: Path) -> dict[str, Any]:
    """The features of a file's first record. Raises UserError or UnusableError."""
    from pipekit.builtin.importers.tf_example import parsed

    _, data = next(islice(_records(file), 1), (0, "there is no record in it"))
    if isinstance(data, str):
        raise UnusableError(f"{file.name}: {data}")
    return dict(parsed(data))


def _names(folder: Path, params: TfrecordParams) -> _Names:
    """The names of classes beside the files. Raises UserError."""
    maps = [*(folder / name for name in LABEL_MAPS), *sorted(folder / name for name in files_in(folder, (".pbtxt",)))]
    boxes = next((label_map(file) for file in maps if file.is_file()), {})
    lists = [folder / name for name in CLASS_LISTS if (folder / name).is_file()]
    images = dict(enumerate(params.classes or [name for file in lists[:1] for name in _listed(file)]))
    return _Names(images or boxes, boxes or images)


def _listed(file: Path) -> list[str]:
    """A class name per line. Raises UserError."""
    try:
        return file.read_text("utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"can't read {file}: {error.strerror}") from error


def label_map(file: Path) -> dict[int, str]:
    """Number -> name of a label map: ``item { id: 1 name: 'cat' }``; a ``display_name`` counts first. Raises UserError."""
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"can't read {file}: {error.strerror}") from error
    found: dict[int, str] = {}
    for item in ITEM.finditer(re.sub(r"(?m)^\s*#.*$", "", text)):
        number = ITEM_ID.search(item[1])
        named = {kind: _unquoted(quoted) for kind, quoted in ITEM_NAME.findall(item[1])}
        if number is None or not named:
            line = text[: item.start()].count("\n") + 1
            raise UserError(f"{file} line {line}: an item without an id and a name: {' '.join(item[0].split())[:80]}")
        found[int(number[1])] = named.get("display_name") or named["name"]
    if not found and text.strip():
        raise UserError(f"{file} is no label map", "Expected entries like: item { id: 1 name: 'cat' }")
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text[1:-1])
