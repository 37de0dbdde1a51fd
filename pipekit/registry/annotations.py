"""Finds annotation files beside images that the chosen importer would not read: tables, lists, JSON files that name images.

A folder of images can be read by its folders' or files' names alone. If a file beside them says what the images show, that
reading may be wrong, and only the user knows.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from pipekit.contract import Sample
from pipekit.errors import Reading, ReadingsError
from pipekit.files import files_in, folders_in, image_suffixes, walk
from pipekit.passed_over import OUTPUT_FILES
from pipekit.registry.registry import Registry

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".xml", ".yaml", ".yml", ".lst")

OPAQUE = (".mat", ".xlsx", ".xls", ".ods", ".npy", ".pkl", ".pickle")
"""Suffixes of files that no importer reads beside images, and that are not searched for names. Where no folder says a class,
they may."""

OUR_FILES = OUTPUT_FILES | {"split.csv", "left_out.csv", "predictions.csv", "counts.csv", "inspect.json"}

NOT_ANNOTATIONS = re.compile(
    r"licen[sc]e|readme|attribution|credit|copyright|checksum|md5|sha\d|urls?\b|source|submission|requirements"
)
"""Names of files that may list images without saying what they show."""

MAX_FOLDERS, MAX_FILES, MAX_IMAGES = 64, 40, 20_000
"""Limits of the search: folders, annotation files, images whose names are compared."""

MAX_NAMES_IN_FOLDER = 20_000

HEAD_BYTES = 200_000
"""The part of a file that is searched for names of images."""

MAX_ROWS = 500
"""Rows of a table that are compared with the folders."""

FIRST = 50
"""Images that are asked for a class."""

LEAST_NAMED, LEAST_SHARE = 3, 4
"""A file names the images if it has the names of so many of them, or of one in four."""

MAX_SAID = 3

UTF16 = (b"\xff\xfe", b"\xfe\xff")

_ANNOTATION_FOLDER = re.compile(r"anno|label|ground.?truth|^gt|xml|json|bbox|box(es)?$|detection", re.IGNORECASE)
"""Names of folders whose files are each the annotation of one image."""

_BEFORE = ("", "gt_", "res_", "poly_gt_")
"""What stands before an image's name in that of its annotation: ``gt_img_1.txt``."""

_SEPARATORS = re.compile(r"""[\s,;|"'<>\[\]{}()=]+|:(?=\s)""")


@dataclass(frozen=True, slots=True)
class Annotations:
    """A file that names the images, and the importer that reads it; "" if none does."""

    path: Path
    importer: str


def with_readings_beside(registry: Registry, path: Path, importer: str, problem: ReadingsError) -> ReadingsError:
    """The problem, with files that name the images and that ``importer`` would not read: those readings come first."""
    found = list(islice(_unread(registry, path, importer), MAX_SAID))
    if not found:
        return problem
    names = ", ".join(one.path.relative_to(path).as_posix() for one in found)
    return ReadingsError(
        f"{problem.message}; {names} beside them name{'s' if len(found) == 1 else ''} images",
        [*_readings(path, found), *problem.readings],
        problem.more,
    )


def _readings(path: Path, found: list[Annotations]) -> list[Reading]:
    return [
        Reading(f"the images that {one.path.relative_to(path).as_posix()} names", str(one.path), one.importer)
        for one in found
        if one.importer
    ]


def refuse_unread(registry: Registry, path: Path, importer: str, reason: str) -> None:
    """Raise if a file beside the images may contradict what ``importer`` reads from the names of folders or files.

    Raises:
        ReadingsError: with the reading by that file, if an importer reads it, and the reading without it.
    """
    found = list(islice(_unread(registry, path, importer), MAX_SAID))
    if not found:
        return
    names = [one.path.relative_to(path).as_posix() for one in found]
    several = len(names) > 1
    readings = _readings(path, found)
    readings.append(Reading(f"{reason}, without {' and '.join(names)}", format=importer))
    more = (
        ""
        if len(readings) > 1
        else (f"No importer reads {names[0]} as it is: a CSV file with the columns image, label and split can say the same.")
    )
    certain = not all(name.lower().endswith(OPAQUE) for name in names)
    what = f"name{'' if several else 's'} its images" if certain else "may say what its images show"
    raise ReadingsError(
        f"{path} has {', '.join(names)}, which {what}, and the importer {importer!r} would "
        f"not read {'them' if several else 'it'}",
        readings,
        more,
    )


def _unread(registry: Registry, path: Path, importer: str) -> Iterator[Annotations]:
    files = list(islice(_annotation_files(path), MAX_FILES))
    if not files:
        return
    images = _Names(path)
    try:
        has_classes = any(sample.label in _parts(sample, path)[:-1] for sample in _samples(registry, importer, path, FIRST))
    except ReadingsError:  # the folders themselves can be read in several ways
        has_classes = False
    for file in files:
        if file.name.lower().endswith(OPAQUE):
            if not has_classes:
                yield Annotations(file, "")
            continue
        reader = _reader(registry, file)
        try:
            rows = _samples(registry, reader, file, MAX_ROWS) if reader else []
        except ReadingsError:  # it names images, and asks which of its columns has the classes
            yield Annotations(file, reader)
            continue
        there = [sample for sample in rows if os.path.isfile(sample.image)]  # noqa: PTH113 (False for an impossible name)
        if there:
            if any(_says_more(sample, path, has_classes) for sample in there):
                yield Annotations(file, reader)
        elif images.named_in(file):
            yield Annotations(file, "")


