"""Parts: the pieces of a dataset's index. A dataset is a list of parts, and a change to a sample makes one part new.

A part is a file of rows in the order of their ids. Its name is the hash of its bytes, so that damage is noticed and datasets
with the same rows share it. A shard of a stage that makes samples is a part too, in the place where it is.

An index sums up what each part contains (:class:`Part`). So counts and digests of a dataset are sums over its parts, and the
rows of a part that has not changed need not be read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pipekit.artifacts import CATEGORIES
from pipekit.contract import Failure
from pipekit.errors import UserError
from pipekit.files import write_new
from pipekit.owners import new_owner
from pipekit.store.durability import is_off, sync_file, syncs_whole_disks
from pipekit.store.locations import Locations, Row
from pipekit.store.rows import BY_JSON, Sorter, Tally, content, decode, encode, raw_lines, read_lines
from pipekit.store.wholeness import guard

INDEX, FAILED, SUMMARY, IDS = "index.json", "failed.jsonl", "part.json", "ids.u64"

INPUT = "@input"
"""In a shard's rows: the image (or mask) of the sample that went in."""
SHARD = "@shard/"
"""In a shard's rows: a file of the shard."""
OF = "@of"
"""In a shard's rows: the id of the sample that went in, where the one that came out has another."""
PLAIN = "@plain"
"""In a shard's rows: this one is a dict of the function's own, not a sample."""

SUM_BYTES = 256
"""Size of a sum of hashes. The digest of a dataset depends neither on the order of its rows nor on how they are divided into
parts, so it is a sum (Bellare and Micciancio 1997, "A new paradigm for collision-free hashing": AdHash). It has 2,048 bits,
since a sum of 256 could be forged."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an index.

    Attributes:
        place: the file of its rows, or the folder of its shard, below the store: ``parts/ab/abcd….jsonl``, ``shards/ab/abcd…``.
        digest: SHA-256 of its rows without their locations, in the order of ids.
        images: SHA-256 of its ids and the hashes of its images: what a function depends on that sees only the image.
        total: the sum of its rows' hashes, in hex.
        size_bytes: the size of the file of its rows.
        splits: the number of samples of each split.
        counted: :attr:`counts` as JSON: at a hundred classes a dict takes eight times as much, in each of thousands of parts.
        uses: the folders of the store that hold files of its rows.
        of: the part that went in, if this is a shard: rows name its images as ``@input``.
        same_ids: whether its ids are some of those that went in.
        tasks: the number of labelled samples of each task; empty if they have nothing but classes.
        first: its first id; "" if unknown, as in what an older version wrote.
    """

    place: str
    digest: str
    images: str
    total: str
    size_bytes: int
    splits: Mapping[str, int]
    counted: bytes
    uses: tuple[str, ...] = ()
    of: Part | None = None
    same_ids: bool = True
    tasks: Mapping[str, int] = field(default_factory=dict)
    first: str = ""

    def __len__(self) -> int:
        return sum(self.splits.values())

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """The number of samples of each split and class."""
        return decode(self.counted)

    @property
    def is_shard(self) -> bool:
        return self.place.startswith("shards/")

    @property
    def places(self) -> Iterator[str]:
        """All that must be in the store for its rows to be read."""
        yield self.place
        yield from self.uses
        if self.of is not None:
            yield from self.of.places

    def to_plain(self) -> Row:
        plain = {name: getattr(self, name) for name in _FIELDS} | ({"first": self.first} if self.first else {})
        return plain | ({"tasks": self.tasks} if self.tasks else {}) | ({} if self.of is None else {"of": self.of.to_plain()})

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Part:
        of = plain.get("of")
        values = {name: plain[name] for name in _FIELDS if name != "counts"}
        values |= {"counted": encode(plain["counts"]), "uses": tuple(plain["uses"]), "first": plain.get("first", "")}
        return cls(**values, tasks=plain.get("tasks", {}), of=None if of is None else cls.from_plain(of))


_FIELDS = ("place", "digest", "images", "total", "size_bytes", "splits", "counts", "uses", "same_ids")


