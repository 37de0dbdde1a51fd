"""Trees of files in order; files inside tars: the same bytes whenever made, read by us, by tarfile, and found by their rows."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit import files
from pipekit.errors import PlanError, UserError
from pipekit.files import (
    OUTPUT_MARK,
    PlainTable,
    TarWriter,
    files_in,
    folders_in,
    guarded,
    has_file,
    hash_file,
    on_disk,
    own_output_below,
    plain_rows,
    read_bytes,
    split_packed,
    unguarded,
    unreadable_below,
    walk,
)
from pipekit.files.tars import header_of
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import find_importer
from tests.conftest import DATA, Trial


def fill(folder: Path, contents: dict[str, bytes]) -> None:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=2000), max_size=6))
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, datas: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("tar")
    contents = {f"cat/ä {number}.v{number}.jpg": data for number, data in enumerate(datas)}
    tar = TarWriter(folder / "files.tar")
    places = {name: tar.add(name, data, {".cls": b"cat"}) for name, data in contents.items()}
    sha256 = tar.finish()
    assert (folder / "files.tar").exists() == bool(datas), "an empty tar is removed"
    if not datas:
        return
    assert sha256 == hash_file(folder / "files.tar")
    for name, data in contents.items():
        path = f"{folder}/files.tar{places[name]}"
        assert read_bytes(path) == data
        assert Path(path).suffix == ".jpg"
        assert split_packed(path) is not None
    with tarfile.open(folder / "files.tar") as opened:
        members = {member.name: opened.extractfile(member).read() for member in opened}  # type: ignore[union-attr]
    assert [data for name, data in members.items() if name.endswith(".jpg")] == [contents[name] for name in sorted(contents)]
    assert all(Path(name).name.count(".") == 1 for name in members)  # WebDataset takes all after the first dot as the kind
    assert sum(name.endswith(".cls") for name in members) == len(contents)


@pytest.mark.parametrize("name", ["1.jpg", "cats/cat_1.jpg", "x" * 100, "x" * 101, "ä.jpg", "\udcff.jpg"])
@pytest.mark.parametrize("size_bytes", [0, 511, 123456789, 8**11])
def test_a_header_is_that_of_tarfile(name: str, size_bytes: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size_bytes, 0, 0o444
    assert header_of(name, size_bytes) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def test_what_a_failed_sample_added_to_a_tar_is_dropped(tmp_path: Path) -> None:
    made = []
    for fails in (False, True):
        tar = TarWriter(tmp_path / f"{fails}.tar")
        tar.add("1.png", b"1")
        before = tar.state()
        if fails:
            tar.add("a/2.png", b"22" * 1000, {".cls": b"cat"})
            tar.back_to(before)
        tar.add("3.png", b"333")
        assert list(tar.places) == ["1.png", "3.png"]
        assert tar.finish() in ("", hash_file(tmp_path / f"{fails}.tar"))
        made.append((tmp_path / f"{fails}.tar").read_bytes())
    assert made[0] == made[1]


def test_a_loose_file_whose_name_looks_packed_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.tar#1+2.jpg"
    path.write_bytes(b"loose")
    assert read_bytes(path) == b"loose"
    assert on_disk(path) == str(path)
    assert on_disk(f"{tmp_path}/gone.tar#512+9.jpg") == f"{tmp_path}/gone.tar"
    assert hash_file(path) == hash_file(path.rename(tmp_path / "y.jpg"))


@pytest.mark.parametrize("size_bytes", [0, 1, files.AT_ONCE_BYTES, files.AT_ONCE_BYTES + 1])
def test_a_hash_is_that_of_the_whole_file(tmp_path: Path, size_bytes: int) -> None:
    data = bytes(range(256)) * (size_bytes // 256 + 1)
    (tmp_path / "x.bin").write_bytes(data[:size_bytes])
    assert hash_file(tmp_path / "x.bin") == hashlib.sha256(data[:size_bytes]).hexdigest()


def test_a_folder_and_a_missing_tar_are_errors(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_bytes(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_bytes(f"{tmp_path}/gone.tar#512+9.jpg")


def test_a_packed_stage_makes_the_same_dataset_and_far_fewer_files(trial: Trial) -> None:
    trial.write(*(f"a/{number:03d}.png" for number in range(30)))
    stages = {"data": DATA, "stamp": {"use": "stamp", "amount": 2}}
    loose = trial.run(stages)
    packed = trial.run({**stages, "stamp": {**stages["stamp"], "packed": True}})
    assert packed.artifact("stamp").digest == loose.artifact("stamp").digest
    samples = list(packed.artifact("stamp"))  # type: ignore[call-overload]
    assert len(samples) == 60
    assert all(hash_file(sample.image) == sample.sha256 for sample in samples)
    shown = sorted(path.name for path in (packed.run_dir / "stamp").iterdir() if not path.name.startswith("."))
    assert shown == [f"{Path(samples[0].image).parent.name[:16]}.tar", "metadata.csv"], "a tar is named by its shard"
    with tarfile.open(packed.run_dir / "stamp" / shown[0]) as tar:
        assert sum(name.endswith(".json") for name in tar.getnames()) == 60


def test_packing_what_makes_no_dataset_is_refused(trial: Trial) -> None:
    with pytest.raises(PlanError, match="makes no dataset"):
        trial.run({"data": DATA, "measure": {"use": "measure", "packed": True}})


# --- trees ---------------------------------------------------------------------------------------------------------------

ODD = [
    "b.jpg",
    "a b.jpg",
    "a\nb.jpg",
    'a"b.jpg',
    "ä.jpg",
    "日本.jpg",
    "B.jpg",
    os.fsdecode(b"\xff.jpg"),
    "\\.jpg",
    *map(str, range(9)),
]


@pytest.mark.parametrize("at_once", [1, 2, 5, len(ODD), 1000])
def test_names_come_in_order_however_few_are_sorted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(files.trees, "NAMES_AT_ONCE", at_once)
    fill(tmp_path, dict.fromkeys(ODD, b"") | {f"{folder}/x": b"" for folder in ("z", "c/d")} | {".hidden": b""})
    found = [(os.path.relpath(folder, tmp_path), list(names)) for folder, names in walk(tmp_path)]
    assert found == [(".", sorted(ODD)), ("c", []), ("c/d", ["x"]), ("z", ["x"])]


def test_names_can_be_read_after_the_walk_has_gone_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.trees, "NAMES_AT_ONCE", 2)
    fill(tmp_path, {f"{folder}/{number}": b"" for folder in "ab" for number in range(5)})
    assert [list(names) for _, names in list(walk(tmp_path))] == [[], list("01234"), list("01234")]


def test_whether_there_is_such_a_file_is_what_a_walk_would_find(tmp_path: Path) -> None:
    fill(
        tmp_path,
        {"a/b/c.JPG": b"", "a/d.txt": b"", "out/e.png": b"", f"out/{OUTPUT_MARK}": b"", ".h/f.gif": b"", "__MACOSX/g": b""},
    )
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "a/itself").symlink_to(tmp_path / "a/itself")
    below = {name for _, names in walk(tmp_path) for name in names}
    assert below == {"c.JPG", "d.txt", "itself"}
    suffixes = (".jpg", ".txt", ".png", ".gif", "g")
    assert [has_file(tmp_path, (end,)) for end in suffixes] == [True, True, False, False, True]
    assert has_file(tmp_path, (".png", ".txt"))
    assert not has_file(tmp_path / "nowhere", ("",))


def test_the_files_of_one_folder(tmp_path: Path) -> None:
    fill(tmp_path, {"a.CSV": b"", "b.csv": b"", ".c.csv": b"", "d.csv/e.csv": b"", "f.txt": b""})
    assert sorted(files_in(tmp_path, (".csv",))) == ["a.CSV", "b.csv"]
    assert sorted(files_in(tmp_path)) == ["a.CSV", "b.csv", "f.txt"]
    assert list(files_in(tmp_path / "nowhere")) == list(files_in(tmp_path / "f.txt")) == []


def test_a_folder_that_has_not_changed_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"a/1.jpg": b"", "a/2.txt": b"", "a/b/3.jpg": b""})
    long_ago = 1_600_000_000
    os.utime(tmp_path / "a", (long_ago, long_ago))
    scans: list[Any] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scans.append(path) or scandir(path))
    for _ in range(3):
        assert sorted(files_in(tmp_path / "a")) == ["1.jpg", "2.txt"]
        assert folders_in(tmp_path / "a") == ["b"]
    assert len(scans) == 1
    (tmp_path / "a/4.jpg").touch()
    assert sorted(files_in(tmp_path / "a", (".jpg",))) == ["1.jpg", "4.jpg"]
    (tmp_path / "a/4.jpg").unlink()
    assert sorted(files_in(tmp_path / "a")) == ["1.jpg", "2.txt"], "what has changed just now is looked at again"
    assert len(scans) == 3


def test_a_list_that_was_not_read_to_its_end_is_not_kept(tmp_path: Path) -> None:
    fill(tmp_path, {f"{number}.jpg": b"" for number in range(9)})
    os.utime(tmp_path, (1_600_000_000, 1_600_000_000))
    assert next(files_in(tmp_path)).endswith(".jpg")
    assert len(list(files_in(tmp_path))) == 9


def test_our_own_output_is_read_where_it_is_named_and_passed_over_below(tmp_path: Path) -> None:
    fill(tmp_path, {f"{folder}/cat/1.png": b"" for folder in ("out", "out/copies", "runs/t")} | {"runs/t/run.json": b"{}"})
    for marked in ("out", "out/copies", "runs"):
        (tmp_path / marked / OUTPUT_MARK).touch()
    assert not has_file(tmp_path, (".png",))
    assert [list(names) for _, names in walk(tmp_path)] == [[]]
    assert own_output_below(tmp_path) == ["out"], "nobody takes a folder of runs for images"
    assert has_file(tmp_path / "out", (".png",))
    found = [(os.path.relpath(folder, tmp_path), list(names)) for folder, names in walk(tmp_path / "out")]
    assert found == [("out", []), ("out/cat", ["1.png"])]
    assert own_output_below(tmp_path / "out") == ["copies"]


def locked(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As ``chmod 000`` does, for the superuser too."""
    for name in ("scandir", "open"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name), folder))


