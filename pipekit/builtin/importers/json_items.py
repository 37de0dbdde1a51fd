"""Read the lists of a large JSON object one item at a time, in constant memory."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pipekit.builtin.importers.files import not_utf8

BLOCK_CHARS = 1 << 18
SPACE = " \t\n\r"
ENDS = frozenset(f":,]}}{SPACE}")

_decode = json.JSONDecoder().raw_decode


def items(file: Path, names: Collection[str]) -> Iterator[tuple[str, int, str, Any]]:
    """The items of the named lists of the top-level object, in file order: (name of the list, line, item as text, item).

    Memory holds one item and a block of text. Other values are skipped; lists among them are skipped item by item.

    Yields:
        ``(name, line, "", None)`` once for each list before its items, so that the caller sees an empty list too.

    Raises:
        ValueError: it is not JSON, or the top level is not an object.
        OSError: the file can't be read.
    """
    try:
        with file.open(encoding="utf-8") as text:
            yield from _Reader(text).parts(names)
    except UnicodeDecodeError:
        raise ValueError(not_utf8(file)) from None


@dataclass(frozen=True, slots=True)
class Entry:
    """An item of a list, or a member of an object.

    Attributes:
        inside: the top-level member that holds it; "" at the top level itself.
        key: its position in the list from 0, or its name.
        line: the line of the file on which its value begins, from 1.
    """

    inside: str
    key: int | str
    line: int
    value: Any


def entries(file: Path, inside: Collection[str] = ()) -> Iterator[Entry]:
    """The items of a top-level list, or the members of a top-level object, in file order.

    Memory holds one entry and a block of text. A member named in ``inside`` that is a list or an object is not yielded as a
    whole: its own entries are.

    Raises:
        ValueError: it is not JSON, or the top level is neither a list nor an object.
        OSError: the file can't be read.
    """
    try:
        with file.open(encoding="utf-8") as text:
            yield from _Reader(text).entries(inside)
    except UnicodeDecodeError:
        raise ValueError(not_utf8(file)) from None


class _Reader:
    """A window on the text: read but not yet consumed."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._used = 0  # characters before the window
        self._lines = 0  # line breaks up to the character _counted of the window
        self._counted = 0
        self._ended = False

    def parts(self, names: Collection[str]) -> Iterator[tuple[str, int, str, Any]]:
        self._take("\ufeff", optional=True)
        self._take("{")
        more = not self._take("}", optional=True)
        while more:
            _, name = self._value()
            if not isinstance(name, str):
                raise self._wrong("expected a name in quotes")
            self._take(":")
            if self._take("[", optional=True):
                wanted = name in names
                if wanted:
                    yield name, self._line(), "", None
                inside = not self._take("]", optional=True)
                while inside:
                    self._next()
                    line = self._line()
                    text, value = self._value()
                    if wanted:
                        yield name, line, text, value
                    inside = self._take(",", optional=True)
                    if not inside:
                        self._take("]")
            else:
                self._value()
            more = self._take(",", optional=True)
            if not more:
                self._take("}")
        if self._next():
            raise self._wrong("unexpected text after the object")

    def entries(self, inside: Collection[str]) -> Iterator[Entry]:
        self._take("\ufeff", optional=True)
        yield from self._entries("", inside)
        if self._next():
            raise self._wrong("unexpected text at the end")

    def _entries(self, name: str, inside: Collection[str]) -> Iterator[Entry]:
        in_list = self._take("[", optional=True)
        if not in_list:
            self._take("{")
        end = "]" if in_list else "}"
        number = 0
        more = not self._take(end, optional=True)
        while more:
            key: int | str = number
            if not in_list:
                _, found = self._value()
                if not isinstance(found, str):
                    raise self._wrong("expected a name in quotes")
                key = found
                self._take(":")
            if key in inside and self._next() in ("[", "{"):
                yield from self._entries(str(key), ())
            else:
                self._next()
                line = self._line()
                _, value = self._value()
                yield Entry(name, key, line, value)
            number += 1
            more = self._take(",", optional=True)
            if not more:
                self._take(end)

    def _line(self) -> int:
        """The line of the next character."""
        self._lines += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._lines + 1

    def _read(self) -> bool:
        """Read more text into the window, doubling it, so that a long item is not parsed over and over."""
        block = "" if self._ended else self._file.read(max(BLOCK_CHARS, len(self._text) - self._at))
        self._ended = self._ended or not block
        if block:
            self._line()
            self._counted = 0
            self._used += self._at
            self._text = self._text[self._at :] + block
            self._at = 0
        return bool(block)

    def _next(self) -> str:
        """Skip white space and return the next character, which is then first in the window; "" at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._read():
                return ""

    def _take(self, mark: str, optional: bool = False) -> bool:
        if self._next() == mark:
            self._at += 1
            return True
        if optional:
            return False
        raise self._wrong(f"expected {mark!r}" if self._next() else f"it ends where {mark!r} is expected")

    def _value(self) -> tuple[str, Any]:
        """The first value of the window, with its text. It must be seen to end: 12 may be a part of 123 or of 12.5."""
        self._next()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._read():
                    raise self._wrong(error.msg) from None
                continue
            except RecursionError:
                raise self._wrong("nested too deeply") from None
            if self._text[end : end + 1] in ENDS or not self._read():
                text = self._text[self._at : end]
                self._at = end
                return text, value

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"{what} (line {self._line()}, character {self._used + self._at})")
