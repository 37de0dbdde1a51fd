"""Opens the index in a folder as a dataset: its samples, columns and failures are read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from pipekit.columnar import Columns, MakeColumns
from pipekit.contract import Dataset, Failure, Sample
from pipekit.engine.columns import PartSource, function_key, kept_columns
from pipekit.engine.sources import Handed
from pipekit.store.locations import Locations
from pipekit.store.parts import FAILED, first_rows, read_index, sorted_rows
from pipekit.store.rows import from_row, read_lines
from pipekit.store.store import Store

MOST_FIRST = 1000
"""Number of first samples up to which they are kept in memory."""


def open_dataset(
    kind: type[Dataset],
    path: Path,
    digest: str,
    meta: Mapping[str, Any],
    locations: Locations,
    store: Store | None = None,
    handed: Handed | None = None,
    whose: Sequence[str] = (),
) -> Dataset:
    """Open the index in a folder as a dataset.

    Args:
        store: the run's own, which reports damage.
        handed: receives the samples that a stage gets.
        whose: the pipeline and its stage that made the dataset, see :func:`pipekit.engine.columns.kept_columns`.
    """
    told = Handed() if handed is None else handed

    def samples(folder: Path) -> Iterator[Sample]:
        return told.each(sorted_samples(folder))

    def sorted_samples(folder: Path) -> Iterator[Sample]:
        with Store(locations.store).scratch() as scratch:
            for row in sorted_rows(locations.store, read_index(folder), scratch):
                yield from_row(locations.unpack_row(row))

    firsts: dict[tuple[Path, int], list[Sample]] = {}  # several checks and stages ask for the same ones

    def first(folder: Path, count: int) -> Iterator[Sample]:
        known = firsts.get((folder, count))
        if known is None:
            rows = first_rows(locations.store, read_index(folder), count)
            known = [from_row(locations.unpack_row(row)) for row in rows]
            if count <= MOST_FIRST:
                firsts.clear()
                firsts[folder, count] = known
        return iter(told.some(known))

    def failures(folder: Path) -> Iterator[Failure]:
        rows = read_lines(folder / FAILED)
        return (
            Failure(row["id"], row["reason"], locations.unpack(row.get("image", "")), row.get("part_of", "")) for row in rows
        )

    in_use: WeakValueDictionary[tuple[Path, str], Columns] = WeakValueDictionary()

    def columns(folder: Path, make: MakeColumns, params: Any) -> Columns:
        asked = folder, function_key(make, params)
        found = in_use.get(asked)
        if found is None:  # else a stage has them, and one of its functions needs them too
            sources = (PartSource(locations.store, part, locations) for part in read_index(folder))
            of_project = (str(locations.project), *whose) if whose else ()
            found = kept_columns(Store(locations.store) if store is None else store, sources, make, params, of_project)
            read = found.read
            found = in_use[asked] = replace(found, read=lambda part, places: told.some(read(part, places)))
        return told.columns(found)

    made = kind(path, digest, meta, samples, failures, columns, first)
    told.watched[id(made)] = made
    return made
