"""Shared by importers of tables: find the columns, make a sample from a row."""

from __future__ import annotations

import codecs
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic import ValidationInfo, model_validator

from pipekit.builtin.importers.files import SPLIT_NAMES, is_file, is_image_name, split_of, subfolders
from pipekit.builtin.importers.label_cells import is_missing, labels_of, number_of, ones_of, text_of
from pipekit.contract import Categories, Category, Failure, Sample
from pipekit.errors import UserError, did_you_mean
from pipekit.files import expanded, has_file, image_suffixes
from pipekit.params import ImagesPath, Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER

AS_WINDOWS = "cp1252"
"""How a table is read that is neither UTF-8 nor UTF-16: as Excel on Windows writes it in Western Europe."""

GUESSED = "read from a table that is not in UTF-8, as Windows-1252; save the table in UTF-8 to be sure of its letters"
"""What :class:`~pipekit.contract.Adjusted` says of its rows."""


@contextmanager
def opened_table(path: Path) -> Iterator[tuple[TextIO, str, str]]:
    """Open a table as text.

    Yields:
        the file, behind a first line ``sep=;`` as Excel writes it; that separator, "" if there is no such line; the encoding.
    """
    encoding = encoding_of(path)
    with path.open(encoding=encoding, newline="") as file:
        said = re.fullmatch(r"\s*sep=(.)\s*", file.readline(), re.IGNORECASE)
        if said is None:
            file.seek(0)
        yield file, said[1] if said else "", encoding


def encoding_of(path: Path) -> str:
    """UTF-8, UTF-16 if the file begins with its mark, else :data:`AS_WINDOWS`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        block = file.read(1 << 16)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        try:
            while block:
                decoder.decode(block)
                block = file.read(1 << 20)
            decoder.decode(b"", True)
        except UnicodeDecodeError:
            return AS_WINDOWS
    return "utf-8-sig"


IMAGE_NAMES = (
    *(
        "filename",
        "image",
        "path",
        "file",
        "filepath",
        "imagepath",
        "imagename",
        "imagefile",
        "img",
        "imgpath",
        "imgname",
        "imageid",
    ),
    "id",
)
LABEL_NAMES = (
    *(
        "label",
        "class",
        "category",
        "target",
        "labels",
        "classname",
        "labelname",
        "categoryname",
        "species",
        "breed",
        "diagnosis",
    ),
    "y",
)
VALUE_NAMES = ("value", "target", "label", "number", "score", "y")
SPLIT_COLUMNS = ("split", "subset", "partition", "set", "foldname")
"""Usual column names in lower case, letters only: ``Image_Name`` matches too."""


NAN = "read as images without a class, because the table has nan, null or the like for it"
"""What :class:`~pipekit.contract.Adjusted` says of them."""

WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
"""A whole number; with ``.0`` as programs write it whose column of numbers has a gap."""

TABLE_FOLDERS = frozenset(
    {"labels", "label", "annotations", "annotation", "anno", "data", "csv", "csvs", "meta", "metadata", "splits", "lists"}
)
"""Names of folders that hold tables beside the folders of images, in lower case."""


class TableParams(Params):
    image: str = param("", "The column of image paths; by default found by its name (file_name, image, path …)")
    label: str = param("", "The column of classes; by default found by its name (label, class, category …)")
    split: str = param("", "The column of splits; by default found by its name (split, subset …)")
    labels: bool = param(True, "Read the classes")
    label_values: Literal["auto", "names"] = param(
        "auto",
        "auto: refuse a column of several labels an image, or of numbers to be predicted; names: every value is a class's name",
    )
    task: Literal["classes", "multilabel", "number"] = param(
        "classes",
        "What the table states of each image: one class; several labels, in one cell, in columns of 0 and 1, or one a row; "
        "or a number, to be predicted",
        in_key="changed",
    )
    label_columns: tuple[str, ...] = param(
        (), "multilabel: the columns of 0 and 1, one for each label; by default all such columns", in_key="changed"
    )
    separator: str = param(
        "",
        "multilabel: what separates the labels in a cell; by default found in the first rows: | , ; a space, or a list",
        in_key="changed",
    )
    unit: str = param("", "number: its unit, such as deg or years, for axes and tables", in_key="changed")


class RootedTableParams(TableParams):
    images: ImagesPath | None = param(
        None, "The folder that image paths are relative to; by default the table's own, or the one above labels/"
    )
    suffix: str = param("", "Suffix to append to each image path: .jpg where the table has bare names")

    @model_validator(mode="before")
    @classmethod
    def _images_beside_the_table(cls, values: Any, info: ValidationInfo) -> Any:
        """Set the folder even if it is the table's own, because its content belongs in the cache key."""
        path = values.get("path") if isinstance(values, Mapping) else None
        if path and isinstance(path, (str, os.PathLike)) and not values.get("images"):  # any other is refused as a path
            file = expanded(path)
            whole = Path((info.context or {}).get("base_dir") or "") / file
            above = len(whole.parent.parts) - len(base_of_table(whole).parts)
            return {**values, "images": file.parent / ".." if above else file.parent}
        return values


