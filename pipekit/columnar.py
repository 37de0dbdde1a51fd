"""Columns: values of many samples as arrays, for stages that need a few values of each sample of a whole dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from pipekit.files.buffers import MANY, Folder, Growing, Mapped, release

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of texts: their UTF-8 bytes in one piece, and the size of each.

    >>> Texts.of(["cat", "", "dog"]).tolist()
    ['cat', '', 'dog']
    """

    sizes: NDArray[np.uint32]
    data: bytes | bytearray | Mapped

    @classmethod
    def of(cls, values: Iterable[str]) -> Texts:
        import numpy as np

        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        return cls(np.fromiter(map(len, encoded), np.uint32, len(encoded)), b"".join(encoded))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> str:
        end = int(self._ends[number])
        return self._reader(end - int(self.sizes[number]), end).decode("utf-8", "surrogatepass")

    @property
    def _reader(self) -> Callable[[int, int], bytes | bytearray]:
        """Reads the bytes between two places."""
        data = self.data
        return data.piece if isinstance(data, Mapped) else lambda begin, end: data[begin:end]

    def take(self, numbers: Iterable[int]) -> list[str]:
        """The texts with these numbers."""
        return [self[number] for number in numbers]

    def tolist(self) -> list[str]:
        ends: list[int] = self._ends.tolist()
        starts = [0, *ends[:-1]]
        data = self.data[:] if isinstance(self.data, Mapped) else self.data
        if data.isascii():
            text = data.decode("ascii")
            return [text[start:end] for start, end in zip(starts, ends, strict=False)]
        return [data[start:end].decode("utf-8", "surrogatepass") for start, end in zip(starts, ends, strict=False)]

    def sorted_order(self) -> NDArray[np.int64]:
        """The numbers of the texts in the order in which Python sorts them, without an object for each text.

        UTF-8 sorts like the code points. Eight bytes of all texts are compared first, then the next eight of those that are
        equal so far: of many, some groups of equal ones after the others.
        """
        import numpy as np

        order = np.arange(len(self))
        # Places in `order` of texts that are equal to another one up to a byte, group by group; the group of each; that byte.
        waiting = [(np.arange(len(self), dtype=np.int32), np.zeros(len(self), np.int32), 0)] if len(self) else []
        while waiting:
            tied, group, at = waiting.pop()
            some = order[tied]
            word, left = self._words(some, at)
            sorting = np.lexsort((left, word, group))  # of texts that differ in zero bytes at the end, the shorter is first
            order[tied] = some[sorting]
            group, word, left = group[sorting], word[sorting], left[sorting]
            same = (np.diff(group) == 0) & (np.diff(word) == 0) & (left[1:] == 8) & (left[:-1] == 8)
            del some, sorting, word, left
            starts_new = np.concatenate([[True], ~same])
            kept = np.concatenate([same, [False]]) | ~starts_new
            group, tied = np.cumsum(starts_new, dtype=np.int32)[kept], tied[kept]
            waiting += [(tied[begin:end], group[begin:end], at + 8) for begin, end in _runs(group)]
        release(self.data)
        return order

    def _words(self, numbers: NDArray[np.int64], at: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
        """Eight bytes of each text from a byte on as a number, zeros behind its end; and how many of them are its own."""
        import numpy as np

        data = self.data if len(self.data) >= 8 else bytes(self.data) + bytes(8)
        last = len(data) - 8
        words = np.ndarray((last + 1,), ">u8", data, strides=(1,))  # eight bytes from each byte on
        found, own = np.empty(len(numbers), np.uint64), np.empty(len(numbers), np.uint8)
        for begin in range(0, len(numbers), _SORTED_AT_ONCE):
            some = numbers[begin : begin + _SORTED_AT_ONCE]
            left = np.clip(self.sizes[some] - np.int64(at), 0, 8)
            start = self._ends[some] - self.sizes[some] + at
            place = np.minimum(start, last)
            behind = np.minimum(8 * (start - place), 56).astype(np.uint64)  # more only if no byte is left
            spare = (8 * np.maximum(8 - left, 1)).astype(np.uint64)  # a shift by 64 bits is not defined
            word = words[place].astype(np.uint64) << behind
            found[begin : begin + len(some)] = np.where(left == 8, word, np.where(left == 0, 0, word >> spare << spare))
            own[begin : begin + len(some)] = left
        return found, own

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return self.sizes.cumsum(dtype="int64")


class Chosen(Sequence[str]):
    """Some texts of a column, each made when it is asked for: a list of a million takes 80 MB."""

    def __init__(self, texts: Texts, numbers: NDArray[np.int64]) -> None:
        self._texts, self._numbers = texts, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Chosen: ...
    def __getitem__(self, number: int | slice) -> str | Chosen:
        if isinstance(number, slice):
            return Chosen(self._texts, self._numbers[number])
        return self._texts[int(self._numbers[number])]

    def __iter__(self) -> Iterator[str]:
        read, ends = self._texts._reader, self._texts._ends
        for at in range(0, len(self), _AT_ONCE):
            some = self._numbers[at : at + _AT_ONCE]
            last = ends[some]
            for start, end in zip((last - self._texts.sizes[some]).tolist(), last.tolist(), strict=True):
                yield read(start, end).decode("utf-8", "surrogatepass")


_AT_ONCE = 10_000
"""Number of texts whose places are objects at once."""

_SORTED_AT_ONCE = 1 << 16
"""Number of texts from which groups of them are sorted one after the other."""


def _runs(group: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """Where whole groups of ascending numbers, as many as are sorted at once, begin and end; one group may be larger."""
    import numpy as np

    begin = 0
    while begin < len(group):
        end = begin + _SORTED_AT_ONCE
        end = len(group) if end >= len(group) else int(np.searchsorted(group, group[end - 1], side="right"))
        yield begin, end
        begin = end


@dataclass(frozen=True, eq=False)
class Few:
    """A column of texts with few different values, such as labels: ``names[codes[i]]``, or None where the code is -1.

    >>> Few.of(["cat", None, "cat"]).tolist()
    ['cat', None, 'cat']
    """

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Iterable[str | None]) -> Few:
        import numpy as np

        numbers: dict[str, int] = {}
        codes = [-1 if value is None else numbers.setdefault(value, len(numbers)) for value in values]
        return cls(np.array(codes, np.int32), tuple(numbers))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, which: Any) -> Few:
        """Some rows, as of an array."""
        return Few(self.codes[which], self.names)

    def tolist(self) -> list[str | None]:
        names = (*self.names, None)  # code -1 is the last one
        return [names[code] for code in self.codes.tolist()]


