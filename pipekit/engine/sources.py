"""Sources that change while a run reads them: nothing that was made of their new bytes may be kept under their old hash.

Files are hashed when a run begins and read later. A file whose ctime is younger than the run is hashed once more after it was
read; all others cost one ``stat``. Workers check the samples that they are given. A stage can itself only have read
those whose paths it got (:class:`Handed`): one that works on columns got few.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from pipekit.columnar import Column, Columns, Few, Texts, makes_columns
from pipekit.contract import Dataset, Sample
from pipekit.errors import StageError
from pipekit.files import hash_file, split_packed
from pipekit.files.buffers import release
from pipekit.store.locations import IN_STORE, Locations, replace_root
from pipekit.store.parts import read_index, rows_of
from pipekit.store.wholeness import guard

SLACK_NS = 10**9
"""Files that changed less than this before the run began are hashed too: clocks of file systems are coarse."""

HINT = "Nothing that was made of it is kept. Run the same command again when it no longer changes."


def check_source(path: str, sha256: str, began_ns: int) -> None:
    """Whether a file still is what it was when the run began. A file in a store, or without a known hash, passes.

    Raises:
        StageError: it has changed, or is gone.
    """
    if not path or not sha256 or not began_ns or split_packed(path) is not None or guard.place_of(path) is not None:
        return
    since = began_ns - SLACK_NS
    try:
        if os.stat(path).st_ctime_ns >= since and hash_file(path) != sha256:  # noqa: PTH116 (done for every image)
            raise StageError(f"{path} changed while this run was reading it", HINT)
    except OSError as error:
        if _changed_since(Path(path).parent, since):  # else it was not there before
            raise StageError(f"{path} was there when this run began, and can't be read now: {error.strerror}", HINT) from error


def check_row(row: Mapping[str, Any], began_ns: int) -> None:
    """:func:`check_source` for the image and the mask of a row."""
    check_source(row["image"], row.get("sha256", ""), began_ns)
    targets = row.get("targets", {})
    check_source(targets.get("mask", ""), targets.get("mask_sha256", ""), began_ns)


class Handed:
    """The samples whose paths a stage got, so that it may have read their files.

    Attributes:
        everything: all samples of its inputs, or unknown ones.
        samples: those that it asked for one by one, by the path of the image.
        watched: the datasets that report here, by their object's number.
    """

    def __init__(self) -> None:
        self.everything, self.samples = False, dict[str, Sample]()
        self.watched: WeakValueDictionary[int, Dataset] = WeakValueDictionary()

    def each(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        """Pass all samples of a dataset on."""
        self.everything = True
        yield from samples

    def some(self, samples: Iterable[Sample]) -> list[Sample]:
        """Pass some samples of a dataset on."""
        listed = list(samples)
        self.samples.update((sample.image, sample) for sample in listed if isinstance(sample, Sample))
        return listed

    def columns(self, found: Columns) -> Columns:
        """Pass columns on. With a column of paths, a stage may read any file."""
        self.everything = self.everything or os.name == "nt" or any(map(_has_paths, found.values()))
        return found

    @contextlib.contextmanager
    def to_one_stage(self) -> Iterator[None]:
        """Begin anew for a stage; what a variant that another stage asks for got, that one may know too."""
        before = self.everything, self.samples
        self.everything, self.samples = False, {}
        try:
            yield
        finally:
            self.everything, self.samples = self.everything or before[0], before[1] | self.samples


def _has_paths(column: Any) -> bool:
    """Whether texts of a column begin like a path: absolute, or as it is stored."""
    if isinstance(column, Few):
        return any(name.startswith(("/", "@")) for name in column.names)
    if not isinstance(column, Texts) or not column.data:
        return False
    import numpy as np

    octets, end, found = np.frombuffer(column.data, np.uint8), 0, False
    for begin in range(0, len(column), AT_ONCE):
        sizes = column.sizes[begin : begin + AT_ONCE]
        ends = end + sizes.cumsum(dtype="int64")
        found = found or bool(np.isin(octets[(ends - sizes)[sizes > 0]], (ord("/"), ord("@"))).any())
        end = int(ends[-1])
        release(column.data)
    return found


AT_ONCE = 100_000
"""Number of texts that are compared at once."""


def check_sources(inputs: Mapping[str, Any], began_ns: int, locations: Locations, handed: Handed) -> None:
    """:func:`check_source` for the images and masks of the datasets among a stage's inputs that the stage may have read."""
    datasets = list(_datasets(inputs))
    if handed.everything or not all(handed.watched.get(id(one)) is one for one in datasets):
        _check_all(datasets, began_ns, locations)
        return
    for sample in handed.samples.values():
        check_source(sample.image, sample.sha256, began_ns)
        check_source(sample.targets.mask, sample.targets.mask_sha256, began_ns)


