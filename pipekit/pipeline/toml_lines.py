"""Line numbers of the keys and list items of a TOML text, which ``tomllib`` does not report."""

from __future__ import annotations

import tomllib

Place = tuple[str | int, ...]


def line_numbers(text: str) -> dict[Place, int]:
    """Return ``{("stages", "train", "augment", 2, "op"): 18, …}`` for a text that ``tomllib`` has accepted."""
    return _Scanner(text).scan()


def nearest_line(lines: dict[Place, int], place: Place) -> int | None:
    """The line of ``place``, or of the nearest enclosing entry that is written in the file."""
    for end in range(len(place), 0, -1):
        if place[:end] in lines:
            return lines[place[:end]]
    return None


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._found: dict[Place, int] = {}
        self._counts: dict[Place, int] = {}

    def scan(self) -> dict[Place, int]:
        table: Place = ()
        while self._skip_space(newlines=True):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._found

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self, count: int = 1) -> str:
        taken = self._text[self._at : self._at + count]
        self._line += taken.count("\n")
        self._at += count
        return taken

    def _skip_space(self, newlines: bool = False) -> bool:
        """Skip blanks (on request also comments and line ends). Returns True if something follows."""
        while found := self._peek():
            if found == "#":
                while self._peek() not in ("", "\n"):
                    self._next()
            elif found in " \t\r" or (newlines and found == "\n"):
                self._next()
            else:
                return True
        return False

    def _header(self) -> Place:
        line, double = self._line, self._text.startswith("[[", self._at)
        self._next(2 if double else 1)
        place = self._resolve(self._key())
        self._next(2 if double else 1)
        if double:
            index = self._counts.get(place, 0)
            self._counts[place] = index + 1
            self._found.setdefault(place, line)
            place = (*place, index)
        self._mark(place, line)
        return place

    def _resolve(self, place: Place) -> Place:
        """Resolve a header below a list of tables to its last table: ``[fruits.apple]`` after ``[[fruits]]``."""
        resolved: Place = ()
        for number, step in enumerate(place):
            resolved = (*resolved, step)
            if number < len(place) - 1 and resolved in self._counts:
                resolved = (*resolved, self._counts[resolved] - 1)
        return resolved

    def _key(self) -> Place:
        steps: list[str | int] = []
        while True:
            self._skip_space()
            if self._peek() in "\"'":
                start = self._at
                self._string()
                steps.append(next(iter(tomllib.loads(f"{self._text[start : self._at]} = 0"))))
            else:
                start = self._at
                while self._peek() not in ("", " ", "\t", ".", "=", "]"):
                    self._next()
                steps.append(self._text[start : self._at])
            self._skip_space()
            if self._peek() != ".":
                return tuple(steps)
            self._next()

    def _pair(self, table: Place) -> None:
        line = self._line
        place = (*table, *self._key())
        self._mark(place, line, len(table))
        self._skip_space()
        self._next()  # "="
        self._skip_space()
        self._value(place)

    def _mark(self, place: Place, line: int, above: int = 0) -> None:
        for end in range(above + 1, len(place) + 1):
            self._found.setdefault(place[:end], line)

    def _value(self, place: Place) -> None:
        first = self._peek()
        if first == "[":
            self._next()
            index = 0
            while self._skip_space(newlines=True) and self._peek() != "]":
                if self._peek() == ",":
                    self._next()
                    continue
                self._found[*place, index] = self._line
                self._value((*place, index))
                index += 1
            self._next()
        elif first == "{":
            self._next()
            while self._skip_space(newlines=True) and self._peek() != "}":
                if self._peek() == ",":
                    self._next()
                    continue
                self._pair(place)
            self._next()
        elif first in ('"', "'"):
            self._string()
        else:
            while self._peek() not in ("", ",", "]", "}", "\n", "#"):
                self._next()

    def _string(self) -> None:
        quote = self._peek()
        mark = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._next(len(mark))
        while not self._text.startswith(mark, self._at):
            self._next(2 if quote == '"' and self._peek() == "\\" else 1)
        self._next(len(mark))
        while len(mark) == 3 and self._peek() == quote:  # up to two quotes may precede the closing ones
            self._next()
