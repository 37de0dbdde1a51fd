"""Read a large XML file one element at a time, in constant memory, with the line of each element."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

BLOCK_BYTES = 1 << 18


@dataclass(slots=True)
class Element:
    """An XML element: ``line`` is where it begins, from 1."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    text: str = ""


def elements(file: Path, tags: Collection[str], most_bytes: int = 0) -> Iterator[Element]:
    """The elements with these tags, in file order, each when it ends; those inside another one only as its children.

    Args:
        most_bytes: stop there; 0 for the whole file.

    Raises:
        ValueError: it is not XML, or it defines entities, which could fill the memory.
        OSError: the file can't be read.
    """
    reader = _Reader(tags)
    with file.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            reader.feed(block)
            yield from reader.taken()
            if most_bytes and stream.tell() >= most_bytes:
                return
    reader.feed(b"", last=True)
    yield from reader.taken()


def root_tag(file: Path) -> str:
    """The tag of the outermost element; "" where it is not XML."""
    reader = _Reader((), entities=True)
    try:
        with file.open("rb") as stream:
            while not reader.root and (block := stream.read(1 << 12)):
                reader.feed(block)
    except (OSError, ValueError):
        pass
    return reader.root


class _Reader:
    def __init__(self, tags: Collection[str], entities: bool = False) -> None:
        self.root = ""
        self._tags = tags
        self._open: list[Element] = []
        self._done: list[Element] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        if not entities:
            self._parser.EntityDeclHandler = self._entity

    def feed(self, block: bytes, last: bool = False) -> None:
        try:
            self._parser.Parse(block, last)
        except expat.ExpatError as error:
            raise ValueError(f"not XML: {expat.errors.messages[error.code]} (line {error.lineno})") from error

    def taken(self) -> list[Element]:
        done, self._done = self._done, []
        return done

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.root = self.root or tag
        if self._open or tag in self._tags:
            self._open.append(Element(tag, attributes, self._parser.CurrentLineNumber))

    def _end(self, tag: str) -> None:
        if self._open:
            element = self._open.pop()
            if self._open:
                self._open[-1].children.append(element)
            else:
                self._done.append(element)

    def _text(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    def _entity(self, *_: object) -> None:
        raise ValueError(f"it defines entities (line {self._parser.CurrentLineNumber})")
