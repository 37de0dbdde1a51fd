"""Exporters: read by the formats' own readers, and back by our importers."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.exporters import parquet
from pipekit.contract import NO_TARGETS, Box, Keypoint, Sample, Targets
from pipekit.errors import UserError
from tests.builtin.exporting import as_dataset, export, make_samples, read


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return make_samples(tmp_path / "photos")


FORMATS = ["folders", "csv", "parquet", "coco", "yolo", "voc", "masks", "idx", "webdataset"]


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_dataset_gives_the_same_bytes_in_any_order(name: str, samples: list[Sample], tmp_path: Path) -> None:
    first = export(name, samples, tmp_path / "one")
    assert tree(first) == tree(export(name, reversed(samples), tmp_path / "two"))
    assert tree(first)


@pytest.mark.parametrize(
    ("name", "keeps"),
    [
        ("folders", "label split bytes"),
        ("csv", "label split bytes extra"),
        ("parquet", "label split bytes boxes mask"),
        ("coco", "split bytes boxes"),
        ("yolo", "split bytes boxes"),
        ("voc", "split bytes boxes mask"),
        ("masks", "split bytes mask"),
    ],
)
def test_what_goes_out_comes_back(name: str, keeps: str, samples: list[Sample], tmp_path: Path) -> None:
    out = export(name, samples, tmp_path / "out")
    back = read("metadata" if name == "folders" else name, out / "dataset.csv" if name == "csv" else out)
    assert all(isinstance(found, Sample) for found in back)
    assert Counter(_kept(found, keeps) for found in back) == Counter(_kept(sample, keeps) for sample in samples)


def _kept(sample: Sample, keeps: str) -> tuple[Any, ...]:
    values: dict[str, Any] = {
        "label": sample.label,
        "split": sample.split,
        "bytes": Path(sample.image).read_bytes(),
        "boxes": tuple(
            (*(round(edge, 3) for edge in (box.x_min, box.y_min, box.x_max, box.y_max)), box.label)
            for box in sample.targets.boxes
        ),
        "mask": Path(sample.targets.mask).read_bytes() if sample.targets.mask else b"",
        "extra": str(sample.extra.get("camera")),
    }
    return tuple(values[part] for part in keeps.split())


def test_folders_and_their_metadata(samples: list[Sample], tmp_path: Path) -> None:
    out = export("folders", samples, tmp_path / "out")
    assert {path.parent.relative_to(out).as_posix() for path in out.rglob("*.??g")} == {
        f"{split}/{label}" for split in ("train", "val", "test") for label in ("cat", "dog")
    }
    with (out / "val" / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"cat", "dog"}
    assert all((out / "val" / row["file_name"]).is_file() for row in rows)


def test_a_csv_called_metadata_is_a_hugging_face_folder(samples: list[Sample], tmp_path: Path) -> None:
    out = export("csv", samples, tmp_path / "out", table="metadata.csv")
    back = read("metadata", out)
    assert {(sample.extra["id"], sample.label, sample.split) for sample in back} == {
        (sample.id, sample.label, sample.split) for sample in samples
    }


def test_names_that_meet_get_numbers(tmp_path: Path) -> None:
    samples = [replace(sample, label="a", split="") for sample in make_samples(tmp_path / "photos", 4)]
    names = sorted(path.name for path in export("folders", samples, tmp_path / "out").rglob("*.??g"))
    assert names == ["0-2.png", "0.jpg", "1.jpg", "1.png"] or len(set(names)) == 4


def test_hard_links_take_no_space(samples: list[Sample], tmp_path: Path) -> None:
    out = export("folders", samples, tmp_path / "out", images="hardlink")
    assert all(path.stat().st_nlink == 2 for path in out.rglob("*.??g"))


def drawn(box: Box) -> Box:
    """The box with its corners as an outline."""
    corners = (box.x_min, box.y_min, box.x_max, box.y_min, box.x_max, box.y_max, box.x_min, box.y_max)
    return replace(box, outline=(corners,))


def test_coco_is_read_by_pycocotools(samples: list[Sample], tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    samples = [
        replace(sample, targets=replace(sample.targets, boxes=tuple(map(drawn, sample.targets.boxes)))) for sample in samples
    ]
    out = export("coco", samples, tmp_path / "out")
    train = [sample for sample in samples if sample.split == "train"]
    found = COCO(out / "annotations" / "instances_train.json")
    assert len(found.imgs) == len(train)
    assert {entry["name"] for entry in found.cats.values()} == {box.label for sample in samples for box in sample.targets.boxes}
    boxes = [box for sample in train for box in sample.targets.boxes]
    assert len(found.anns) == len(boxes)
    for entry in found.anns.values():
        x, y, width, height = entry["bbox"]
        mask = found.annToMask(entry)
        assert mask.sum() == pytest.approx(width * height, abs=1)
        assert mask[int(y) : int(y + height), int(x) : int(x + width)].all()
        assert (out / "images/train" / found.imgs[entry["image_id"]]["file_name"]).is_file()


def test_webdataset_is_read_by_its_package(samples: list[Sample], tmp_path: Path) -> None:
    import webdataset

    out = export("webdataset", samples, tmp_path / "out", shard_size=3)
    shards = sorted(map(str, out.glob("train-*.tar")))
    assert len(shards) == 3
    found = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))
    by_id = {sample.id: sample for sample in samples if sample.split == "train"}
    classes = (out / "classes.txt").read_text("utf-8").split()
    assert len(found) == len(by_id)
    for entry in found:
        described = json.loads(entry["json"])
        sample = by_id[described["id"]]
        assert entry.get("jpg", entry.get("png")) == Path(sample.image).read_bytes()
        assert classes[int(entry["cls"])] == sample.label
        assert entry["mask.png"] == Path(sample.targets.mask).read_bytes()
        assert len(described.get("boxes", [])) == len(sample.targets.boxes)


def test_parquet_is_read_by_pandas(samples: list[Sample], tmp_path: Path) -> None:
    import pandas as pd

    out = export("parquet", samples, tmp_path / "out", rows_per_file=3)
    assert sorted(path.name for path in (out / "data").iterdir())[:2] == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00003.parquet",
    ]
    table = pd.concat(pd.read_parquet(path) for path in sorted(out.glob("data/train-*.parquet")))
    by_id = {sample.id: sample for sample in samples}
    assert set(table["id"]) == {sample.id for sample in samples if sample.split == "train"}
    for row in table.itertuples():
        assert row.image["bytes"] == Path(by_id[row.id].image).read_bytes()
        assert ["cat", "dog"][row.label] == by_id[row.id].label


def with_points(sample: Sample) -> Sample:
    """The sample with outlines and keypoints."""
    boxes = tuple(
        replace(box, outline=((box.x_min, box.y_min, box.x_max, box.y_min, box.x_max, box.y_max),))
        for box in sample.targets.boxes
    )
    points = [Keypoint(1.25, 2.5, "nose", True, 0 if boxes else None), Keypoint(0.1, 3.0, "ear", False)]
    return replace(sample, targets=replace(sample.targets, boxes=boxes, keypoints=tuple(points[: sample.extra["camera"] % 3])))


@pytest.mark.parametrize("saved", [False, True])
def test_parquet_holds_boxes_outlines_keypoints_and_masks(samples: list[Sample], tmp_path: Path, saved: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    full = [with_points(sample) for sample in samples]
    assert any(sample.targets.keypoints for sample in full)
    out = export("parquet", full, tmp_path / "out")
    if saved:  # as `save_to_disk` of Hugging Face's package writes the same rows
        for file in (out / "data").iterdir():
            table = pq.read_table(file)
            with pa.OSFile(str(out / f"{file.stem}.arrow"), "wb") as stream, pa.ipc.new_stream(stream, table.schema) as writer:
                writer.write_table(table)
    back = read("arrow" if saved else "parquet", out)
    by_id = {sample.id: sample for sample in full}
    assert sorted(found.extra["id"] for found in back) == sorted(by_id)
    for found in back:
        sample = by_id[found.extra["id"]]
        assert set(found.extra) == {"id", "sha256"}
        assert found.targets.boxes == sample.targets.boxes
        assert found.targets.keypoints == sample.targets.keypoints
        assert Path(found.targets.mask).read_bytes() == Path(sample.targets.mask).read_bytes()


def test_parquet_describes_its_targets_as_features(samples: list[Sample], tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    out = export("parquet", [with_points(sample) for sample in samples], tmp_path / "out")
    schema = pq.read_schema(next((out / "data").iterdir()))
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names == ["image", "label", "id", "sha256", "objects", "keypoints", "mask"]
    assert features["objects"]["category"]["feature"] == {"names": ["cat", "dog", "thing"], "_type": "ClassLabel"}
    assert features["keypoints"]["label"]["feature"]["names"] == ["ear", "nose"]
    assert features["mask"] == features["image"] == {"_type": "Image"}
    for name in ("objects", "keypoints"):
        assert [schema.field(name).type.field(at).name for at in range(len(features[name]))] == list(features[name])
    plain = export("parquet", [replace(sample, targets=NO_TARGETS) for sample in samples], tmp_path / "plain")
    assert pq.read_schema(next((plain / "data").iterdir())).names == ["image", "label", "id", "sha256"]


def test_parquet_is_opened_by_hugging_face_s_package(samples: list[Sample], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    out = export("parquet", [with_points(sample) for sample in samples], tmp_path / "out")
    opened = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    by_id = {sample.id: sample for sample in samples}
    for rows in opened.values():
        for row in rows:
            sample = by_id[row["id"]]
            assert row["mask"].size == row["image"].size
            assert len(row["objects"]["bbox"]) == len(sample.targets.boxes)


def test_idx_has_the_pixels(samples: list[Sample], tmp_path: Path) -> None:
    out = export("idx", samples, tmp_path / "out", size_hw=(16, 20))
    back = read("idx", out, classes=(out / "classes.txt").read_text("utf-8").split())
    assert Counter((found.label, found.split) for found in back) == Counter((sample.label, sample.split) for sample in samples)
    test = next(sample for sample in sorted(samples, key=lambda s: s.id) if sample.split == "test")
    expected = images.resize(images.read(test.image, gray=True), (16, 20))
    found = images.read(next(found for found in back if found.split == "test").image)
    assert np.array_equal(found[..., :1], expected)


def test_what_a_format_needs_and_is_not_there(tmp_path: Path) -> None:
    bare = [replace(sample, label=None) for sample in make_samples(tmp_path / "photos", masks=False)]
    out = export("masks", bare, tmp_path / "masks")
    assert len((out / "without_mask.txt").read_text("utf-8").splitlines()) == len(bare)
    assert not (out / "masks").exists()
    with pytest.raises(UserError, match="IDX needs a class for every image"):
        export("idx", bare, tmp_path / "idx")


def test_hostile_ids_stay_inside(tmp_path: Path) -> None:
    samples = make_samples(tmp_path / "photos", 4)
    names = ["../../evil.jpg", "a/..", "C:\\x.jpg", "con?.jpg"]
    bad = [replace(sample, id=name, label="../up") for sample, name in zip(samples, names, strict=True)]
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    for name in ("folders", "coco", "yolo", "voc", "masks"):
        export(name, bad, tmp_path / name)
        new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
        assert all(path.is_relative_to(tmp_path / name) for path in new)
        before |= new


def test_coco_numbers_start_at_one_in_each_file(samples: list[Sample], tmp_path: Path) -> None:
    """As in COCO's own files; 0 is the background for many that read them."""
    out = export("coco", samples, tmp_path / "out")
    for file in (out / "annotations").iterdir():
        found = json.loads(file.read_text())
        for part in ("images", "annotations", "categories"):
            assert [entry["id"] for entry in found[part]] == list(range(1, len(found[part]) + 1))
        assert {entry["category_id"] for entry in found["annotations"]} <= {entry["id"] for entry in found["categories"]}


def test_parquet_keeps_the_order_of_keypoints_and_names_that_no_object_has(tmp_path: Path) -> None:
    targets = Targets(boxes=(Box(0, 0, 4, 4, "ant"),), keypoints=(Keypoint(1, 1, "base", True, 0), Keypoint(2, 2, "extra")))
    sample = Sample("a.png", str(tmp_path / "a.png"), targets=targets)
    entries = [{"name": "ant", "keypoints": ["tip", "middle", "base"]}]
    assert parquet._there(as_dataset([sample], {"categories": {"boxes": entries}})).points == ["tip", "middle", "base", "extra"]
    assert parquet._there(as_dataset([sample])).points == ["base", "extra"]
