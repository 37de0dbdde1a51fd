"""Shards written by pipekit and by the package `webdataset`, and shards that are damaged."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from pipekit_webdataset.importer import WebdatasetParams, read, sniff

from pipekit import Failure, Rejected, Sample, UserError, images
from pipekit.files import split_packed
from pipekit.registry.sniffing import find_importer
from pipekit.testing import check_importer, write_tiny_dataset

RED = images.encode(np.full((24, 32, 3), (200, 10, 10), np.uint8), "png")
BLUE = images.encode(np.full((24, 32, 3), (10, 10, 200), np.uint8), "png")


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """A tar with these members, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def samples(path: Path, **params: Any) -> list[Sample]:
    found = list(read(path, WebdatasetParams(**params)))
    assert not [item for item in found if isinstance(item, Failure)]
    return [item for item in found if isinstance(item, Sample)]


def failures(path: Path, **params: Any) -> dict[str, str]:
    return {item.id: item.reason for item in read(path, WebdatasetParams(**params)) if isinstance(item, Failure)}


def test_it_keeps_the_promises_of_an_importer(tmp_path: Path) -> None:
    write_tar(tmp_path / "shards/train-000000.tar", [("a.png", RED), ("a.cls", b"0"), ("b.png", BLUE), ("b.cls", b"1")])
    check_importer("webdataset", tmp_path / "shards")


# --- what others write ---------------------------------------------------------------------------------------------------


def test_shards_of_the_package_webdataset(tmp_path: Path) -> None:
    with webdataset.ShardWriter(str(tmp_path / "train-%06d.tar"), maxcount=2, verbose=0) as writer:
        for number in range(5):
            image = np.full((24, 32, 3), 40 * number, np.uint8)
            writer.write({"__key__": f"{number:04}", "png": image, "cls": number % 2, "json": {"place": number}})
    found = samples(tmp_path, classes=("cat", "dog"))
    assert [sample.id for sample in found[:3]] == ["train-000000/0000.png", "train-000000/0001.png", "train-000001/0002.png"]
    assert [sample.label for sample in found] == ["cat", "dog", "cat", "dog", "cat"]
    assert {sample.split for sample in found} == {"train"}
    assert [sample.extra["place"] for sample in found] == list(range(5))
    assert [int(images.read(sample.image)[0, 0, 0]) for sample in found] == [0, 40, 80, 120, 160]


def test_the_same_samples_as_the_package_sees(tmp_path: Path) -> None:
    members = [
        ("./x/one.two/a.jpg.png", RED),
        ("./x/one.two/a.cls", b"7"),
        ("__meta__/a.png", RED),
        ("._b.png", b"a resource fork"),
        ("b.PNG", BLUE),
        ("b.CLS", b"8\n"),
        ("c", b"no suffix"),
    ]
    tar = write_tar(tmp_path / "a.tar", members)
    theirs = [
        (entry["__key__"].removeprefix("./"), next(value for name, value in entry.items() if name.endswith("png")))
        for entry in webdataset.WebDataset(str(tar), shardshuffle=False)
    ]
    ours = [
        (sample.id.partition("/")[2].split(".png")[0].removesuffix(".jpg"), images.read_bytes(sample.image))
        for sample in samples(tar)
    ]
    assert ours == theirs
    assert [sample.label for sample in samples(tar)] == ["7", "8"]


# --- what pipekit writes -------------------------------------------------------------------------------------------------


