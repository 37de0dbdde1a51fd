"""The importer ``tfrecord``, on files that were written byte by byte; test_export_tensorflow.py has those of TensorFlow."""

from __future__ import annotations

import gzip
import struct
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit import images
from pipekit.builtin.exporters import tfrecord as exporter
from pipekit.builtin.importers import tf_example, tfrecord
from pipekit.builtin.importers.annotated import UnusableError
from pipekit.builtin.importers.tfrecord import TfrecordParams
from pipekit.contract import Box, Rejected, Sample, Targets
from pipekit.errors import UserError
from tests.builtin import tfrecords
from tests.builtin.annotated import sort_out
from tests.builtin.exporting import as_dataset


def picture(height: int = 40, width: int = 60, seed: int = 0) -> bytes:
    return images.encode(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8), "png")


def row(name: str = "a.png", **more: Any) -> dict[str, Any]:
    found = {
        "image/encoded": [picture()],
        "image/format": ["png"],
        "image/height": [40],
        "image/width": [60],
        "image/filename": [name],
        "image/class/label": [1],
        "image/class/text": ["dog"],
        "image/object/bbox/xmin": [0.05, 0.5],
        "image/object/bbox/xmax": [0.5, 1.0],
        "image/object/bbox/ymin": [0.1, 0.0],
        "image/object/bbox/ymax": [0.5, 1.0],
        "image/object/class/text": ["dog", "cat"],
        "image/object/class/label": [2, 1],
    }
    return {**found, **{f"image/{key.replace('__', '/')}": value for key, value in more.items()}}


BOXES = (Box(3, 4, 30, 20, "dog"), Box(30, 0, 60, 40, "cat"))


def read(path: Path, out: Path, **params: Any) -> tuple[list[Sample], dict[str, str]]:
    return sort_out(tfrecord.read(path, TfrecordParams(**params), out))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["train-00000-of-00001.tfrecord", "pets-train.tfrecord-00000-of-00002", "my_train.record"])
def test_an_example_is_a_sample(tmp_path: Path, name: str, packed: bool) -> None:
    tfrecords.write(tmp_path / "data" / name, [row("a.png"), row("sub/b.png", camera=[3])], packed)
    said = tfrecord.sniff(tmp_path / "data")
    assert said == f"TFRecord files of examples with images: {name}"
    found, failed = read(tmp_path / "data", tmp_path / "out")
    assert failed == {}
    assert [(one.id, one.label, one.split, one.targets.boxes) for one in found] == [
        ("a.png", "dog", "train", BOXES),
        ("sub/b.png", "dog", "train", BOXES),
    ]
    assert Path(found[0].image).read_bytes() == picture()
    assert (found[0].extra, found[1].extra) == ({}, {"image/camera": 3})


def test_gzipped_files_are_read(tmp_path: Path) -> None:
    data = tfrecords.write(tmp_path / "x.tfrecord", [row()]).read_bytes()
    (tmp_path / "x.tfrecord").write_bytes(gzip.compress(data))
    found, failed = read(tmp_path / "x.tfrecord", tmp_path / "out")
    assert ([one.id for one in found], failed) == (["a.png"], {})


def test_numbers_get_names_from_the_lists_beside_them(tmp_path: Path) -> None:
    bare = row(class__text=[], object__class__text=[])
    file = tfrecords.write(tmp_path / "x.tfrecord", [bare])
    (found,), _ = read(file, tmp_path / "out")
    assert (found.label, [box.label for box in found.targets.boxes]) == ("1", ["2", "1"])
    (tmp_path / "classes.txt").write_text("owl\n# 7\n")
    text = '# a comment\nitem {\n  id: 1\n  name: \'tom\\\'s {cat}\'\n}\nitem { name: "x" id: 2 display_name: "dog"\n '
    text += "keypoints { id: 9 } }\n"
    (tmp_path / "pets.pbtxt").write_text(text)
    (found,), _ = read(file, tmp_path / "out2")
    assert (found.label, [box.label for box in found.targets.boxes]) == ("# 7", ["dog", "tom's {cat}"])
    (found,), _ = read(file, tmp_path / "out3", classes=["ant", "bee"], label="largest")
    assert found.label == "bee"