class Summary:
    """Collects what a part's entry says of its rows, which are added in the order of their ids."""

    def __init__(self) -> None:
        self.tally, self.uses, self.first = Tally(), set[str](), ""
        self._digest, self._images, self._total = hashlib.sha256(), hashlib.sha256(), 0

    def add(self, row: Row) -> None:
        identified = content(row)
        self.first = self.first if self.tally.splits else row["id"]
        self.tally.add(row)
        self._digest.update(identified + b"\n")
        self._images.update(image_line(row))
        self._total += int.from_bytes(hashlib.shake_128(identified).digest(SUM_BYTES), "big")
        for path in (row["image"], row.get("targets", {}).get("mask", "")):
            if path.startswith("@store/"):
                self.uses.add("/".join(path.split("/", 4)[1:4]))

    def plain(self) -> Row:
        """The values of :class:`Part` that depend on the rows alone."""
        return {
            "digest": self._digest.hexdigest(),
            "images": self._images.hexdigest(),
            "total": f"{self._total % (1 << 8 * SUM_BYTES):x}",
            "splits": self.tally.splits,
            "counts": self.tally.counts,
            "uses": sorted(self.uses),
            **({"tasks": tasks} if (tasks := self.tally.further_tasks) else {}),
            "first": self.first,
        }


def content_digest(rows: Iterable[Row]) -> str:
    """:attr:`Part.digest` of rows in the order of their ids."""
    hashed = hashlib.sha256()
    for row in rows:
        hashed.update(content(row) + b"\n")
    return hashed.hexdigest()


def image_digest(rows: Iterable[Row]) -> str:
    """:attr:`Part.images` of rows in the order of their ids."""
    hashed = hashlib.sha256()
    for row in rows:
        hashed.update(image_line(row))
    return hashed.hexdigest()


def image_line(row: Mapping[str, Any]) -> bytes:
    """What identifies a sample to a function that sees only its image."""
    return encode([row["id"], row.get("sha256", "")]) + b"\n"


def digest_of(parts: Iterable[Part], failed: Iterable[str], categories: Mapping[str, Any] | None = None) -> str:
    """The digest of a dataset: of its rows, however they are divided, of the ids that failed, and of its lists of classes."""
    total = sum(int(part.total, 16) for part in parts) % (1 << 8 * SUM_BYTES)
    hashed = hashlib.sha256(f"{total:x}\n".encode())
    for name in failed:
        hashed.update(encode(["failed", name]) + b"\n")
    if categories:
        hashed.update(encode([CATEGORIES, categories]) + b"\n")
    return hashed.hexdigest()


# --- writing -------------------------------------------------------------------------------------------------------------


def write_part(root: Path, rows: Iterable[Row]) -> Part:
    """Put rows (with packed locations) into the store as a part.

    Raises:
        UserError: two rows have the same id.
    """
    summary, lines, last = Summary(), [], None
    for row in sorted(rows, key=lambda row: str(row["id"])):
        if row["id"] == last:
            raise twins(row["id"])
        last = row["id"]
        summary.add(row)
        lines.append(encode(row))
    data = b"".join(b"%b\n" % line for line in lines)
    name = hashlib.sha256(data).hexdigest()
    place = f"parts/{name[:2]}/{name}.jsonl"
    _put(root, place, data)
    return Part.from_plain({"place": place, "size_bytes": len(data), "same_ids": True, **summary.plain()})


def twins(name: str) -> UserError:
    return UserError(f"two samples have the id {name!r}", "Ids must be unique within a dataset.")


