"""Rows: samples as JSON lines. Write them, sort them on disk, resolve their locations, and hash them.

A row is a compact JSON object with sorted keys; default values are omitted. It has two parts:

* the *content*: id, sha256, label, labels, value, split, targets, extra. Keys and digests are computed from it;
* the *location*: the paths of the image and the mask. They are stored in a form that survives moving the project, see
  :class:`Locations`, and are part of no key and no digest.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from pipekit.artifacts import class_order
from pipekit.contract import NO_TARGETS, Box, Keypoint, Sample, Targets
from pipekit.errors import UserError
from pipekit.store.locations import Row
from pipekit.store.wholeness import guard
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, TASKS

SPILL_BYTES = 32_000_000
"""Size of the rows sorted in memory before they are written to disk: 80,000 short ones."""

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
    if sample.labels is not None:
        row["labels"] = list(sample.labels)
    if sample.value is not None:
        row["value"] = sample.value
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
            [
                b.x_min,
                b.y_min,
                b.x_max,
                b.y_max,
                b.label,
                *([b.outline] if b.outline or b.facts else []),
                *([b.facts] if b.facts else []),
            ]
            for b in targets.boxes
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
            tuple(
                Box(*box[:5], *(tuple(map(tuple, outline)) for outline in box[5:6]), *box[6:]) for box in plain.get("boxes", ())
            ),
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
        None if (labels := row.get("labels")) is None else tuple(labels),
        row.get("value"),
    )


def encode(value: Any) -> bytes:
    """Canonical JSON on one line, without the line's end: the same value gives the same bytes everywhere.

    orjson encodes almost everything, in a tenth of the time. It writes small numbers in another way than ``json`` and takes no
    lone surrogates and no large integers, so which of the two encodes a value depends on the value alone.

    Raises:
        ValueError: a number is not finite.
    """
    try:
        data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        plain = json.loads(_ENCODER.encode(value))  # subclasses of numbers, such as NumPy's, become numbers
        try:
            return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
        except TypeError:
            return BY_JSON + _ENCODER.encode(plain).encode("utf-8", "surrogatepass")
    if b"null" in data:
        _ENCODER.encode(value)  # orjson writes NaN as null
    return bytes(memoryview(data))  # orjson's own result keeps its buffer of 4 kB


BY_JSON = b" "
"""How a line begins that orjson can't read back: it would make a float of a large integer."""


def decode(line: bytes) -> Row:
    """A row from its line."""
    row: Row = json.loads(line.decode("utf-8", "surrogatepass")) if line[:1] == BY_JSON else orjson.loads(line)
    return row


NOT_CONTENT = frozenset({"image", "@of"})
"""What a row says of its location, and of where its shard came from."""


def content(row: Mapping[str, Any]) -> bytes:
    """The row as a line without its location: the part that identifies it."""
    kept = {name: value for name, value in row.items() if name not in NOT_CONTENT}
    if "mask" in kept.get("targets", ()):
        kept["targets"] = {name: value for name, value in kept["targets"].items() if name != "mask"}
    return encode(kept)


# --- files of rows -------------------------------------------------------------------------------------------------------


