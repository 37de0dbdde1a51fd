"""Parts of an index: their digests depend on the rows alone, sums of them are the dataset's, and damage is noticed."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipekit import Failure, Sample, Targets, UserError
from pipekit.errors import DamagedError
from pipekit.store import parts as parts_module
from pipekit.store.locations import Locations
from pipekit.store.parts import (
    Part,
    check_ids,
    content_digest,
    digest_of,
    first_rows,
    image_digest,
    read_index,
    rows_at,
    rows_of,
    sorted_rows,
    write_index,
    write_part,
)
from pipekit.store.rows import decode, encode, from_row, to_row
from pipekit.store.wholeness import guard
from tests.store.test_rows import samples

SLOW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LOCATIONS = Locations(Path("/p/.pipekit"), Path("/p"))


def parts_of(root: Path, found: list[Sample], size: int) -> list[Part]:
    """Samples in parts of ``size``, however it divides them."""
    rows = iter([LOCATIONS.pack_row(to_row(sample)) for sample in found])
    made = []
    while some := list(islice(rows, size)):
        made.append(write_part(root, some))
    return made


@SLOW
@given(st.lists(samples, max_size=8, unique_by=lambda sample: sample.id), st.randoms(), st.integers(1, 8), st.integers(1, 8))
def test_a_digest_depends_neither_on_the_order_nor_on_the_division(
    tmp_path_factory: Any, found: list[Sample], random: Any, size: int, other: int
) -> None:
    root = tmp_path_factory.mktemp("store")
    one = parts_of(root, found, size)
    two = parts_of(root, random.sample(found, len(found)), other)
    assert digest_of(one, []) == digest_of(two, [])
    back = [from_row(LOCATIONS.unpack_row(row)) for row in sorted_rows(root, one, root / "scratch")]
    assert back == sorted(found, key=lambda sample: sample.id)


@SLOW
@given(st.lists(samples, min_size=1, max_size=5, unique_by=lambda sample: sample.id), st.data())
def test_a_digest_changes_with_every_row(tmp_path_factory: Any, found: list[Sample], data: Any) -> None:
    root = tmp_path_factory.mktemp("store")
    place = data.draw(st.integers(0, len(found) - 1))
    changed = list(found)
    changed[place] = replace(found[place], label=(found[place].label or "") + "x")
    assert digest_of(parts_of(root, found, 2), []) != digest_of(parts_of(root, changed, 2), [])
    assert digest_of(parts_of(root, found, 2), []) != digest_of(parts_of(root, found[1:], 2), [])
    assert digest_of(parts_of(root, found, 2), []) != digest_of(parts_of(root, found, 2), ["failed"])


@given(samples, st.text())
def test_what_sees_images_only_depends_on_id_and_bytes(sample: Sample, label: str) -> None:
    other = replace(sample, label=label, split="test", targets=Targets(), extra={}, image="elsewhere")
    assert image_digest([to_row(sample)]) == image_digest([to_row(other)])
    assert image_digest([to_row(sample)]) != image_digest([to_row(replace(sample, sha256=sample.sha256 + "0"))])
    assert image_digest([to_row(sample)]) != image_digest([to_row(replace(sample, id=sample.id + "0"))])


def test_what_a_part_and_an_index_say_of_themselves(tmp_path: Path) -> None:
    found = [
        Sample("c", "/p/.pipekit/shards/ab/abc/files/c.png", label="cat", split="train"),
        Sample("a", "/p/a.png", label="dog", split="train", targets=Targets("/p/.pipekit/artifacts/cd/cde/a.png")),
        Sample("b", "/data/b.png", label="cat", split="test"),
        Sample("d", "/data/d.png"),
    ]
    (part,) = parts_of(tmp_path, found, 9)
    assert (len(part), part.uses) == (4, ("artifacts/cd/cde", "shards/ab/abc"))
    rows = sorted((LOCATIONS.pack_row(to_row(sample)) for sample in found), key=lambda row: str(row["id"]))
    assert (part.digest, part.images) == (content_digest(rows), image_digest(rows))
    assert (tmp_path / part.place).stat().st_size == part.size_bytes
    failed = [Failure("y", "truncated", "/p/y.png"), Failure("x", "empty"), Failure("y", "truncated", "/p/y.png")]
    (tmp_path / "index").mkdir()
    digest, meta = write_index(tmp_path / "index", [part], failed, LOCATIONS)
    assert meta == {
        "num_samples": 4,
        "classes": ["cat", "dog"],
        "counts": {"": {}, "test": {"cat": 1}, "train": {"cat": 1, "dog": 1}},
        "splits": {"": 1, "test": 1, "train": 2},
        "num_failed": 2,
    }
    assert read_index(tmp_path / "index") == [part]
    assert write_index(tmp_path / "index", [part], failed[:1], LOCATIONS)[0] != digest, "what failed is part of the digest"
    reason = [Failure("y", "another reason"), Failure("x", "empty")]
    assert write_index(tmp_path / "index", [part], reason, LOCATIONS)[0] == digest, "in what words is not"


def test_equal_rows_are_one_file(tmp_path: Path) -> None:
    sample = Sample("a", "/p/a.png")
    assert parts_of(tmp_path, [sample], 1) == parts_of(tmp_path, [sample], 1)
    assert len(list(tmp_path.glob("parts/*/*"))) == 1


def test_ids_are_unique_in_a_part_and_among_parts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two samples have the id 'a'"):
        parts_of(tmp_path, [Sample("a", "1"), Sample("b", "2"), Sample("a", "3")], 3)
    twins = parts_of(tmp_path, [Sample("a", "1"), Sample("b", "2"), Sample("a", "3")], 1)
    with pytest.raises(UserError, match="two samples have the id 'a'"):
        check_ids(tmp_path, [replace(part, same_ids=False) for part in twins], tmp_path / "scratch")
    check_ids(tmp_path, [replace(part, same_ids=False) for part in twins[:2]], tmp_path / "scratch")


def test_two_ids_with_one_short_hash_are_two_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "id_number", lambda name: 7)
    found = parts_of(tmp_path, [Sample("a", "1"), Sample("b", "2")], 1)
    check_ids(tmp_path, [replace(part, same_ids=False) for part in found], tmp_path / "scratch")


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (part,) = parts_of(tmp_path, [Sample(name, f"/p/{name}")], 1)
    assert [row["id"] for row in rows_of(tmp_path, part)] == [name]


def test_a_changed_part_is_never_read(tmp_path: Path) -> None:
    guard.watch(tmp_path)
    (part,) = parts_of(tmp_path, [Sample("a", "1", label="cat")], 1)
    path = tmp_path / part.place
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"cat", b"dog"))
    with pytest.raises(DamagedError):
        list(rows_of(tmp_path, part))
    guard.take_noted()


def test_a_part_comes_back_from_its_entry(tmp_path: Path) -> None:
    (inner,) = parts_of(tmp_path, [Sample("a", "1", label="cat")], 1)
    shard = replace(inner, place="shards/ab/abc", of=inner, same_ids=False, uses=("shards/ab/abc",))
    assert Part.from_plain(shard.to_plain()) == shard
    assert set(shard.places) == {"shards/ab/abc", inner.place}
    assert encode(shard.to_plain())


@SLOW
@given(st.lists(samples, max_size=12, unique_by=lambda sample: sample.id), st.integers(1, 5), st.integers(0, 6))
def test_the_first_rows_are_those_of_the_sorted_ones(tmp_path_factory: Any, found: list[Sample], size: int, count: int) -> None:
    root = tmp_path_factory.mktemp("store")
    parts = parts_of(root, found, size)
    first = list(islice(sorted_rows(root, parts, root / "scratch"), count))
    assert first_rows(root, parts, count) == first
    unknown = [replace(part, first="") for part in parts]  # as an older version wrote them
    assert first_rows(root, unknown, count) == first


def test_of_a_part_only_the_rows_that_are_needed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [write_part(tmp_path, [to_row(Sample(f"{name}{n}", "x.png")) for n in range(3)]) for name in "dacb"]
    decoded, decode = list[bytes](), parts_module.decode
    monkeypatch.setattr(parts_module, "decode", lambda line: decoded.append(line) or decode(line))
    assert [row["id"] for row in rows_at(tmp_path, parts[0], [2, 0])] == ["d2", "d0"]
    assert len(decoded) == 2
    (tmp_path / parts[2].place).unlink()  # its first id comes later
    (tmp_path / parts[0].place).unlink()
    read, read_lines = list[Path](), parts_module.read_lines
    monkeypatch.setattr(parts_module, "read_lines", lambda path: read.append(path) or read_lines(path))
    assert [row["id"] for row in first_rows(tmp_path, parts, 4)] == ["a0", "a1", "a2", "b0"]
    assert len(read) == len(set(read)) == 2, "each file once"
    assert Part.from_plain(parts[0].to_plain()).first == "d0"


@pytest.mark.parametrize("name", ["cat", 'a},{"counts":{"', '}},{"counts":', "é\n", "null", "\ud800"])
def test_an_index_that_is_written_and_read_part_by_part_is_plain_json(tmp_path: Path, name: str) -> None:
    """Whatever the names of classes and ids are, one that orjson can't write included."""
    found = [Sample(f"{name}{number}", "/p/a.png", label=f"{name}{number % 3}", split=name) for number in range(7)]
    parts = [*parts_of(tmp_path, found, 2), *parts_of(tmp_path, [Sample("x", "/p/x.png")], 1)]
    parts[1] = replace(parts[1], of=parts[0], uses=("shards/ab/abc",))
    for number, some in enumerate((parts, parts[:1], [])):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_index(folder, some, [], LOCATIONS)
        assert (folder / "index.json").read_bytes() == encode({"parts": [part.to_plain() for part in some]}) + b"\n"
        parts_module._indexes.clear()
        assert read_index(folder) == some
    assert parts[0].counts == {name: {f"{name}0": 1, f"{name}1": 1}}


def test_a_part_of_a_hundred_classes_takes_little_memory(tmp_path: Path) -> None:
    """A million images have 8,192 parts."""
    rows = [to_row(Sample(f"{number:03}", "/p/a.png", label=f"class {number}")) for number in range(100)]
    plain = write_part(tmp_path, rows).to_plain()
    data = encode([plain] * 100)
    tracemalloc.start()
    parts = [Part.from_plain(one) for one in decode(data)]
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size / len(parts) < 4_000
    assert parts[7].to_plain() == plain
