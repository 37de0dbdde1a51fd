"""Shared by the importers of annotation tools: collect the shapes of an image, list the unusable ones, find the image."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import model_validator

from pipekit.builtin.importers.any_case import BY_OTHER_CASE, AnyCase
from pipekit.builtin.importers.boxes import CUT, BoxedParams, checked_box, is_cut, label_of, outlined
from pipekit.builtin.importers.files import first_of, how_found, is_file, last_parts, split_in, split_of, subfolders
from pipekit.builtin.importers.json_items import Entry, entries
from pipekit.builtin.importers.lookup import Lookup, lookup
from pipekit.builtin.importers.stated_size import Frame, frame_of
from pipekit.builtin.importers.tables import plain
from pipekit.contract import Adjusted, Box, Failure, Keypoint, Sample, Targets
from pipekit.errors import UserError
from pipekit.files import files_in
from pipekit.params import ImagesPath, Params, param

ROUND = 64
"""Corners of the polygon that stands for a circle or an ellipse."""

ANNOTATION_FOLDERS = ("annotations", "labels", "json", "xml")
"""Folders of annotation files, in lower case; the images lie beside such a folder."""

MOST_FILES = 50
"""Maximum number of files in one folder that may each be about many images."""

SUFFIXES = (".json", ".xml", ".csv", ".tsv", ".txt", ".lst")


class UnusableError(ValueError):
    """A part of an annotation that can't be used; the message says what is there and what is expected."""


class BesideParams(Params):
    """Parameters of an importer of one file that names images, or of a folder with such files."""

    images: ImagesPath | None = param(None, "The folder of the images; by default searched for beside the annotations")

    @model_validator(mode="before")
    @classmethod
    def _images_beside_the_annotations(cls, values: Any) -> Any:
        """Also set the folder for a single annotation file, because the images' content belongs in the cache key."""
        if isinstance(values, Mapping) and str(values.get("path", "")).lower().endswith(SUFFIXES) and not values.get("images"):
            return {**values, "images": base_of(Path(os.fspath(values["path"])).expanduser())}
        return values


class FileParams(BoxedParams, BesideParams):
    """Parameters of an importer of one annotation file, or of a folder with such files."""


# --- values --------------------------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value as it is shown in a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def number(value: Any, what: str) -> float:
    """A finite number, also one that is written as text.

    Raises:
        UnusableError: it is none.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise UnusableError(f"{what} is {shown(value)}, not a number" if value is not None else f"{what} is missing")
    return found


def point(value: Any, what: str) -> tuple[float, float]:
    """``[x, y]``. Raises UnusableError."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise UnusableError(f"{what} is {shown(value)}, not a pair of x and y")
    return number(value[0], f"x of {what}"), number(value[1], f"y of {what}")


def points(value: Any, what: str = "points", least: int = 1) -> list[tuple[float, float]]:
    """``[[x, y], …]``. Raises UnusableError."""
    if not isinstance(value, (list, tuple)) or len(value) < least:
        raise UnusableError(f"{what}: expected at least {least} of them, got {shown(value)}")
    return [point(one, f"point {at}") for at, one in enumerate(value, start=1)]


def members(value: Any, what: str) -> Mapping[str, Any]:
    """A JSON object. Raises UnusableError."""
    if not isinstance(value, dict):
        raise UnusableError(f"{what} is {shown(value)}, not an object" if value is not None else f"{what} is missing")
    return value


def listed(value: Any, what: str) -> Sequence[Any]:
    """A JSON list. Raises UnusableError."""
    if not isinstance(value, list):
        raise UnusableError(f"{what} is {shown(value)}, not a list" if value is not None else f"{what} is missing")
    return value


