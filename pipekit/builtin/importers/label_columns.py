"""Which column of a table holds the classes, and whether its values are classes: not several labels, and not a number to be
predicted. A table is read by its first rows; where they allow several readings, the error lists them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.files import first_of, is_image_name
from pipekit.builtin.importers.label_cells import is_missing, text_of
from pipekit.builtin.importers.tables import WHOLE, Columns, TableParams
from pipekit.errors import Reading, ReadingsError, UserError
from pipekit.tasks import MULTILABEL, NUMBER

FIRST_ROWS = 1000
"""Rows that decide."""

LABEL_WORDS = frozenset(
    {
        *("label", "labels", "class", "classes", "category", "categories", "target", "targets", "tag", "tags"),
        *("diagnosis", "diagnoses", "dx", "finding", "findings", "species", "breed", "disease", "attribute", "keywords"),
    }
)
"""Words in the name of a column of classes, in lower case."""

PLURAL_WORDS = frozenset({"labels", "tags", "categories", "findings", "attributes", "keywords", "diagnoses"})
"""Words in the name of a column that may hold several labels an image, separated by spaces."""

NO_CLASS_WORDS = frozenset(
    {
        *("id", "index", "sha256", "md5", "hash", "url", "uri", "path", "file", "filename", "image", "source", "licence"),
        *("license", "author", "photographer", "credit", "title", "caption", "text", "description", "comment", "notes"),
        *("width", "height", "w", "h", "x", "y", "size", "bytes", "area", "date", "time", "year", "month", "day", "hour"),
        *("timestamp", "patient", "subject", "camera", "device", "session", "group", "fold", "frame", "clip", "video"),
        *("location", "site", "latitude", "longitude", "lat", "lon", "format", "mode", "suffix", "split", "original"),
        *("augmented", "copy", "of", "seed", "ops", "recipe", "position", "view", "number", "follow", "up", "nr", "no"),
        *("row", "exif", "orientation", "checksum", "origin", "licences", "place"),
    }
)
"""Words in the name of a column that describes an image and is no class."""

FEW = 20
"""Minimum number of different whole numbers that are taken for a quantity, not for classes."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d*")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Table:
    """The beginning of a table.

    Attributes:
        format: the importer, for the options that choose a reading.
        alone: whether only the table can say the classes; False where folders may.
    """

    where: Path
    names: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    format: str
    alone: bool = True


def with_labels(columns: Columns, table: Table, params: TableParams) -> Columns:
    """The columns with that of the classes, or with the columns of 0 and 1 that say the class.

    Raises:
        ReadingsError: there are columns that may be the classes, and none is surely; or its values are several labels or
            numbers.
        UserError: an image has several rows with different classes.
    """
    if not params.labels or not table.rows:
        return columns
    if columns.task == MULTILABEL:
        return _with_several(columns, table)
    if columns.task == NUMBER:
        return columns if columns.label else replace(columns, label=_number_column(columns, table))
    found = columns
    if not found.label:
        found = _found(columns, table)
    if found.label and params.label_values == "auto":
        _check_values(found, table)
    return found


def _found(columns: Columns, table: Table) -> Columns:
    others = [name for name in table.names if name and name not in (columns.image, columns.split)]
    named = [name for name in others if not LABEL_WORDS.isdisjoint(_words(name)) and _values(name, table.rows)]
    if len(named) == 1 and not _is_flag(_values(named[0], table.rows)):
        return replace(columns, label=named[0])
    if len(named) > 1 and (text := [name for name in named if _may_be_classes(name, table)]):
        if len(text) == 1:
            return replace(columns, label=text[0])
        raise _unclear(table, text)
    flags = [name for name in others if _is_flag(_values(name, table.rows)) and "fold" not in _words(name)]
    if len(flags) > 1 and table.alone:
        if all(sum(_is_one(row.get(name)) for name in flags) == 1 for row in table.rows):
            return replace(columns, one_hot=tuple(flags))
        if len(flags) > 2 or len(flags) == len(others):
            raise _several(
                table,
                f"a column of 0 and 1 for each class ({first_of(flags)}), and some images have several or none",
                [_as_several(), *(_as_column(name) for name in flags[:4])],
            )
    if table.alone and (maybe := [name for name in others if _may_be_classes(name, table)]):
        raise _unclear(table, maybe, [name for name in others if _is_measured(name, table)])
    if table.alone and (numbers := [name for name in others if _is_measured(name, table)]) and len(others) == len(numbers) == 1:
        raise _number(numbers[0], table)
    return columns