def test_a_broken_label_map_is_an_error(tmp_path: Path) -> None:
    file = tfrecords.write(tmp_path / "x.tfrecord", [row()])
    for text, said in (
        ("item { id: 1 }", "label_map.pbtxt line 1: an item without an id and a name"),
        ("cat 1", "is no label map"),
    ):
        (tmp_path / "label_map.pbtxt").write_text(text)
        with pytest.raises(UserError, match=said):
            read(file, tmp_path / "out")


def test_names_that_repeat_or_lead_elsewhere_get_the_number_of_the_record(tmp_path: Path) -> None:
    names = ["a.png", "a.png", "../a.png", "/etc/passwd", "C:\\a.png", "", "./b.png"]
    file = tfrecords.write(tmp_path / "x.tfrecord", [row(name) for name in names])
    found, failed = read(file, tmp_path / "out")
    assert ([one.id for one in found], failed) == (["a.png", *(f"x/000000{at}" for at in range(2, 8))], {})
    assert len({one.image for one in found}) == len(names)
    assert all(Path(one.image).is_relative_to(tmp_path / "out") for one in found)


def test_boxes_of_stored_pixels_are_turned(tmp_path: Path) -> None:
    from io import BytesIO

    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    out = BytesIO()
    Image.new("RGB", (60, 40)).save(out, "JPEG", exif=exif.tobytes())
    file = tfrecords.write(tmp_path / "x.tfrecord", [row(encoded=[out.getvalue()])])
    (found,), failed = read(file, tmp_path / "out")
    assert failed == {}
    assert found.targets.boxes[0] == Box(20, 3, 36, 30, "dog"), "(x, y) of 60 x 40 is (40 - y, x) of 40 x 60"


def test_what_can_not_be_used_is_listed_with_file_record_and_value(tmp_path: Path) -> None:
    rows = [
        row("good.png"),
        row("outside.png", object__bbox__xmin=[1.5, 0.5], object__bbox__xmax=[1.8, 1.0]),
        row("pixels.png", object__bbox__xmax=[30.0, 1.0]),
        row("uneven.png", object__bbox__ymin=[0.1]),
        row("unnamed.png", object__class__text=["dog"], object__class__label=[1]),
        row("label.png", class__text=[], class__label=[9]),
        row("size.png", height=[50]),
        {"image/encoded": [b"no image, though long enough"], "image/filename": ["x.png"]},
        {"text": ["some words that are no image"]},
    ]
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    file = tfrecords.write(tmp_path / "x.tfrecord", rows)
    found, failed = read(file, tmp_path / "out")
    assert [one.id for one in found] == ["good.png", "outside.png", "pixels.png", "uneven.png", "unnamed.png", "label.png"]
    places = [at for at, _ in tf_example.records(file)]

    def where(number: int) -> str:
        return f"x.tfrecord record {number} (byte {places[number - 1]:,})"

    assert failed == {
        "outside.png box 1": f"{where(2)}: a box of 'dog' lies outside the image (60 x 40 px): 90, 4, 108, 20",
        "pixels.png box 1": f"{where(3)}: the box of 'dog' is not in fractions of the image: 0.05, 0.1, 30, 0.5",
        "uneven.png boxes": f"{where(4)}: image/object/bbox/: not one number for each edge of each box: "
        "2 xmin, 1 ymin, 2 xmax, 2 ymax",
        "unnamed.png boxes": f"{where(5)}: 2 boxes, but 1 texts and 1 numbers of classes",
        "label.png class": f"{where(6)}: image/class/label is 9, but there are 2 class names, from 0",
        "x/0000007": f"{where(7)}: its annotations are for 60 x 50 px, and the image has 60 x 40 px",
        "x/0000008": f"{where(8)}: not a readable image",
        "x/0000009": f"{where(9)}: no image among the features text",
    } | {key: reason for key, reason in failed.items() if key == "x/0000008"}
    assert failed["x/0000008"].startswith(where(8))


