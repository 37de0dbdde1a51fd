"""LabelMe: one JSON file per image, with polygons, rectangles, circles, lines, points and masks.
https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.annotated import (
    Drawing,
    Folders,
    Images,
    Source,
    UnusableError,
    begin,
    has_words,
    listed,
    members,
    points,
    text,
)
from pipekit.builtin.importers.boxes import BoxedParams
from pipekit.builtin.importers.files import NO_FOLDER, images_below, not_utf8, split_of, subfolders
from pipekit.builtin.importers.lookup import Lookup, lookup
from pipekit.contract import Adjusted, Categories, Category, Failure, Rejected, Sample
from pipekit.errors import ImageError, UserError
from pipekit.files import IMAGE_SUFFIXES, files_in, image_suffixes, walk

JSON = (".json",)

READS = (".json", ".txt")

WRITTEN_AS = "coco"
"""The exporter for boxes, outlines and keypoints of boxes. It writes no class of a whole image, no keypoint without a box."""

LABELS = "labels.txt"
"""LabelMe's own list of classes, one a line: its line ``__ignore__`` has the number -1, the others count from 0."""

FOLDERS_SNIFFED, FILES_SNIFFED = 30, 3
"""Numbers of folders, and of JSON files in each, that are searched for a file of LabelMe."""

NUM_POINTS = {"circle": 2, "line": 2, "point": 1, "rectangle": 2, "mask": 2}
"""The least number of points of a shape; 3 for the others."""


def sniff(path: Path) -> str | Rejected:
    """Name the folder of LabelMe's JSON files, or say what is missing."""
    if not path.is_dir():
        return NO_FOLDER
    for folder in (Path(folder) for folder, _ in islice(walk(path), FOLDERS_SNIFFED)):
        files = sorted(islice(files_in(folder, JSON), FILES_SNIFFED))
        if name := next((name for name in files if _is_labelme(folder / name)), ""):
            return f"JSON files of LabelMe, such as {(folder / name).relative_to(path).as_posix()}"
    if name := next(files_in(path, JSON), ""):
        return Rejected(f"{name} lacks 'shapes' or 'imagePath'")
    return Rejected(f"no JSON file with 'shapes' and 'imagePath' in its first {FOLDERS_SNIFFED} folders")


def read(path: Path, params: BoxedParams) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per JSON file, and one per image beside those that no JSON file names; the id is the path below ``path``.

    Rectangles, polygons, circles and masks become boxes, the last three with outlines. Points become keypoints, as do the
    corners of lines. A flag that is set is the image's class. The image is the file that ``imagePath`` names, else the one
    beside the JSON file with its name; the copy inside the JSON file (``imageData``) is not used. Other JSON files are skipped.
    ``labels.txt`` in the folder is the list of classes. The split comes from a folder's name.
    A shape that can't be used is listed as failed.

    Raises:
        UserError: there is no JSON file of LabelMe.
    """
    if not path.is_dir() or not sniff(path):
        raise UserError(f"no JSON files of LabelMe in {path}", "Expected a folder with a JSON file per image, with 'shapes'.")
    yield from _listed_classes(path / LABELS)
    with lookup(()) as seen:
        for folder, names in walk(path):
            images = Images(path, _image_folders(Path(folder), path), seen)
            for name in names:
                if name.lower().endswith(JSON):
                    yield from _read_file(Path(folder) / name, path, images, seen, params)
        elsewhere = Counter[str]()
        for identity, full in images_below(path):
            if seen.get(identity):
                continue
            if seen.get(_in_folder(identity)):
                yield Sample(identity, full, split=_split(identity))
            else:
                elsewhere[identity.rpartition("/")[0]] += 1
        for folder, count in elsewhere.items():
            why = f"{count} image{'s' if count > 1 else ''}, of which no JSON file names one: not read"
            yield Failure(folder or str(path), why, part_of=folder or str(path))


def _in_folder(identity: str) -> str:
    """What stands for the folder of an image among the ids; no image has this name."""
    return f"{identity.rpartition('/')[0]}/"


def _listed_classes(file: Path) -> Iterator[Categories]:
    try:
        lines = file.read_text("utf-8-sig", errors="replace").splitlines()
    except OSError:
        return
    names = [line.strip() for line in lines if line.strip()]
    if names and not any("/" in name or "\t" in name or name.lower().endswith(image_suffixes()) for name in names):
        first = -1 if names[0] == IGNORED else 0
        listed = {name: number for number, name in reversed(list(enumerate(names, start=first)))}
        yield Categories("boxes", tuple(Category(name, listed[name]) for name in dict.fromkeys(names) if name != IGNORED))


IGNORED = "__ignore__"


def _image_folders(folder: Path, root: Path) -> Folders:
    """Where the images of a folder's JSON files may lie: in it, in its subfolders, beside it."""
    inside = [folder / name for name in subfolders(folder)]
    above = [folder.parent, *(folder.parent / name for name in subfolders(folder.parent))] if folder != root else []
    return Folders([folder], [*inside, *(place for place in above if place != folder)])


