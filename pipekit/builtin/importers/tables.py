"""What importers of tables share: which column is what, and a sample from a row."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import model_validator

from pipekit.builtin.importers.files import SPLIT_NAMES, is_image_name, split_of
from pipekit.contract import Failure, Sample
from pipekit.errors import UserError, did_you_mean
from pipekit.params import ImagesPath, Params, param

IMAGE_NAMES = ("file_name", "image", "path", "filename", "file", "filepath", "file_path", "image_path", "img", "image_id", "id")
LABEL_NAMES = ("label", "class", "category", "target", "labels", "class_name", "species", "diagnosis", "y")
SPLIT_COLUMNS = ("split", "subset", "partition", "set", "fold_name")


class TableParams(Params):
    image: str = param("", "The column with the image's path; found by its name where left out (file_name, image, path …)")
    label: str = param("", "The column with the class; found by its name where left out (label, class, category …)")
    split: str = param("", "The column with the split; found by its name where left out (split, subset …)")
    labels: bool = param(True, "Read classes at all")


class RootedTableParams(TableParams):
    images: ImagesPath | None = param(None, "The folder that image paths are relative to; the table's own where left out")
    suffix: str = param("", "What to put behind each image path: .jpg where the table has bare names")

    @model_validator(mode="before")
    @classmethod
    def _images_beside_the_table(cls, values: Any) -> Any:
        """The folder is named even where it is the table's own, because its content belongs into the cache key."""
        if isinstance(values, Mapping) and values.get("path") and not values.get("images"):
            return {**values, "images": Path(os.fspath(values["path"])).expanduser().parent}
        return values


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is what; "" where there is none."""

    image: str
    label: str
    split: str

    def sample(self, row: Mapping[str, Any], number: int, root: Path, suffix: str = "") -> Sample | Failure:
        """A row as a sample; further columns go to ``extra``."""
        text = _text(row.get(self.image))
        if not text:
            return Failure(f"row {number}", f"no image in column {self.image!r}")
        name = text + suffix
        split_text = _text(row.get(self.split)) if self.split else ""
        split = split_of(split_text)
        if split_text and not split:
            return Failure(name, f"split {split_text!r}, expected one of {', '.join(SPLIT_NAMES)}")
        label = _text(row.get(self.label)) if self.label else ""
        extra = {
            column: _plain(value)
            for column, value in row.items()
            if column and column not in (self.image, self.label, self.split) and value not in (None, "")
        }
        identity = name.replace(os.sep, "/")
        if Path(name).is_absolute():
            identity = os.path.relpath(name, root).replace(os.sep, "/")
        return Sample(identity, os.path.normpath(root / name), label=label or None, split=split, extra=extra)


def find_columns(names: Sequence[str], params: TableParams, where: Path) -> Columns:
    """The columns that the parameters name, or else those with the usual names.

    Raises:
        UserError: a column that was named is not there, or none holds images.
    """
    found = {}
    for role, usual in (("image", IMAGE_NAMES), ("label", LABEL_NAMES), ("split", SPLIT_COLUMNS)):
        wanted = getattr(params, role)
        if wanted and wanted not in names:
            hint = did_you_mean(wanted, names) or f"It has: {', '.join(names) or 'none'}"
            raise UserError(f"{where} has no column {wanted!r}", hint)
        found[role] = wanted or _by_name(names, usual)
    if not found["image"]:
        raise UserError(
            f"{where}: no column looks like image paths; it has: {', '.join(map(repr, names)) or 'none'}",
            'Name it: image = "…"',
        )
    if not params.labels:
        found["label"] = ""
    return Columns(**found)


def looks_like_images(names: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The column whose first values are names of image files, or ""."""
    first = list(rows)
    for name in names:
        values = [_text(row.get(name)) for row in first]
        if values and all(map(is_image_name, values)):
            return name
    return ""


def _by_name(names: Sequence[str], usual: Sequence[str]) -> str:
    folded = {name.strip().lower(): name for name in reversed(names) if name}
    return next((folded[name] for name in usual if name in folded), "")


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return str(value)