Column: TypeAlias = "NDArray[Any] | Texts | Few"
"""One value for each row: an array (of one dimension or two), or texts."""

MakeColumns: TypeAlias = Callable[[Sequence[Any], Any], Mapping[str, Column]]
"""``make(rows, params) -> {name: column}``, marked with :func:`makes_columns`."""


@dataclass(frozen=True, eq=False)
class Columns(Mapping[str, Any]):
    """Columns of many rows, which were made of one part of the rows after another.

    The rows are in the order of the parts, and within a part in the order of their ids.

    Attributes:
        columns: by name.
        counts: the number of rows of each part.
        read: reads some rows of a part again, by their places in it.
    """

    columns: Mapping[str, Column]
    counts: Sequence[int]
    read: Callable[[int, Sequence[int]], Sequence[Any]] = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def num_rows(self) -> int:
        return sum(self.counts)

    def rows(self, numbers: Iterable[int]) -> dict[int, Any]:
        """The rows with these numbers; only the parts that hold them are read."""
        import numpy as np

        ends = np.cumsum(self.counts)
        wanted: dict[int, list[int]] = {}
        for number in numbers:
            wanted.setdefault(int(np.searchsorted(ends, number, side="right")), []).append(number)
        found: dict[int, Any] = {}
        for part, some in wanted.items():
            begin = int(ends[part]) - self.counts[part]
            found.update(zip(some, self.read(part, [number - begin for number in some]), strict=True))
        return found