def text(value: Any, what: str) -> str:
    """A text that is not empty; a whole number counts as one. Raises UnusableError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise UnusableError(f"{what} is {shown(value)}, not a name" if value else f"{what} is missing")
    return value.strip().encode("utf-8", "replace").decode("utf-8")  # JSON may hold half of a surrogate pair


# --- the shapes of one image ---------------------------------------------------------------------------------------------


@dataclass
class Drawing:
    """The annotations of one image, collected shape by shape.

    Attributes:
        identity: the sample's id.
        place: the image file.
        source: where the annotations stand, such as ``annotations.xml``, for messages.
        frame: brings coordinates onto the displayed image.
        adjusted: what is to be said of that.
        remark: what is to be said of how the image was found, or "".
        tags: classes of the image as a whole.
        cut: whether a box reached well beyond the image.
    """

    identity: str
    place: Path
    source: str
    frame: Frame
    adjusted: Adjusted | None = None
    remark: str = ""
    boxes: list[Box] = field(default_factory=list)
    keypoints: list[Keypoint] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    cut: bool = False

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.frame.size_hw

    @contextmanager
    def shape(self, name: str, line: int = 0) -> Iterator[None]:
        """List what is wrong in the block as a failure of the shape ``name``; the image is kept."""
        try:
            yield
        except UnusableError as error:
            where = f"{self.source} line {line}" if line else self.source
            self.failures.append(Failure(f"{self.identity} {name}", f"{where}: {error}", part_of=self.identity))

    def box(self, edges: Sequence[float], label: str, **facts: Any) -> None:
        """Add a box: left, top, right, bottom. Raises UnusableError."""
        whole = self.frame.box(edges)
        self.cut |= is_cut(whole, self.size_hw)
        self._add(checked_box(whole, label, self.size_hw), facts)

    def polygon(self, corners: Sequence[tuple[float, float]], label: str, **facts: Any) -> None:
        """Add a polygon and its bounding box. Raises UnusableError."""
        self.polygons([corners], label, **facts)

    def polygons(self, parts: Sequence[Sequence[tuple[float, float]]], label: str, **facts: Any) -> None:
        """Add an object of several polygons. Raises UnusableError."""
        if any(len(corners) < 3 for corners in parts) or not parts:
            raise UnusableError(f"a polygon of {label!r} has {min(map(len, parts), default=0)} corners; expected three or more")
        flat = [self.frame.points([value for corner in corners for value in corner]) for corners in parts]
        xs, ys = ([value for part in flat for value in part[axis::2]] for axis in (0, 1))
        edges = min(xs), min(ys), max(xs), max(ys)
        self.cut |= is_cut(edges, self.size_hw)
        box = checked_box(edges, label, self.size_hw)
        self._add(outlined(box, flat, self.size_hw) if isinstance(box, Box) else box, facts)

    def ellipse(
        self, centre: tuple[float, float], radii: tuple[float, float], label: str, turn_deg: float = 0.0, **facts: Any
    ) -> None:
        """Add an ellipse, turned clockwise, as a polygon of :data:`ROUND` corners. Raises UnusableError."""
        if min(radii) <= 0:
            raise UnusableError(f"an ellipse of {label!r} has no size: its radii are {radii[0]:g} and {radii[1]:g} px")
        angles = [2 * math.pi * step / ROUND for step in range(ROUND)]
        corners = [(centre[0] + radii[0] * math.cos(angle), centre[1] + radii[1] * math.sin(angle)) for angle in angles]
        self.polygon([turned(corner, centre, turn_deg) for corner in corners], label, **facts)

    def mask(self, mask: Any, left: int, top: int, label: str, **facts: Any) -> None:
        """Add an object that is drawn as ``(H, W)`` pixels at a place in the image. Raises UnusableError."""
        import numpy as np

        from pipekit.images.polygons import traced

        drawn_hw = self.frame.drawn_hw
        whole = np.zeros(drawn_hw, np.uint8)
        height, width = (min(side, limit - start) for side, limit, start in zip(mask.shape, drawn_hw, (top, left), strict=True))
        if left < 0 or top < 0 or height <= 0 or width <= 0:
            raise UnusableError(f"a mask of {label!r} lies outside the image ({drawn_hw[1]} x {drawn_hw[0]} px)")
        whole[top : top + height, left : left + width] = mask[:height, :width] > 0
        if not whole.any():
            raise UnusableError(f"a mask of {label!r} is empty")
        self.polygons([[(float(x), float(y)) for x, y in part] for part in traced(whole)], label, **facts)

    def points(self, found: Sequence[tuple[float, float]], label: str, of: int | None = None) -> None:
        """Add keypoints of one name; several get numbers from 1."""
        names = [label] if len(found) == 1 else [f"{label} {at}" for at in range(1, len(found) + 1)]
        self.keypoints += [
            Keypoint(*self.frame.keypoint(x, y), name, True, of) for (x, y), name in zip(found, names, strict=True)
        ]

    def _add(self, box: Box | str, facts: dict[str, Any]) -> None:
        if isinstance(box, str):
            raise UnusableError(box)
        stated = {name: plain(value) for name, value in facts.items() if value not in (None, "", {}, [])}
        self.boxes.append(replace(box, facts=stated) if stated else box)

    def rows(self, rule: str, split: str, **extra: Any) -> Iterator[Sample | Failure | Adjusted]:
        """The failures, then the sample. The class is the image's tag if there is one, else by ``rule`` from the boxes."""
        yield from self.failures
        if self.remark:
            yield Adjusted(self.identity, self.remark)
        if self.adjusted is not None and (self.boxes or self.keypoints):
            yield self.adjusted
        if self.cut:
            yield Adjusted(self.identity, CUT)
        tags = list(dict.fromkeys(self.tags))
        if len(tags) > 1:
            yield Failure(
                f"{self.identity} classes",
                f"{self.source}: {len(tags)} classes ({', '.join(tags[:5])}); an image has one class here",
                part_of=self.identity,
            )
            extra["tags"] = tags
        yield Sample(
            self.identity,
            str(self.place),
            label=tags[0] if len(tags) == 1 else label_of(self.boxes, rule) if not tags else None,
            split=split,
            targets=Targets(boxes=tuple(self.boxes), keypoints=tuple(self.keypoints)),
            extra={name: plain(value) for name, value in extra.items() if value not in (None, "", {}, [])},
        )