def _with_several(columns: Columns, table: Table) -> Columns:
    """The columns of several labels: those of 0 and 1, or one whose cells hold them, with what separates them there.

    Raises:
        UserError: there are no such columns.
    """
    if columns.one_hot:
        return replace(columns, label="")
    others = [name for name in table.names if name and name not in (columns.image, columns.split)]
    label = columns.label
    if not label:
        named = [name for name in others if not LABEL_WORDS.isdisjoint(_words(name)) and _values(name, table.rows)]
        label = named[0] if len(named) == 1 and not _is_flag(_values(named[0], table.rows)) else ""
    if label:
        return replace(
            columns, label=label, separator=columns.separator or separator_in(_values(label, table.rows), _is_plural(label))
        )
    if flags := [name for name in others if _is_flag(_values(name, table.rows)) and "fold" not in _words(name)]:
        return replace(columns, one_hot=tuple(flags))
    raise UserError(
        f"{table.where} has no column that is surely the labels; it has: {first_of(map(repr, others), 8) or 'no other'}",
        'Name it: label = "…", or the columns of 0 and 1: label_columns = ["…", "…"].',
    )


def _number_column(columns: Columns, table: Table) -> str:
    others = [name for name in table.names if name and name not in (columns.image, columns.split)]
    found = [name for name in others if _is_measured(name, table)]
    if len(found) == 1:
        return found[0]
    raise UserError(
        f"{table.where} has {'several columns' if found else 'no column'} of numbers that may be predicted"
        f": {first_of(map(repr, found or others), 8) or 'no other column'}",
        'Name it: label = "…".',
    )


def _check_values(columns: Columns, table: Table) -> None:
    """Raise if the values of the column are several labels, or numbers to be predicted."""
    label = columns.label
    values = _values(label, table.rows)
    if said := several_in(values, _is_plural(label)):
        raise _several(
            table,
            f"several labels in a cell of column {label!r}, such as {said!r}",
            [_as_several(f"label={label}:"), _as_names(label, "cell")],
        )
    if _are_measures(values):
        raise _number(label, table)
    seen: dict[str, str] = {}
    for row in table.rows:
        image, value = text_of(row.get(columns.image)), text_of(row.get(label))
        if image and seen.setdefault(image, value) != value:
            raise _several(
                table,
                f"the image {image} in several rows, as {seen[image]!r} and as {value!r} in column {label!r}",
                [_as_several(f"label={label}:")],
                "Or keep one row for each image.",
            )


def separator_in(values: Sequence[str], plural: bool = False) -> str:
    """What separates the labels in the cells of a column that holds several; "" if each holds a list or one label.

    >>> separator_in(["mass|effusion", "mass"]), separator_in(["a; b", "c"]), separator_in(["hot dog"])
    ('|', ';', '')
    >>> separator_in(["a b", "a", "b"])
    ' '
    """
    plain = [value for value in values if not _is_list(value)]
    for separator in "|;,":
        if any(len(_parts(value, separator)) > 1 for value in plain):
            return separator
    return " " if (said := several_in(plain, plural)) and " " in said else ""


def several_in(values: Sequence[str], plural: bool = False) -> str:
    """A value that is a list of several labels: ``a|b``, ``a;b``, ``["a", "b"]``, and ``a,b`` or ``a b`` where the parts are
    values of their own; "" if there is none.

    Args:
        plural: the column is called tags, labels or the like. Then words that recur in other combinations are labels too.

    >>> several_in(["rust", "crack", "rust,crack"]), several_in(["tench, Tinca tinca", "goldfish, Carassius auratus"])
    ('rust,crack', '')
    >>> several_in(["No Finding", "Effusion|Mass"]), several_in(["['a', 'b']"]), several_in(["hot dog", "dog"])
    ('Effusion|Mass', "['a', 'b']", '')
    """
    distinct = list(dict.fromkeys(values))
    for value in distinct:
        if _is_list(value) or any(
            len(parts := value.split(separator)) > 1 and all(part.strip() for part in parts) for separator in "|;"
        ):
            return value
    alone = {value.lower() for value in distinct}
    for separator, share in ((",", 0.5), (" ", 1.0)):
        cells = [value for value in distinct if len(_parts(value, separator)) > 1]
        known = [value for value in cells if alone.issuperset(part.lower() for part in _parts(value, separator))]
        if cells and len(known) >= share * len(cells):
            return known[0]
        words = [frozenset(_parts(value, separator)) for value in cells]
        if (separator != " " or plural) and len(words) > 2 and len(frozenset().union(*words)) < len({*words}):
            return cells[0]
    return ""