def _annotation_files(path: Path) -> Iterator[Path]:
    """Files that may be annotations, in the folder and the first folders of two levels below it; those at the top first."""
    level, seen = [path], 0
    for _ in range(3):
        below: list[Path] = []
        for folder in level:
            if seen >= MAX_FOLDERS:
                return
            seen += 1
            names = islice(files_in(folder), MAX_NAMES_IN_FOLDER)
            for name in sorted(name for name in names if name.lower().endswith((*SUFFIXES, *OPAQUE))):
                if name.lower() not in OUR_FILES and not NOT_ANNOTATIONS.search(name.lower()):
                    yield folder / name
            below += [folder / name for name in folders_in(folder)]
        level = below


def _reader(registry: Registry, file: Path) -> str:
    for component in registry.components("importer"):
        try:
            found = component.load()
            if not getattr(found, "GENERALITY", 0) and found.sniff(file):
                return component.reference
        except Exception:  # a plugin's mistake must not hide the others; `verdicts` says it
            continue
    return ""


def _samples(registry: Registry, importer: str, path: Path, count: int) -> list[Sample]:
    """The first samples; those before the mistake if it can't be read to there. Raises ReadingsError."""
    component, found = registry.get("importer", importer), []
    try:
        reader = component.load()
        if "out_dir" in inspect.signature(reader.read).parameters:
            return []
        for sample in islice(reader.read(path, registry.check_params(component.params_type(), {})), count):
            if isinstance(sample, Sample):
                found.append(sample)
    except ReadingsError:
        raise
    except Exception:  # the import reports it
        return found
    return found


def _says_more(sample: Sample, path: Path, has_classes: bool) -> bool:
    """Whether a row of a table says a split, or another class than the folders and the name of its image.

    Args:
        has_classes: the folders say a class. If they don't, every further column says more.
    """
    ours = "sha256" in sample.extra  # a table that pipekit wrote about images, such as a quarantine file
    if sample.split and not ours:
        return True
    if sample.label is None:
        return bool(sample.extra) and not has_classes and not ours
    parts = _parts(sample, path)
    return sample.label not in parts[:-1] and not parts[-1].lower().startswith(sample.label.lower())


def _parts(sample: Sample, path: Path) -> tuple[str, ...]:
    return PurePosixPath(os.path.relpath(sample.image, path).replace(os.sep, "/")).parts


class _Names:
    """The names of the images below a folder, as annotation files may write them: with or without folder and suffix."""

    def __init__(self, path: Path) -> None:
        self._root = path
        self._known: set[str] = set()
        self._stems: set[str] = set()
        self._count = 0
        for folder, names in walk(path):
            inner = Path(folder).name
            for name in names:
                if self._count >= MAX_IMAGES:
                    return
                if not name.lower().endswith(image_suffixes()):
                    continue
                self._count += 1
                stem = name.rpartition(".")[0]
                self._known |= {name, f"{inner}/{stem}"}
                self._stems.add(stem)
                if not stem.isdigit() and len(stem) > 3:
                    self._known.add(stem)

    def _is_of_one_image(self, file: Path) -> bool:
        """Whether it is called like an image: in the image's folder (but no text, a caption), or in one of annotations."""
        stems = [file.stem.removeprefix(before) for before in _BEFORE if file.stem.startswith(before)]
        if any(map(_ANNOTATION_FOLDER.search, file.relative_to(self._root).parts[:-1])) or stems[1:]:
            return any(stem in self._stems for stem in stems)
        if file.suffix.lower() == ".txt":
            return False
        return file.stem in self._known or f"{file.parent.name}/{file.stem}" in self._known

    def named_in(self, file: Path) -> bool:
        """Whether a file names several of the images, or is the annotation of one image by its own name."""
        if self._is_of_one_image(file):
            return True
        if file.stem in self._known:  # a caption; boxes of YOLO are another importer's
            return False
        try:
            with file.open("rb") as opened:
                head = opened.read(HEAD_BYTES)
        except OSError:
            return False
        text = head.decode("utf-16" if head.startswith(UTF16) else "utf-8", "replace")
        if "sha256" in text.partition("\n")[0]:  # a table that pipekit wrote about images
            return False
        found: set[str] = set()
        for word in _SEPARATORS.split(text.replace("\\\\", "/").replace("\\", "/")):
            parts = word.rpartition("/")
            if parts[2] in self._known or word in self._known or "/".join(word.split("/")[-2:]) in self._known:
                found.add(word)
                if len(found) >= min(LEAST_NAMED, -(-self._count // LEAST_SHARE)):
                    return True
        return False