@dataclass(frozen=True, eq=False)
class Revision:
    """New values for samples of a dataset, in the order of its columns; for :meth:`pipekit.contract.Context.revise`.

    Called with an id, it returns the changes to that sample.

    Attributes:
        ids: of all samples.
        counts: the number of samples of each part of the dataset.
        fields: ``label`` or ``split`` -> texts, ``extra.<name>`` -> whole numbers; -1 (also as a code) changes nothing.
        keep: ``(N,) bool``, False for a sample to leave out; None keeps all.
    """

    ids: Texts
    counts: Sequence[int]
    fields: Mapping[str, Few | NDArray[np.int64]]
    keep: NDArray[np.bool_] | None = None

    def __call__(self, identity: str) -> dict[str, Any] | None:
        number = self._numbers.get(identity)
        return None if number is None else self.change(number)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {identity: number for number, identity in enumerate(self.ids.tolist())}

    def change(self, number: int) -> dict[str, Any] | None:
        """The changes to one sample; None if it is left out."""
        if self.keep is not None and not self.keep[number]:
            return None
        changes: dict[str, Any] = {}
        for name, values in self.fields.items():
            value = int((values.codes if isinstance(values, Few) else values)[number])
            if value >= 0 and isinstance(values, Few):
                changes[name] = values.names[value]
            elif value >= 0:
                changes.setdefault("extra", {})[name.removeprefix("extra.")] = value
        return changes

    def of_part(self, begin: int, end: int) -> bytes:
        """All that the changes to a part depend on."""
        pieces = [b"" if self.keep is None or self.keep[begin:end].all() else self.keep[begin:end].tobytes()]
        for name, values in self.fields.items():
            names = values.names if isinstance(values, Few) else ()
            pieces.append(repr((name, names)).encode("utf-8", "surrogatepass"))
            pieces.append((values.codes if isinstance(values, Few) else values)[begin:end].tobytes())
        return b"".join(b"%d:%b" % (len(piece), piece) for piece in pieces)


def joined(blocks: Iterable[Mapping[str, Column]], folder: Folder | None = None) -> dict[str, Column]:
    """Blocks of the same columns, one below the other. Each may go when the next one comes: memory holds one more.

    Args:
        folder: see :class:`Joined`.
    """
    made = Joined(folder)
    for block in blocks:
        made.add(block)
    return made.columns()


class Joined:
    """Collects blocks of the same columns, one below the other.

    Args:
        folder: on its disk, columns of many rows are files without a name, which are mapped; None: all are in memory.
    """

    def __init__(self, folder: Folder | None = None) -> None:
        self._folder, self._num_rows, self._num_waiting = folder, 0, 0
        self._waiting: list[Mapping[str, Column]] = []
        self._columns: dict[str, _Joined] = {}

    def add(self, block: Mapping[str, Column]) -> None:
        self._waiting.append(block)
        self._num_waiting += len(next(iter(block.values()))) if block else 0
        if len(self._waiting) == AT_ONCE or self._num_waiting >= ROWS_AT_ONCE:
            self._join()

    def _join(self) -> None:
        for name, column in self._waiting[0].items() if self._waiting else ():
            self._columns.setdefault(name, _Joined(column)).add([block[name] for block in self._waiting])
        self._num_rows, self._num_waiting = self._num_rows + self._num_waiting, 0
        if self._folder is not None and self._num_rows >= MANY:
            for joined_column in self._columns.values():
                joined_column.move_to(self._folder)
        self._waiting.clear()

    def columns(self) -> dict[str, Column]:
        self._join()
        return {name: column.whole() for name, column in self._columns.items()}


AT_ONCE, ROWS_AT_ONCE = 256, 50_000
"""Number of blocks that are joined at once, which takes half the time of one at a time; or of their rows."""


class _Joined:
    """A column of blocks, in buffers that grow where they are."""

    def __init__(self, first: Column) -> None:
        self._first, self._numbers, self._data = first, Growing(), Growing()
        self._texts: dict[str, int] = {}
        self._maps: dict[tuple[str, ...], NDArray[np.int32] | None] = {}

    def add(self, some: Sequence[Any]) -> None:
        import numpy as np

        if isinstance(self._first, Texts):
            self._data.add(b"".join(one.data for one in some))
            arrays = [one.sizes for one in some]
        else:
            arrays = [self._codes(one) for one in some] if isinstance(self._first, Few) else list(some)
        self._numbers.add(np.concatenate(arrays).data)

    def move_to(self, folder: Folder) -> None:
        """Collect the column in files from now on."""
        self._numbers.move_to(folder)
        if isinstance(self._first, Texts):
            self._data.move_to(folder)

    def _codes(self, column: Few) -> NDArray[np.int32]:
        """The codes of a block among all texts so far."""
        import numpy as np

        if column.names not in self._maps:
            if len(self._maps) == MOST_MAPS:
                self._maps.clear()
            codes = [self._texts.setdefault(name, len(self._texts)) for name in column.names]
            self._maps[column.names] = None if codes == [*range(len(codes))] else np.array([*codes, -1], np.int32)
        translated = self._maps[column.names]
        return column.codes if translated is None else translated[column.codes]

    def whole(self) -> Column:
        import numpy as np

        numbers = self._numbers.whole()
        if isinstance(self._first, Texts):
            return Texts(np.frombuffer(numbers, np.uint32), self._data.whole())
        if isinstance(self._first, Few):
            return Few(np.frombuffer(numbers, np.int32), tuple(self._texts))
        return np.frombuffer(numbers, self._first.dtype).reshape(-1, *self._first.shape[1:])