def base_of_table(file: Path) -> Path:
    """The folder that image paths are relative to: the table's own, or the one above if that is for tables only.

    As in ``labels/train.csv`` beside ``images/1.jpg``.
    """
    own = file.parent
    return own.parent if own.name.lower() in TABLE_FOLDERS and not has_file(own, image_suffixes()) else own


@dataclass(frozen=True, slots=True)
class Columns:
    """The column of each role; "" for none.

    Attributes:
        one_hot: columns of 0 and 1, one for each class, instead of ``label``.
        as_names: whether every value of ``label`` is a class's name as it stands.
        task: what the table states of each image.
        separator: for several labels, what separates them in a cell.
    """

    image: str
    label: str
    split: str
    one_hot: tuple[str, ...] = ()
    as_names: bool = False
    task: str = CLASSES
    separator: str = ""

    def sample(self, row: Mapping[str, Any], number: int, root: Path, suffix: str = "") -> Sample | Failure:
        """A row as a sample; further columns go to ``extra``."""
        text = text_of(row.get(self.image))
        if not text:
            return Failure(f"row {number}", f"no image in column {self.image!r}")
        name = text + suffix
        split_text = text_of(row.get(self.split)) if self.split else ""
        split = split_of(split_text)
        if split_text and not split:
            return Failure(name, f"split {split_text[:60]!r}, expected one of {', '.join(SPLIT_NAMES)}")
        try:
            stated = self._stated(row)
        except ValueError as error:
            return Failure(name, str(error))
        used = {self.image, self.label, self.split, *self.one_hot}
        extra = {
            column: plain(value) for column, value in row.items() if column and column not in used and value not in (None, "")
        }
        below = os.path.relpath(name, root) if Path(name).is_absolute() else os.path.normpath(name)
        identity = below.replace(os.sep, "/")
        return Sample(identity, os.path.normpath(root / name), split=split, extra=extra, **stated)

    def _stated(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What a row says of its image, as a field of a sample. Raises ValueError with the reason."""
        if self.task == MULTILABEL:
            cells = {name: row.get(name) for name in self.one_hot}
            labels = ones_of(cells) if self.one_hot else labels_of(row.get(self.label) if self.label else None, self.separator)
            return {"labels": labels}
        if self.task == NUMBER:
            return {"value": number_of(row.get(self.label) if self.label else None, self.label)}
        return {"label": self._label(row) or None}

    def _label(self, row: Mapping[str, Any]) -> str:
        """The class of a row, or "". Raises ValueError with the reason."""
        if self.one_hot:
            ones = [name for name in self.one_hot if text_of(row.get(name)).lower() in ("1", "1.0", "true")]
            if len(ones) != 1:
                raise ValueError(f"{len(ones)} of the columns of its classes are 1: {', '.join(ones) or 'none'}; expected one")
            return ones[0]
        value = row.get(self.label) if self.label else None
        if isinstance(value, (list, tuple)):
            if len(value) > 1:
                raise ValueError(
                    f"{len(value)} labels in column {self.label!r}; task = 'multilabel' reads several labels an image"
                )
            value = value[0] if value else None
        if isinstance(value, float) and math.isfinite(value) and value != int(value) and not self.as_names:
            raise ValueError(
                f"{value} in column {self.label!r} is a number, not a class (task = 'number' predicts it; see label_values)"
            )
        text = text_of(value)
        if self.as_names or not text:
            return text
        return "" if is_missing(text) else text.partition(".")[0] if WHOLE.fullmatch(text) else text

    def has_nan(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has nan or the like for its class."""
        text = text_of(row.get(self.label)) if self.label and not self.as_names and self.task == CLASSES else ""
        return bool(text) and is_missing(text)


def find_columns(names: Sequence[str], params: TableParams, where: Path, image: str = "") -> Columns:
    """The columns that the parameters name, else those with the usual names.

    Args:
        image: the default image column, if neither finds one.

    Raises:
        UserError: a named column is missing, or no column holds images.
    """
    found: dict[str, str] = {}
    usual_labels = VALUE_NAMES if params.task == NUMBER else LABEL_NAMES if not params.label_columns else ()
    for role, usual in (("image", IMAGE_NAMES), ("label", usual_labels), ("split", SPLIT_COLUMNS)):
        wanted = getattr(params, role)
        if wanted and wanted not in names:
            hint = did_you_mean(wanted, names) or f"It has: {', '.join(names) or 'none'}"
            raise UserError(f"{where} has no column {wanted!r}", hint)
        found[role] = wanted or by_name(names, usual)
    found["image"] = found["image"] or image
    if not found["image"]:
        raise UserError(
            f"{where}: no column looks like image paths; it has: {', '.join(repr(name[:60]) for name in names[:20]) or 'none'}",
            'Name it: image = "…"',
        )
    if not params.labels:
        found["label"] = ""
    if missing := [name for name in params.label_columns if name not in names]:
        raise UserError(f"{where} has no column {missing[0]!r}", did_you_mean(missing[0], names))
    return Columns(
        found["image"],
        found["label"],
        found["split"],
        params.label_columns if params.labels else (),
        params.label_values == "names",
        params.task if params.labels else CLASSES,
        params.separator,
    )


def stated_lists(columns: Columns, params: TableParams) -> Iterator[Categories]:
    """The list of labels that columns of 0 and 1 are; the name and the unit of a number."""
    if columns.task == MULTILABEL and columns.one_hot:
        yield Categories("labels", tuple(map(Category, columns.one_hot)))
    if columns.task == NUMBER and columns.label:
        yield Categories("value", (Category(columns.label, unit=params.unit),))


def said_of_cells(columns: Columns, is_empty: bool) -> str:
    """How several labels were read from the cells of a column, for :class:`~pipekit.contract.Adjusted`."""
    if is_empty:
        return (
            "read as images without labels to learn from, because their cell is empty; [] says that an image has none of them"
        )
    how = f"separated by {columns.separator!r}" if columns.separator else "one in a cell, or a list"
    return f"read from column {columns.label!r} as several labels, {how}"


def located(name: str, root: Path, suffix: str = "") -> tuple[Path, str] | None:
    """(folder, suffix to append) of an image that a table names; None if there is no such file.

    The image lies in ``root`` or in a folder in it (``images``); a bare name gets the suffix of the existing file.
    """
    for folder in (root, *(root / below for below in subfolders(root))):
        for end in (suffix,) if suffix or is_image_name(name) else ("", *image_suffixes()):
            if is_file(folder / f"{name}{end}"):
                return folder, end
    return None


def looks_like_images(names: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The column whose first values are image file names, or ""."""
    first = list(rows)
    for name in names:
        values = [text_of(row.get(name)) for row in first]
        if values and all(map(is_image_name, values)):
            return name
    return ""


def by_name(names: Sequence[str], usual: Sequence[str]) -> str:
    folded = {"".join(filter(str.isalnum, name.lower())): name for name in reversed(names) if name}
    return next((folded[name] for name in usual if name in folded), "")


def plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return str(value)