# --- the framing ---------------------------------------------------------------------------------------------------------


def test_a_record_with_a_wrong_checksum_is_listed_and_the_next_one_read(tmp_path: Path) -> None:
    file = tfrecords.write(tmp_path / "x.tfrecord", [row("a.png"), row("b.png"), row("c.png")])
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    found, failed = read(file, tmp_path / "out")
    assert [one.id for one in found] == ["a.png", "c.png"]
    at = len(data) // 3
    assert failed == {"x/0000002": f"x.tfrecord record 2 (byte {at:,}): damaged: its checksum is wrong"}


@pytest.mark.parametrize("length", [0, 1, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_hostile_length_reserves_no_memory(tmp_path: Path, length: int) -> None:
    head = struct.pack("<Q", length)
    (tmp_path / "x.tfrecord").write_bytes(head + tfrecords.masked(head) + b"x" * 20)
    with pytest.raises(UserError, match=r"x\.tfrecord is no TFRecord file, or is damaged at byte"):
        read(tmp_path / "x.tfrecord", tmp_path / "out")
    (tmp_path / "x.tfrecord").write_bytes(gzip.compress(head + tfrecords.masked(head) + b"x" * 20))
    with pytest.raises(UserError, match=r"x\.tfrecord is no TFRecord file, or is damaged at byte"):
        read(tmp_path / "x.tfrecord", tmp_path / "out")


def test_a_damaged_length_and_a_truncated_file_are_errors(tmp_path: Path) -> None:
    data = tfrecords.write(tmp_path / "x.tfrecord", [row()]).read_bytes()
    for bad, said in (
        (b"\x01" + data[1:], "the checksum of a record's length"),
        (data[:5], "it ends inside a record"),
        (data[:-1], r"a record claims [\d,]+ bytes"),
    ):
        (tmp_path / "x.tfrecord").write_bytes(bad)
        with pytest.raises(UserError, match=said):
            read(tmp_path / "x.tfrecord", tmp_path / "out")


def test_files_without_images_are_rejected_with_their_features(tmp_path: Path) -> None:
    file = tfrecords.write(tmp_path / "x.tfrecord", [{"tokens": [1, 2], "text": ["a long text that is no image"]}])
    assert tfrecord.sniff(file) == Rejected("the examples of x.tfrecord have no image; they have text, tokens")
    (tmp_path / "y.tfrecord").write_bytes(b"")
    assert tfrecord.sniff(tmp_path / "y.tfrecord") == Rejected("y.tfrecord: there is no record in it")


def test_an_image_under_another_name_is_found(tmp_path: Path) -> None:
    file = tfrecords.write(
        tmp_path / "x.tfrecord", [{"text": ["a long text that is no image"], "photo": [picture()], "label": [3]}]
    )
    (found,), failed = read(file, tmp_path / "out")
    assert (found.id, found.label, found.extra, failed) == ("x/0000001", "3", {"text": "a long text that is no image"}, {})


@given(st.binary(max_size=3000))
def test_the_checksum_in_lanes_is_that_byte_by_byte(data: bytes) -> None:
    assert struct.pack("<I", tf_example.masked_crc(data)) == tfrecords.masked(data)


@given(st.dictionaries(st.text(max_size=5), st.lists(st.integers(-(2**63), 2**63 - 1)) | st.lists(st.binary()), max_size=4))
def test_an_example_comes_back(features: dict[str, list[Any]]) -> None:
    for packed in (True, False):
        found = tf_example.parsed(tfrecords.example(features, packed))
        assert found == {name: values for name, values in features.items() if values}


@given(st.binary(max_size=200))
def test_any_bytes_are_features_or_said_to_be_none(data: bytes) -> None:
    with suppress(UnusableError):
        assert isinstance(tf_example.parsed(data), dict)


# --- several labels and numbers ------------------------------------------------------------------------------------------


def _message(**fields: Any) -> Any:
    """What stands in for TensorFlow's messages: an example is its features, a feature the list of its values."""
    (found,) = fields.values()
    return found


TF: Any = SimpleNamespace(
    train=SimpleNamespace(
        **dict.fromkeys(("Feature", "BytesList", "FloatList", "Int64List", "Features"), _message),
        Example=lambda features: SimpleNamespace(features=features),
    )
)
NAMES = ["boat", "car", "dög", "tree, old"]
LABELS = st.none() | st.lists(st.sampled_from(NAMES), unique=True).map(lambda found: tuple(sorted(found)))
NUMBERS = st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False).map(
    lambda found: float(str(np.float32(found)))
)


def written_and_read(folder: Path, samples: list[Sample], task: str) -> list[Sample]:
    """The samples as the exporter makes examples of them, and the importer samples of these."""
    numbers = {name: at for at, name in enumerate(NAMES)}
    boxes = {"car": 1}
    rows = [tfrecords.record(_bytes(exporter._example(TF, sample, numbers, boxes, task).features)) for sample in samples]
    folder.mkdir(exist_ok=True)
    (folder / "train.tfrecord").write_bytes(b"".join(rows))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in NAMES), "utf-8")
    found, failed = read(folder, folder.parent / "out")
    assert failed == {}
    return found