def _check_all(datasets: Iterable[Dataset], began_ns: int, locations: Locations) -> None:
    """:func:`check_source` for all images and masks of datasets.

    Their paths are read as columns, without those in the store: a large dataset takes little more than a ``stat`` for each of
    its files. Only of parts with a file that is younger than the run are the rows read.
    """
    since = began_ns - SLACK_NS
    for dataset in datasets:
        parts, files = read_index(dataset.path), dataset.columns(source_columns)
        folders, paths, begin = _Folders(locations), files["path"].tolist(), 0
        for part, count in zip(parts, files.counts, strict=True):
            if not all(_is_older(folders.unpack(path), since) for path in paths[begin : begin + count] if path):
                for row in rows_of(locations.store, part):
                    check_row(locations.unpack_row(row), began_ns)
            begin += count


@makes_columns()
def source_columns(samples: Sequence[Sample], params: Any) -> dict[str, Column]:
    """The packed path of each file outside the store that samples consist of; "" for one in the store."""
    paths = (path for sample in samples for path in (sample.image, sample.targets.mask))
    return {"path": Texts.of("" if path.startswith(IN_STORE) else path for path in paths)}


class _Folders:
    """Unpacks paths as :meth:`Locations.unpack`, most of which lie in folders that have been unpacked before."""

    def __init__(self, locations: Locations) -> None:
        self._locations, self._known = locations, dict[str, str]()
        self._moves = [*locations.moved.items(), *((place, folder) for folder, place in locations.becomes.items())]

    def unpack(self, path: str) -> str:
        folder, slash, name = path.rpartition("/")
        if not slash:
            return self._locations.unpack(path)
        known = self._known.get(folder)
        if known is None:
            known = self._known[folder] = self._place_of(folder + slash)
        return known + name if known else self._locations.unpack(path)

    def _place_of(self, folder: str) -> str:
        """Where a folder's files are; "" if one of them may have moved by itself."""
        place = Locations(self._locations.store, self._locations.project).unpack(folder)
        for old, new in self._moves:
            if os.path.dirname(old) + os.sep == place:  # noqa: PTH120
                return ""
            place = replace_root(place, old, new)
        return place


def _is_older(path: str, since_ns: int) -> bool:
    """Whether a file is there and has not changed since; of any other :func:`check_row` says what it means."""
    try:
        return os.stat(path).st_ctime_ns < since_ns  # noqa: PTH116 (done for every image)
    except (OSError, ValueError):
        return False


def _datasets(inputs: Mapping[str, Any]) -> Iterator[Dataset]:
    """The datasets among the inputs, each once."""
    found = (one for value in inputs.values() for one in (value if isinstance(value, tuple) else (value,)))
    return iter({one.path: one for one in found if isinstance(one, Dataset)}.values())


def _changed_since(folder: Path, since_ns: int) -> bool:
    """Whether a folder, or the nearest one above that is there, has changed."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return folder.stat().st_ctime_ns >= since_ns
    except OSError:
        return False
