"""Rows: samples as JSON lines. Write them, sort them on disk, resolve their locations, and hash them.

A row is a compact JSON object with sorted keys; default values are omitted. It has two parts:

* the *content*: id, sha256, label, split, targets, extra. Keys and digests are computed from it;
* the *location*: the paths of the image and the mask. They are stored in a form that survives moving the project, see
  :class:`Locations`, and are part of no key and no digest.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, TextIO

from pipekit.contract import NO_TARGETS, Box, Failure, Keypoint, Sample, Targets
from pipekit.errors import UserError
from pipekit.store.locations import Locations, Row
from pipekit.store.wholeness import guard

SPILL_ROWS = 5_000
"""Number of rows sorted in memory before they are written to disk: about 20 MB if they record how an image was made."""

MAX_RUNS = 100
"""Number of sorted files merged at once: a process may have some hundreds of files open."""


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def dumps(value: Any) -> str:
    """Canonical JSON on one line: the same value gives the same text everywhere."""
    return _ENCODER.encode(value)


def digest(*parts: str) -> str:
    """SHA-256 of texts, each with its length, as hex."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        found.update(f"{len(data)}:".encode())
        found.update(data)
    return found.hexdigest()


# --- samples and rows ----------------------------------------------------------------------------------------------------


def to_row(sample: Sample) -> Row:
    row: Row = {"id": sample.id, "image": sample.image}
    if sample.sha256:
        row["sha256"] = sample.sha256
    if sample.label is not None:
        row["label"] = sample.label
    if sample.split:
        row["split"] = sample.split
    if sample.targets != NO_TARGETS:
        row["targets"] = _targets_to_plain(sample.targets)
    if sample.extra:
        row["extra"] = dict(sample.extra)
    return row


def _targets_to_plain(targets: Targets) -> Row:
    plain: Row = {}
    if targets.mask:
        plain["mask"] = targets.mask
        plain["mask_sha256"] = targets.mask_sha256
    if targets.boxes:
        plain["boxes"] = [
            [b.x_min, b.y_min, b.x_max, b.y_max, b.label, *([b.outline] if b.outline else [])] for b in targets.boxes
        ]
    if targets.keypoints:
        plain["keypoints"] = [[k.x, k.y, k.label, k.visible, *([] if k.of is None else [k.of])] for k in targets.keypoints]
    return plain


def from_row(row: Mapping[str, Any]) -> Sample:
    targets = NO_TARGETS
    if plain := row.get("targets"):
        targets = Targets(
            plain.get("mask", ""),
            plain.get("mask_sha256", ""),
            tuple(Box(*box[:5], *(tuple(map(tuple, part)) for part in box[5:])) for box in plain.get("boxes", ())),
            tuple(Keypoint(*point) for point in plain.get("keypoints", ())),
        )
    return Sample(
        row["id"],
        row["image"],
        row.get("sha256", ""),
        row.get("label"),
        row.get("split", ""),
        targets,
        row.get("extra", {}),
    )


def content(row: Mapping[str, Any]) -> str:
    """The row as text without its location: the part that identifies it."""
    kept = {name: value for name, value in row.items() if name != "image"}
    if "mask" in kept.get("targets", ()):
        kept["targets"] = {name: value for name, value in kept["targets"].items() if name != "mask"}
    return dumps(kept)


def texts(row: Mapping[str, Any]) -> tuple[str, str]:
    """``content(row), dumps(row)``; the common part is encoded only once."""
    if "mask" in row.get("targets", ()):
        return content(row), dumps(row)
    first = dumps({name: value for name, value in row.items() if name < "image"})[:-1]
    last = dumps({name: value for name, value in row.items() if name > "image"})[1:]
    if last != "}":
        last = f",{last}"
    return f"{first}{last}", f'{first},"image":{encode_basestring(row["image"])}{last}'


# --- files of rows -------------------------------------------------------------------------------------------------------