def test_our_own_export_comes_back_whole(pipekit_project) -> None:
    stages = {
        "data": {"use": "import.folders", "path": "images"},
        "split": {"use": "split", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
        "shards": {"use": "export.webdataset", "shard_size": 4},
    }
    first = pipekit_project.run(stages)
    shards = first.artifact("shards").path
    again = pipekit_project.run({"data": {"use": "import.webdataset", "path": str(shards)}}).artifact("data")
    said = {(s.id, s.sha256, s.label, s.split) for s in first.artifact("split")}
    assert {(s.id, s.sha256, s.label, s.split) for s in again} == said
    assert len(said) == 18


def test_boxes_mask_and_further_values_come_back(tmp_path: Path) -> None:
    described = {
        "id": "a/1.png",
        "label": "cat",
        "sha256": "…",
        "boxes": [[1, 2, 10, 20.5, "ear"]],
        "extra": {"source": "here"},
    }
    parts = [("0.png", RED), ("0.cls", b"3"), ("0.mask.png", BLUE), ("0.json", json.dumps(described).encode())]
    (sample,) = samples(write_tar(tmp_path / "test-000000.tar", parts))
    assert (sample.id, sample.label, sample.split, sample.sha256) == ("a/1.png", "cat", "test", "")
    (box,) = sample.targets.boxes
    assert (box.x_min, box.y_min, box.x_max, box.y_max, box.label) == (1, 2, 10, 20.5, "ear")
    assert (images.read_bytes(sample.image), images.read_bytes(sample.targets.mask)) == (RED, BLUE)
    assert dict(sample.extra) == {"source": "here"}


def test_a_pipeline_augments_pictures_inside_shards(pipekit_project) -> None:
    """The same pictures, loose and in shards, give the same augmented bytes: the ids are the same."""
    export = {"use": "export.webdataset", "shard_size": 5}
    shards = pipekit_project.run({"data": {"use": "import.folders", "path": "images"}, "shards": export}).artifact("shards")
    digests = set()
    for data in ({"use": "import.folders", "path": "images"}, {"use": "import.webdataset", "path": str(shards.path)}):
        stages = {"data": data, "augment": {"use": "augment", "ops": [{"op": "rotate"}], "copies": 2}}
        made = pipekit_project.run(stages, seed=3).artifact("augment")
        digests.add(tuple((sample.id, sample.sha256) for sample in made))
    assert len(digests) == 1
    assert len(digests.pop()) > 18


# --- parameters ----------------------------------------------------------------------------------------------------------


def test_nothing_is_unpacked(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", [("a.png", RED), ("b.png", BLUE)])
    before = tar.read_bytes()
    for sample, data in zip(samples(tmp_path), (RED, BLUE), strict=True):
        place = split_packed(sample.image)
        assert place is not None
        assert place[0] == str(tar)
        assert before[place[1] : place[1] + place[2]] == data
    assert list(tmp_path.iterdir()) == [tar]


@pytest.mark.parametrize(
    ("label", "expected"), [("auto", "zwei"), ("cls", "zwei"), ("json.kind", "bird"), ("txt", "a bird"), ("none", None)]
)
def test_the_part_that_is_the_class(tmp_path: Path, label: str, expected: str | None) -> None:
    parts = [("a.png", RED), ("a.cls", b"1"), ("a.txt", b"a bird\n"), ("a.json", b'{"kind": "bird"}')]
    write_tar(tmp_path / "a.tar", parts)
    (tmp_path / "classes.txt").write_text("eins\nzwei\n")
    assert [sample.label for sample in samples(tmp_path, label=label)] == [expected]


@pytest.mark.parametrize(
    ("name", "split"),
    [("imagenet-train-0012.tar", "train"), ("val/0.tar", "val"), ("Test_1.tar", "test"), ("strain-0.tar", ""), ("0.tar", "")],
)
def test_the_split_is_in_the_name_of_the_shard(tmp_path: Path, name: str, split: str) -> None:
    write_tar(tmp_path / name, [("a.png", RED)])
    assert [sample.split for sample in samples(tmp_path)] == [split]
    assert [sample.split for sample in samples(tmp_path, splits=False)] == [""]


def test_of_several_pictures_one_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("a.input.png", RED), ("a.other.png", BLUE)])
    assert failures(tmp_path) == {"a/a": "several pictures (input.png, other.png); say which: image = 'input.png'"}
    (sample,) = samples(tmp_path, image="other.png")
    assert images.read_bytes(sample.image) == BLUE
    assert failures(tmp_path, image="left.png") == {"a/a": "no part .left.png"}


# --- damage --------------------------------------------------------------------------------------------------------------