def _put(root: Path, place: str, data: bytes) -> None:
    """Write a file that is named by its content; one that is there has that content, or is damaged."""
    path = root / place
    with contextlib.suppress(OSError):
        if os.stat(path).st_size == len(data):  # noqa: PTH116
            os.utime(path)
            return
    scratch = root / "tmp" / new_owner()
    scratch.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_new(os.fspath(scratch), data, 0o444)
        if not is_off() and not syncs_whole_disks():
            sync_file(scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_index(
    folder: Path,
    parts: Sequence[Part],
    failed: Iterable[Failure],
    locations: Locations,
    categories: Mapping[str, Any] | None = None,
) -> tuple[str, Row]:
    """Write ``index.json`` and ``failed.jsonl`` into an artifact's folder.

    Returns:
        the digest of the dataset, and its ``meta``.
    """
    tally = Tally()
    for part in parts:
        tally.add_tally(part.splits, part.counts, part.tasks)
    _write_parts(folder / INDEX, parts)
    _keep_index(_version_of(os.fspath(folder / INDEX)), tuple(parts))
    listed = {failure.id: failure for failure in failed}
    names = sorted(listed)
    (folder / FAILED).write_bytes(b"".join(encode(_failed_row(listed[name], locations)) + b"\n" for name in names))
    num_annotations = sum(bool(failure.part_of) for failure in listed.values())
    counted = {"num_failed": len(names) - num_annotations}
    if num_annotations:
        counted["num_failed_annotations"] = num_annotations
    listed_classes = {CATEGORIES: categories} if categories else {}
    return digest_of(parts, names, categories), {**tally.meta(), **counted, **listed_classes}


def _failed_row(failure: Failure, locations: Locations) -> Row:
    row = {"id": failure.id, "reason": failure.reason, "image": locations.pack(failure.image)}
    return row | ({"part_of": failure.part_of} if failure.part_of else {})


def check_ids(root: Path, parts: Sequence[Part], scratch: Path) -> None:
    """Find ids that two parts share. Parts with the ids of samples that went in can't share any among themselves.

    Raises:
        UserError: two samples have one id.
    """
    if all(part.same_ids for part in parts):
        return
    import numpy as np

    numbers = array("Q")
    for part in parts:
        _add_id_numbers(numbers, root, part)
    ordered = np.sort(np.frombuffer(numbers, np.uint64))  # 8 bytes an id
    if (ordered[1:] == ordered[:-1]).any():  # or two ids have the same 64 bits, which the ids themselves tell
        last = None
        for row in sorted_rows(root, parts, scratch):
            if row["id"] == last:
                raise twins(row["id"])
            last = row["id"]


def _add_id_numbers(numbers: array[int], root: Path, part: Part) -> None:
    if not part.same_ids:
        try:
            with open(f"{root}{os.sep}{part.place}{os.sep}{IDS}", "rb") as file:
                numbers.frombytes(file.read())
            return
        except (FileNotFoundError, NotADirectoryError):  # a part that is no shard, or a shard with the ids that went in
            pass
    numbers.extend(id_number(row["id"]) for row in rows_of(root, part))


def id_number(name: str) -> int:
    """The first 64 bits of an id's hash."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "little")


# --- reading -------------------------------------------------------------------------------------------------------------


def read_index(folder: Path) -> list[Part]:
    """The parts of an artifact's index.

    Raises:
        DamagedError: the index is not what was written.
    """
    path = os.fspath(folder / INDEX)
    version = _version_of(path)
    found = _indexes.get(version)
    if found is None:
        data = Path(path).read_bytes()
        guard.check(path, data)
        found = tuple(map(Part.from_plain, _plain_parts(data)))
    _keep_index(version, found)
    return list(found)


_HEAD, _NEXT = b'{"parts":[', b'},{"counts":'
"""How an index begins, and what is between two parts: in a text, a quotation mark has a backslash before it."""


def _write_parts(path: Path, parts: Sequence[Part]) -> None:
    """Write an index, part by part: as dicts, the parts of a million samples take more than 100 MB."""
    with path.open("wb") as file:
        file.write(_HEAD)
        for number, part in enumerate(parts):
            line = encode(part.to_plain())
            if line.startswith(BY_JSON):
                break
            file.write(b"," + line if number else line)
        else:
            file.write(b"]}\n")
            return
    path.write_bytes(encode({"parts": [part.to_plain() for part in parts]}) + b"\n")  # orjson can't write some text


def _plain_parts(data: bytes) -> Iterator[Row]:
    """The parts of an index, each as it is written."""
    if not data.startswith(_HEAD + _NEXT[2:]):
        yield from decode(data)["parts"]
        return
    begin, last = len(_HEAD), data.rindex(b"]}")
    while (end := data.find(_NEXT, begin, last)) >= 0:
        yield decode(data[begin : end + 1])
        begin = end + 2
    yield decode(data[begin:last])


KEPT_INDEXES = 4

_indexes: dict[tuple[int, ...], tuple[Part, ...]] = {}
"""The indexes that were written or read last, by the state of their files, which stays when a folder moves to its place."""


def _version_of(path: str) -> tuple[int, ...]:
    state = os.stat(path)  # noqa: PTH116
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _keep_index(version: tuple[int, ...], parts: tuple[Part, ...]) -> None:
    _indexes.pop(version, None)
    _indexes[version] = parts
    while len(_indexes) > KEPT_INDEXES:
        _indexes.pop(next(iter(_indexes)), None)


def rows_of(root: Path, part: Part) -> Iterator[Row]:
    """The rows of a part, in the order of their ids, with packed locations."""
    return _shard_rows(root, part) if part.is_shard else read_lines(root / part.place)


def rows_at(root: Path, part: Part, places: Sequence[int]) -> list[Row]:
    """Some of :func:`rows_of`, by their places; of a part that is no shard, no other line is decoded."""
    if part.is_shard:
        return list(map(list(_shard_rows(root, part)).__getitem__, places))
    lines = raw_lines(root / part.place)
    return [decode(lines[place]) for place in places]


def _shard_rows(root: Path, part: Part) -> Iterator[Row]:
    inputs: dict[str, Row] | None = None
    for row in read_lines(root / part.place / "rows.jsonl"):
        of = row.pop(OF, row["id"])
        mask = row.get("targets", {}).get("mask", "")
        if INPUT in (row["image"], mask):
            if inputs is None:
                inputs = {row["id"]: row for row in rows_of(root, part.of)} if part.of is not None else {}
            source = inputs[of]
        else:
            source = {}
        row["image"] = located(row["image"], part.place, source.get("image", ""))
        if mask:
            row["targets"]["mask"] = located(mask, part.place, source.get("targets", {}).get("mask", ""))
        yield row


def located(path: str, place: str, of_input: str) -> str:
    """``@shard/`` and ``@input`` of a row as a packed location."""
    if path == INPUT:
        return of_input
    return f"@store/{place}/{path[len(SHARD) :]}" if path.startswith(SHARD) else path


def sorted_rows(root: Path, parts: Sequence[Part], scratch: Path) -> Iterator[Row]:
    """The rows of all parts in the order of their ids, with packed locations; ``scratch`` holds what memory can't."""
    if len(parts) == 1:
        yield from rows_of(root, parts[0])
        return
    sorter = Sorter(scratch / "sorted")
    for part in parts:
        for name, line in _lines_of(root, part):
            sorter.add_line(name, line)
    for _, row in sorter:
        yield row


def first_rows(root: Path, parts: Sequence[Part], count: int) -> list[Row]:
    """The first of :func:`sorted_rows`. Most parts are not read: their first ids are later ones."""
    found: list[tuple[str, int, int]] = []  # id, part, number of the row in it
    plain: dict[int, list[Row]] = {}  # the rows of parts that are no shards, which need nothing else
    for number in sorted(range(len(parts)), key=lambda number: parts[number].first):
        part, last = parts[number], found[-1][0] if found and len(found) == count else None
        if last is not None and part.first >= last:
            break
        path = root / part.place / "rows.jsonl" if part.is_shard else root / part.place
        some: list[Row] = []
        for row in islice(read_lines(path), count):
            if last is not None and row["id"] >= last:
                break
            some.append(row)
        if some:
            found = sorted([*found, *((row["id"], number, at) for at, row in enumerate(some))])[:count]
            if not part.is_shard:
                plain[number] = some
            plain = {number: plain[number] for _, number, _ in found if number in plain}
    wanted: dict[int, int] = {}
    for _, number, at in found:
        wanted[number] = max(wanted.get(number, 0), at + 1)
    rows = {number: plain.get(number) or list(islice(rows_of(root, parts[number]), some)) for number, some in wanted.items()}
    return [rows[number][at] for _, number, at in found]


def _lines_of(root: Path, part: Part) -> Iterator[tuple[str, bytes]]:
    """The id and the line of each row."""
    if part.is_shard:
        for row in _shard_rows(root, part):
            yield row["id"], encode(row)
        return
    for line in raw_lines(root / part.place):
        yield decode(line)["id"], line