def _parts(value: str, separator: str) -> list[str]:
    return [part for part in (part.strip() for part in value.split(separator)) if part]


def _is_list(value: str) -> bool:
    if not (value.startswith("[") and value.endswith("]")):
        return False
    try:
        return isinstance(ast.literal_eval(value), list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return "," in value


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}


def _values(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The values of a column that are there."""
    return [value for row in rows if not is_missing(value := text_of(row.get(name)))]


def _is_plural(name: str) -> bool:
    return not PLURAL_WORDS.isdisjoint(_words(name))


def _is_flag(values: Sequence[str]) -> bool:
    return bool(values) and {*values} <= {"0", "1", "0.0", "1.0", "True", "False", "true", "false", "TRUE", "FALSE"}


def _is_one(value: Any) -> bool:
    return text_of(value).lower() in ("1", "1.0", "true")


def _are_measures(values: Sequence[str]) -> bool:
    """Whether they are numbers with fractions, or whole numbers of which almost every row has its own."""
    if not values or not all(map(_NUMBER.fullmatch, values)):
        return False
    if not all(map(WHOLE.fullmatch, values)):
        return True
    return len({*values}) > max(FEW, len(values) // 2)


def _is_measured(name: str, table: Table) -> bool:
    return NO_CLASS_WORDS.isdisjoint(_words(name)) and _are_measures(_values(name, table.rows))


def _may_be_classes(name: str, table: Table) -> bool:
    """Whether a column repeats a few values."""
    values = _values(name, table.rows)
    distinct = {*values}
    return (
        1 < len(distinct) <= max(1, len(values) // 2)
        and not _are_measures(values)
        and NO_CLASS_WORDS.isdisjoint(_words(name))
        and not any(map(is_image_name, distinct))
        and max(map(len, distinct)) <= 80
    )


# --- the errors ----------------------------------------------------------------------------------------------------------


def _as_column(name: str) -> Reading:
    return Reading(f"the classes in column {name!r}", format=f"label={name}")


def _as_names(label: str, what: str) -> Reading:
    return Reading(
        f"every different {what} in column {label!r} as a separate class", format=f"label={label}:label_values=names"
    )


def _as_number(name: str) -> Reading:
    return Reading(f"the numbers in column {name!r}, to be predicted", format=f"label={name}:task=number")


_WITHOUT = Reading("the images without classes", format="labels=no")


def _error(table: Table, message: str, readings: Sequence[Reading], more: str = "") -> ReadingsError:
    chosen = [replace(one, path=str(table.where), format=f"{table.format}:{one.format}") for one in readings]
    return ReadingsError(f"{table.where} {message}", chosen, more)


def _unclear(table: Table, names: Sequence[str], numbers: Sequence[str] = ()) -> ReadingsError:
    return _error(
        table,
        f"has no column that is surely the classes; {first_of(map(repr, names))} may be",
        [*map(_as_column, names[:6]), *map(_as_number, numbers[:4]), _WITHOUT],
    )


def _several(table: Table, what: str, readings: Sequence[Reading], more: str = "") -> ReadingsError:
    return _error(table, f"has {what}: by default an image has one class", [*readings, _WITHOUT], more)


def _as_several(column: str = "") -> Reading:
    return Reading("several labels for each image", format=f"{column}task=multilabel")


def _number(name: str, table: Table) -> ReadingsError:
    values = _values(name, table.rows)
    return _error(
        table,
        f"has numbers in column {name!r} ({first_of(values, 3)}), of which a classifier would make {len({*values}):,} classes "
        f"in {len(values):,} rows",
        [Reading("the numbers, to be predicted", format=f"label={name}:task=number"), _as_names(name, "number"), _WITHOUT],
        "To predict ranges, add a column that names the range of each image.",
    )