def test_a_shard_that_ends_too_early_keeps_what_came_before(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", [("a.png", RED), ("b.png", BLUE), ("c.png", RED * 20)])
    whole.write_bytes(whole.read_bytes()[:4096])
    write_tar(tmp_path / "b.tar", [("a.png", RED)])
    assert set(failures(tmp_path)) == {"a.tar"}
    found = [item.id for item in read(tmp_path, WebdatasetParams()) if isinstance(item, Sample)]
    assert found == ["a/a.png", "a/b.png", "b/a.png"]


def test_other_files_under_the_name_of_a_shard(tmp_path: Path) -> None:
    plain = write_tar(tmp_path / "plain.tar", [("a.png", RED)]).read_bytes()
    (tmp_path / "plain.tar").unlink()
    (tmp_path / "a.tar").write_bytes(gzip.compress(plain))
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "c.tar").write_bytes(b"no tar at all" * 100)
    found = failures(tmp_path)
    assert [found[name] for name in ("a.tar", "b.tar.gz")] == ["compressed with gzip: decompress it first"] * 2
    assert found["c.tar"].startswith("damaged tar")
    assert sniff(tmp_path) == Rejected("a.tar: compressed with gzip: decompress it first")


def test_hostile_headers_are_a_reason(tmp_path: Path) -> None:
    huge, negative, name = (tarfile.TarInfo("x") for _ in range(3))
    huge.type, huge.size = tarfile.XHDTYPE, 2**40
    negative.type, negative.size = tarfile.GNUTYPE_LONGNAME, -512
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 4
    write_tar(tmp_path / "good.tar", [("a.png", RED), ("a.cls", b"0")])
    for stem, info, times in (("huge", huge, 1), ("negative", negative, 1), ("nested", name, 5000)):
        one = info.tobuf(tarfile.GNU_FORMAT) + b"abc".ljust(512, b"\0")
        (tmp_path / f"{stem}.tar").write_bytes(one * times + bytes(1024))
    found = failures(tmp_path)
    assert "claims 1,099,511,627,776 bytes" in found["huge.tar"]
    assert "claims -512 bytes" in found["negative.tar"]
    assert "headers follow each other without a member" in found["nested.tar"]


def test_samples_that_can_not_be_used_are_listed(tmp_path: Path) -> None:
    parts = [
        ("a.txt", b"words alone"),
        ("b.png", RED),
        ("b.json", b"{"),
        ("c.png", RED),
        ("c.cls", b"5"),
        ("d.png", RED),
        ("d.png", BLUE),
        ("e.png", RED),
        ("f.png", RED),
        ("e.cls", b"0"),
    ]
    found = failures(write_tar(tmp_path / "s.tar", parts), classes=("cat", "dog"))
    assert found["s/a"] == "no picture among txt"
    assert found["s/b"].startswith("its json can't be read")
    assert found["s/c"] == "class number 5, and there are 2 names of classes, from 0 on"
    assert found["s/d"] == "has two parts .png"
    assert [reason for name, reason in found.items() if ":e" in name] == ["the name stands twice in its shard"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tar shard"):
        list(read(tmp_path, WebdatasetParams()))


# --- recognition ---------------------------------------------------------------------------------------------------------


def test_a_folder_of_shards_and_a_single_one_are_recognised(tmp_path: Path, pipekit_registry) -> None:
    tar = write_tar(tmp_path / "shards/train-000000.tar", [("a.png", RED)])
    for path in (tar, tar.parent):
        assert find_importer(pipekit_registry, path).importer == "webdataset"
    assert "train-000000.tar" in sniff(tar)


def test_a_backup_beside_photographs_is_no_dataset(tmp_path: Path, pipekit_registry) -> None:
    write_tiny_dataset(tmp_path / "photos")
    write_tar(tmp_path / "photos/backup.tar", [("a.png", RED)])
    assert sniff(tmp_path / "photos") == Rejected("there are images that lie in no archive")
    assert find_importer(pipekit_registry, tmp_path / "photos").importer == "folders"
    assert sniff(write_tar(tmp_path / "source.tar", [("a.py", b"pass")])) == Rejected(
        "source.tar: its first sample has no picture: py"
    )
    assert sniff(write_tar(tmp_path / "hollow.tar", [])) == Rejected("hollow.tar: there is no file in it")
    (tmp_path / "nothing").mkdir()
    assert sniff(tmp_path / "nothing") == Rejected("no tar archive below it")
    assert not sniff(tmp_path / "photos/discs/discs_0.png")
