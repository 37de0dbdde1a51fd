"""Columns: values of many samples as arrays, for stages that need a few values of each sample of a whole dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

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
    data: bytes

    @classmethod
    def of(cls, values: Iterable[str]) -> Texts:
        import numpy as np

        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        return cls(np.fromiter(map(len, encoded), np.uint32, len(encoded)), b"".join(encoded))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> str:
        end = self._ends[number]
        return self.data[end - int(self.sizes[number]) : end].decode("utf-8", "surrogatepass")

    def take(self, numbers: Iterable[int]) -> list[str]:
        """The texts with these numbers."""
        return [self[number] for number in numbers]

    def tolist(self) -> list[str]:
        starts = [0, *self._ends[:-1]]
        if self.data.isascii():
            text = self.data.decode("ascii")
            return [text[start:end] for start, end in zip(starts, self._ends, strict=False)]
        return [self.data[start:end].decode("utf-8", "surrogatepass") for start, end in zip(starts, self._ends, strict=False)]

    @cached_property
    def _ends(self) -> list[int]:
        ends: list[int] = self.sizes.cumsum(dtype="int64").tolist()
        return ends


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


def joined(blocks: Sequence[Mapping[str, Column]]) -> dict[str, Column]:
    """Blocks of the same columns, one below the other."""
    import numpy as np

    made: dict[str, Column] = {}
    for name in blocks[0] if blocks else ():
        some: list[Any] = [block[name] for block in blocks]
        if isinstance(some[0], Texts):
            made[name] = Texts(np.concatenate([one.sizes for one in some]), b"".join(one.data for one in some))
        elif isinstance(some[0], Few):
            made[name] = _joined_few(some)
        else:
            made[name] = np.concatenate(some)
    return made


def columns_of_rows(rows: Sequence[Any], make: MakeColumns, params: Any) -> Columns:
    """Columns of rows that are in no index: they are one part."""
    return Columns(dict(make(rows, params)), [len(rows)], lambda part, places: [rows[place] for place in places])


def _joined_few(blocks: Sequence[Few]) -> Few:
    import numpy as np

    distinct = dict.fromkeys(block.names for block in blocks)
    numbers = {text: number for number, text in enumerate(dict.fromkeys(chain.from_iterable(distinct)))}
    maps = {names: np.array([*(numbers[text] for text in names), -1], np.int32) for names in distinct}
    same = {names for names, codes in maps.items() if codes.tolist() == [*range(len(names)), -1]}
    return Few(
        np.concatenate([block.codes if block.names in same else maps[block.names][block.codes] for block in blocks]),
        tuple(numbers),
    )


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


def to_bytes(columns: Mapping[str, Column]) -> bytes:
    """Columns as bytes: a line of JSON that lists them, and their values."""
    head: list[Any] = []
    pieces: list[bytes] = []
    for name, column in columns.items():
        if isinstance(column, Texts):
            head.append([name, "texts", len(column.sizes), len(column.data)])
            pieces += [column.sizes.astype("<u4").tobytes(), column.data]
        elif isinstance(column, Few):
            head.append([name, "few", len(column.codes), column.names])
            pieces.append(column.codes.astype("<i4").tobytes())
        else:
            head.append([name, column.dtype.str, *column.shape])
            pieces.append(column.tobytes())
    return json.dumps(head, separators=(",", ":")).encode("ascii") + b"\n" + b"".join(pieces)


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
    """
    made = getattr(rows, "columns", None)
    return made(make, params) if made is not None else columns_of_rows(list(rows), make, params)