def refusing(real: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    def function(path: Any = ".", *arguments: Any, **named: Any) -> Any:
        if path == str(folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return real(path, *arguments, **named)

    return function


def test_a_folder_that_cannot_be_read_is_named(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write("cat/1.png", "dog/2.png")
    dog = trial.path / "images/dog"
    locked(monkeypatch, dog)
    assert unreadable_below(trial.path / "images") == [(str(dog), "Permission denied")]
    made = trial.run({"data": DATA}).artifact("data")
    assert [sample.id for sample in made] == ["cat/1.png"]
    told = [values["message"] for values in trial.told("warning")]
    assert f"the folder {dog} can't be read (Permission denied), so its images are missing; see: ls -ld {dog}" in told


@pytest.mark.parametrize("below", ["", "dog"])
def test_where_nothing_can_be_read_the_folder_is_the_reason(trial: Trial, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    trial.write("dog/2.png")
    place = trial.path / "images" / below
    locked(monkeypatch, place)
    with pytest.raises(UserError, match=f"the folder {place} can't be read") as caught:
        find_importer(load_registry(installed=False), trial.path / "images")
    assert caught.value.hint == f"See who may read it: ls -ld {place}"


@given(st.text(alphabet="'=+-@\t\r\n1.ae,\""))
def test_a_cell_that_a_spreadsheet_would_run_comes_back_as_it_was(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    if guarded(cell)[:1] in tuple("=+-@\t\r"):
        float(guarded(cell))  # a number
    out = io.StringIO(newline="")
    table = PlainTable(out)
    table.writerow(["id", "n"])
    table.writerows([[cell, -0.5]])
    out.seek(0)
    assert list(plain_rows(csv.DictReader(out))) == [{"id": cell, "n": "-0.5"}]


def scans(monkeypatch: pytest.MonkeyPatch, folders: list[Path], names: int) -> int:
    """How often the system is asked for the names in these folders if each is listed, one after another, twice."""
    asked: list[str] = []
    entries = [SimpleNamespace(name=f"{number}.jpg", is_dir=lambda **_: False) for number in range(names)]
    monkeypatch.setattr(files.trees, "_looked", {})
    monkeypatch.setattr(files.os, "scandir", lambda folder: asked.append(folder) or contextlib.nullcontext(entries))
    for folder in folders * 2:
        folder.mkdir(exist_ok=True)
        os.utime(folder, (1e9, 1e9))
        assert sum(1 for _ in files_in(folder)) == names
    return len(asked)


@pytest.mark.parametrize(("names", "asked"), [(9_999, 1), (10_000, 2)])
def test_a_listing_of_fewer_than_ten_thousand_files_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: int, asked: int
) -> None:
    assert scans(monkeypatch, [tmp_path], names) == asked


@pytest.mark.parametrize(("folders", "asked"), [(25, 25), (26, 52)])
def test_listings_of_a_limited_number_of_names_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: int, asked: int
) -> None:
    monkeypatch.setattr(files.trees, "ALL_LISTED", 100)
    monkeypatch.setattr(files.trees, "_room", [100])
    assert scans(monkeypatch, [tmp_path / str(number) for number in range(folders)], 3) == asked


def test_a_file_is_no_folder_that_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n")
    assert unreadable_below(tmp_path / "labels.csv") == []
