"""Packs: what one function has made of all parts of a dataset as columns, in one file for the next run.

Opening, reading and comparing hundreds of small files of columns takes several times as long as what their content needs. So
a run leaves what it has read in one file, and the next run reads that, with the small files of the parts that are new. A pack
saves time and changes nothing: with any pack, or with none, the columns are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import orjson

from pipekit.columnar import Column, Few, Texts, flat, joined
from pipekit.files import Buffer
from pipekit.files.buffers import MANY, Mapped, Placed
from pipekit.store.columns import HASH_BYTES
from pipekit.store.leases import use
from pipekit.store.store import DISK_ERRORS, Store, translate_os_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 2

PACKED_FROM = 64
"""Number of parts from which columns are packed."""

LOOSE = 16
"""A pack is written anew once more than one of so many parts are not in it, or are no longer needed."""

RECENT_BYTES = 24 << 20
"""Columns of one function up to this size are kept in memory for the next stage that asks for the same ones."""

Block: TypeAlias = Mapping[str, Column]
ReadBlock: TypeAlias = Callable[[int], Block]

TEXTS, FEW = "texts", "few"


@dataclass
class _Field:
    """A column of a pack.

    Attributes:
        kind: :data:`TEXTS`, :data:`FEW`, or the dtype of an array.
        width: the length of a row of an array of two dimensions; 0 for any other column.
        sizes: of texts: the number of bytes of each block.
        names: of few texts: the names of all blocks, in the order in which they come.
        lists: the different lists of names that blocks have, as numbers in ``names``: at a hundred classes, hardly two blocks
            have the same one.
        named: the number of that list for each block.
    """

    name: str
    kind: str
    width: int = 0
    sizes: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    lists: list[array[int]] = field(default_factory=list)
    named: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lists = [array("I", numbers) for numbers in self.lists]
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._places = {numbers.tobytes(): place for place, numbers in enumerate(self.lists)}

    @classmethod
    def of(cls, name: str, column: Column) -> _Field:
        if isinstance(column, Texts):
            return cls(name, TEXTS)
        if isinstance(column, Few):
            return cls(name, FEW)
        return cls(name, column.dtype.str, column.shape[1] if column.ndim > 1 else 0)

    def empty(self) -> _Field:
        return _Field(self.name, self.kind, self.width)

    def add(self, column: Column) -> None:
        """Note what the numbers of a block do not say."""
        if isinstance(column, Texts):
            self.sizes.append(len(column.data))
        elif isinstance(column, Few):
            self._add_names(column.names)

    def add_from(self, other: _Field, number: int) -> None:
        """The same of a block of another pack."""
        if self.kind == TEXTS:
            self.sizes.append(other.sizes[number])
        elif self.kind == FEW:
            self._add_names([other.names[name] for name in other.lists[other.named[number]]])

    def _add_names(self, names: Sequence[str]) -> None:
        numbers = array("I", [self._numbers.setdefault(name, len(self._numbers)) for name in names])
        self.names.extend(list(self._numbers)[len(self.names) :] if len(self._numbers) > len(self.names) else ())
        place = self._places.setdefault(numbers.tobytes(), len(self.lists))
        if place == len(self.lists):
            self.lists.append(numbers)
        self.named.append(place)

    def plain(self) -> list[Any]:
        """The field as it is written."""
        lists = [numbers.tolist() for numbers in self.lists]
        return [self.name, self.kind, self.width, self.sizes, self.names, lists, self.named]

    @property
    def row_bytes(self) -> int:
        import numpy as np

        return 4 if self.kind in (TEXTS, FEW) else np.dtype(self.kind).itemsize * (self.width or 1)


@dataclass
class _Head:
    """What a pack holds: the file of each block, its number of rows, and the columns."""

    files: list[str]
    counts: list[int]
    fields: list[_Field]

    @classmethod
    def read(cls, line: bytes) -> _Head | None:
        plain = orjson.loads(line)
        if plain["format"] != FORMAT:
            return None
        return cls(plain["files"], plain["counts"], [_Field(*values) for values in plain["fields"]])

    @property
    def size_bytes(self) -> int:
        """The size of what follows the head."""
        return sum(one.row_bytes * sum(self.counts) + sum(one.sizes) for one in self.fields)

    def line(self) -> bytes:
        plain = {"format": FORMAT, "files": self.files, "counts": self.counts, "fields": [one.plain() for one in self.fields]}
        return json.dumps(plain, separators=(",", ":")).encode("ascii") + b"\n"

    def add(self, file: str, block: Block) -> None:
        self.fields = self.fields or [_Field.of(name, column) for name, column in block.items()]
        self.files.append(file)
        self.counts.append(len(next(iter(block.values()))))
        for one in self.fields:
            one.add(block[one.name])


def packed_columns(store: Store, path: str, files: Sequence[str], read: ReadBlock) -> tuple[dict[str, Column], list[int]]:
    """The columns of all parts, one below the other, and the number of rows of each part.

    Args:
        path: the pack; it is written if there is none.
        files: what names the columns of each part: under the same name they are the same.
        read: the columns of a part, by its number.
    """
    recent = store.recent.get(RECENT)
    if recent is not None and recent[0] == (path, files):
        return dict(recent[1]), list(recent[2])
    store.recent.pop(RECENT, None)
    try:
        head, columns, is_fresh = _read_or_join(store, path, files, read)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise translate_os_error(error, Path(path)) from error
        raise
    pieces = list(_pieces(columns))
    if not is_fresh:
        store.write_checked(path, head.line(), *pieces)
    if sum(map(len, pieces)) <= RECENT_BYTES:
        store.recent[RECENT] = (path, files), columns, head.counts
    return dict(columns), list(head.counts)


RECENT = "pack"
"""In :attr:`~pipekit.store.store.Store.recent`: what was returned last."""


def _read_or_join(store: Store, path: str, files: Sequence[str], read: ReadBlock) -> tuple[_Head, dict[str, Column], bool]:
    """The columns, their head, and whether the pack is worth to be kept. Large columns are mapped."""
    folder = None if store.read_only else store.root / "tmp"
    try:
        found = _read(path, files, read, folder)
    except FileNotFoundError:  # another process has removed it
        found = None
    except (ValueError, KeyError, TypeError, EOFError) as error:
        store.set_aside(Path(path), str(error) or "its bytes have changed")
        found = None
    if found is None:
        head = _Head([], [], [])
        return head, joined(_noted(head, files, read), folder), False
    use(path)
    return found


def _noted(head: _Head, files: Sequence[str], read: ReadBlock) -> Iterator[Block]:
    for number, file in enumerate(files):
        block = read(number)
        head.add(file, block)
        yield block


def _pieces(columns: Mapping[str, Column]) -> Iterator[Buffer]:
    for column in columns.values():
        if isinstance(column, Texts):
            yield flat(column.sizes.astype("<u4", copy=False))
            yield memoryview(column.data)
        else:
            yield flat(column.codes.astype("<i4", copy=False) if isinstance(column, Few) else column)


# --- reading -------------------------------------------------------------------------------------------------------------


def _read(
    path: str, files: Sequence[str], read: ReadBlock, folder: Path | None
) -> tuple[_Head, dict[str, Column], bool] | None:
    """What a pack and the columns of other parts hold together, and whether the pack is worth to be kept.

    Args:
        folder: see :class:`~pipekit.columnar.Joined`.

    Returns:
        None if there is no pack of these parts.

    Raises:
        ValueError, KeyError, TypeError, EOFError: the pack is damaged.
    """
    if not os.path.exists(path):  # noqa: PTH110
        return None
    with open(path, "rb", buffering=0) as file:
        stated, start = file.read(HASH_BYTES), b""
        while not start.endswith(b"\n"):
            if not (line := file.read(1 << 16)):
                raise EOFError("it is too short")
            cut = line.find(b"\n") + 1
            start += line[:cut] if cut else line
        file.seek(HASH_BYTES + len(start))
        was = _Head.read(start)
        if was is not None and HASH_BYTES + len(start) + was.size_bytes != os.fstat(file.fileno()).st_size:
            raise ValueError("its size has changed")
        mixed = None if was is None else _Mixed.of(was, files, read, folder)
        if mixed is None:
            return None
        source = _Source(file, hashlib.sha256(start))
        columns = {one.name: mixed.column(one, source) for one in mixed.was.fields}
        if source.hashed.hexdigest().encode("ascii") + b"\n" != stated:
            raise ValueError("its bytes have changed")
    return mixed.head, columns, mixed.is_fresh


@dataclass
class _Source:
    """The file of a pack, which is read from its head to its end, and its hash so far."""

    file: BinaryIO
    hashed: Any

    def into(self, place: memoryview) -> None:
        rest = place
        while rest:
            if not (count := self.file.readinto(rest)):  # type: ignore[attr-defined]
                raise EOFError("it is too short")
            rest = rest[count:]
        self.hashed.update(place)


@dataclass
class _Mixed:
    """The parts of a dataset; most are in a pack.

    Attributes:
        was: the head of the pack.
        places: the number of each part's block in the pack; -1 for a part that is not in it.
        loose: the columns of those, by the number of the part.
        runs: the blocks of the pack in their order, as (first, end, number of the part of the first): parts that follow one
            another; -1 for blocks that no part has.
        folder: see :class:`~pipekit.columnar.Joined`.
    """

    was: _Head
    files: Sequence[str]
    places: list[int]
    loose: dict[int, Block]
    runs: list[tuple[int, int, int]]
    folder: Path | None

    @classmethod
    def of(cls, was: _Head, files: Sequence[str], read: ReadBlock, folder: Path | None) -> _Mixed | None:
        """None if too few of the parts are in the pack for it to help."""
        known = {file: number for number, file in enumerate(was.files)}
        places = [known.get(file, -1) for file in files]
        there = [number for number, place in enumerate(places) if place >= 0]
        if len(known) < len(was.files) or len({*files}) < len(files) or 2 * len(there) < max(len(files), len(was.files)):
            return None
        loose = {number: read(number) for number, place in enumerate(places) if place < 0}
        kinds = [(one.name, one.kind, one.width) for one in was.fields]
        for block in loose.values():
            if [(one.name, one.kind, one.width) for one in (_Field.of(*column) for column in block.items())] != kinds:
                return None
        parts = {places[number]: number for number in there}
        runs = list(_runs([parts.get(number, -1) for number in range(len(was.files))]))
        return cls(was, files, places, loose, runs, folder)

    @property
    def is_fresh(self) -> bool:
        others = len(self.loose) + len(self.was.files) - (len(self.places) - len(self.loose))
        return others * LOOSE <= len(self.places)

    @cached_property
    def head(self) -> _Head:
        """The head of a pack of these parts."""
        made = _Head([], [], [one.empty() for one in self.was.fields])
        for number, (file, place) in enumerate(zip(self.files, self.places, strict=True)):
            if place < 0:
                made.add(file, self.loose[number])
                continue
            made.files.append(file)
            made.counts.append(self.was.counts[place])
            for one, old in zip(made.fields, self.was.fields, strict=True):
                one.add_from(old, place)
        return made

    def column(self, field: _Field, source: _Source) -> Column:
        import numpy as np

        loose = {number: block[field.name] for number, block in self.loose.items()}
        row = field.row_bytes
        sizes = [row * count for count in self.was.counts]
        if field.kind == FEW:
            return self._few(field, source, sizes, {n: one for n, one in loose.items() if isinstance(one, Few)})
        numbers = {n: flat(one.sizes if isinstance(one, Texts) else one) for n, one in loose.items()}  # type: ignore[arg-type]
        made = self._gathered(source, sizes, numbers)
        if field.kind != TEXTS:
            array = np.frombuffer(made, field.kind)
            return array.reshape(-1, field.width) if field.width else array
        texts = {number: memoryview(one.data) for number, one in loose.items() if isinstance(one, Texts)}
        return Texts(np.frombuffer(made, "<u4"), self._gathered(source, field.sizes, texts))

    def _few(self, was: _Field, source: _Source, sizes: Sequence[int], loose: Mapping[int, Few]) -> Few:
        """A column of few texts, with the codes of :func:`~pipekit.columnar.joined`: by the first block that has a text."""
        import numpy as np

        names = next(one for one in self.head.fields if one.name == was.name).names
        numbers = {name: number for number, name in enumerate(names)}
        new = {n: np.array([*map(numbers.get, one.names), -1], "<i4")[one.codes] for n, one in loose.items()}
        codes: NDArray[np.int32] = np.frombuffer(self._gathered(source, sizes, {n: flat(one) for n, one in new.items()}), "<i4")
        if was.names != names[: len(was.names)]:
            codes = np.array([*(numbers.get(name, -1) for name in was.names), *[-1] * (len(names) + 1)], np.int32)[codes]
            begins = [0, *accumulate(self.head.counts)]
            for number, some in new.items():
                codes[begins[number] : begins[number + 1]] = some
        return Few(codes, tuple(names))

    def _gathered(self, source: _Source, sizes: Sequence[int], loose: Mapping[int, memoryview]) -> bytearray | Mapped:
        """Bytes of all parts: those of the pack, whose blocks have these sizes, and those of the others."""
        ends = list(accumulate(len(loose[n]) if place < 0 else sizes[place] for n, place in enumerate(self.places)))
        folder = self.folder if sum(self.head.counts) >= MANY else None
        made, begins = Placed(ends[-1], folder), [0, *accumulate(sizes)]
        for first, end, part in self.runs:
            size = begins[end] - begins[first]
            if part >= 0:
                made.fill(ends[part] - sizes[first], size, source.into)
            else:
                source.into(memoryview(bytearray(size)))
        for number, data in loose.items():
            made.put(ends[number] - len(data), data)
        return made.whole()


def _runs(parts: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """Neighbours whose numbers follow one another, or are all -1: where they begin and end, and the first number."""
    first, begin, last = -1, 0, -2
    for place, part in enumerate(parts):
        if part == last == -1 or (part >= 0 and part == last + 1 and place > 0 and last >= 0):
            last = part
            continue
        if place:
            yield begin, place, first
        begin, first, last = place, part, part
    yield begin, place + 1, first
