"""Tables that name the values of masks: ``value,name`` as the exporter ``masks`` writes it, ``name,r,g,b`` as CamVid has it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipekit.builtin.importers.files import not_utf8
from pipekit.builtin.importers.tables import by_name
from pipekit.errors import UserError

VALUES = ("value", "pixelvalue", "id", "index", "number", "trainid", "labelid")
NAMES = ("name", "class", "label", "classname", "category")
COLOURS = ("colour", "color", "hex", "rgb", "colourcode", "colorcode")
CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))

EXPECTED = "Expected the columns value and name (0,road), or name and r, g, b (road,128,64,128), or name and colour (#804080)."

MOST_ROWS = 256


@dataclass(frozen=True)
class MaskNames:
    """The names of the values of masks, and the colours that stand for the values 0, 1, 2 … in the files; () for none."""

    names: Mapping[int, str]
    colours: tuple[str, ...] = ()


def mask_names(file: Path) -> MaskNames:
    """The content of a table; without a column of values, the first row is 0.

    Raises:
        UserError: it can't be read, or a row is not a value or colour with a name.
    """
    names: dict[int, str] = {}
    colours: list[str] = []
    for number, row in enumerate(_rows(file)):
        line, cells = row
        value, name, colour = cells
        if value is not None and (not value.isdecimal() or len(value) > 3 or int(value) > 255):
            raise UserError(f"{file} line {line}: value {value[:40]!r}, expected a whole number from 0 to 255")
        at = number if value is None else int(value)
        if not name:
            raise UserError(f"{file} line {line}: value {at} has no name")
        if at in names:
            raise UserError(f"{file} line {line}: value {at} is there twice, {names[at][:40]!r} and {name[:40]!r}")
        names[at] = name
        if colour is not None:
            colours.append(colour)
    if colours and [*names] != list(range(len(names))):
        raise UserError(f"{file}: with colours, the values must be 0, 1, 2 …, and are {[*names][:8]}")
    return MaskNames(names, tuple(colours))


def _rows(file: Path) -> Iterator[tuple[int, tuple[str | None, str, str | None]]]:
    """(line, (value, name, colour)) of each row; None for a column that is not there."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream, skipinitialspace=True)
            columns = [column for column in table.fieldnames or () if column]
            value, name, colour = by_name(columns, VALUES), by_name(columns, NAMES), by_name(columns, COLOURS)
            channels = [by_name(columns, words) for words in CHANNELS]
            if not name or not (value or colour or all(channels)):
                said = ", ".join(column[:40] for column in columns[:8]) or "nothing"
                raise UserError(f"{file} has the columns {said}", EXPECTED)
            for count, row in enumerate(table):
                cells = {column: (text or "").strip() for column, text in row.items() if column and isinstance(text, str)}
                if count >= MOST_ROWS:
                    raise UserError(f"{file} line {table.line_num}: more than {MOST_ROWS} rows; a mask has values up to 255")
                if any(cells.values()):
                    found = _hex(cells, colour, channels, f"{file} line {table.line_num}")
                    yield table.line_num, (cells.get(value) if value else None, cells.get(name, ""), found)
    except UnicodeDecodeError:
        raise UserError(f"can't read {file}: {not_utf8(file)}", "Save it as CSV in UTF-8.") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"can't read {file}: {error}") from error


def _hex(cells: Mapping[str, str], colour: str, channels: Sequence[str], where: str) -> str | None:
    """``#804080``. Raises UserError."""
    if colour:
        return f"#{cells.get(colour, '').removeprefix('#')}"
    if not all(channels):
        return None
    texts = [cells.get(channel, "") for channel in channels]
    if not all(text.isdecimal() and len(text) <= 3 and int(text) <= 255 for text in texts):
        raise UserError(f"{where}: colour {', '.join(text[:20] for text in texts)}, expected three numbers from 0 to 255")
    return "#" + "".join(f"{int(text):02x}" for text in texts)
