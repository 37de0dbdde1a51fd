"""Columns of datasets and of the results of ``ctx.map``: what was made of unchanged parts is taken from the store."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.columnar import Column, Columns, Few, MakeColumns, Texts, from_bytes, joined, to_bytes
from pipekit.contract import Params
from pipekit.engine import packs
from pipekit.errors import StageError
from pipekit.registry.release import released_as
from pipekit.store.columns import columns_file, memory_file
from pipekit.store.locations import Locations
from pipekit.store.parts import Part, rows_at, rows_of
from pipekit.store.rows import digest, dumps, from_row
from pipekit.store.store import Store


@dataclass(frozen=True)
class Source:
    """Rows that columns are made of.

    Attributes:
        name: the name of their part or shard.
        identity: all that the rows depend on.
        rows: reads them to make columns. Locations are packed: a row may be moved.
        read: reads some of them for a stage, by their places.
    """

    name: str
    identity: str
    rows: Callable[[], Sequence[Any]]
    read: Callable[[Sequence[int]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class PartSource:
    """The samples of a part of a dataset; as :class:`Source`, in a tenth of its memory: a large dataset has thousands."""

    root: Path
    part: Part
    locations: Locations

    @property
    def name(self) -> str:
        return name_of(self.part.place)

    @property
    def identity(self) -> str:
        return identity_of(self.part)

    def rows(self) -> list[Any]:
        return list(map(from_row, rows_of(self.root, self.part)))

    def read(self, places: Sequence[int]) -> list[Any]:
        return [from_row(self.locations.unpack_row(row)) for row in rows_at(self.root, self.part, places)]


def name_of(place: str) -> str:
    return place.rpartition("/")[2].partition(".")[0]


def identity_of(part: Part | None) -> str:
    """What the rows of a part depend on, their locations included."""
    return "" if part is None else f"{part.place} {identity_of(part.of)}"


def kept_columns(
    store: Store, sources: Iterable[Source | PartSource], make: MakeColumns, params: Params | None, whose: Sequence[str] = ()
) -> Columns:
    """The columns that a function makes of rows; those that are in the store are not made again.

    Args:
        whose: names what the rows are of, in any run: the next one finds a pack of their columns; none: there is no pack.

    Raises:
        StageError: the function is not marked, or makes columns of different lengths.
    """
    function, listed = function_key(make, params), list(sources)
    if not listed:
        return Columns(_made(make, (), params), [], lambda part, places: ())
    files = [columns_file(store.root, source.name, digest(function, source.identity)) for source in listed]

    def block(number: int) -> dict[str, Column]:
        data = store.checked(files[number])
        if data is None:
            data = to_bytes(_made(make, listed[number].rows(), params))
            store.write_checked(files[number], data)
        return from_bytes(data)

    if whose and len(listed) >= packs.PACKED_FROM:
        names = [file.rpartition(os.sep)[2] for file in files]
        columns, counts = packs.packed_columns(store, memory_file(store.root, digest(*whose, function)), names, block)
    else:
        counts = []
        columns = joined(_counted(map(block, range(len(listed))), counts))
    for column in columns.values():
        _protect(column)
    return Columns(columns, counts, lambda part, places: listed[part].read(places))


def _protect(column: Column) -> None:
    """Make the numbers of a column read-only: several stages may be given the same ones."""
    array = column.sizes if isinstance(column, Texts) else column.codes if isinstance(column, Few) else column
    array.flags.writeable = False


def _counted(blocks: Iterable[dict[str, Column]], counts: list[int]) -> Iterator[dict[str, Column]]:
    for block in blocks:
        counts.append(len(next(iter(block.values()))))
        yield block


def _made(make: MakeColumns, rows: Sequence[Any], params: Params | None) -> dict[str, Column]:
    made = dict(make(rows, params))
    lengths = {name: len(column) for name, column in made.items()}
    if len(set(lengths.values())) != 1:
        raise StageError(f"{make!r} must make columns of one length, and made {lengths or 'none'}")
    return made


def function_key(make: MakeColumns, params: Params | None) -> str:
    """What identifies a function that makes columns, with its parameters.

    Raises:
        StageError: it is not at the top of a module, or not marked.
    """
    version = getattr(make, "__pipekit_columns__", None)
    name = getattr(make, "__qualname__", "<unnamed>")
    if version is None or "<" in name or not inspect.isroutine(make):
        raise StageError(
            f"columns can't be kept for {name}",
            "Make them with a function at the top of a module, marked with @pipekit.columnar.makes_columns.",
        )
    plain = {} if params is None else params.model_dump(mode="json")
    releases = released_as(make.__module__)
    plugins = {"plugins": releases} if releases else {}
    return dumps({"function": f"{make.__module__}:{name}", "version": version, "params": plain, **plugins})
