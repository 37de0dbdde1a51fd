"""COCO's annotation files: which are there, and what kind each is, by its content."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipekit.builtin.importers.coco_index import PARTS
from pipekit.builtin.importers.files import first_of, subfolders
from pipekit.builtin.importers.json_items import items
from pipekit.files import files_in

BESIDE = "_annotations.coco.json"
"""The annotation file beside its images, one folder per split, as Roboflow writes it."""

READ = ("instances", "keypoints")
"""Kinds that are read together: COCO's own files have the same objects in both."""

STUFF = "stuff"
"""COCO's regions without objects: read where there are no objects."""

NOT_READ = {
    "panoptic": "COCO panoptic segmentation (segments_info and PNG files of ids), which import.coco_panoptic reads",
    "captions": "captions of images, which have no class and no box",
}
"""Kinds that are known and not read, and what is said of them."""


def annotation_files(path: Path) -> list[Path]:
    """The JSON files that may be annotations."""
    if path.is_file():
        return [path] if path.suffix == ".json" else []
    found = [folder / name for folder in (path, path / "annotations") for name in files_in(folder, (".json",))]
    return sorted({*found, *filter(Path.is_file, (path / name / BESIDE for name in subfolders(path)))})


def missing(file: Path) -> list[str]:
    """Which of the three lists are missing, from the text alone: results lack the images."""
    left = list(PARTS)
    rest = ""
    try:
        with file.open(encoding="utf-8", errors="replace") as text:
            while left and (block := text.read(1 << 20)):
                left = [part for part in left if f'"{part}"' not in rest + block]
                rest = block[-20:]
    except OSError:
        pass
    return left


def why_not(file: Path) -> str:
    """Why a file is no annotation file that is read; "" if it is one."""
    lacks = missing(file)
    if lacks and lacks != ["categories"]:
        return f"lacks {' and '.join(map(repr, lacks))}"
    if what := NOT_READ.get(kind_of(file)):
        return f"holds {what}"
    return f"lacks {' and '.join(map(repr, lacks))}" if lacks else ""


def kind_of(file: Path) -> str:
    """``instances``, ``keypoints``, ``panoptic`` or ``captions``, by the first annotation; or ``stuff``, by the file's name."""
    first: object = None
    with contextlib.suppress(OSError, ValueError):  # `read` says what is wrong
        first = next((entry for _, _, text, entry in items(file, ("annotations",)) if text), None)
    keys = first if isinstance(first, dict) else {}
    if "segments_info" in keys:
        return "panoptic"
    if "caption" in keys and "bbox" not in keys:
        return "captions"
    if "keypoints" in keys or (not keys and file.name.startswith("person_keypoints")):
        return "keypoints"
    return STUFF if file.name.startswith(STUFF) else "instances"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which of several files are read.

    Attributes:
        leading: those of the first kind that exists; several are about different images, as a rule.
        beside: those of keypoints beside them, which annotate the same images.
        others: those that are not read.
    """

    leading: list[Path]
    beside: list[Path]
    others: list[Path]


def of_one_kind(files: Sequence[Path]) -> Chosen:
    """Choose among files that all can be read."""
    kinds = {file: kind_of(file) for file in files} if len(files) > 1 else dict.fromkeys(files, READ[0])
    by_kind = [[file for file in files if kinds[file] == kind] for kind in (*READ, STUFF)]
    leading = next(filter(None, by_kind), [])
    beside = by_kind[1] if leading is not by_kind[1] and leading is by_kind[0] else []
    return Chosen(leading, beside, [file for file in files if file not in (*leading, *beside)])


def names_of(files: Sequence[Path], root: Path, count: int = 4) -> str:
    return first_of((file.relative_to(root).as_posix() if file.name == BESIDE else file.name for file in files), count)