def read_lines(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file. One that lies in a store is compared with its hash first: nobody gets a wrong row.

    Raises:
        DamagedError: the file is in a store, and its bytes have changed.
    """
    return map(decode, raw_lines(path))


def raw_lines(path: Path) -> list[bytes]:
    """:func:`read_lines` before they are decoded."""
    data = path.read_bytes()
    guard.check(os.fspath(path), data)
    return data.splitlines()


class Sorter:
    """External merge sort of (key, row) pairs in constant memory.

    Args:
        spill_bytes: size of the rows in memory from which they are sorted on disk.
    """

    def __init__(self, folder: Path, spill_bytes: int = SPILL_BYTES) -> None:
        self._folder = folder
        self._spill_bytes = spill_bytes
        self._size_bytes = 0
        self._pairs: list[tuple[str, bytes]] = []
        self._runs: list[Path] = []

    def add(self, key: str, row: Row) -> None:
        self.add_line(key, encode(row))

    def add_line(self, key: str, line: bytes) -> None:
        self._pairs.append((key, line))
        self._size_bytes += len(line) + ROW_BYTES
        if self._size_bytes >= self._spill_bytes:
            self._flush()

    def _flush(self) -> None:
        self._pairs.sort(key=_key)
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".run")
        with os.fdopen(handle, "wb") as run:
            run.writelines(b"%b\t%b\n" % (_escaped(key), line) for key, line in self._pairs)
        self._runs.append(Path(name))
        self._pairs, self._size_bytes = [], 0
        if len(self._runs) >= MAX_RUNS:
            self._runs = [self._merged()]

    def _merged(self) -> Path:
        """Merge all files into one."""
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".run")
        with ExitStack() as stack:
            files = [stack.enter_context(run.open("rb")) for run in self._runs]
            with os.fdopen(handle, "wb") as out:
                out.writelines(heapq.merge(*files, key=_key_of_line))
        for run in self._runs:
            run.unlink()
        return Path(name)

    def __bool__(self) -> bool:
        return bool(self._pairs or self._runs)

    def __iter__(self) -> Iterator[tuple[str, Row]]:
        """Yield the pairs in the order of their keys. The runs on disk are removed at the end."""
        return ((key, decode(line)) for key, line in self.lines())

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Like the pairs, with each row as its line."""
        if not self._runs:
            self._pairs.sort(key=_key)
            yield from self._pairs
            return
        if self._pairs:
            self._flush()  # whoever takes the pairs may need the memory
        with ExitStack() as stack:
            files = [stack.enter_context(run.open("rb")) for run in self._runs]
            try:
                yield from heapq.merge(*(self._pairs_of(file) for file in files), key=_key)
            finally:
                for run in self._runs:
                    run.unlink(missing_ok=True)

    @staticmethod
    def _pairs_of(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
        for line in file:
            key, _, text = line.partition(b"\t")
            yield json.loads(key), text.rstrip(b"\n")


ROW_BYTES = 200
"""What a pair takes in memory besides its line."""


def _escaped(key: str) -> bytes:
    """A key as JSON in ASCII, without tabs and line ends, whatever letters it has."""
    return json.dumps(key).encode()


def _key(pair: tuple[str, Any]) -> str:
    return pair[0]


def _key_of_line(line: Any) -> str:
    key: str = json.loads(line.partition(b"\t")[0])
    return key


class Tally:
    """Collects a dataset's ``meta``: the number of samples, of each split and class, and the classes; its task.

    An image with several labels counts for each of them. ``tasks`` has the number of labelled samples of each task.
    """

    def __init__(self) -> None:
        self.splits: dict[str, int] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.tasks: dict[str, int] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        split, label = row.get("split", ""), row.get("label")
        self.splits[split] = self.splits.get(split, 0) + 1
        if label is not None:
            of_split = self.counts.setdefault(split, {})
            of_split[label] = of_split.get(label, 0) + 1
        if (labels := row.get("labels")) is not None:
            of_split = self.counts.setdefault(split, {})
            for one in labels:
                of_split[one] = of_split.get(one, 0) + 1
        for task, found in ((CLASSES, label), (MULTILABEL, labels), (NUMBER, row.get("value"))):
            if found is not None:
                self.tasks[task] = self.tasks.get(task, 0) + 1

    def add_tally(
        self, splits: Mapping[str, int], counts: Mapping[str, Mapping[str, int]], tasks: Mapping[str, int] | None = None
    ) -> None:
        """Add what another tally has counted."""
        alone = sum(sum(labels.values()) for labels in counts.values())
        for task, number in (tasks or ({CLASSES: alone} if alone else {})).items():
            self.tasks[task] = self.tasks.get(task, 0) + number
        for split, number in splits.items():
            self.splits[split] = self.splits.get(split, 0) + number
        for split, labels in counts.items():
            of_split = self.counts.setdefault(split, {})
            for label, number in labels.items():
                of_split[label] = of_split.get(label, 0) + number

    def task(self) -> str:
        """The task of the samples.

        Raises:
            UserError: they have several.
        """
        if len(self.tasks) > 1:
            counted = " and ".join(f"{number:,} with {TASKS[task]}" for task, number in sorted(self.tasks.items()))
            raise UserError(f"the dataset has images of several tasks: {counted}", "Make a dataset of each.")
        return next(iter(self.tasks), CLASSES)

    @property
    def further_tasks(self) -> dict[str, int]:
        """``tasks``; empty if the samples have nothing but classes, as all had in earlier versions."""
        return self.tasks if {*self.tasks} - {CLASSES} else {}

    def meta(self) -> dict[str, Any]:
        classes = sorted({label for of_split in self.counts.values() for label in of_split}, key=class_order)
        return {
            "num_samples": sum(self.splits.values()),
            "classes": classes,
            "counts": {split: dict(sorted(self.counts.get(split, {}).items())) for split in sorted(self.splits)},
            "splits": dict(sorted(self.splits.items())),
            **({} if (task := self.task()) == CLASSES else {"task": task}),
        }