def turned(corner: tuple[float, float], centre: tuple[float, float], turn_deg: float) -> tuple[float, float]:
    """A point turned clockwise about a centre, with y pointing down."""
    angle = math.radians(turn_deg)
    x, y = corner[0] - centre[0], corner[1] - centre[1]
    return centre[0] + x * math.cos(angle) - y * math.sin(angle), centre[1] + x * math.sin(angle) + y * math.cos(angle)


def corners_of(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


# --- files ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """An annotation file, the folder of its images, and the prefix of their ids."""

    file: Path
    base: Path
    prefix: str

    @property
    def split(self) -> str:
        """The split that the folder or the file is named after, or ""."""
        return split_of(self.base.name) if self.prefix else split_in(self.file.stem)

    def images(self, params: FileParams, seen: Lookup) -> Images:
        root = Path(params.images) if params.images else self.base
        return Images(root, image_folders(root, self.split), seen)


def sources(path: Path, suffixes: tuple[str, ...], fits: Callable[[Path], bool]) -> list[Source]:
    """The annotation files: ``path`` itself, or those in it, in its folder of annotations, or in its split folders."""
    if path.is_file():
        return [Source(path, base_of(path), "")] if path.name.lower().endswith(suffixes) and fits(path) else []
    if not path.is_dir():
        return []
    names = subfolders(path)
    for bases in ([path], [path / name for name in names if split_of(name)]):
        found = []
        for base in bases:
            folders = [base, *(base / name for name in subfolders(base) if name.lower() in ANNOTATION_FOLDERS)]
            files = [folder / name for folder in folders for name in _few(folder, suffixes)]
            found += [Source(file, base, "" if base == path else f"{base.name}/") for file in files if fits(file)]
        if found:
            return found
    return []


def sources_with_images(
    path: Path, suffixes: tuple[str, ...], fits: Callable[[Path], bool], params: FileParams, what: str, expected: str
) -> Iterator[tuple[Source, Images]]:
    """Each annotation file, with what finds its images; an image that two files name is found once.

    Raises:
        UserError: there is no file of this kind.
    """
    found = sources(path, suffixes, fits)
    if not found:
        raise missing_files(what, path, expected)
    with lookup(()) as seen:
        for source in found:
            yield source, source.images(params, seen)


def _few(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """The names of a folder's files with these suffixes, sorted; none if there are so many that each is about one image."""
    names = sorted(islice(files_in(folder, suffixes), MOST_FILES + 1))
    return names if len(names) <= MOST_FILES else []


def base_of(file: Path) -> Path:
    """The folder above an annotation file that holds the images, or a folder of them."""
    return file.parent.parent if file.parent.name.lower() in ANNOTATION_FOLDERS else file.parent


class Images:
    """Finds images by the names that an annotation tool gives them, and knows which one came before."""

    def __init__(self, root: Path, folders: Folders, seen: Lookup) -> None:
        """``root``: ids are paths below it. ``folders``: where images are searched for. ``seen``: the ids so far."""
        self._root = root
        self._folders = folders
        self._seen = seen

    def place(self, names: Sequence[str], source: Source, where: str = "") -> tuple[str, Path, str] | Failure:
        """(id, file, remark) of the first name for which there is an image; a failure if there is none, or if it came before.

        ``where``: the file, and perhaps the line, that names it.
        """
        where = where or source.file.name
        paths = [_from_url(name) if "://" in name or "?" in name else name for name in names]
        identity = source.prefix + (paths[0] if paths else "?")
        try:
            found = next((file for path in paths if (file := self._folders.find(path))), None)
        except UnusableError as error:
            return Failure(identity, f"{where}: {error}")
        remark = min((how_found(path, found) for path in paths), key=len) if found else ""  # "" if one of them is whole
        if found is None:
            found, remark = AnyCase(self._seen).find_among((*self._folders.first, *self._folders.others), paths), BY_OTHER_CASE
        if found is None:
            return Failure(identity, f"no such image; {where} names it")
        identity = source.prefix + found.relative_to(self._root).as_posix()
        if before := self._seen.get(identity):
            return Failure(f"{identity} again", f"{where} names it again, after {before}", str(found))
        self._seen.add(identity, where)
        return identity, found, remark


@dataclass(frozen=True, slots=True)
class Folders:
    """Where images may lie.

    Attributes:
        first: searched in this order; the first image counts.
        others: searched if there is none; two of the same name can't be told apart.
    """

    first: Sequence[Path]
    others: Sequence[Path] = ()

    def find(self, name: str) -> Path | None:
        """The image of a name, also by the last parts of its path; None if there is none.

        Raises:
            UnusableError: several images fit.
        """
        for part in last_parts(name):
            if found := next((folder / part for folder in self.first if is_file(folder / part)), None):
                return found
            there = [folder / part for folder in self.others if is_file(folder / part)]
            if len(there) > 1:
                places = first_of(file.parent.name for file in there)
                raise UnusableError(
                    f"{name}: there are {len(there)} images {part!r}, in {places}; write the folder before the name"
                )
            if there:
                return there[0]
        return None


def image_folders(base: Path, split: str = "") -> Folders:
    """Where the images of an annotation file may lie: first a folder with the split's name, never another split's."""
    names = subfolders(base)
    own = [name for name in names if split and split_of(name) == split]
    others = [name for name in names if name not in own and not (own and split_of(name))]
    inside = subfolders(base / "images")
    own_inside = [name for name in inside if split and split_of(name) == split]
    others_inside = [name for name in inside if name not in own_inside and not (own_inside and split_of(name))]
    return Folders(
        [*(base / name for name in own), *(base / "images" / name for name in own_inside), base],
        [*(base / name for name in others), *(base / "images" / name for name in others_inside)],
    )


def _from_url(name: str) -> str:
    try:
        url = urlsplit(name)
    except ValueError:
        return name
    return parse_qs(url.query).get("d", [unquote(url.path)])[0]


def begin(
    names: Sequence[str],
    source: Source,
    images: Images,
    declared_wh: tuple[Any, Any] = (None, None),
    where: str = "",
    line: int = 0,
) -> Drawing | Failure:
    """Begin the annotations of an image: find it, and hold the size that the annotations state against the file's.

    Args:
        where: what messages about its shapes begin with; by default the file's name.
        line: where the image is named, for messages about the image itself.
    """
    from pipekit.errors import ImageError

    of_shapes = where or source.file.name
    where = f"{of_shapes} line {line}" if line else of_shapes
    found = images.place(names, source, where)
    if isinstance(found, Failure):
        return found
    identity, place, remark = found
    try:
        drawing = Drawing(identity, place, of_shapes, *frame_of(place, _stated_hw(declared_wh), identity), remark)
    except (ImageError, UnusableError) as error:
        said = error.message if isinstance(error, ImageError) else error
        return Failure(identity, f"{where}: {said}", str(place))
    return drawing


def _stated_hw(declared_wh: tuple[Any, Any]) -> tuple[float, float] | None:
    """A height and width that are numbers; None where they are missing, or 0. Raises UnusableError."""
    if not any(declared_wh):
        return None
    width, height = number(declared_wh[0], "width"), number(declared_wh[1], "height")
    return height, width


def json_entries(file: Path, inside: Collection[str], expected: str) -> Iterator[Entry]:
    """The entries of a JSON file (:func:`entries`). Raises UserError."""
    try:
        yield from entries(file, inside)
    except OSError as error:
        raise UserError(f"can't read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{file} is damaged: {error}", f"Expected {expected}.") from error


def missing_files(what: str, path: Path, expected: str) -> UserError:
    return UserError(f"no {what} in {path}", expected)


def has_words(file: Path, words: Iterable[str], chars: int = 1 << 22) -> bool:
    """Whether the beginning of a text file contains all words."""
    left = list(words)
    rest = ""
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            while left and chars > 0 and (block := stream.read(1 << 18)):
                chars -= len(block)
                left = [word for word in left if word not in rest + block]
                rest = block[-40:]
    except OSError:
        return False
    return not left


def first_entry(file: Path) -> Any:
    """The first item of a JSON file that holds a list; None where it is no list, or empty, or damaged."""
    try:
        with file.open(encoding="utf-8-sig") as stream:
            if stream.read(1 << 12).lstrip()[:1] != "[":
                return None
        return next(iter(entries(file))).value
    except (OSError, ValueError, StopIteration):
        return None