def _read_file(
    file: Path, root: Path, images: Images, seen: Lookup, params: BoxedParams
) -> Iterator[Sample | Failure | Adjusted]:
    below = file.relative_to(root).as_posix()
    try:
        content = json.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        yield Failure(below, not_utf8(file) if isinstance(error, UnicodeDecodeError) else f"not JSON: {error}")
        return
    if not isinstance(content, dict) or "shapes" not in content:
        return
    named = content.get("imagePath")
    # Some files name themselves; the image is then the one beside them.
    names = [named] if isinstance(named, str) and named and not named.lower().endswith(JSON) else []
    declared = content.get("imageWidth"), content.get("imageHeight")
    same_stem = [file.stem + suffix for suffix in IMAGE_SUFFIXES]
    drawing = begin([*names, *same_stem], Source(file, root, ""), images, declared, below)
    if isinstance(drawing, Failure):
        yield drawing
        return
    seen.add(_in_folder(drawing.identity), below)
    flags = content.get("flags")
    drawing.tags += [name for name, is_set in flags.items() if is_set is True] if isinstance(flags, dict) else []
    with drawing.shape("shapes"):
        for at, shape in enumerate(listed(content["shapes"], "shapes"), start=1):
            with drawing.shape(f"shape {at}"):
                _draw(drawing, members(shape, "a shape"))
    yield from drawing.rows(params.label, _split(drawing.identity))


def _draw(drawing: Drawing, shape: Mapping[str, Any]) -> None:
    label = text(shape.get("label"), "label")
    kind = shape.get("shape_type") or "polygon"  # the first versions drew polygons only, and had no type
    found = points(shape.get("points"), least=NUM_POINTS.get(str(kind), 1))
    facts: dict[str, Any] = {
        name: shape.get(name) for name in ("group_id", "description", "attributes", "difficult") if shape.get(name)
    }
    if isinstance(flags := shape.get("flags"), dict):
        facts["flags"] = [name for name, is_set in flags.items() if is_set]
    if kind == "polygon":
        drawing.polygon(found, label, **facts)
    elif kind == "rectangle":
        xs, ys = zip(*found, strict=True)
        drawing.box((min(xs), min(ys), max(xs), max(ys)), label, **facts)
    elif kind == "circle":
        (x, y), (x_edge, y_edge) = found[:2]
        radius = ((x_edge - x) ** 2 + (y_edge - y) ** 2) ** 0.5
        drawing.ellipse((x, y), (radius, radius), label, **facts)
    elif kind == "mask":
        mask = _mask(shape.get("mask"))
        drawing.mask(mask, round(found[0][0]), round(found[0][1]), label, **facts)
    elif kind in ("point", "points", "line", "linestrip"):
        drawing.points(found, label)
    else:
        raise UnusableError(f"a shape of type {kind!r} is not read")


def _mask(data: Any) -> Any:
    from pipekit import images

    try:
        return images.decode(base64.b64decode(text(data, "mask"), validate=True), gray=True)[..., 0]
    except (ImageError, binascii.Error, ValueError) as error:
        raise UnusableError(f"its mask can't be read: {error}") from error


def _split(identity: str) -> str:
    return next((found for part in identity.split("/")[:-1] if (found := split_of(part))), "")


def _is_labelme(file: Path) -> bool:
    return has_words(file, ('"shapes"', '"imagePath"'))