def _bytes(features: dict[str, Any]) -> bytes:
    entries = (
        tfrecords.field(1, name.encode()) + tfrecords.field(2, tfrecords.feature(values) if values else tfrecords.field(3, b""))
        for name, values in features.items()
    )
    return tfrecords.field(1, b"".join(tfrecords.field(1, entry) for entry in entries))


@settings(max_examples=15)
@given(labels=st.lists(LABELS, min_size=1, max_size=4), values=st.lists(NUMBERS, min_size=1, max_size=4))
def test_several_labels_and_numbers_come_back(
    tmp_path_factory: pytest.TempPathFactory, labels: list[tuple[str, ...] | None], values: list[float | None]
) -> None:
    folder = tmp_path_factory.mktemp("data")
    (folder / "a.png").write_bytes(picture())
    box = Targets(boxes=(Box(3, 4, 30, 20, "car"),))
    several = [Sample(f"{at}.png", str(folder / "a.png"), labels=one, targets=box) for at, one in enumerate(labels)]
    back = written_and_read(folder / "labels", several, "multilabel")
    assert [(found.id, found.label, found.labels, found.targets) for found in back] == [
        (sample.id, None, sample.labels, box) for sample in several
    ]
    numbers = [Sample(f"{at}.png", str(folder / "a.png"), value=one) for at, one in enumerate(values)]
    back = written_and_read(folder / "numbers", numbers, "number")
    assert [(found.id, found.label, found.value, found.extra) for found in back] == [
        (sample.id, None, sample.value, {}) for sample in numbers
    ]


def test_labels_are_named_by_the_list_where_the_example_has_no_texts(tmp_path: Path) -> None:
    rows = [row("a.png", class__text=[], class__multi_hot=[1, 0, 1]), row("b.png", class__multi_hot=[0, 2])]
    tfrecords.write(tmp_path / "data/train.tfrecord", [*rows, row("c.png", class__text=[], class__multi_hot=[1, 0])])
    (tmp_path / "data/classes.txt").write_text("boat\ncar\ntree\n", "utf-8")
    found, failed = read(tmp_path / "data", tmp_path / "out")
    assert [(sample.label, sample.labels) for sample in found] == [(None, ("boat", "tree")), (None, None), (None, None)]
    assert failed == {
        "b.png class": "train.tfrecord record 2 (byte 7,752): image/class/multi_hot is [0, 2], not a list of 0 and 1",
        "c.png class": "train.tfrecord record 3 (byte 15,532): image/class/multi_hot has 2 values, but there are 3 class names",
    }


def test_numbers_of_more_digits_than_32_bits_hold_are_said(tmp_path: Path) -> None:
    values = [0.1, 12.5, 123456789.0, 1e300]
    samples = [Sample(f"{at}.png", str(tmp_path / "a.png"), value=value) for at, value in enumerate(values)]
    said = list(exporter.limits(as_dataset(samples, {"task": "number"}), exporter.TfrecordParams()))
    assert said == ["2 numbers are rounded to the 7 digits of 32 bits"]