MOST_MAPS = 256
"""Number of lists of names whose codes are kept. At a hundred classes, hardly two blocks have the same list."""


def columns_of_rows(rows: Sequence[Any], make: MakeColumns, params: Any) -> Columns:
    """Columns of rows that are in no index: they are one part."""
    return Columns(dict(make(rows, params)), [len(rows)], lambda part, places: [rows[place] for place in places])


def distinct(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct values of an array of one dimension in ascending order, the first index of each, and how often it is there.

    ``numpy.unique`` finds the same, and imports ``numpy.ma``, which takes longer than it.
    """
    import numpy as np

    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(values) else order
    return ordered[starts], order[starts], np.diff(np.append(starts, len(values)))


def short_hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    """The first 128 bits of the SHA-256 of each text, ``(N, 2) uint64``; 0 for an empty one."""
    import numpy as np

    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    data = b"".join(hashlib.sha256(text).digest()[:16] if text else bytes(16) for text in encoded)
    return np.frombuffer(data, "<u8").reshape(len(encoded), 2)


def to_bytes(columns: Mapping[str, Column], before: bytes = b"") -> bytes:
    """Columns as bytes: a line of JSON that lists them, and their values. Memory holds the columns and the result.

    Args:
        before: bytes to begin with.
    """
    return b"".join(pieces_of(columns, before))


def pieces_of(columns: Mapping[str, Column], before: bytes = b"") -> list[Any]:
    """:func:`to_bytes` in pieces."""
    head: list[Any] = []
    pieces: list[Any] = []
    for name, column in columns.items():
        if isinstance(column, Texts):
            head.append([name, "texts", len(column.sizes), len(column.data)])
            pieces += [flat(column.sizes.astype("<u4", copy=False)), column.data]
        elif isinstance(column, Few):
            head.append([name, "few", len(column.codes), column.names])
            pieces.append(flat(column.codes.astype("<i4", copy=False)))
        else:
            head.append([name, column.dtype.str, *column.shape])
            pieces.append(flat(column))
    return [before, json.dumps(head, separators=(",", ":")).encode("ascii"), b"\n", *pieces]


def flat(array: NDArray[Any]) -> memoryview:
    """The bytes of an array; they are copied only if they do not lie one after the other."""
    import numpy as np

    octets: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(octets)


def from_bytes(data: bytes) -> dict[str, Column]:
    """What :func:`to_bytes` was given. Arrays are views of ``data``."""
    import numpy as np

    at = data.index(b"\n") + 1
    columns: dict[str, Column] = {}
    for name, kind, length, *more in json.loads(data[:at]):
        if kind == "texts":
            sizes = np.frombuffer(data, "<u4", length, at)
            at += 4 * length
            columns[name] = Texts(sizes, data[at : at + more[0]])
            at += more[0]
        elif kind == "few":
            columns[name] = Few(np.frombuffer(data, "<i4", length, at), tuple(more[0]))
            at += 4 * length
        else:
            count = length * (more[0] if more else 1)
            array = np.frombuffer(data, kind, count, at)
            columns[name] = array.reshape(length, more[0]) if more else array
            at += array.nbytes
    return columns


def makes_columns(*, version: int = 1) -> Callable[[F], F]:
    """Mark a function ``make(rows, params)`` that makes columns of the rows of one part of a dataset, see :func:`columns_of`.

    They are kept in the store. Raise ``version`` when the function makes other columns of the same rows.
    """

    def mark(function: F) -> F:
        function.__pipekit_columns__ = version  # type: ignore[attr-defined]
        return function

    return mark


def columns_of(rows: Iterable[Any], make: MakeColumns, params: Any = None) -> Columns:
    """Columns of a dataset, of what :meth:`pipekit.contract.Context.map` returns, or of any other rows.

    A stage that needs a few values of each row, and not the rows, reads them so. ``make(rows, params)`` is called for new and
    changed parts of the dataset alone, and what it makes is kept as arrays, which are read in a hundredth of the time of rows.
    Those of a dataset are read-only: copy what is to be changed.
    """
    made = getattr(rows, "columns", None)
    return made(make, params) if made is not None else columns_of_rows(list(rows), make, params)