def read_lines(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file, one at a time. A file of a store is compared with its hash first, so that no row is wrong.

    Raises:
        DamagedError: the file is in a store, and its bytes have changed.
    """
    guard.check_file(os.fspath(path))  # a thirtieth of the time that decoding takes
    with path.open("rb") as lines:
        for line in lines:
            yield json.loads(line.decode("utf-8", "surrogatepass"))


class Sorter:
    """External merge sort of (key, row) pairs in constant memory. Rows are encoded only when a sorted run goes to disk."""

    def __init__(self, folder: Path, spill: int = SPILL_ROWS) -> None:
        self._folder = folder
        self._spill = spill
        self._pairs: list[tuple[str, Row]] = []
        self._runs: list[Path] = []

    def add(self, key: str, row: Row) -> None:
        self._pairs.append((key, row))
        if len(self._pairs) >= self._spill:
            self._flush()

    def _flush(self) -> None:
        self._pairs.sort(key=_key)
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".run")
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as run:
            run.writelines(f"{json.dumps(key)}\t{dumps(row)}\n" for key, row in self._pairs)
        self._runs.append(Path(name))
        self._pairs = []
        if len(self._runs) >= MAX_RUNS:
            self._runs = [self._merged()]

    def _merged(self) -> Path:
        """Merge all files into one."""
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".run")
        with ExitStack() as stack:
            files = [stack.enter_context(run.open(encoding="utf-8", errors="surrogatepass")) for run in self._runs]
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as out:
                out.writelines(heapq.merge(*files, key=_key_of_line))
        for run in self._runs:
            run.unlink()
        return Path(name)

    def __bool__(self) -> bool:
        return bool(self._pairs or self._runs)

    def __iter__(self) -> Iterator[tuple[str, Row]]:
        """Yield the pairs in the order of their keys. The runs on disk are removed at the end."""
        self._pairs.sort(key=_key)
        if not self._runs:
            yield from self._pairs
            return
        with ExitStack() as stack:
            files = [stack.enter_context(run.open(encoding="utf-8", errors="surrogatepass")) for run in self._runs]
            try:
                yield from heapq.merge(self._pairs, *(self._pairs_of(file) for file in files), key=_key)
            finally:
                for run in self._runs:
                    run.unlink(missing_ok=True)

    @staticmethod
    def _pairs_of(file: TextIO) -> Iterator[tuple[str, Row]]:
        for line in file:
            key, _, text = line.partition("\t")
            yield json.loads(key), json.loads(text)


def _key(pair: tuple[str, Row]) -> str:
    return pair[0]


def _key_of_line(line: str) -> str:
    key: str = json.loads(line.partition("\t")[0])
    return key


class Tally:
    """Collects a dataset's ``meta``: the number of samples, the classes, and the counts per split and class."""

    def __init__(self) -> None:
        self.num_samples = 0
        self.counts: dict[str, dict[str, int]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        self.num_samples += 1
        of_split = self.counts.setdefault(row.get("split", ""), {})
        label = row.get("label")
        if label is not None:
            of_split[label] = of_split.get(label, 0) + 1

    def meta(self) -> dict[str, Any]:
        classes = sorted({label for of_split in self.counts.values() for label in of_split})
        return {
            "num_samples": self.num_samples,
            "classes": classes,
            "counts": {split: dict(sorted(of.items())) for split, of in sorted(self.counts.items())},
        }


class _Index:
    """A file of rows in the order of their ids, with their digest and statistics."""

    def __init__(self, path: Path) -> None:
        self.tally, self.hashed, self.uses = Tally(), hashlib.sha256(), set[str]()
        self._last: str | None = None
        self._file = path.open("w", encoding="utf-8", errors="surrogatepass")

    def is_next(self, row: Row) -> bool:
        """Whether a row can be appended: False if it belongs before one that is written already."""
        return self._last is None or row["id"] >= self._last

    def add(self, row: Row) -> None:
        identity = row["id"]
        if identity == self._last:
            raise UserError(f"two samples have the id {identity!r}", "Ids must be unique within a dataset.")
        self._last = identity
        self.tally.add(row)
        for path in (row["image"], row.get("targets", {}).get("mask", "")):
            if path.startswith("@store/"):
                self.uses.add("/".join(path.split("/", 4)[1:4]))
        identified, line = texts(row)
        self.hashed.update(f"{identified}\n".encode("utf-8", "surrogatepass"))
        self._file.write(f"{line}\n")

    def __enter__(self) -> _Index:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def write_index(
    folder: Path, rows: Iterable[Row], failed: Iterable[Failure], locations: Locations, scratch: Path
) -> tuple[str, dict[str, Any], list[str]]:
    """Write ``rows.jsonl`` and ``failed.jsonl``, sorted by id, into ``folder``.

    Returns:
        the digest of the contents (the same for any order in which rows came), the ``meta`` of the dataset, and the folders
        of the store that hold files of its rows (``shards/ab/abcd…``).

    Raises:
        UserError: two rows have the same id.
    """
    later = Sorter(scratch / "later")
    with _Index(folder / "rows.jsonl") as index:
        for row in map(locations.pack_row, rows):
            if index.is_next(row):
                index.add(row)
            else:
                later.add(row["id"], row)
    if later:
        scratch.mkdir(parents=True, exist_ok=True)
        first = (folder / "rows.jsonl").rename(scratch / "first")
        with _Index(folder / "rows.jsonl") as index:
            for _, row in heapq.merge(((row["id"], row) for row in read_lines(first)), later, key=_key):
                index.add(row)
        first.unlink()
    listed = {f.id: f for f in failed}
    with (folder / "failed.jsonl").open("w", encoding="utf-8", errors="surrogatepass") as out:
        for failure in (listed[name] for name in sorted(listed)):
            index.hashed.update(dumps(["failed", failure.id]).encode("utf-8", "surrogatepass") + b"\n")
            out.write(dumps({"id": failure.id, "reason": failure.reason, "image": locations.pack(failure.image)}) + "\n")
    return index.hashed.hexdigest(), {**index.tally.meta(), "num_failed": len(listed)}, sorted(index.uses)
